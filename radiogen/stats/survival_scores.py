"""How well predicted risks and survival probabilities fit what happened, with censored patients weighted for: C, AUC, Brier, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.stats.survival import Died, Times, kaplan_meier
from radiogen.stats.survival_cox import NotEstimableError, Risk

Horizons = Float[np.ndarray, " h"]
"""Times at which predictions are judged, increasing, each inside the follow-up."""

PredictedSurvival = Float[np.ndarray, "n h"]
"""Predicted probability per patient of living beyond each horizon."""


def uncensored_probability(times: Times, died: Died, at: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Return the Kaplan-Meier probability of not being censored before each time: the weights' denominator.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event; censorings are what is counted here.
        at: times; the probability is that just before each of them. A death and a censoring of the same day: the death came first.

    Source:
        Robins and Rotnitzky 1992 (inverse probability of censoring weights); Gerds and Schumacher 2006, Biom J 48:1029 (left limits).

    Example:
        >>> uncensored_probability(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, True]), np.array([1.0, 3.0])).round(3).tolist()
        [1.0, 0.667]
    """
    moments = np.unique(times[~died])
    censored = np.array([((times == moment) & ~died).sum() for moment in moments], dtype=float)
    at_risk = np.array([((times > moment) | ((times == moment) & ~died)).sum() for moment in moments], dtype=float)
    kept = np.cumprod(1 - censored / at_risk)
    place = np.searchsorted(moments, at, side="left") - 1
    return np.where(place >= 0, kept[np.maximum(place, 0)] if len(kept) else 1.0, 1.0)


def uno_concordance(times: Times, died: Died, risk: Risk, *, horizon: float | None = None) -> float:
    """Return Uno's C: concordance that does not depend on how patients were censored, over deaths before a horizon.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death; ties count one half.
        horizon: deaths at or after it are not counted; None: all deaths.

    Raises:
        NotEstimableError: no pair of patients whose order is known before the horizon.

    Source:
        Uno et al. 2011, Stat Med 30:1105, eq. 6.

    Example:
        >>> uno_concordance(np.array([1.0, 2.0, 3.0]), np.ones(3, bool), np.array([9.0, 5.0, 1.0]))
        1.0
    """
    counted = died & (times < (np.inf if horizon is None else horizon))
    probability = uncensored_probability(times, died, times)
    agreeing = possible = 0.0
    for patient in np.flatnonzero(counted & (probability > 0)):
        later = (times > times[patient]) | ((times == times[patient]) & ~died)
        weight = probability[patient] ** -2
        possible += weight * later.sum()
        agreeing += weight * ((risk[later] < risk[patient]).sum() + 0.5 * (risk[later] == risk[patient]).sum())
    if not possible:
        raise NotEstimableError("No pair of patients whose order of death is known before the horizon.")
    return float(agreeing / possible)


def time_dependent_auc(times: Times, died: Died, risk: Risk, horizons: Horizons) -> Float[np.ndarray, " h"]:
    """Return at each horizon how often a patient who died by then had a higher risk than one who lived longer.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death; ties count one half.
        horizons: (h,) times inside the follow-up.

    Returns:
        (h,) cumulative-dynamic AUC; missing where nobody died by the horizon, or nobody lived beyond it.

    Source:
        Uno et al. 2007, J Am Stat Assoc 102:527; Hung and Chiang 2010, Can J Stat 38:8.

    Example:
        >>> risk, died = np.array([9.0, 5.0, 1.0, 0.0]), np.array([True, True, False, False])
        >>> time_dependent_auc(np.array([1.0, 2.0, 3.0, 4.0]), died, risk, np.array([2.5])).tolist()
        [1.0]
    """
    probability = uncensored_probability(times, died, times)
    found = np.full(len(horizons), np.nan)
    for number, horizon in enumerate(horizons):
        cases, controls = died & (times <= horizon) & (probability > 0), times > horizon
        if not cases.any() or not controls.any():
            continue
        weights = 1 / probability[cases]
        higher = risk[cases, None] > risk[None, controls]
        equal = risk[cases, None] == risk[None, controls]
        found[number] = (weights[:, None] * (higher + 0.5 * equal)).sum() / (weights.sum() * controls.sum())
    return found


