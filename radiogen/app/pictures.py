"""Slices as the page shows them: grey image, coloured mask, true proportions; and what training makes of a slice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as Picture
from PIL.ImageColor import getrgb

from radiogen.errors import InputError
from radiogen.report.slices import AXES_SEEN, PLANES, VoxelSize, intensity_window, plane_slice
from radiogen.report.viewer import LABEL_COLOURS
from radiogen.segment.train_augment import Augmentation
from radiogen.types import LabelVolume, Volume

LEVELS = ("flips", "light", "strong")
"""How much training changes a slice (`radiogen.segment.train_augment`)."""

_SHOWN_PX = 460

Rgb = UInt8[np.ndarray, "rows columns 3"]


def overlay(
    image: Volume,
    labels: LabelVolume | None,
    plane: str,
    index: int,
    voxel_size_mm: VoxelSize,
    *,
    opacity: float = 0.5,
    window: tuple[float, float] | None = None,
) -> Rgb:
    """Return one slice in grey with its mask in colour, seen radiologically (the patient's right on the left), in true proportions.

    Args:
        image: RAS intensities.
        labels: mask in radiogen's labels on the same voxels, or None.
        plane: `axial`, `coronal` or `sagittal`.
        index: slice number along the plane's axis, from 0.
        voxel_size_mm: voxel size along the RAS axes, mm.
        opacity: of the mask, 0 to 1.
        window: intensities shown as black and white; from the whole image by default.

    Raises:
        InputError: the slice does not exist.

    Example:
        >>> image = np.zeros((4, 5, 6), np.float32)
        >>> image[1:3, 1:4, 1:5] = 1
        >>> overlay(image, None, "axial", 3, (1.0, 1.0, 1.0)).shape
        (460, 368, 3)
    """
    depth = image.shape[PLANES[plane]]
    if not 0 <= index < depth:
        raise InputError(f"There is no {plane} slice {index}; slices 0 to {depth - 1} are there.")
    low, high = window or intensity_window(image)
    grey = np.clip((plane_slice(image, plane, index) - low) / (high - low), 0, 1)
    seen = None if labels is None else plane_slice(labels, plane, index)
    across, up = AXES_SEEN[plane]
    return _scaled(_coloured(grey, seen, opacity), voxel_size_mm[across], voxel_size_mm[up])


def _coloured(
    grey: Float[np.ndarray, "rows columns"], labels: UInt8[np.ndarray, "rows columns"] | None, opacity: float
) -> Rgb:
    rgb = np.repeat(grey[..., np.newaxis] * 255.0, 3, axis=2)
    for label, colour in LABEL_COLOURS.items() if labels is not None else ():
        inside = labels == label
        rgb[inside] = (1 - opacity) * rgb[inside] + opacity * np.array(getrgb(colour))
    return np.rint(rgb).astype(np.uint8)


def _scaled(rgb: Rgb, width_mm: float, height_mm: float) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture enlarged so that a millimetre is as long across as up; pixels stay pixels."""
    rows, columns = rgb.shape[:2]
    per_mm = _SHOWN_PX / max(columns * width_mm, rows * height_mm)
    size = max(1, round(columns * width_mm * per_mm)), max(1, round(rows * height_mm * per_mm))
    return np.array(Picture.fromarray(np.ascontiguousarray(rgb)).resize(size, Picture.Resampling.NEAREST))


def augmented(
    images: Mapping[str, Volume],
    labels: LabelVolume,
    sequence: str,
    index: int,
    voxel_size_mm: VoxelSize,
    *,
    level: str = "strong",
    seed: int = 0,
    opacity: float = 0.5,
) -> Rgb:
    """Return an axial slice as training with this seed would see it; the same seed gives the same picture.

    Args:
        images: sequence -> RAS intensities.
        labels: mask in radiogen's labels.
        sequence: which one is shown; all of them are changed together, as in training.
        index: axial slice number, from 0.
        voxel_size_mm: voxel size along the RAS axes, mm.
        level: one of `LEVELS`.
        seed: of everything random.
        opacity: of the mask, 0 to 1.

    Raises:
        InputError: the level is unknown.

    Source: the augmentations of `radiogen train segmentation`, see `radiogen.segment.train_augment.Augmentation`.
    """
    if level not in LEVELS:
        raise InputError(f"'{level}' is not a level of augmentation.", hint=f"There are: {', '.join(LEVELS)}.")
    import torch  # here: whoever only looks at slices never waits for it

    names = list(images)
    stack = torch.from_numpy(np.stack([_normalised(images[name][:, :, index], images[name]) for name in names]))
    mask = torch.from_numpy(labels[:, :, index].copy())
    changed, moved = Augmentation(level, 2)(stack, mask, seed)
    window = _window_of_normalised(images[sequence])
    shown = changed[names.index(sequence)].numpy()
    # Background is 0 in training, which is the brain's mean there; a reader expects it black.
    slice_ = np.where(shown == 0, window[0], shown).astype(np.float32)[:, :, np.newaxis]
    seen = np.asarray(moved.numpy(), dtype=np.uint8)[:, :, np.newaxis]
    return overlay(slice_, seen, "axial", 0, voxel_size_mm, opacity=opacity, window=window)


def _statistics(volume: Volume) -> tuple[float, float]:
    inside = volume[volume != 0]
    return float(inside.mean()), float(inside.std()) or 1.0


def _normalised(part: Float[np.ndarray, "i j"], volume: Volume) -> Float[np.ndarray, "i j"]:
    """Return a slice z-scored by the volume's head, background 0, as training feeds it."""
    mean, deviation = _statistics(volume)
    return np.where(part != 0, (part - mean) / deviation, 0).astype(np.float32)


def _window_of_normalised(volume: Volume) -> tuple[float, float]:
    """Return black and white of the volume on the scale of `_normalised`."""
    mean, deviation = _statistics(volume)
    low, high = intensity_window(volume)
    return (low - mean) / deviation, (high - mean) / deviation
