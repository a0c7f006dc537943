"""Where the brain is: taken from the background where the skull is off already, grown as a surface where it is on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, gaussian_filter, label

from radiogen.errors import CaseError
from radiogen.preprocess.intensity import background_value
from radiogen.preprocess.surface import Levels, fill_surface, grow_surface
from radiogen.types import Mask, Volume

LARGEST_BRAIN_ML = 2400.0
"""A foreground larger than this is a head, not a brain: the largest brains, swollen and with their fluid, stay below."""

_LEAST_BACKGROUND = 0.1
_SURFACE_ORDER = ("t2f", "t1n", "t1c", "t2w")
_TIGHTNESS = 0.7
_STEPS = 300
_TOP_TO_BASE_MM = 130.0
_SMALLEST_HEAD_ML = 500.0


@dataclass(frozen=True)
class Brain:
    """The brain of one case.

    Args:
        mask: its voxels.
        skull_on: the images show the head; the mask was estimated.
    """

    mask: Mask
    skull_on: bool


def find_brain(images: Mapping[str, Volume], voxel_mm: float) -> Brain:
    """Return the brain of isotropic images on one grid.

    Args:
        images: sequence name -> volume; brain-extracted or with the skull on, any intensity unit.
        voxel_mm: voxel edge, mm.

    Raises:
        CaseError: nothing that could be a brain is in the images.
    """
    mask = stripped_brain(images, voxel_mm)
    if mask is not None:
        return Brain(mask, skull_on=False)
    name = next(name for name in _SURFACE_ORDER if name in images)
    return Brain(extract_brain(images[name], voxel_mm), skull_on=True)


def stripped_brain(images: Mapping[str, Volume], voxel_mm: float) -> Mask | None:
    """Return the brain that images without a skull show, or nothing when they show a head.

    Args:
        images: sequence name -> volume, isotropic, one grid, any intensity unit.
        voxel_mm: voxel edge, mm.
    """
    voxel_ml = voxel_mm**3 / 1000
    foreground = np.ones(next(iter(images.values())).shape, dtype=bool)
    least_background = 1.0
    for image in images.values():
        apart = np.abs(image - background_value(image)) > 1e-3 * float(image.max() - image.min())
        least_background = min(least_background, 1 - float(apart.mean()))
        foreground &= apart
    foreground = _largest(np.asarray(binary_fill_holes(foreground)))
    cut_out = least_background >= _LEAST_BACKGROUND or foreground.size * voxel_ml <= LARGEST_BRAIN_ML
    if foreground.any() and cut_out and foreground.sum() * voxel_ml <= LARGEST_BRAIN_ML:
        return foreground
    return None


def extract_brain(image: Volume, voxel_mm: float) -> Mask:
    """Return the brain of a head: a surface grown to its edge, without what sticks out of it (eye sockets, nerves).

    Args:
        image: isotropic volume with the skull on, axes R, A, S.
        voxel_mm: voxel edge, mm.

    Raises:
        CaseError: there is no head in the image, or the surface did not find a brain in it.

    Source: Smith 2002, doi:10.1002/hbm.10062, started from the upper 130 mm of the head, so that a neck in the field of view does not pull it down.
    """
    low, high = (float(value) for value in np.percentile(image[image > image.min()], [2, 98]))
    foreground = low + 0.1 * (high - low)
    head = _largest(gaussian_filter(image, 1.0) > foreground)
    area = head.sum(axis=(0, 1))
    if area.sum() * voxel_mm**3 / 1000 < _SMALLEST_HEAD_ML:
        raise CaseError("No head was found in the images.", hint="Look at the images; give brain-extracted ones.")
    top = int(np.flatnonzero(area > 0.1 * area.max()).max())
    head[:, :, : max(0, int(top - _TOP_TO_BASE_MM / voxel_mm))] = False
    axes = np.ogrid[tuple(slice(n) for n in image.shape)]
    weights = np.where(head, np.clip(image, low, high) - low, 0).astype(float)
    centre = np.array([(weights * axis).sum() for axis in axes]) / weights.sum()
    radius = float((head.sum() * 3 / 4 / np.pi) ** (1 / 3))
    middle = np.asarray(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))) < radius**2
    levels = Levels(low, foreground, float(np.median(image[middle & (image > low) & (image < high)])))
    points = grow_surface(image, voxel_mm, centre, radius * voxel_mm / 2, levels, tightness=_TIGHTNESS, steps=_STEPS)
    brain = fill_surface(points, (image.shape[0], image.shape[1], image.shape[2]))
    brain = _largest(np.asarray(binary_opening(brain, iterations=max(1, round(6 / voxel_mm)))))
    if brain.sum() * voxel_mm**3 / 1000 < LARGEST_BRAIN_ML / 10:
        raise CaseError("No brain was found inside the head.", hint="Give brain-extracted images.")
    return brain


def _largest(mask: Mask) -> Mask:
    labelled, n = label(mask)
    if n <= 1:
        return mask
    sizes = np.bincount(labelled.ravel())
    sizes[0] = 0
    return np.asarray(labelled == sizes.argmax())
