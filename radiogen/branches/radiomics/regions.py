"""The regions that features are measured in: nested and disjoint parts of the tumour, and rings around it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from scipy.ndimage import distance_transform_edt

from radiogen.cohort.case import CaseImages
from radiogen.cohort.masks import region_masks
from radiogen.types import ED, NCR, LabelVolume, Mask

_RING = re.compile(r"ring(\d+)mm")


def measured_regions(case: CaseImages, labels: LabelVolume, regions: tuple[str, ...]) -> Mapping[str, Mask]:
    """Return the voxels of every region that was asked for, in that order; a region may be empty.

    Args:
        case: the sequences; a ring stays where at least one of them is not zero, so that a skull-stripped image's background is not measured.
        labels: mask in radiogen's labels on the same voxels.
        regions: `wt tc et` (nested), `ncr ed` (disjoint), `ring<N>mm` (outside the whole tumour, at most N mm from it, not in a resection cavity).

    Source: BraTS 2023 regions and labels; peritumoural ring: Beig et al., Radiology 2019;290:783.

    Example:
        >>> from radiogen.cohort.nifti import Grid
        >>> labels = np.zeros((5, 1, 1), dtype=np.uint8)
        >>> labels[1] = 3
        >>> images = {"t1c": np.ones((5, 1, 1), dtype=np.float32)}
        >>> case = CaseImages("007", images, Grid((5, 1, 1), np.eye(4)))
        >>> {name: int(mask.sum()) for name, mask in measured_regions(case, labels, ("et", "ring2mm")).items()}
        {'et': 1, 'ring2mm': 3}
    """
    masks = {**region_masks(labels), "ncr": labels == NCR, "ed": labels == ED}
    return {name: masks[name] if name in masks else _ring(case, labels, masks["wt"], name) for name in regions}


def _ring(case: CaseImages, labels: LabelVolume, tumour: Mask, name: str) -> Mask:
    match = _RING.fullmatch(name)
    if match is None or not tumour.any():
        return np.zeros_like(tumour)
    distance_mm = distance_transform_edt(~tumour, sampling=case.grid.voxel_size_mm)
    head = np.logical_or.reduce([image != 0 for image in case.images.values()])
    return np.asarray((distance_mm <= float(match[1])) & (labels == 0) & head)


def region_order(name: str) -> int:
    """Return where a region's columns stand in a table: nested, then disjoint, then rings from the narrowest.

    Example:
        >>> sorted(["ring10mm", "ed", "wt", "ring5mm"], key=region_order)
        ['wt', 'ed', 'ring5mm', 'ring10mm']
    """
    known = ("wt", "tc", "et", "ncr", "ed")
    match = _RING.fullmatch(name)
    return known.index(name) if match is None else len(known) + int(match[1])
