"""How much two images tell about one another, whatever their contrasts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64, Shaped

from radiogen.types import Mask

BINS = 32
"""Grey levels per image in joint histograms."""


def normalised_mutual_information(
    a: Shaped[np.ndarray, "i j k"], b: Shaped[np.ndarray, "i j k"], inside: Mask
) -> float:
    """Return (H(A) + H(B)) / H(A, B) of two images on one grid: 1 where they are independent, 2 where one determines the other.

    Args:
        a: one image.
        b: the other, on the same voxels.
        inside: voxels that are compared.

    Returns:
        1 to 2; 1 where nothing is compared or an image is flat.

    Source: Studholme, Hill and Hawkes, An overlap invariant entropy measure of 3D medical image alignment,
    Pattern Recognition 32(1), 1999, equation 6.

    Example:
        >>> image = np.arange(27.0).reshape(3, 3, 3)
        >>> round(normalised_mutual_information(image, -image, np.ones((3, 3, 3), bool)), 6)
        2.0
    """
    first, second = a[inside], b[inside]
    if first.size == 0:
        return 1.0
    return of_levels(levels(first, value_range(first)), levels(second, value_range(second)))


def value_range(values: Shaped[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the 0.5th and 99.5th percentiles, between which grey levels are told apart."""
    low, high = np.percentile(values, [0.5, 99.5])
    return float(low), float(high)


def levels(values: Shaped[np.ndarray, " n"], limits: tuple[float, float]) -> Int64[np.ndarray, " n"]:
    """Return the grey level of each value, 0 to `BINS` - 1.

    Args:
        values: intensities.
        limits: lowest and highest intensity; what lies beyond is clipped.

    Example:
        >>> levels(np.array([-1.0, 0.0, 0.5, 1.0]), (0.0, 1.0)).tolist()
        [0, 0, 16, 31]
    """
    low, high = limits
    scaled = (values - low) * (BINS / max(high - low, 1e-12))
    return np.clip(scaled, 0, BINS - 1).astype(np.int64)


def of_levels(a: Int64[np.ndarray, " n"], b: Int64[np.ndarray, " n"]) -> float:
    """Return the normalised mutual information of grey levels; see `normalised_mutual_information`."""
    joint = np.bincount(a * BINS + b, minlength=BINS * BINS).reshape(BINS, BINS) / max(a.size, 1)
    together = _entropy(joint.ravel())
    if together <= 0:
        return 1.0
    return float((_entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))) / together)


def _entropy(probabilities: Float[np.ndarray, " n"]) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())
