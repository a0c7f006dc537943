"""What a second model changes for whom: net reclassification and integrated discrimination improvement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from radiogen.types import Labels01, Scores


@dataclass(frozen=True)
class Improvement:
    """An improvement of one model over another on the same rows.

    Args:
        value: the improvement; above 0 the new model is better.
        standard_error: under no improvement.
        p: two-sided.
        of_positives: the part that comes from the positives.
        of_negatives: the part that comes from the negatives.
    """

    value: float
    standard_error: float
    p: float
    of_positives: float
    of_negatives: float


def net_reclassification(
    y: Labels01, old: Scores, new: Scores, thresholds: tuple[float, ...] | None = None
) -> Improvement:
    """Return the net reclassification improvement: positives moved up minus down, plus negatives moved down minus up, as shares.

    The version without thresholds counts any change of the probability, and can favour a noisy model that is badly calibrated; read it
    beside the Brier score, never alone.

    Args:
        y: 0/1 outcome per row.
        old: probability of the model in use.
        new: probability of the new one.
        thresholds: limits of the risk categories, ascending; None: every change counts (continuous NRI).

    Source: Pencina et al. 2008, Statistics in Medicine 27:157, eq. 6-8; continuous: Pencina et al. 2011, Statistics in Medicine 30:11; caution:
        Hilden & Gerds 2014, Statistics in Medicine 33:3405.

    Example:
        >>> y, old, new = np.array([1, 1, 0, 0]), np.array([0.4, 0.6, 0.4, 0.6]), np.array([0.6, 0.7, 0.3, 0.6])
        >>> net_reclassification(y, old, new, (0.5,)).value, net_reclassification(y, old, new).value
        (0.5, 1.5)
    """
    if thresholds is not None:
        old, new = (np.searchsorted(thresholds, values, side="right").astype(float) for values in (old, new))
    up, down = new > old, new < old
    gained, its_variance = _net(up, down, y == 1)
    spared, other_variance = _net(down, up, y == 0)
    return _improvement(gained + spared, math.sqrt(its_variance + other_variance), gained, spared)


def integrated_discrimination(y: Labels01, old: Scores, new: Scores) -> Improvement:
    """Return the integrated discrimination improvement: by how much the classes' mean probabilities moved apart.

    Args:
        y: 0/1 outcome per row.
        old: probability of the model in use.
        new: probability of the new one.

    Source: Pencina et al. 2008, Statistics in Medicine 27:157, eq. 13 and 14.

    Example:
        >>> round(integrated_discrimination(np.array([1, 1, 0, 0]), np.full(4, 0.5), np.array([0.7, 0.8, 0.3, 0.4])).value, 3)
        0.4
    """
    change = new - old
    of_positives, of_negatives = change[y == 1], change[y == 0]
    gained, spared = _mean(of_positives), -_mean(of_negatives)
    error = math.sqrt(_mean_variance(of_positives) + _mean_variance(of_negatives))
    return _improvement(gained + spared, error, gained, spared)


def improvement_resamples(
    y: Labels01,
    old: Scores,
    new: Scores,
    weights: Float[np.ndarray, "b n"],
    thresholds: tuple[float, ...] | None = None,
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Return the net reclassification and the integrated discrimination improvement in every resample.

    Args:
        y: 0/1 outcome per row.
        old: probability of the model in use.
        new: probability of the new one.
        weights: how often every row is drawn, one line per resample.
        thresholds: as `net_reclassification`.
    """
    change = new - old
    if thresholds is not None:
        old, new = (np.searchsorted(thresholds, values, side="right").astype(float) for values in (old, new))
    direction = np.sign(new - old)
    sides = (np.where(y == 1, 1.0, 0.0), np.where(y == 1, 0.0, 1.0))
    nri, idi = (
        (weights @ (values * sides[0])) / (weights @ sides[0]) - (weights @ (values * sides[1])) / (weights @ sides[1])
        for values in (direction, change)
    )
    return nri, idi


def _net(
    right: Bool[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], inside: Bool[np.ndarray, " n"]
) -> tuple[float, float]:
    n = int(inside.sum())
    if n == 0:
        return math.nan, math.nan
    better, worse = float(right[inside].mean()), float(wrong[inside].mean())
    return better - worse, (better + worse) / n


def _improvement(value: float, error: float, gained: float, spared: float) -> Improvement:
    p = (
        float(2 * norm.sf(abs(value) / error))
        if error > 0
        else float("nan")
        if math.isnan(value)
        else float(value == 0)
    )
    return Improvement(value, error, p, gained, spared)


def _mean(values: Scores) -> float:
    return float(values.mean()) if len(values) else math.nan


def _mean_variance(values: Scores) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.nan
