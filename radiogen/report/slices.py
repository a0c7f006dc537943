"""What a picture of a case shows: which slices, which part, how bright, and where a mask's outline runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from radiogen.cohort.masks import region_masks
from radiogen.types import RC, LabelVolume, Mask, Volume

VoxelSize = tuple[float, float, float]
"""Voxel size along the canonical axes (right, anterior, superior), mm."""

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Plane -> canonical axis that it cuts across."""

AXES_SEEN = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}
"""Plane -> canonical axes seen across and up."""

_MARGIN_MM = 4.0


def slices_to_show(images: Mapping[str, Volume], labels: LabelVolume | None) -> tuple[int, int, int]:
    """Return the sagittal, coronal and axial slice number to show: where the tumour is largest, or the middle of the head without one.

    Core and enhancement count again beside the whole tumour; of slices that are equally good the middle one is taken.

    Args:
        images: RAS intensities of one shape.
        labels: mask in radiogen's labels, or None.

    Example:
        >>> labels = np.zeros((5, 6, 7), dtype=np.uint8)
        >>> labels[1:3, 4, 5] = 2
        >>> slices_to_show({"t1c": np.ones((5, 6, 7), dtype=np.float32)}, labels)
        (1, 4, 5)
    """
    if labels is not None and labels.any():
        regions = labelled_regions(labels)
        weight = sum((region.astype(np.int64) for region in regions.values()), np.zeros(labels.shape, dtype=np.int64))
        return _heaviest(weight, 0), _heaviest(weight, 1), _heaviest(weight, 2)
    spans = _spans(foreground(next(iter(images.values()))))
    return (spans[0][0] + spans[0][1]) // 2, (spans[1][0] + spans[1][1]) // 2, (spans[2][0] + spans[2][1]) // 2


def foreground(image: Volume) -> Mask:
    """Return where an image holds head rather than air: off its background value, and above a tenth of its range where air is noisy.

    Args:
        image: RAS intensities, with or without skull, in any unit (negative values are normal after z-scoring).
    """
    corners = image[:: max(image.shape[0] - 1, 1), :: max(image.shape[1] - 1, 1), :: max(image.shape[2] - 1, 1)]
    away = image != np.median(corners)
    if away.mean() > 0.7:  # no constant background: neither skull-stripped nor cleaned
        low, high = np.percentile(image, [1.0, 99.0])
        away = image > low + 0.1 * (high - low)
    return away if away.any() else np.ones_like(away)


def intensity_window(image: Volume) -> tuple[float, float]:
    """Return the intensities shown as black and white: the 1st and 99th percentile of the foreground.

    Args:
        image: RAS intensities.
    """
    low, high = np.percentile(image[foreground(image)], [1.0, 99.0])
    return float(low), float(high if high > low else low + 1.0)


def head_box(
    images: Mapping[str, Volume], labels: LabelVolume | None, voxel_size_mm: VoxelSize
) -> tuple[slice, slice, slice]:
    """Return the part of the volume that holds head or tumour in any sequence, with a margin of 4 mm.

    Args:
        images: RAS intensities of one shape.
        labels: mask in radiogen's labels, or None.
        voxel_size_mm: voxel size along the RAS axes, mm.
    """
    held = np.logical_or.reduce([foreground(image) for image in images.values()])
    if labels is not None:
        held |= labels > 0
    slices = []
    for (first, last), size, count in zip(_spans(held), voxel_size_mm, held.shape, strict=True):
        margin = round(_MARGIN_MM / size)
        slices.append(slice(max(first - margin, 0), min(last + margin + 1, count)))
    return slices[0], slices[1], slices[2]


def plane_slice(volume: Shaped[np.ndarray, "i j k"], plane: str, index: int) -> Shaped[np.ndarray, "rows columns"]:
    """Return one slice as it is looked at: superior or anterior on top; the patient's right, or the front of the head, on the left.

    Args:
        volume: RAS data.
        plane: a key of `PLANES`.
        index: slice number along the plane's axis.

    Example:
        >>> volume = np.zeros((2, 3, 4), dtype=np.uint8)
        >>> volume[1, 2, 0] = 9  # right, front
        >>> plane_slice(volume, "axial", 0).tolist()
        [[9, 0], [0, 0], [0, 0]]
    """
    return np.take(volume, index, axis=PLANES[plane])[::-1, ::-1].T


def outline(mask: Bool[np.ndarray, "rows columns"], pixel_mm: tuple[float, float]) -> Float[np.ndarray, "segments 2 2"]:
    """Return the pixel edges between inside and outside, as line segments (x, y), mm from the upper left corner.

    Args:
        mask: one region in a slice.
        pixel_mm: width and height of a pixel, mm.

    Example:
        >>> len(outline(np.array([[True, True]]), (1.0, 1.0)))  # two on top, two below, one at each end
        6
    """
    padded = np.pad(mask, 1).astype(np.int8)
    rows, columns = np.nonzero(np.diff(padded[1:-1], axis=1))
    upright = np.stack([np.stack([columns, rows], 1), np.stack([columns, rows + 1], 1)], 1)
    rows, columns = np.nonzero(np.diff(padded[:, 1:-1], axis=0))
    level = np.stack([np.stack([columns, rows], 1), np.stack([columns + 1, rows], 1)], 1)
    return np.concatenate([upright, level]).astype(float) * np.array(pixel_mm)


def regions_present(masks: list[LabelVolume | None]) -> list[str]:
    """Return which of `wt tc et rc` occur in any of the masks (rc: resection cavity).

    Args:
        masks: label volumes in radiogen's labels; None are passed over.
    """
    labels: set[int] = set()
    for mask in masks:
        if mask is not None:
            labels |= set(np.unique(mask).tolist())
    found = np.array(sorted(labels), dtype=np.uint8).reshape(-1, 1, 1)
    return [name for name, inside in labelled_regions(found).items() if inside.any()]


def labelled_regions(labels: LabelVolume) -> dict[str, Mask]:
    """Return `wt tc et` and `rc`, the resection cavity.

    Args:
        labels: mask in radiogen's labels.
    """
    return {**region_masks(labels), "rc": labels == RC}


def _heaviest(weight: Integer[np.ndarray, "i j k"], axis: int) -> int:
    areas = weight.sum(axis=tuple(other for other in range(3) if other != axis))
    best = np.flatnonzero(areas == areas.max())
    return int(best[(len(best) - 1) // 2])


def _spans(mask: Mask) -> list[tuple[int, int]]:
    spans = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        spans.append((int(filled[0]), int(filled[-1])))
    return spans


def slice_size_mm(box: tuple[slice, slice, slice], voxel_size_mm: VoxelSize, plane: str) -> tuple[float, float]:
    """Return width and height of a slice as it is looked at, mm.

    Args:
        box: part of the volume that is shown.
        voxel_size_mm: voxel size along the RAS axes, mm.
        plane: a key of `PLANES`.
    """
    across, up = AXES_SEEN[plane]
    width = (box[across].stop - box[across].start) * voxel_size_mm[across]
    height = (box[up].stop - box[up].start) * voxel_size_mm[up]
    return float(width), float(height)
