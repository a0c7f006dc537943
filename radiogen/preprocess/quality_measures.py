"""The formulas behind the quality of a case: noise, ghosts, field of view, alignment, copies."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, convolve, gaussian_filter

from radiogen.preprocess.intensity import background_value
from radiogen.preprocess.similarity import levels, of_levels, value_range
from radiogen.types import Mask, Volume

_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_LEAST_BACKGROUND = 0.15
_SHIFTS_MM = (4.0, 8.0)
_STEP_MM = 2.0
_TOWARDS = (("left", "right"), ("back", "front"), ("down", "up"))


def noise_level(image: Volume, inside: Mask, *, slice_axis: int) -> float:
    """Return the standard deviation of the noise, in the image's unit.

    A difference of two Laplacians leaves noise and takes away flat and linear parts; the median over the voxels passes over edges.

    Args:
        image: one sequence on its own voxels, before any resampling (interpolation smooths noise away).
        inside: where to look, usually the foreground.
        slice_axis: axis across the slices; noise is measured within them.

    Returns:
        NaN where there are fewer than 100 voxels.

    Source: Immerkaer 1996, doi:10.1006/cviu.1996.0060, equation 1 for the mask; median instead of mean of the absolute response, as median
    absolute deviation
        (factor 1.4826; the response to noise of deviation 1 has deviation 6).

    Example:
        >>> image = np.random.default_rng(0).normal(100, 5, (40, 40, 4)).astype(np.float32)
        >>> abs(noise_level(image, np.ones(image.shape, bool), slice_axis=2) - 5) < 0.3
        True
    """
    inside = np.asarray(binary_erosion(inside))
    if inside.sum() < 100:
        return float("nan")
    kernel = np.expand_dims(_LAPLACIAN, slice_axis)
    response = convolve(image.astype(np.float32), kernel, mode="nearest")[inside]
    return float(1.4826 * np.median(np.abs(response)) / 6)


def ghosting(image: Volume) -> float:
    """Return how much signal the air in line with the head has beyond that in the corners, over the signal of the head; the larger of two directions.

    Motion repeats the head along the phase-encoding direction, which files do not tell; so both in-plane directions of axial slices are tried.

    Args:
        image: one sequence on its own voxels, skull on.

    Returns:
        NaN where there is no air to look at: skull-stripped, cleaned to one value, or a field of view filled by the head.

    Source: ghost-to-signal ratio, Giannelli et al. 2010, doi:10.1120/jacmp.v11i4.3237, as in MRIQC (Esteban et al. 2017,
    doi:10.1371/journal.pone.0184661);
        there the air is that half a field of view away, where echo-planar ghosts fall; here all air in line with the head, where motion puts them.

    Example:
        >>> image = np.abs(np.random.default_rng(0).normal(0, 1, (40, 40, 8))).astype(np.float32)
        >>> image[12:28, 12:28] += 100
        >>> clean = ghosting(image)
        >>> image[12:28, :] += 10
        >>> clean < 0.01, ghosting(image) > 0.05
        (True, True)
    """
    threshold = _head_threshold(image)
    bright = gaussian_filter(image, (1, 1, 0)) > threshold
    # Slice by slice: the head is open where the field of view ends.
    head = np.stack([binary_fill_holes(bright[:, :, k]) for k in range(image.shape[2])], axis=2)
    head = np.asarray(binary_dilation(head, np.ones((3, 3, 1), bool), iterations=2))
    air = ~head
    constant = float((image[air] == background_value(image)).mean()) if air.any() else 1.0
    if air.mean() < _LEAST_BACKGROUND or constant > 0.5:
        return float("nan")
    across, along = head.any(axis=0, keepdims=True), head.any(axis=1, keepdims=True)
    corners = air & ~across & ~along
    signal = float(np.median(image[image > threshold]))
    if corners.sum() < 100 or signal <= 0:
        return float("nan")
    rest = float(image[corners].mean())
    lines = [air & in_line & ~other for in_line, other in ((across, along), (along, across))]
    found = [(float(image[line].mean()) - rest) / signal for line in lines if line.sum() >= 100]
    return max(found) if found else float("nan")


def border_share(image: Volume) -> float:
    """Return how large a cut of the brain lies on a face of a skull-stripped volume, as a share of the largest cut; the lower face is passed over.

    The spinal cord and the lower cerebellum leave through the lower face of many a good image; the other faces must not be touched.

    Args:
        image: skull-stripped sequence on its own voxels, axes R, A, S.

    Example:
        >>> image = np.zeros((8, 8, 8), np.float32); image[2:6, 2:6, 2:8] = 1
        >>> border_share(image)
        1.0
    """
    inside = image != background_value(image)
    share = 0.0
    for axis in range(3):
        area = inside.sum(axis=tuple(other for other in range(3) if other != axis))
        faces = area[[-1]] if axis == 2 else area[[0, -1]]
        share = max(share, float(faces.max() / max(area.max(), 1)))
    return share


def surface_cut_share(unstripped: Volume, brain: Mask) -> float:
    """Return the share of the brain's surface that lies on the border of what was imaged.

    Args:
        unstripped: one sequence resampled with its head on; 0 where nothing was imaged.
        brain: on the same voxels.

    Returns:
        NaN where the head is not there (then the field that was imaged cannot be seen).
    """
    field = np.asarray(binary_fill_holes(unstripped != 0))
    if not brain.any() or field.sum() < 1.3 * brain.sum():
        return float("nan")
    rim = brain & ~np.asarray(binary_erosion(brain))
    border = np.asarray(binary_dilation(~field, iterations=2))
    return float((rim & border).sum() / rim.sum())


def better_shift(fixed: Volume, moving: Volume, brain: Mask, voxel_mm: float) -> tuple[float, str, float]:
    """Return by how far and to where the second image would have to move to share more with the first, and how much more.

    Args:
        fixed: the reference, one grid.
        moving: another sequence on it, registered.
        brain: on the same voxels.
        voxel_mm: voxel edge, mm.

    Returns:
        Distance (0, 4 or 8 mm), direction in words, and the gain of normalised mutual information. Rotations are not tried.
    """
    step = max(1, round(_STEP_MM / voxel_mm))
    sigma = step / 2 if step > 1 else 0.0
    a, b = (gaussian_filter(image, sigma)[::step, ::step, ::step] for image in (fixed, moving))
    where = np.argwhere(binary_erosion(brain[::step, ::step, ::step]))
    if len(where) < 500:
        return 0.0, "", 0.0
    first, second = a[tuple(where.T)], b[tuple(where.T)]
    limits = value_range(second)
    codes = levels(first, value_range(first))
    own = of_levels(codes, levels(second, limits))
    best = (0.0, "", 0.0)
    for mm, axis, sign in product(_SHIFTS_MM, range(3), (-1, 1)):
        # What lies at x - shift comes to x when the moving image is moved by shift.
        source = where.copy()
        source[:, axis] -= sign * round(mm / (step * voxel_mm))
        source[:, axis] = np.clip(source[:, axis], 0, b.shape[axis] - 1)
        gain = of_levels(codes, levels(b[tuple(source.T)], limits)) - own
        if gain > best[2]:
            best = (mm, _TOWARDS[axis][sign > 0], gain)
    return best


def correlation(a: Volume, b: Volume, inside: Mask) -> float:
    """Return Pearson's correlation of two images inside a mask; NaN where one is flat there."""
    first, second = a[inside].astype(np.float64), b[inside].astype(np.float64)
    if first.size < 2 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _head_threshold(image: Volume) -> float:
    # High enough that strong ghosts count as air; the brain inside a bright scalp is filled in.
    low, high = np.percentile(image, [2, 98])
    return float(low + 0.25 * (high - low))
