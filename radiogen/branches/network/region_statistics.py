"""Statistics of intensities in many regions at once."""

from __future__ import annotations

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
    moments = {power: np.add.reduceat(away**power, first) / sizes for power in (2, 3, 4)}
    # All regions are sorted at once: by region, then by value; a quantile is then a place between two neighbours.
    ranked = exact[np.lexsort((exact, np.repeat(np.arange(len(sizes)), sizes)))]
    quantile = {share: _quantile(ranked, first, sizes, share) for share in (0.1, 0.25, 0.5, 0.75, 0.9)}
    flat = moments[2] <= 1e-12
    spread = np.where(flat, 1.0, moments[2])
    found = {
        "mean": mean,
        "sd": np.sqrt(moments[2]),
        "p10": quantile[0.1],
        "p90": quantile[0.9],
        "median": quantile[0.5],
        "iqr": quantile[0.75] - quantile[0.25],
        "skewness": np.where(flat, 0.0, moments[3] / spread**1.5),
        "kurtosis": np.where(flat, 0.0, moments[4] / spread**2),
        "energy": np.add.reduceat(exact**2, first),
    }
    if "entropy" in names:
        found["entropy"] = _entropy(ranked, first, sizes)
    return [found[name] for name in names]


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
