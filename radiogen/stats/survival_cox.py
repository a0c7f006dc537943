"""Cox regression and Harrell's C, with intervals that say how sure they are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
from lifelines.utils import concordance_index
from scipy.stats import chi2

from radiogen.stats.survival import Z95, Died, GroupLabels, NotEstimableError, Times
from radiogen.stats.survival_residuals import cox_residuals, proportional_hazards_p, robust_covariance

Risk = Float[np.ndarray, " n"]
"""Risk per patient: higher means that death is expected earlier."""

_BLOCK = 512
_UNBOUNDED_STANDARD_ERROR = 10.0
_PRECISION = {"precision": 1e-14, "r_precision": 1e-14}
"""Where a fit ends, by the Newton decrement and by the gain in log-likelihood: lifelines' own leaves five digits."""


@dataclass(frozen=True)
class CoxModel:
    """A fitted Cox model.

    Args:
        table: index covariate; `coefficient`, `standard_error` (robust where clusters were given), `hazard_ratio`, `lower`, `upper` (95 %), `p`
            (Wald), `proportional_p` (test of proportional hazards), `bounded` (False where a group without events lets the hazard ratio run to
            zero or infinity).
        n: patients.
        n_events: deaths.
        log_likelihood: partial log-likelihood at the fit.
        likelihood_ratio_p: of all covariates together; it takes patients for independent even where clusters were given.
        risk: (n,) linear predictor, not centred.
    """

    table: pd.DataFrame
    n: int
    n_events: int
    log_likelihood: float
    likelihood_ratio_p: float
    risk: np.ndarray


def cox_regression(
    covariates: pd.DataFrame,
    times: Times,
    died: Died,
    *,
    entry: Times | None = None,
    strata: GroupLabels | None = None,
    clusters: GroupLabels | None = None,
) -> CoxModel:
    """Fit a Cox proportional-hazards model (Efron's ties).

    Args:
        covariates: (n, k) finite numbers, one column per covariate.
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        entry: (n,) when each patient came under observation; None: everybody at time zero.
        strata: (n,) stratum, such as the site, with a baseline hazard of its own; None: one for all.
        clusters: (n,) cluster, such as the patient, for robust (sandwich) errors; None: patients are independent.

    Returns:
        The model with Wald intervals and, per covariate, the test of proportional hazards on scaled Schoenfeld residuals against Kaplan-Meier time.

    Raises:
        NotEstimableError: no event, a constant covariate, or covariates that repeat one another.

    Source:
        Cox 1972, J R Stat Soc B 34:187; Efron 1977, J Am Stat Assoc 72:557; late entry, strata and clusters: Therneau and Grambsch 2000, Modeling
        Survival Data, ch. 3 and 7.

    Example:
        >>> from lifelines.datasets import load_rossi
        >>> rossi = load_rossi()
        >>> model = cox_regression(rossi[["fin"]].astype(float), rossi["week"].to_numpy(float), rossi["arrest"].to_numpy(bool))
        >>> round(float(model.table.loc["fin", "hazard_ratio"]), 2)
        0.69
    """
    _check_design(covariates, died)
    values = covariates.to_numpy(dtype=float)
    fitter = _fitted(covariates, times, died, entry, strata)
    coefficients = fitter.params_.loc[list(covariates.columns)].to_numpy(dtype=float)
    covariance = fitter.variance_matrix_.to_numpy(dtype=float)
    at_fit = cox_residuals(values, times, died, coefficients, entry=entry, strata=strata)
    nothing = cox_residuals(values, times, died, np.zeros(len(coefficients)), entry=entry, strata=strata)
    used = covariance if clusters is None else robust_covariance(at_fit.score, covariance, clusters)
    error = np.sqrt(np.diag(used))
    table = pd.DataFrame(
        {
            "coefficient": coefficients,
            "standard_error": error,
            "hazard_ratio": _exponential(coefficients),
            "lower": _exponential(coefficients - Z95 * error),
            "upper": _exponential(coefficients + Z95 * error),
            "p": chi2.sf((coefficients / error) ** 2, 1),
            "proportional_p": proportional_hazards_p(at_fit.schoenfeld, times, died, covariance, entry),
            "bounded": (np.sqrt(np.diag(covariance)) < _UNBOUNDED_STANDARD_ERROR) & (np.abs(coefficients) < 10),
        },
        index=pd.Index(covariates.columns, name="covariate"),
    )
    gained = 2 * (at_fit.log_likelihood - nothing.log_likelihood)
    return CoxModel(
        table,
        len(times),
        int(died.sum()),
        at_fit.log_likelihood,
        float(chi2.sf(max(0.0, gained), len(coefficients))),
        values @ coefficients,
    )


