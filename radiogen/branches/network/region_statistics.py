"""Statistics of intensities in many regions at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, Integer

BASIC = ("mean", "sd", "p10", "p90")
"""Statistics of every region and sequence."""

FIRST_ORDER = (*BASIC, "median", "iqr", "skewness", "kurtosis", "entropy", "energy")
"""The same with more of the first-order features of radiomics."""

BIN_WIDTH = 0.25
"""Of the histogram that entropy is taken of, in standard deviations of the healthy network; bins begin at 0."""

PerRegion = Float[np.ndarray, " r"]


def region_statistics(
    values: Float32[np.ndarray, " v"], start: Integer[np.ndarray, " s"], names: tuple[str, ...] = BASIC
) -> list[PerRegion]:
    """Return statistics of every region.

    Args:
        values: intensities, one region after another; no region is empty.
        start: where each region begins, and the end.
        names: of `FIRST_ORDER`.

    Returns:
        One array per name. Skewness and kurtosis of a flat region are 0; kurtosis of a normal distribution is 3; entropy is in bits.

    Source: first-order features of PyRadiomics, van Griethuysen et al., Cancer Res 2017;77:e104 (`radiomics.firstorder`).

    Example:
        >>> region_statistics(np.array([1, 3, 5], "f"), np.array([0, 2, 3]), ("mean", "median"))
        [array([2., 5.]), array([2., 5.])]
    """
    sizes, first = np.diff(start), start[:-1]
    exact = values.astype(np.float64)
    mean = np.add.reduceat(exact, first) / sizes
    away = exact - np.repeat(mean, sizes)
    square = away * away
    variance = np.add.reduceat(square, first) / sizes
    flat = variance <= 1e-12
    spread = np.where(flat, 1.0, variance)
    # All regions are sorted at once: by region, then by value; a quantile is then a place between two neighbours.
    ranked = exact[np.lexsort((exact, np.repeat(np.arange(len(sizes)), sizes)))]

    def quantile(share: float) -> PerRegion:
        return _quantile(ranked, first, sizes, share)

    def moment(powers: Float[np.ndarray, " v"], of: float) -> PerRegion:
        return np.where(flat, 0.0, np.add.reduceat(powers, first) / sizes / spread**of)

    # Only what is asked for is computed: the voxels of all connections are millions.
    ways: dict[str, Callable[[], PerRegion]] = {
        "mean": lambda: mean,
        "sd": lambda: np.sqrt(variance),
        "p10": lambda: quantile(0.1),
        "p90": lambda: quantile(0.9),
        "median": lambda: quantile(0.5),
        "iqr": lambda: quantile(0.75) - quantile(0.25),
        "skewness": lambda: moment(square * away, 1.5),
        "kurtosis": lambda: moment(square * square, 2.0),
        "energy": lambda: np.add.reduceat(exact * exact, first),
        "entropy": lambda: _entropy(ranked, first, sizes),
    }
    return [ways[name]() for name in names]


def _quantile(
    ranked: Float[np.ndarray, " v"], first: Integer[np.ndarray, " r"], sizes: Integer[np.ndarray, " r"], share: float
) -> PerRegion:
    place = share * (sizes - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, sizes - 1)
    return np.asarray(ranked[first + low] + (place - low) * (ranked[first + high] - ranked[first + low]))


def _entropy(
    ranked: Float[np.ndarray, " v"], first: Integer[np.ndarray, " r"], sizes: Integer[np.ndarray, " r"]
) -> PerRegion:
    """Return the entropy of every region's histogram; sorted values of one bin follow each other."""
    bins = np.floor(ranked / BIN_WIDTH)
    new = np.append(True, bins[1:] != bins[:-1])
    new[first] = True
    begins = np.flatnonzero(new)
    counts = np.diff(np.append(begins, len(ranked)))
    region = np.searchsorted(first, begins, side="right") - 1
    share = counts / sizes[region]
    return np.bincount(region, -share * np.log2(share), len(sizes))