def brier_scores(times: Times, died: Died, predicted: PredictedSurvival, horizons: Horizons) -> Float[np.ndarray, " h"]:
    """Return the mean squared error of predicted survival at each horizon, censored patients weighted for; 0 is perfect.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        predicted: (n, h) probability of living beyond each horizon.
        horizons: (h,) times inside the follow-up.

    Source:
        Graf et al. 1999, Stat Med 18:2529.

    Example:
        >>> times, died = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, bool)
        >>> brier_scores(times, died, np.array([[0.0], [0.0], [1.0], [0.5]]), np.array([2.5])).tolist()
        [0.0625]
    """
    own = uncensored_probability(times, died, times)
    scores = np.empty(len(horizons))
    for number, horizon in enumerate(horizons):
        # Beyond the horizon means after it, so the weight is that just after the horizon.
        still = uncensored_probability(times, died, np.array([np.nextafter(horizon, np.inf)]))[0]
        if still <= 0:
            scores[number] = np.nan
            continue
        dead, alive = died & (times <= horizon) & (own > 0), times > horizon
        lost = (predicted[dead, number] ** 2 / own[dead]).sum()
        lost += ((1 - predicted[alive, number]) ** 2).sum() / still
        scores[number] = lost / len(times)
    return scores


def integrated_brier(scores: Float[np.ndarray, " h"], horizons: Horizons) -> float:
    """Return the mean Brier score over the time between the first and the last horizon.

    Args:
        scores: (h,) as `brier_scores` returns them.
        horizons: (h,) at least two.

    Source:
        Graf et al. 1999, Stat Med 18:2529 (trapezoidal rule, uniform weight).

    Example:
        >>> integrated_brier(np.array([0.1, 0.3]), np.array([1.0, 5.0]))
        0.2
    """
    return float(np.round(np.trapezoid(scores, horizons) / (horizons[-1] - horizons[0]), 15))


def marginal_survival(times: Times, died: Died, horizons: Horizons, count: int) -> Float[np.ndarray, "m h"]:
    """Return the same prediction for everybody: the Kaplan-Meier curve. A model must be better than that.

    Args:
        times: (n,) follow-up of the patients that the curve is estimated from.
        died: (n,) whether it ended with the event.
        horizons: (h,) times.
        count: patients to predict.

    Example:
        >>> marginal_survival(np.array([1.0, 2.0]), np.ones(2, bool), np.array([1.5]), 3).ravel().tolist()
        [0.5, 0.5, 0.5]
    """
    table = kaplan_meier(times, died).table
    place = np.searchsorted(table["time"].to_numpy(dtype=float), horizons, side="right") - 1
    curve = np.where(place >= 0, table["survival"].to_numpy(dtype=float)[np.maximum(place, 0)], 1.0)
    return np.tile(curve, (count, 1))


@dataclass(frozen=True)
class HorizonCalibration:
    """Predicted against observed survival at one horizon.

    Args:
        table: one row per group of rising predicted survival: `n`, `predicted` (mean), `observed` (Kaplan-Meier), `lower`, `upper` (95 %).
        observed_to_expected: deaths observed by the horizon over deaths expected; 1 is right, above 1 too few were expected.
    """

    table: pd.DataFrame
    observed_to_expected: float


def calibration_at(
    times: Times, died: Died, predicted: Float[np.ndarray, " n"], horizon: float, *, groups: int = 5
) -> HorizonCalibration:
    """Compare predicted survival at a horizon with the Kaplan-Meier estimate in groups of equal size.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        predicted: (n,) probability of living beyond the horizon.
        horizon: inside the follow-up.
        groups: how many; fewer where predictions are tied.

    Source:
        Royston and Altman 2013, BMC Med Res Methodol 13:33 (calibration by risk groups).

    Example:
        >>> times, died = np.arange(1.0, 21.0), np.ones(20, bool)
        >>> calibration_at(times, died, np.repeat([0.0, 1.0], 10), 10.5, groups=2).table["observed"].tolist()
        [0.0, 1.0]
    """
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, groups + 1)[1:-1]))
    group = np.searchsorted(edges, predicted, side="left")
    rows = []
    for number in np.unique(group):
        inside = group == number
        curve = kaplan_meier(times[inside], died[inside])
        observed, lower, upper = _held(curve.table, horizon)
        rows.append([int(inside.sum()), float(predicted[inside].mean()), observed, lower, upper])
    table = pd.DataFrame(rows, columns=["n", "predicted", "observed", "lower", "upper"])
    died_by = 1 - marginal_survival(times, died, np.array([horizon]), 1)[0, 0]
    expected = float(np.mean(1 - predicted))
    return HorizonCalibration(table, float(died_by / expected) if expected > 0 else float("nan"))


def _held(table: pd.DataFrame, horizon: float) -> tuple[float, float, float]:
    before = table[table["time"] <= horizon]
    if before.empty:
        return 1.0, 1.0, 1.0
    row = before.iloc[-1]
    if row["survival"] > 0 and table["time"].iloc[-1] < horizon:
        return float("nan"), float("nan"), float("nan")  # follow-up of the group ends before the horizon
    return float(row["survival"]), float(row["lower"]), float(row["upper"])