def _fitted(
    covariates: pd.DataFrame, times: Times, died: Died, entry: Times | None, strata: GroupLabels | None
) -> CoxPHFitter:
    frame = covariates.reset_index(drop=True).assign(**{"": times, " ": died})
    more: dict[str, str] = {}
    if entry is not None:
        more["entry_col"], frame["  "] = "  ", np.where(entry == 0, -1.0, entry)  # a follow-up of zero is then one, too
    if strata is not None:
        more["strata"], frame["   "] = "   ", pd.factorize(strata)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separation is reported per covariate, in `bounded`
        try:
            return CoxPHFitter().fit(frame, "", " ", fit_options=_PRECISION, **more)
        except (ConvergenceError, np.linalg.LinAlgError) as error:
            raise NotEstimableError("The Cox model does not converge.", hint="Give fewer covariates.") from error


def _exponential(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(values)


def _check_design(covariates: pd.DataFrame, died: Died) -> None:
    if not died.any():
        raise NotEstimableError("No event.", hint="A Cox model needs deaths.")
    values = covariates.to_numpy(dtype=float)
    constant = [str(name) for name in covariates.columns if covariates[name].nunique() < 2]
    if constant:
        raise NotEstimableError(f"The same value in every row: {', '.join(constant)}.", hint="Leave it out.")
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    if np.linalg.matrix_rank(scaled) < scaled.shape[1]:
        raise NotEstimableError(
            f"Covariates that repeat one another: {', '.join(map(str, covariates.columns))}.", hint="Leave one out."
        )


def likelihood_ratio_p(smaller: CoxModel, larger: CoxModel) -> float:
    """Return the p value of the larger of two nested models over the smaller one, fitted on the same patients."""
    added = len(larger.table) - len(smaller.table)
    return float(chi2.sf(max(0.0, 2 * (larger.log_likelihood - smaller.log_likelihood)), added))


def concordance(
    times: Times, died: Died, risk: Risk, *, entry: Times | None = None, strata: GroupLabels | None = None
) -> float:
    """Return Harrell's C: how often the patient of higher risk dies first, over the pairs whose order is known.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death; ties count one half.
        entry: (n,) when each patient came under observation: who enters after a death is not compared with it; None: everybody at time zero.
        strata: (n,) only patients of one stratum are compared; None: all.

    Raises:
        NotEstimableError: no pair of patients has a known order.

    Source:
        Harrell et al. 1996, Stat Med 15:361; late entry and strata as in R's `survival::concordance`.

    Example:
        >>> concordance(np.array([1.0, 2.0, 3.0]), np.ones(3, bool), np.array([9.0, 5.0, 1.0]))
        1.0
    """
    if entry is not None or strata is not None:
        pairs = _ordered_pairs(times, died, slice(None), entry, strata)
        if not pairs.any():
            raise NotEstimableError("No pair of patients whose order of death is known.")
        return float((pairs * _higher(risk, slice(None))).sum() / pairs.sum())
    try:
        return float(concordance_index(times, -risk, died))
    except ZeroDivisionError as error:
        raise NotEstimableError("No pair of patients whose order of death is known.") from error


def concordance_interval(
    times: Times,
    died: Died,
    risk: Risk,
    *,
    seed: int,
    n_bootstrap: int = 1000,
    entry: Times | None = None,
    strata: GroupLabels | None = None,
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of Harrell's C, patients resampled.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death.
        seed: of the resampling.
        n_bootstrap: number of resamples.
        entry: as for `concordance`.
        strata: likewise.

    Raises:
        NotEstimableError: no pair of patients has a known order.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    drawn = resampled_concordance(times, died, [risk], seed=seed, n_bootstrap=n_bootstrap, entry=entry, strata=strata)
    return _middle(drawn[0])


def concordance_difference(
    times: Times,
    died: Died,
    first: Risk,
    second: Risk,
    *,
    seed: int,
    n_bootstrap: int = 1000,
    entry: Times | None = None,
    strata: GroupLabels | None = None,
) -> tuple[float, tuple[float, float]]:
    """Return Harrell's C of the second risk minus that of the first, with its 95 % interval: the same patients resampled for both.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        first: (n,) higher means earlier death.
        second: (n,) likewise.
        seed: of the resampling.
        n_bootstrap: number of resamples.
        entry: as for `concordance`.
        strata: likewise.

    Raises:
        NotEstimableError: no pair of patients has a known order.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.

    Example:
        >>> times = np.arange(1.0, 9.0)
        >>> concordance_difference(times, np.ones(8, bool), np.zeros(8), -times, seed=0)[0]
        0.5
    """
    compared = {"entry": entry, "strata": strata}
    drawn = resampled_concordance(times, died, [first, second], seed=seed, n_bootstrap=n_bootstrap, **compared)
    before, after = (concordance(times, died, risk, **compared) for risk in (first, second))
    return after - before, _middle(drawn[1] - drawn[0])


def resampled_concordance(
    times: Times,
    died: Died,
    risks: list[Risk],
    *,
    seed: int,
    n_bootstrap: int,
    entry: Times | None = None,
    strata: GroupLabels | None = None,
) -> Float[np.ndarray, "k b"]:
    """Return Harrell's C of every risk in every resample of patients; resamples without a known order are left out.

    Every resample is a set of weights on the same pairs, so all of them are two matrix products.

    Raises:
        NotEstimableError: no resample holds a pair whose order is known.
    """
    n = len(times)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_bootstrap).astype(float).T
    concordant, comparable = np.zeros((len(risks), n_bootstrap)), np.zeros(n_bootstrap)
    for start in range(0, n, _BLOCK):
        first = slice(start, start + _BLOCK)
        pairs = _ordered_pairs(times, died, first, entry, strata)
        comparable += np.einsum("ib,ib->b", pairs @ weights, weights[first])
        for number, risk in enumerate(risks):
            agreeing = pairs * _higher(risk, first)
            concordant[number] += np.einsum("ib,ib->b", agreeing @ weights, weights[first])
    if not (comparable > 0).any():
        raise NotEstimableError("No pair of patients whose order of death is known.")
    return concordant[:, comparable > 0] / comparable[comparable > 0]


def _middle(values: Float[np.ndarray, " b"]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _ordered_pairs(
    times: Times, died: Died, first: slice, entry: Times | None = None, strata: GroupLabels | None = None
) -> np.ndarray:
    # A pair has a known order when the first patient died before the other, or at the time at which the other was censored.
    earlier, same = times[first, None] < times[None, :], times[first, None] == times[None, :]
    known = died[first, None] & (earlier | (same & ~died[None, :]))
    if entry is not None:
        known &= (entry[None, :] < times[first, None]) | (entry[None, :] == 0)
    if strata is not None:
        known &= strata[first, None] == strata[None, :]
    return known.astype(float)


def _higher(risk: Risk, first: slice) -> np.ndarray:
    higher = risk[first, None] > risk[None, :]
    return higher + 0.5 * (risk[first, None] == risk[None, :])


def cross_validated_risk(
    covariates: pd.DataFrame,
    times: Times,
    died: Died,
    *,
    seed: int,
    folds: int = 10,
    entry: Times | None = None,
    strata: GroupLabels | None = None,
) -> Risk:
    """Return each patient's linear predictor, against the training patients' mean, from a Cox model fitted without that patient.

    Args:
        covariates: (n, k) finite numbers.
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        seed: of the folds; deaths are spread evenly over them.
        folds: number of folds.
        entry: (n,) when each patient came under observation; None: everybody at time zero.
        strata: (n,) stratum with a baseline hazard of its own; None: one for all.

    Raises:
        NotEstimableError: a training part does not determine the model.

    Source:
        van Houwelingen et al. 2006, Stat Med 25:3201 (cross-validated linear predictor).
    """
    rng = np.random.default_rng(seed)
    fold = np.empty(len(times), dtype=int)
    offset = 0
    for outcome in (True, False):
        members = rng.permutation(np.flatnonzero(died == outcome))
        fold[members] = (np.arange(len(members)) + offset) % folds
        offset += len(members)
    risk = np.empty(len(times))
    for number in np.unique(fold):
        train, test = fold != number, fold == number
        model = cox_regression(
            covariates[train],
            times[train],
            died[train],
            entry=None if entry is None else entry[train],
            strata=None if strata is None else strata[train],
        )
        # Against the training patients' mean: otherwise the coding of a covariate would shift whole folds against each other.
        beyond = covariates[test].to_numpy(dtype=float) - covariates[train].to_numpy(dtype=float).mean(axis=0)
        risk[test] = beyond @ model.table["coefficient"].to_numpy(dtype=float)
    return risk
