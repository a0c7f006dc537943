"""How an image's grey values are prepared for a network, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float32

from radiogen.preprocess.intensity import zscore as zscore_inside
from radiogen.types import Mask, Volume

AnyVolume = Float32[np.ndarray, "_i _j _k"]
"""A volume on voxels of its own."""

AIR = 1.0
"""Grey values of raw scans up to this one are air, for `video255`. Source: see `video255`."""

_IMAGENET_GREY = (0.449, 0.226)
"""Mean and standard deviation of ImageNet's three colours, averaged over them; grey values of 0..1. Source: torchvision's weights."""


def zscore(image: Volume) -> Volume:
    """Return the image with mean 0 and standard deviation 1 over its non-zero voxels; zero stays zero.

    Example:
        >>> image = np.zeros((2, 2, 2), np.float32); image[0] = [[1, 1], [3, 3]]
        >>> float(zscore(image).max()), float(zscore(image).min())
        (1.0, -1.0)
    """
    inside = image != 0
    return zscore_inside(image, inside) if inside.any() else image.copy()


def unit(image: Volume) -> Volume:
    """Return the image with the 0.5th and 99.5th percentile of its non-zero voxels at 0 and 1, clipped there; zero stays zero."""
    inside = image != 0
    if not inside.any():
        return image.copy()
    low, high = (float(value) for value in np.percentile(image[inside], [0.5, 99.5]))
    scaled = np.clip((image - low) / (high - low if high > low else 1.0), 0, 1)
    return np.where(inside, scaled, 0).astype(np.float32)


def minmax255(image: Volume) -> Volume:
    """Return the image as a picture of 0..255: `unit`, times 255.

    Example:
        >>> float(minmax255(np.arange(8, dtype=np.float32).reshape(2, 2, 2)).max())
        255.0
    """
    return unit(image) * np.float32(255)


def imagenet(image: Volume) -> Volume:
    """Return the image as a grey picture standardised as ImageNet's are: `unit`, minus 0.449, divided by 0.226.

    For networks of a single channel; those of three standardise each colour by themselves and take `minmax255`.

    Source: torchvision's weights: mean 0.485, 0.456, 0.406 and standard deviation 0.229, 0.224, 0.225, averaged.
    """
    mean, deviation = _IMAGENET_GREY
    return ((unit(image) - mean) / deviation).astype(np.float32)


def raw(image: Volume) -> Volume:
    """Return the image as it is."""
    return image.copy()


def video255(image: Volume, whole: AnyVolume | None = None) -> Volume:
    """Return the image in the range of a film: (v - mean) / sd * 255 / 8 + 255 / 3, and 0 where there is air.

    Args:
        image: resampled, not normalised before.
        whole: the whole image, resampled and padded with zeros, that mean and standard deviation are taken of, air included; None: `image` itself.

    Source: Lang et al., A video data based transfer learning approach for classification of MGMT status in brain tumor MR images, BrainLes 2021.

    Example:
        >>> image = np.zeros((2, 2, 2), np.float32); image[0] = 100
        >>> sorted({round(float(value), 3) for value in video255(image).ravel()})
        [0.0, 116.875]
    """
    whole = image if whole is None else whole
    deviation = float(whole.std())
    scaled = (image - whole.mean()) / (deviation if deviation > 0 else 1.0) * (255 / 8) + 255 / 3
    shown = image > AIR if is_raw(whole) else image != 0
    return np.where(shown, scaled, 0).astype(np.float32)


def is_raw(image: AnyVolume) -> bool:
    """Return whether grey values are a scanner's: none below 0, and some above 1; normalised images have neither."""
    return bool(image.size > 0 and image.min() >= 0 and image.max() > AIR)


def not_air(image: Volume) -> Mask:
    """Return where a raw image shows more than air: values above 1; in an image that was normalised before what is not zero.

    Example:
        >>> not_air(np.array([[[0, 1, 2]]], np.float32)).tolist()
        [[[False, False, True]]]
    """
    return np.asarray(image > AIR if is_raw(image) else image != 0)


INTENSITIES: Mapping[str, Callable[[Volume], Volume]] = {
    "zscore": zscore,
    "minmax255": minmax255,
    "video255": video255,
    "imagenet": imagenet,
    "unit": unit,
    "raw": raw,
}
"""How intensities of a whole image are prepared; 0 is background (the brain was extracted)."""

OUTSIDE: Mapping[str, float] = {"imagenet": -_IMAGENET_GREY[0] / _IMAGENET_GREY[1]}
"""What lies beyond the image's edge after preparation; 0 where absent."""
