"""Cox regression and Harrell's C, with intervals that say how sure they are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import proportional_hazard_test
from lifelines.utils import concordance_index
from scipy.stats import chi2

from radiogen.errors import RadiogenError
from radiogen.stats.survival import Died, Times

Risk = Float[np.ndarray, " n"]
"""Risk per patient: higher means that death is expected earlier."""

_BLOCK = 512
_UNBOUNDED_STANDARD_ERROR = 10.0


class NotEstimableError(RadiogenError):
    """The data do not determine the model: no event, a constant covariate, or covariates that repeat one another."""


@dataclass(frozen=True)
class CoxModel:
    """A fitted Cox model.

    Args:
        table: index covariate; `coefficient`, `standard_error`, `hazard_ratio`, `lower`, `upper` (95 %), `p` (Wald), `proportional_p` (test of
            proportional hazards), `bounded` (False where a group without events lets the hazard ratio run to zero or infinity).
        n: patients.
        n_events: deaths.
        log_likelihood: partial log-likelihood at the fit.
        likelihood_ratio_p: of all covariates together.
        risk: (n,) linear predictor, not centred.
    """

    table: pd.DataFrame
    n: int
    n_events: int
    log_likelihood: float
    likelihood_ratio_p: float
    risk: np.ndarray


def cox_regression(covariates: pd.DataFrame, times: Times, died: Died) -> CoxModel:
    """Fit a Cox proportional-hazards model (Efron's ties).

    Args:
        covariates: (n, k) finite numbers, one column per covariate.
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.

    Returns:
        The model with Wald intervals and, per covariate, the test of proportional hazards on scaled Schoenfeld residuals against Kaplan-Meier time.

    Raises:
        NotEstimableError: no event, a constant covariate, or covariates that repeat one another.

    Source:
        Cox 1972, J R Stat Soc B 34:187; Efron 1977, J Am Stat Assoc 72:557; Grambsch and Therneau 1994, Biometrika 81:515.

    Example:
        >>> from lifelines.datasets import load_rossi
        >>> rossi = load_rossi()
        >>> model = cox_regression(rossi[["fin"]].astype(float), rossi["week"].to_numpy(float), rossi["arrest"].to_numpy(bool))
        >>> round(float(model.table.loc["fin", "hazard_ratio"]), 2)
        0.69
    """
    _check_design(covariates, died)
    frame = covariates.reset_index(drop=True).assign(**{"": times, " ": died})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separation is reported per covariate, in `bounded`
        try:
            fitter = CoxPHFitter().fit(frame, duration_col="", event_col=" ")
            proportional = proportional_hazard_test(fitter, frame, time_transform="km").summary["p"]
        except (ConvergenceError, np.linalg.LinAlgError) as error:
            raise NotEstimableError("The Cox model does not converge.", hint="Give fewer covariates.") from error
    summary = fitter.summary.loc[list(covariates.columns)]
    table = pd.DataFrame(
        {
            "coefficient": summary["coef"],
            "standard_error": summary["se(coef)"],
            "hazard_ratio": summary["exp(coef)"],
            "lower": summary["exp(coef) lower 95%"],
            "upper": summary["exp(coef) upper 95%"],
            "p": summary["p"],
            "proportional_p": proportional.reindex(summary.index),
            "bounded": (summary["se(coef)"] < _UNBOUNDED_STANDARD_ERROR) & (summary["coef"].abs() < 10),
        }
    ).rename_axis("covariate")
    return CoxModel(
        table,
        len(frame),
        int(died.sum()),
        float(fitter.log_likelihood_),
        float(fitter.log_likelihood_ratio_test().p_value),
        covariates.to_numpy(dtype=float) @ table["coefficient"].to_numpy(dtype=float),
    )


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


def concordance(times: Times, died: Died, risk: Risk) -> float:
    """Return Harrell's C: how often the patient of higher risk dies first, over the pairs whose order is known.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death; ties count one half.

    Raises:
        NotEstimableError: no pair of patients has a known order.

    Source:
        Harrell et al. 1996, Stat Med 15:361.

    Example:
        >>> concordance(np.array([1.0, 2.0, 3.0]), np.ones(3, bool), np.array([9.0, 5.0, 1.0]))
        1.0
    """
    try:
        return float(concordance_index(times, -risk, died))
    except ZeroDivisionError as error:
        raise NotEstimableError("No pair of patients whose order of death is known.") from error


def concordance_interval(
    times: Times, died: Died, risk: Risk, *, seed: int, n_bootstrap: int = 1000
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of Harrell's C, patients resampled.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death.
        seed: of the resampling.
        n_bootstrap: number of resamples.

    Raises:
        NotEstimableError: no pair of patients has a known order.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    return _middle(resampled_concordance(times, died, [risk], seed=seed, n_bootstrap=n_bootstrap)[0])


def concordance_difference(
    times: Times, died: Died, first: Risk, second: Risk, *, seed: int, n_bootstrap: int = 1000
) -> tuple[float, tuple[float, float]]:
    """Return Harrell's C of the second risk minus that of the first, with its 95 % interval: the same patients resampled for both.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        first: (n,) higher means earlier death.
        second: (n,) likewise.
        seed: of the resampling.
        n_bootstrap: number of resamples.

    Raises:
        NotEstimableError: no pair of patients has a known order.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.

    Example:
        >>> times = np.arange(1.0, 9.0)
        >>> concordance_difference(times, np.ones(8, bool), np.zeros(8), -times, seed=0)[0]
        0.5
    """
    drawn = resampled_concordance(times, died, [first, second], seed=seed, n_bootstrap=n_bootstrap)
    return concordance(times, died, second) - concordance(times, died, first), _middle(drawn[1] - drawn[0])


def resampled_concordance(
    times: Times, died: Died, risks: list[Risk], *, seed: int, n_bootstrap: int
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
        pairs = _ordered_pairs(times, died, first)
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


def _ordered_pairs(times: Times, died: Died, first: slice) -> np.ndarray:
    # A pair has a known order when the first patient died before the other, or at the time at which the other was censored.
    earlier, same = times[first, None] < times[None, :], times[first, None] == times[None, :]
    return (died[first, None] & (earlier | (same & ~died[None, :]))).astype(float)


def _higher(risk: Risk, first: slice) -> np.ndarray:
    higher = risk[first, None] > risk[None, :]
    return higher + 0.5 * (risk[first, None] == risk[None, :])


def cross_validated_risk(covariates: pd.DataFrame, times: Times, died: Died, *, seed: int, folds: int = 10) -> Risk:
    """Return each patient's linear predictor from a Cox model fitted without that patient.

    Args:
        covariates: (n, k) finite numbers.
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        seed: of the folds; deaths are spread evenly over them.
        folds: number of folds.

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
        model = cox_regression(covariates[train], times[train], died[train])
        risk[test] = covariates[test].to_numpy(dtype=float) @ model.table["coefficient"].to_numpy(dtype=float)
    return risk
