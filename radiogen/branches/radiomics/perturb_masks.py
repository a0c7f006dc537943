"""Tumour masks a little different from the one given: eroded, dilated, of another volume, or drawn from supervoxels.

A label map is changed as a whole: the nested regions (whole tumour, core, enhancing tumour) are changed by the same rule, each at its own border,
and the map is put together again with the inner cut to the outer. So the regions stay nested, oedema and necrosis are what lies between, and the
resection cavity stays where it is: nothing grows into it, nor out of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import slic

from radiogen.branches.radiomics.images import Box
from radiogen.cohort.case import CaseImages
from radiogen.cohort.masks import region_masks
from radiogen.types import ED, ET, NCR, RC, LabelVolume, Mask

VoxelSize = tuple[float, float, float]
_MARGIN_MM = 15.0
"""How far from the tumour a mask may reach after a change."""
_SUPERVOXEL_MM3, _FEWEST_VOXELS = 500.0, 20
_COMPACTNESS = 0.05
_SURELY_IN, _SURELY_OUT = 0.9, 0.2


def moved_border(case: CaseImages, labels: LabelVolume, millimetres: float) -> LabelVolume:
    """Return a label map whose regions are dilated by some millimetres, or eroded where the number is negative.

    A voxel is added, or lost, where its centre is no farther than this from the nearest voxel on the other side. The image's own border is no border
    of a region. On thick slices a small number moves the border within the slices only.

    Args:
        case: says where the head is: a mask grows only where some sequence is not zero.
        labels: mask in radiogen's labels.
        millimetres: distance, mm.

    Example:
        >>> from radiogen.cohort.nifti import Grid
        >>> labels = np.zeros((7, 7, 7), np.uint8); labels[2:5, 2:5, 2:5] = 2
        >>> case = CaseImages("007", {"t1c": np.ones((7, 7, 7), np.float32)}, Grid((7, 7, 7), np.eye(4)))
        >>> [int((moved_border(case, labels, by) > 0).sum()) for by in (-1.0, 1.0)]
        [1, 81]
    """

    def change(region: Mask, free: Mask) -> Mask:
        if millimetres < 0:
            return _depth_mm(region, case.grid.voxel_size_mm) > -millimetres
        return region | (free & (_depth_mm(~region, case.grid.voxel_size_mm) <= millimetres))

    return _each_region(case, labels, change, abs(millimetres))


def changed_volume(case: CaseImages, labels: LabelVolume, times: float, rng: np.random.Generator) -> LabelVolume:
    """Return a label map whose regions have some multiple of their volume, by moving their borders.

    Voxels are lost from the border inwards and won from the border outwards, at most 15 mm away; among those at the same depth chance decides. An
    inner region that is cut to the outer one may end a little smaller.

    Args:
        case: says where the head is.
        labels: mask in radiogen's labels.
        times: the new volume over the old one, above 0.
        rng: decides among voxels at the same depth.

    Source: volume adaptation of Zwanenburg et al., Sci Rep 2019;9:614.
    """

    def change(region: Mask, free: Mask) -> Mask:
        wanted = max(1, round(float(times) * int(region.sum())))
        spacing = case.grid.voxel_size_mm
        outwards = np.where(region, -_depth_mm(region, spacing), _depth_mm(~region, spacing))
        outwards[~(region | free)] = np.inf
        order = np.lexsort((rng.random(outwards.size), outwards.ravel()))[:wanted]
        chosen = np.zeros(outwards.size, dtype=bool)
        chosen[order] = np.isfinite(outwards.ravel()[order])
        return chosen.reshape(region.shape)

    return _each_region(case, labels, change, _MARGIN_MM)


def supervoxels(case: CaseImages, labels: LabelVolume) -> Int[np.ndarray, "i j k"]:
    """Return supervoxels of all sequences together around the tumour, numbered from 1; 0 far from it.

    Each sequence is cut to its range inside the tumour and a tenth more on both sides, and scaled to that range; supervoxels have some 500 mm3, at
    least 20 voxels.

    Args:
        case: the sequences.
        labels: mask in radiogen's labels, with at least one voxel of the tumour.

    Source: Zwanenburg et al., Sci Rep 2019;9:614, contour randomisation; sizes and weights as in their program MIRP. SLIC: Achanta et al., IEEE TPAMI
        2012;34:2274, in scikit-image.
    """
    tumour = region_masks(labels)["wt"]
    box = _around(tumour, case.grid.voxel_size_mm, _MARGIN_MM)
    channels = [_scaled(image[box], tumour[box]) for image in case.images.values()]
    voxel_mm3 = float(np.prod(case.grid.voxel_size_mm))
    size = channels[0].size
    found = slic(
        # Each channel counts less where there are more of them, so that shape and intensity keep their balance.
        np.stack(channels, axis=-1) / np.sqrt(len(channels)),
        n_segments=max(1, int(size / max(_FEWEST_VOXELS, _SUPERVOXEL_MM3 / voxel_mm3))),
        compactness=_COMPACTNESS,
        sigma=1.0,
        spacing=case.grid.voxel_size_mm,
        start_label=1,
        convert2lab=False,
        channel_axis=-1,
    )
    whole = np.zeros(labels.shape, dtype=np.int64)
    whole[box] = found
    return whole


def drawn_contour(
    case: CaseImages, labels: LabelVolume, blocks: Int[np.ndarray, "i j k"], rng: np.random.Generator
) -> LabelVolume:
    """Return a label map whose regions are made of whole supervoxels, each drawn with the share of it that the region covers.

    A supervoxel that a region covers by 90 % or more always belongs to it, one by less than 20 % never; the supervoxel that the whole tumour covers
    most is always tumour. One number is drawn per supervoxel for all regions, so an inner region never reaches out of an outer one.

    Args:
        case: says where the head is.
        labels: mask in radiogen's labels.
        blocks: of `supervoxels`.
        rng: draws.

    Source: Zwanenburg et al., Sci Rep 2019;9:614, contour randomisation.
    """
    free = _head(case) & (labels != RC)
    n = int(blocks.max()) + 1
    sizes = np.bincount(blocks[free], minlength=n)
    draw = rng.random(n)
    changed: dict[str, Mask] = {}
    for name, region in region_masks(labels).items():
        share = np.bincount(blocks[region & free], minlength=n) / np.maximum(sizes, 1)
        share[0] = 0.0
        probability = np.where(share >= _SURELY_IN, 1.0, np.where(share < _SURELY_OUT, 0.0, share))
        if name == "wt":
            probability[int(np.argmax(share))] = 1.0
        changed[name] = (draw < probability)[blocks] & free
    return assembled(changed, labels == RC)


def assembled(regions: Mapping[str, Mask], cavity: Mask) -> LabelVolume:
    """Return the label map of nested regions, the inner cut to the outer, and the cavity where it is not tumour.

    Args:
        regions: `wt tc et`.
        cavity: the resection cavity.

    Example:
        >>> wt, tc, et = (np.array([[[value >= n for value in (0, 1, 2, 3)]]]) for n in (1, 2, 3))
        >>> assembled({"wt": wt, "tc": tc, "et": et}, ~wt).tolist()
        [[[4, 2, 1, 3]]]
    """
    core = regions["tc"] & regions["wt"]
    out = np.where(cavity, RC, 0).astype(np.uint8)
    out[regions["wt"]] = ED
    out[core] = NCR
    out[regions["et"] & core] = ET
    return out


def _each_region(
    case: CaseImages, labels: LabelVolume, change: Callable[[Mask, Mask], Mask], reach_mm: float
) -> LabelVolume:
    regions = region_masks(labels)
    if not regions["wt"].any():
        return labels.copy()
    box = _around(regions["wt"], case.grid.voxel_size_mm, reach_mm)
    cavity = labels == RC
    free = (_head(case) & ~cavity)[box]
    changed = {}
    for name, region in regions.items():
        whole = np.zeros_like(region)
        if region.any():
            whole[box] = change(region[box], free)
        changed[name] = whole
    return assembled(changed, cavity)


def _depth_mm(inside: Mask, voxel_size_mm: VoxelSize) -> Float[np.ndarray, "i j k"]:
    if inside.all():  # no other side: as deep as one likes
        return np.full(inside.shape, np.inf)
    return np.asarray(distance_transform_edt(inside, sampling=voxel_size_mm), dtype=np.float64)


def _around(mask: Mask, voxel_size_mm: VoxelSize, reach_mm: float) -> tuple[slice, slice, slice]:
    i, j, k = (int(np.ceil(reach_mm / size)) + 1 for size in voxel_size_mm)
    a, b, c = mask.shape
    return Box.around(mask).grown((i, j, k), Box((0, 0, 0), (a, b, c)), periodic=False).slices


def _head(case: CaseImages) -> Mask:
    return np.logical_or.reduce([image != 0 for image in case.images.values()])


def _scaled(image: Float[np.ndarray, "i j k"], tumour: Mask) -> Float[np.ndarray, "i j k"]:
    low, high = float(image[tumour].min()), float(image[tumour].max())
    more = 0.1 * (high - low)
    span = high - low + 2 * more
    return (np.clip(image, low - more, high + more).astype(np.float64) - (low - more)) / (span or 1.0)
