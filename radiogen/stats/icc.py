"""The intraclass correlation: how much of a measurement's variance lies between patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import f as f_distribution


@dataclass(frozen=True)
class Icc:
    """Intraclass correlations, one per feature.

    Args:
        icc: estimate; NaN where the cases do not differ at all.
        low: lower end of the 95 % confidence interval.
        high: upper end.
    """

    icc: Float[np.ndarray, " p"]
    low: Float[np.ndarray, " p"]
    high: Float[np.ndarray, " p"]


def icc_3_1(values: Float[np.ndarray, "n k p"], *, confidence: float = 0.95) -> Icc:
    """Return ICC(3,1) of every feature: two-way mixed effects, single measurement, consistency.

    A constant added to all cases by one measurement (a dilated mask makes every volume larger) does not lower it; use absolute agreement where it
    should. A feature that does not vary between cases nor within them has no correlation: NaN. One that varies between cases only has exactly 1.

    Args:
        values: n cases, k measurements of each, p features; finite.
        confidence: of the interval.

    Returns:
        Estimates with their interval.

    Raises:
        ValueError: fewer than two cases or two measurements, or values that are not finite.

    Source: Shrout, Fleiss, Psychol Bull 1979;86:420, ICC(3,1); interval: McGraw, Wong, Psychol Methods 1996;1:30, Table 7, case 3 ICC(C,1).

    Example:
        >>> ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
        >>> icc_3_1(ratings[:, :, None]).icc.round(2).tolist()
        [0.71]
    """
    n, k, _ = values.shape
    if n < 2 or k < 2 or not np.isfinite(values).all():
        raise ValueError(f"{n} cases and {k} measurements, all finite, are needed: at least two of each.")
    case_means, measurement_means = values.mean(axis=1), values.mean(axis=0)
    grand = case_means.mean(axis=0)
    between = k * ((case_means - grand) ** 2).sum(axis=0) / (n - 1)
    residual = values - case_means[:, None, :] - measurement_means[None] + grand
    error = (residual**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    # Differences that rounding makes are none.
    floor = (1e-12 * np.maximum(np.abs(values).max(axis=(0, 1)), 1e-300)) ** 2
    between, error = np.where(between <= floor, 0.0, between), np.where(error <= floor, 0.0, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = between / error  # inf where the measurements agree, NaN where nothing varies
        tail = (1 - confidence) / 2
        first, second = n - 1, (n - 1) * (k - 1)
        lower = ratio / f_distribution.ppf(1 - tail, first, second)
        upper = ratio * f_distribution.ppf(1 - tail, second, first)
        return Icc(*(_of_ratio(one, k) for one in (ratio, lower, upper)))


def _of_ratio(ratio: Float[np.ndarray, " p"], k: int) -> Float[np.ndarray, " p"]:
    return np.where(np.isinf(ratio), 1.0, (ratio - 1) / (ratio + k - 1))
