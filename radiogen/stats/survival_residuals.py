"""Residuals of a Cox model with Efron's ties, late entries and strata: robust errors, the test of proportional hazards, the partial likelihood.

lifelines has robust errors without late entries and without ties, and Schoenfeld residuals without late entries; hence this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from radiogen.stats.survival import Died, GroupLabels, Times, at_risk

Covariates = Float[np.ndarray, "n k"]
"""Covariates per patient."""

Coefficients = Float[np.ndarray, " k"]
"""Log hazard ratio per covariate."""

Covariance = Float[np.ndarray, "k k"]
"""Covariance of the coefficients."""


@dataclass(frozen=True)
class CoxResiduals:
    """Residuals of a Cox model.

    Args:
        score: (n, k) each patient's share of the score; they sum to zero at the fit.
        schoenfeld: (n, k) covariates of who died less their mean among those at risk; zero for who did not die.
        log_likelihood: partial log-likelihood at the coefficients.
    """

    score: np.ndarray
    schoenfeld: np.ndarray
    log_likelihood: float


def cox_residuals(
    covariates: Covariates,
    times: Times,
    died: Died,
    coefficients: Coefficients,
    *,
    entry: Times | None = None,
    strata: GroupLabels | None = None,
) -> CoxResiduals:
    """Return the residuals of a Cox model at given coefficients (Efron's ties).

    Args:
        covariates: (n, k) finite.
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        coefficients: (k,) of the covariates.
        entry: (n,) when each patient came under observation; None: everybody at time zero.
        strata: (n,) stratum of each patient, with a baseline hazard of its own; None: one for all.

    Source:
        Therneau, Grambsch and Fleming 1990, Biometrika 77:147; Therneau and Grambsch 2000, Modeling Survival Data, ch. 4 and 7 (tied deaths count
        with falling weight in the mean and in the hazard).

    Example:
        >>> found = cox_residuals(np.array([[1.0], [0.0]]), np.array([1.0, 2.0]), np.ones(2, bool), np.zeros(1))
        >>> found.schoenfeld.ravel().tolist(), round(found.log_likelihood, 4)
        ([0.5, 0.0], -0.6931)
    """
    linear = covariates @ coefficients
    linear = linear - linear.max(initial=-np.inf)
    weight = np.exp(linear)
    score, schoenfeld, log_likelihood = np.zeros(covariates.shape), np.zeros(covariates.shape), 0.0
    label = np.zeros(len(times)) if strata is None else strata
    for stratum in np.unique(label[died]):
        inside = label == stratum
        for moment in np.unique(times[inside & died]):
            held = np.flatnonzero(inside & at_risk(times, entry, float(moment)))
            dead = died[held] & (times[held] == moment)
            gone = np.arange(dead.sum()) / dead.sum()
            # (d, r): how much each patient at risk still counts when the first, second, ... of the tied deaths happens.
            counted = np.where(dead[None, :], 1 - gone[:, None], 1.0)
            total = counted @ weight[held]
            mean = (counted * weight[held]) @ covariates[held] / total[:, None]
            schoenfeld[held[dead]] = covariates[held[dead]] - mean.mean(axis=0)
            hazard = counted * weight[held] / total[:, None]
            score[held] -= hazard.sum(axis=0)[:, None] * covariates[held] - hazard.T @ mean
            log_likelihood += float(linear[held[dead]].sum() - np.log(total).sum())
    return CoxResiduals(score + schoenfeld, schoenfeld, log_likelihood)


def robust_covariance(score: Covariates, covariance: Covariance, clusters: GroupLabels) -> Covariance:
    """Return the sandwich covariance of a Cox model's coefficients, patients of one cluster counted together.

    Args:
        score: (n, k) score residuals.
        covariance: (k, k) inverse information.
        clusters: (n,) cluster of each row, such as its patient or its site.

    Source:
        Lin and Wei 1989, J Am Stat Assoc 84:1074; clusters: Lee, Wei and Amato 1992, in Survival Analysis: State of the Art; as R's `cluster()`.
    """
    _, place = np.unique(clusters, return_inverse=True)
    summed = np.zeros((place.max() + 1, score.shape[1]))
    np.add.at(summed, place, score)
    return covariance @ (summed.T @ summed) @ covariance


def proportional_hazards_p(
    schoenfeld: Covariates, times: Times, died: Died, covariance: Covariance, entry: Times | None = None
) -> Float[np.ndarray, " k"]:
    """Return per covariate the p value of the test that its hazard ratio does not change with time.

    Time is counted as one less the Kaplan-Meier curve just before each death.

    Args:
        schoenfeld: (n, k) Schoenfeld residuals.
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        covariance: (k, k) inverse information.
        entry: (n,) when each patient came under observation; None: everybody at time zero.

    Source:
        Grambsch and Therneau 1994, Biometrika 81:515 (as `cox.zph` of R's survival before 3.0).
    """
    deaths, place = np.unique(times[died], return_inverse=True)
    held = np.array([at_risk(times, entry, float(moment)).sum() for moment in deaths], dtype=float)
    alive = np.cumprod(1 - np.bincount(place) / held)
    moments = 1 - np.append(1.0, alive)[place]
    moments = moments - moments.mean()
    scaled = died.sum() * schoenfeld[died] @ covariance
    spread = died.sum() * np.diag(covariance) * (moments**2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (moments @ scaled) ** 2 / spread
    return np.asarray(chi2.sf(statistic, 1), dtype=float)
