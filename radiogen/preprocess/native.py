"""Masks back from the template's voxels to those of the scan."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from scipy.ndimage import affine_transform

from radiogen.cohort.nifti import Grid
from radiogen.errors import GeometryError
from radiogen.types import Affine, LabelVolume

_MOST_PARTS = 8
"""Most parts that a voxel is divided into along one axis."""


def to_native(
    labels: LabelVolume,
    template_grid: Grid,
    native: Grid,
    matrix: Affine,
    *,
    interpolation: Literal["linear", "nearest"] = "linear",
) -> UInt8[np.ndarray, "a b c"]:
    """Return a label map on the voxels of a scan.

    Each label is resampled linearly as a map of its own, averaged over the part of space that each native voxel covers (a slice of 5 mm holds five
    template slices), and the largest share wins. Borders stay smooth and volumes stay what they were.

    Args:
        labels: canonical, on the template's grid.
        template_grid: the grid they lie on.
        native: the scan's own grid.
        matrix: template world -> native world, mm: where in the scan each point of the template lies.
        interpolation: `nearest` takes the label at each native voxel's centre instead, for maps with more labels than can be averaged.

    Returns:
        Canonical labels on the native grid.

    Raises:
        GeometryError: labels and grid do not fit, or the matrix cannot be inverted.

    Example:
        >>> grid = Grid((4, 4, 4), np.eye(4))
        >>> labels = np.zeros((4, 4, 4), np.uint8)
        >>> labels[:2] = 3
        >>> to_native(labels, grid, Grid((2, 4, 4), np.diag([2.0, 1.0, 1.0, 1.0])), np.eye(4))[:, 0, 0].tolist()
        [3, 0]
    """
    if labels.shape != template_grid.canonical_shape:
        raise GeometryError(
            f"The labels have the shape {labels.shape} and their grid {template_grid.canonical_shape}.",
            hint="Give the grid that the labels were made on.",
        )
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise GeometryError(
            "The matrix from the template to the scan cannot be inverted.", hint="Register the case again."
        )
    to_template = np.linalg.inv(template_grid.canonical_affine) @ np.linalg.inv(matrix) @ native.canonical_affine
    result = np.zeros(native.canonical_shape, dtype=np.uint8)
    box = _native_box(labels, to_template, result.shape)
    if box is None:
        return result
    inside = to_template.copy()
    inside[:3, 3] += to_template[:3, :3] @ np.array([part.start for part in box], dtype=float)
    shape = tuple(part.stop - part.start for part in box)
    if interpolation == "nearest":
        result[box] = affine_transform(labels, inside, output_shape=shape, order=0, mode="grid-constant")
    else:
        result[box] = _largest_share(labels, inside, (shape[0], shape[1], shape[2]))
    return result


def _native_box(labels: LabelVolume, to_template: Affine, shape: tuple[int, ...]) -> tuple[slice, slice, slice] | None:
    """Return the native voxels that can hold a label, or None where there are none: most of a scan is far from the tumour."""
    used = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if any(indices.size == 0 for indices in used):
        return None
    corners = np.array(np.meshgrid(*[(indices[0] - 1.0, indices[-1] + 1.0) for indices in used])).reshape(3, -1)
    back = np.linalg.inv(to_template)
    native = back[:3, :3] @ corners + back[:3, 3:]
    low = np.clip(np.floor(native.min(axis=1)).astype(int) - 1, 0, shape)
    high = np.clip(np.ceil(native.max(axis=1)).astype(int) + 2, 0, shape)
    if (high <= low).any():
        return None
    i, j, k = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return i, j, k


def _largest_share(labels: LabelVolume, to_template: Affine, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "a b c"]:
    parts = _parts(to_template)
    fine_shape = tuple(n * part for n, part in zip(shape, parts, strict=True))
    scale = np.diag([*(1.0 / parts), 1.0])
    scale[:3, 3] = (1.0 / parts - 1) / 2  # the first part's centre, in voxels of the native grid
    fine = to_template @ scale
    best = np.zeros(shape, dtype=np.uint8)
    largest: Float32[np.ndarray, "a b c"] = np.zeros(shape, dtype=np.float32)
    total: Float32[np.ndarray, "a b c"] = np.zeros(shape, dtype=np.float32)
    for label in np.unique(labels[labels > 0]):
        share = affine_transform(
            (labels == label).astype(np.float32), fine, output_shape=fine_shape, order=1, mode="grid-constant"
        )
        i, j, k = shape
        share = share.reshape(i, parts[0], j, parts[1], k, parts[2]).mean(axis=(1, 3, 5))
        best[share > largest] = label
        largest = np.maximum(largest, share)
        total += share
    # All labels together against the background decide where the tumour ends; a border between two labels makes no hole.
    best[total < 0.5] = 0
    return best


def _parts(to_template: Affine) -> Integer[np.ndarray, " 3"]:
    """Return into how many parts a native voxel is divided along each axis: about one per template voxel."""
    sizes = np.linalg.norm(to_template[:3, :3], axis=0)
    return np.clip(np.ceil(sizes - 1e-6).astype(int), 1, _MOST_PARTS)
