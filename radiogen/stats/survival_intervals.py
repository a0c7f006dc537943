"""Bootstrap intervals of censoring-weighted scores: every resample is a set of weights on the same patients, so all of them are matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from radiogen.stats.survival import Died, Times
from radiogen.stats.survival_cox import Risk
from radiogen.stats.survival_scores import Horizons, PredictedSurvival

Weights = Float[np.ndarray, "n b"]
"""How often each patient counts in each resample."""

Interval = tuple[float, float]
"""A 95 % interval; missing where no resample gives a value."""


@dataclass(frozen=True)
class WeightedScores:
    """Scores in every resample.

    Args:
        uno_c: (b,) Uno's C over deaths before the last horizon.
        auc: (h, b) cumulative-dynamic AUC.
        brier: (h, b) Brier score.
    """

    uno_c: np.ndarray
    auc: np.ndarray
    brier: np.ndarray


def weighted_scores(
    times: Times, died: Died, risk: Risk, predicted: PredictedSurvival, horizons: Horizons, weights: Weights
) -> WeightedScores:
    """Return Uno's C, AUC and Brier score with weights on the patients; the weights that stand for censoring are estimated anew for each set.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death.
        predicted: (n, h) probability of living beyond each horizon.
        horizons: (h,) times inside the follow-up, increasing.
        weights: (n, b) zero or more; ones give the plain scores.

    Source:
        As `uno_concordance`, `time_dependent_auc` and `brier_scores`.
    """
    before, after = _uncensored(times, died, horizons, weights)
    counted = weights / np.where(before > 0, before, np.inf)
    auc, brier = np.empty((2, len(horizons), weights.shape[1]))
    higher = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        for place, horizon in enumerate(horizons):
            dead, alive = died & (times <= horizon), times > horizon
            pairs = (counted[dead] * (higher[np.ix_(dead, alive)] @ weights[alive])).sum(axis=0)
            auc[place] = pairs / (counted[dead].sum(axis=0) * weights[alive].sum(axis=0))
            lost = predicted[dead, place] ** 2 @ counted[dead]
            lost = lost + ((1 - predicted[alive, place]) ** 2 @ weights[alive]) / after[place]
            brier[place] = lost / weights.sum(axis=0)
        first = died & (times < horizons[-1])
        later = (times[None, :] > times[first, None]) | ((times[None, :] == times[first, None]) & ~died[None, :])
        weight = counted[first] / np.where(before[first] > 0, before[first], np.inf)
        agreeing = (weight * ((later * higher[first]) @ weights)).sum(axis=0)
        uno_c = agreeing / (weight * (later.astype(float) @ weights)).sum(axis=0)
    return WeightedScores(uno_c, auc, brier)


def _uncensored(times: Times, died: Died, horizons: Horizons, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, b) the probability of not being censored just before each patient's time, and (h, b) just after each horizon."""
    moments = np.unique(times[~died])
    leaving = (times[None, :] == moments[:, None]) & ~died[None, :]
    held = (times[None, :] > moments[:, None]) | leaving
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num((leaving.astype(float) @ weights) / (held.astype(float) @ weights))
    kept = np.vstack([np.ones((1, weights.shape[1])), np.cumprod(1 - share, axis=0)])
    return kept[np.searchsorted(moments, times, side="left")], kept[np.searchsorted(moments, horizons, side="right")]


def score_intervals(
    times: Times,
    died: Died,
    risk: Risk,
    predicted: PredictedSurvival,
    horizons: Horizons,
    *,
    seed: int,
    n_bootstrap: int = 1000,
) -> tuple[Interval, list[Interval], list[Interval], Interval]:
    """Return 95 % percentile bootstrap intervals of Uno's C, of AUC and Brier score per horizon, and of the integrated Brier score.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        risk: (n,) higher means earlier death.
        predicted: (n, h) probability of living beyond each horizon.
        horizons: (h,) times inside the follow-up, increasing.
        seed: of the resampling.
        n_bootstrap: number of resamples.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    n = len(times)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_bootstrap).astype(float).T
    drawn = weighted_scores(times, died, risk, predicted, horizons, weights)
    whole = drawn.brier[0]
    if len(horizons) > 1:
        whole = np.trapezoid(drawn.brier, horizons, axis=0) / (horizons[-1] - horizons[0])
    return (
        _middle(drawn.uno_c),
        [_middle(row) for row in drawn.auc],
        [_middle(row) for row in drawn.brier],
        _middle(whole),
    )


def _middle(values: np.ndarray) -> Interval:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
