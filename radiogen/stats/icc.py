"""Intraclass correlation: how far repeated measurements tell cases apart, for many features at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.stats import f as f_distribution


@dataclass(frozen=True)
class Icc:
    """Intraclass correlation of several features, each with its confidence interval.

    Args:
        icc: the correlation, at most 1; NaN where it is not defined.
        low: lower bound of the interval.
        high: upper bound of the interval.
        n_cases: cases that were measured completely, and so counted.
    """

    icc: Float[np.ndarray, " p"]
    low: Float[np.ndarray, " p"]
    high: Float[np.ndarray, " p"]
    n_cases: Integer[np.ndarray, " p"]


def icc_3_1(values: Float[np.ndarray, "n k p"], *, confidence: float = 0.95) -> Icc:
    """Return ICC(3,1) of every feature: two-way mixed effects, consistency, single measurement (McGraw and Wong call it ICC(C,1)).

    A shift that a measurement adds to all cases alike does not count against it. A case with a NaN or infinite measurement of a feature is left out
    for that feature. Where fewer than two cases are left, or all cases have the same mean and the same profile, there is nothing to tell apart: all
    three are NaN. Where the measurements agree exactly and the cases differ, all three are 1.

    Args:
        values: n cases, k measurements of each, p features.
        confidence: of the interval, two-sided, by the F distribution.

    Raises:
        ValueError: there are fewer than two measurements, or the confidence is not between 0 and 1.

    Source: Shrout & Fleiss, Psychol Bull 1979;86:420, ICC(3,1); interval: McGraw & Wong, Psychol Methods 1996;1:30, table 7, ICC(C,1).

    Example:
        >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
        >>> found = icc_3_1(np.array(ratings, dtype=float)[:, :, None])
        >>> round(float(found.icc[0]), 2), round(float(found.low[0]), 2), round(float(found.high[0]), 2)
        (0.71, 0.34, 0.95)
    """
    k = values.shape[1]
    if k < 2:
        raise ValueError(f"{k} measurement(s) per case; agreement needs two or more")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: a number between 0 and 1 is accepted")
    complete = np.isfinite(values).all(axis=1)
    n = complete.sum(axis=0)
    between, within = _mean_squares(values, complete)
    usable = (n >= 2) & ((between > 0) | (within > 0))
    # A division by 0 gives the limits that are wanted: F = inf means that the correlation is 1.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(usable, between / within, np.nan)
    cases, rest = np.maximum(n - 1, 1), np.maximum(n - 1, 1) * (k - 1)
    tail = (1 + confidence) / 2
    return Icc(
        icc=_correlation(ratio, k),
        low=_correlation(ratio / f_distribution.ppf(tail, cases, rest), k),
        high=_correlation(ratio * f_distribution.ppf(tail, rest, cases), k),
        n_cases=n,
    )


def _correlation(ratio: Float[np.ndarray, " p"], k: int) -> Float[np.ndarray, " p"]:
    # (F - 1) / (F + k - 1), written so that an infinite F gives 1.
    return np.asarray(1.0 - k / (ratio + k - 1.0))


def _mean_squares(
    values: Float[np.ndarray, "n k p"], complete: Bool[np.ndarray, "n p"]
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return the mean squares between cases and of the residual; a spread that is only rounding is 0.

    Each feature is scaled first, so that squares neither overflow nor vanish; the ratio of the two does not change.
    """
    k = values.shape[1]
    counted = complete[:, None, :]
    known = np.where(counted, values, 0.0).astype(np.float64)
    n = np.maximum(complete.sum(axis=0), 1)
    largest = np.abs(known).max(axis=(0, 1), initial=0.0)
    known = known / np.where(largest > 0, largest, 1.0)
    centred = np.where(counted, known - known.sum(axis=(0, 1)) / (n * k), 0.0)
    spread = np.abs(centred).max(axis=(0, 1), initial=0.0)
    rounding = 8 * np.finfo(np.float64).eps / np.where(spread > 0, spread, 1.0)
    centred = centred / np.where(spread > 0, spread, 1.0)
    rows = centred.mean(axis=1)
    columns = centred.sum(axis=0) / n
    residual = np.where(counted, centred - rows[:, None, :] - columns[None], 0.0)
    between = k * np.square(rows - rows.sum(axis=0) / n, where=complete, out=np.zeros_like(rows)).sum(axis=0)
    within = np.square(residual).sum(axis=(0, 1))
    free = np.maximum(n - 1, 1)
    between, within = between / free, within / (free * (k - 1))
    return np.where(between > rounding**2 * k, between, 0.0), np.where(within > rounding**2, within, 0.0)
