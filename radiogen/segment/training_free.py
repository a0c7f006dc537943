"""Masks without training and without weights: what is bright on FLAIR, what takes up contrast, what that encloses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import gaussian_filter

from radiogen.cohort.case import CaseImages
from radiogen.config.segment import SegmentSettings
from radiogen.errors import CaseError
from radiogen.preprocess.brain import find_brain
from radiogen.preprocess.intensity import tissue_peak, z_map
from radiogen.preprocess.resample import VoxelSize, resample, resized_shape
from radiogen.segment.lesion import (
    LesionRules,
    bounding_box,
    close,
    dilate,
    fill,
    find_enhancement,
    find_lesion,
    without_small,
)
from radiogen.segment.method import MethodResult
from radiogen.types import ED, ET, NCR, LabelVolume, Mask, Volume

WORK_MM = 2.0
"""Voxel edge on which the lesion is looked for, mm."""

_FAT_LEVEL = 1.5
_FLUID_SHARE = 0.8
_LEAST_ENHANCEMENT_ML = 0.3
_LEAST_FIT_VOXELS = 500
_SAME_IMAGE = 0.9999


@dataclass(frozen=True)
class _Work:
    """A case on isotropic voxels, cut to its brain."""

    images: dict[str, Volume]
    brain: Mask
    skull_on: bool
    shape: tuple[int, int, int]
    box: tuple[slice, slice, slice]

    def uncut(self, mask: Mask) -> Bool[np.ndarray, "a b c"]:
        """Return a mask of the box in the whole volume."""
        whole = np.zeros(self.shape, dtype=bool)
        whole[self.box] = mask
        return whole


class FlairThreshold:
    """Whole tumour from FLAIR, enhancement from contrast-enhanced T1 minus T1, core from what enhancement encloses.

    Without FLAIR the whole tumour is looked for on T2, without T2 on contrast-enhanced T1; the notes of the result say what that leaves unknown.

    Args:
        settings: only `smallest_ml` is used.
    """

    def __init__(self, settings: SegmentSettings) -> None:
        self.settings = settings

    @property
    def description(self) -> dict[str, str]:
        """Return what the sidecar says of the method."""
        return {"method": "flair-threshold", "device": "cpu"}

    def __call__(self, case: CaseImages) -> MethodResult:
        """Return the labels of one case.

        Raises:
            CaseError: the case has none of t2f, t2w and t1c, there is no brain in its images, or nothing in it stands out as a tumour.
        """
        size = case.grid.voxel_size_mm
        work = _prepare(case.images, size)
        used, notes = [], []
        if work.skull_on:
            notes.append("The skull is on: the brain was estimated from the images.")
        source, z = _lesion_map(work, notes)
        used.append(source)
        lesion = find_lesion(z, work.brain, WORK_MM, LesionRules())
        whole = _on_file_grid(work.uncut(lesion), size, case.grid.canonical_shape)
        whole = without_small(whole, self.settings.smallest_ml * 1000 / float(np.prod(size)))
        if not whole.any():
            raise CaseError(
                f"No tumour was found: nothing in the brain stands out on {source}.",
                hint="Look at the case; give a mask in the column 'mask', weights with --weights, or leave the case out.",
            )
        brain = _on_file_grid(work.uncut(work.brain), size, case.grid.canonical_shape)
        labels, contrast = _parts(case.images, whole, brain, size, notes)
        used += [name for name in contrast if name not in used]
        if source == "t2f" and "t1n" in work.images and "t1n" not in used:
            used.append("t1n")
        # Where nothing enhances, the core is not absent: it cannot be told from oedema.
        unknown = ["tc", "et"] if not contrast else [] if (labels == ET).any() else ["tc"]
        return MethodResult(labels, sorted(used), notes, unknown)


def _prepare(images: Mapping[str, Volume], size: VoxelSize) -> _Work:
    if not {"t2f", "t2w", "t1c"} & set(images):
        raise CaseError(
            "The training-free method needs one of t2f, t2w, t1c; the case has t1n only.",
            hint="Add a sequence, or give a mask in the column 'mask'.",
        )
    isotropic = (WORK_MM,) * 3
    shape = resized_shape(next(iter(images.values())).shape, size, isotropic)
    work = {name: resample(image, size, isotropic, shape) for name, image in images.items()}
    found = find_brain(work, WORK_MM)
    box = bounding_box(found.mask, margin=4)
    cut = {name: np.ascontiguousarray(image[box]) for name, image in work.items()}
    return _Work(cut, np.ascontiguousarray(found.mask[box]), found.skull_on, shape, box)


def _lesion_map(work: _Work, notes: list[str]) -> tuple[str, Volume]:
    """Return the sequence that the whole tumour is looked for on, and its z-map with what cannot be tumour taken off."""
    source = next(name for name in ("t2f", "t2w", "t1c") if name in work.images)
    z = z_map(work.images[source], work.brain)
    if source == "t2w":
        notes.append("No FLAIR: the whole tumour is from T2, where fluid is bright too; its outline is less certain.")
        fluid = _FLUID_SHARE * float(np.percentile(z[work.brain], 99.5))
        z = np.where(z > fluid, 0, z).astype(np.float32)
    if source == "t1c":
        notes.append(
            "No FLAIR and no T2: oedema and non-enhancing tumour cannot be seen; the mask is the enhancing tumour and what it encloses."
        )
    if "t1n" in work.images and source != "t1c":
        # Fat and marrow are bright on FLAIR and on T1; tumour is not bright on T1.
        z = z - np.maximum(0, z_map(work.images["t1n"], work.brain) - _FAT_LEVEL)
    return source, z.astype(np.float32)


def _parts(
    images: Mapping[str, Volume], whole: Mask, brain: Mask, size: VoxelSize, notes: list[str]
) -> tuple[LabelVolume, list[str]]:
    """Return the labels inside a whole tumour and the sequences that told them apart."""
    labels = np.where(whole, np.uint8(ED), np.uint8(0))
    z, used = _enhancement(images, whole, brain, size, notes)
    if z is None:
        return labels, used
    box = bounding_box(whole, margin=8)
    inside, z = whole[box], z[box]
    reach = dilate(inside, size, 2.0) & brain[box]
    enhancing = find_enhancement(z, inside, reach, size, least_ml=_LEAST_ENHANCEMENT_ML)
    if not enhancing.any():
        notes.append(
            "No enhancement was found; a non-enhancing core cannot be told from oedema, so core and enhancing tumour are empty."
        )
        return labels, used
    core = fill(close(enhancing, size, 3.0)) & (inside | enhancing)
    part = labels[box]
    part[core] = NCR
    part[enhancing] = ET
    notes.append("The core is what enhances and what that encloses; non-enhancing core beyond it is counted as oedema.")
    return labels, used


def _enhancement(
    images: Mapping[str, Volume], whole: Mask, brain: Mask, size: VoxelSize, notes: list[str]
) -> tuple[Volume | None, list[str]]:
    """Return how much more each voxel took up than normal brain, in spreads of normal brain."""
    if "t1c" not in images:
        notes.append("No contrast-enhanced T1: core and enhancing tumour are unknown, not absent.")
        return None, []
    normal = brain & ~dilate(whole, size, 6.0)
    if normal.sum() < _LEAST_FIT_VOXELS:
        normal = brain
    t1c = gaussian_filter(images["t1c"], 0.5)
    if "t1n" not in images:
        notes.append("No T1 before contrast: what was bright already cannot be told from enhancement.")
        mode, spread = tissue_peak(t1c[normal])
        return ((t1c - mode) / spread).astype(np.float32), ["t1c"]
    t1n = gaussian_filter(images["t1n"], 0.5)
    before, after = t1n[normal].astype(float), t1c[normal].astype(float)
    if np.corrcoef(before, after)[0, 1] > _SAME_IMAGE:
        notes.append(
            "T1 before and after contrast are the same image: core and enhancing tumour are unknown, not absent."
        )
        return None, []
    slope, offset = _robust_line(before, after)
    rest = after - (offset + slope * before)
    spread = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    return ((t1c - offset - slope * t1n) / max(spread, 1e-6)).astype(np.float32), ["t1n", "t1c"]


def _robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return slope and offset of a least-squares line, fitted again without the residuals beyond three spreads."""
    keep = np.ones(x.size, dtype=bool)
    slope, offset = 1.0, 0.0
    for _ in range(3):
        slope, offset = (float(value) for value in np.polyfit(x[keep], y[keep], 1))
        rest = y - (offset + slope * x)
        middle = np.median(rest[keep])
        spread = 1.4826 * np.median(np.abs(rest[keep] - middle))
        keep = np.abs(rest - middle) <= 3 * spread
    return slope, offset


def _on_file_grid(mask: Mask, size: VoxelSize, shape: tuple[int, int, int]) -> Bool[np.ndarray, "a b c"]:
    fine = resample(mask.astype(np.float32), (WORK_MM,) * 3, size, shape)
    return np.asarray(fine > 0.5)
