"""Intensities that mean something: background, the normal-tissue peak, robust z-scores, smoothing inside a mask."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter, gaussian_filter1d

from radiogen.errors import ImageError
from radiogen.types import Mask, Volume

_BINS = 200
_LEAST_VOXELS = 50
_FLAT = "The intensities inside the brain do not differ."


def background_value(image: Volume) -> float:
    """Return the value that most voxels of a volume's six faces hold.

    Example:
        >>> image = np.full((5, 5, 5), -3.0, np.float32); image[2, 2, 2] = 1.0
        >>> background_value(image)
        -3.0
    """
    faces = [image[0], image[-1], image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]]
    values, counts = np.unique(np.concatenate([face.ravel() for face in faces]), return_counts=True)
    return float(values[counts.argmax()])


def foreground(image: Volume) -> Mask:
    """Return the voxels that differ from the background.

    Works for raw scans (dark noise around the head), skull-stripped ones (exactly zero) and z-normalised ones (negative values in the brain).
    """
    low, high = np.percentile(image, [0.5, 99.5])
    found = np.abs(image - background_value(image)) > 0.02 * max(float(high - low), 1e-12)
    return np.asarray(found if found.any() else np.ones(image.shape, dtype=bool))


def zscore(image: Volume, inside: Mask) -> Volume:
    """Return the image with mean 0 and standard deviation 1 inside, and 0 outside."""
    values = image[inside]
    deviation = float(values.std())
    return np.where(inside, (image - values.mean()) / (deviation if deviation > 0 else 1.0), 0).astype(np.float32)


def tissue_peak(values: np.ndarray) -> tuple[float, float]:
    """Return the mode of a brain's intensities and their spread below it.

    The spread is 1.4826 x the median distance of what lies below the mode: a lesion brighter than normal tissue widens only the other side.

    Args:
        values: intensities inside the brain.

    Returns:
        Mode and spread, in the image's unit.

    Raises:
        ImageError: there are too few voxels or they do not differ.

    Source: the median absolute deviation as a consistent estimate of a standard deviation, Rousseeuw and Croux 1993,
        doi:10.1080/01621459.1993.10476408.

    Example:
        >>> values = np.random.default_rng(0).normal(100, 10, 20_000)
        >>> mode, spread = tissue_peak(values)
        >>> abs(mode - 100) < 5, abs(spread - 10) < 3
        (True, True)
    """
    if values.size < _LEAST_VOXELS:
        raise ImageError(f"Only {values.size} voxels are left to find normal tissue in.", hint="Look at the image.")
    low, high = np.percentile(values, [1, 99])
    if high <= low:
        raise ImageError(_FLAT, hint="Look at the image.")
    counts, edges = np.histogram(values[(values >= low) & (values <= high)], _BINS)
    top = int(gaussian_filter1d(counts.astype(float), 4).argmax())
    mode = float((edges[top] + edges[top + 1]) / 2)
    below = values[values <= mode]
    spread = 1.4826 * float(np.median(mode - below)) if below.size else 0.0
    if spread <= 0:
        raise ImageError(_FLAT, hint="Look at the image.")
    return mode, spread


def smooth_inside(image: Volume, mask: Mask, sigma_voxels: float) -> Volume:
    """Return the image smoothed with a Gaussian that sees only what lies in the mask; zero outside.

    Source: normalised convolution, Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081.
    """
    weight = gaussian_filter(mask.astype(np.float32), sigma_voxels)
    blurred = gaussian_filter(np.where(mask, image, np.float32(0)), sigma_voxels)
    return np.where(mask, blurred / np.maximum(weight, 1e-3), np.float32(0)).astype(np.float32)


def z_map(image: Volume, brain: Mask, sigma_voxels: float = 1.0) -> Volume:
    """Return smoothed intensities as distances from the normal-tissue peak, in its spread; zero outside the brain.

    Works for any unit, negative values included, because only differences enter.

    Args:
        image: one sequence.
        brain: the brain.
        sigma_voxels: smoothing.
    """
    smooth = smooth_inside(image, brain, sigma_voxels)
    inner = binary_erosion(brain, iterations=2)
    mode, spread = tissue_peak(smooth[inner if inner.sum() >= _LEAST_VOXELS else brain])
    return np.where(brain, (smooth - mode) / spread, 0).astype(np.float32)
