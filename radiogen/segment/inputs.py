"""What a network sees of a case: its brain, cut out, normalised, on isotropic voxels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32
from scipy.ndimage import binary_fill_holes
from torch.nn import functional

from radiogen.cohort.case import CaseImages
from radiogen.errors import CaseError
from radiogen.preprocess.brain import LARGEST_BRAIN_ML, find_brain
from radiogen.preprocess.intensity import background_value, foreground, zscore
from radiogen.preprocess.resample import VoxelSize, resample, resized_shape
from radiogen.segment.lesion import bounding_box
from radiogen.types import Mask, Volume

Channels = Float32[torch.Tensor, "c a b d"]
"""Sequences on the network's own grid."""

Box = tuple[slice, slice, slice]

SKULL_NOTE = "The skull is on: the brain was estimated from the images, and the network saw nothing else."

_BRAIN_MM = 2.0
_LOOK_MM = 4.0
_LEAST_BACKGROUND = 0.1


@dataclass(frozen=True)
class NetworkInput:
    """A case as a network takes it.

    Args:
        channels: one channel per sequence of the network, normalised inside the brain and 0 outside; a missing sequence is 0 everywhere.
        box: where the channels lie in the canonical volume, voxels of the file.
        inside: the voxels of the box that a network is asked about: the estimated brain where the skull is on, else all.
        used: the sequences that the case has of those the network knows.
        notes: what was done or missing, in plain sentences.
    """

    channels: Channels
    box: Box
    inside: Mask
    used: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def box_shape(self) -> tuple[int, int, int]:
        """Return the size of the box, voxels of the file."""
        return self.inside.shape[0], self.inside.shape[1], self.inside.shape[2]


def prepare_channels(
    case: CaseImages,
    sequences: Sequence[str],
    spacing_mm: float,
    *,
    needs_brain: bool = True,
    normalisation: str = "zscore",
) -> NetworkInput:
    """Return what a network sees of a case.

    Images without a skull are cut to their foreground, each normalised over its own. Where the skull is on, the brain is looked for on 2 mm voxels
    first and everything else is set to 0.

    Args:
        case: images on one grid, canonical.
        sequences: input channels of the network, in order.
        spacing_mm: isotropic voxel size of the network's grid, mm.
        needs_brain: the network knows brains only; False: it takes the head as it is.
        normalisation: name in `NORMALISATIONS`.

    Raises:
        CaseError: the case has none of the sequences, or there is no brain in its images.
    """
    used = [name for name in sequences if name in case.images]
    if not used:
        raise CaseError(
            f"The case has none of the sequences of these weights ({', '.join(sequences)}).",
            hint="Use other weights or another method.",
        )
    images = {name: case.images[name] for name in used}
    size_mm = case.grid.voxel_size_mm
    notes = [f"{name} is missing; its channel was left empty." for name in sequences if name not in used]
    if needs_brain and not _is_cut_out(images, size_mm):
        brain = _estimated_brain(images, size_mm)
        masks = dict.fromkeys(used, brain)
        notes.append(SKULL_NOTE)
        box = bounding_box(brain)
        inside = np.ascontiguousarray(brain[box])
    else:
        masks = dict(zip(used, _side_by_side(lambda name: foreground(images[name]), used), strict=True))
        box = bounding_box(np.logical_or.reduce(list(masks.values())))
        inside = np.ones(tuple(side.stop - side.start for side in box), dtype=bool)
    normalise = NORMALISATIONS[normalisation]
    shape = network_shape(box, size_mm, spacing_mm)
    stack = torch.zeros((len(sequences), *shape))
    crops = _side_by_side(lambda name: normalise(images[name][box], masks[name][box]), used)
    for name, crop in zip(used, crops, strict=True):
        stack[list(sequences).index(name)] = resize(torch.from_numpy(crop)[None], shape)[0]
    return NetworkInput(stack, box, inside, used, notes)


def network_shape(box: Box, size_mm: VoxelSize, spacing_mm: float) -> tuple[int, int, int]:
    """Return the shape of a box on isotropic voxels.

    Args:
        box: voxels of the file.
        size_mm: their size, mm.
        spacing_mm: edge of the new voxels, mm.

    Example:
        >>> network_shape((slice(0, 100), slice(0, 100), slice(0, 30)), (1.0, 1.0, 5.0), 1.5)
        (67, 67, 100)
    """
    shape = [max(1, round((side.stop - side.start) * mm / spacing_mm)) for side, mm in zip(box, size_mm, strict=True)]
    return shape[0], shape[1], shape[2]


def resize(channels: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return channels (`c a b d`) on a grid of another shape that covers the same box, trilinear; the same tensor where the shape is the same."""
    if list(channels.shape[1:]) == list(shape):
        return channels
    return functional.interpolate(channels[None], size=list(shape), mode="trilinear", align_corners=False)[0]


def unit_range(image: Volume, inside: Mask) -> Volume:
    """Return the image with its 0.5th and 99.5th percentile inside at 0 and 1, clipped there, and 0 outside."""
    low, high = (float(value) for value in np.percentile(image[inside], [0.5, 99.5]))
    scaled = np.clip((image - low) / (high - low if high > low else 1.0), 0, 1)
    return np.where(inside, scaled, 0).astype(np.float32)


NORMALISATIONS: Mapping[str, Callable[[Volume, Mask], Volume]] = {"zscore": zscore, "unit-range": unit_range}
"""How intensities inside the brain are normalised: `zscore` (mean 0, standard deviation 1) or `unit-range` (percentiles to 0..1)."""


def _side_by_side(work: Callable[[str], np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Return what the work gives for each name; NumPy lets go of the interpreter in sorting and arithmetic."""
    with ThreadPoolExecutor(max_workers=max(1, min(len(names), os.cpu_count() or 1))) as threads:
        return list(threads.map(work, names))


def _is_cut_out(images: Mapping[str, Volume], size_mm: VoxelSize) -> bool:
    """Return whether the images show a brain without its skull: the rule of `find_brain`, on every few voxels, so that it costs nothing."""
    step = [max(1, int(_LOOK_MM / mm)) for mm in size_mm]
    strided = tuple(slice(None, None, n) for n in step)
    voxel_ml = float(np.prod([n * mm for n, mm in zip(step, size_mm, strict=True)])) / 1000
    common, least_background = np.ones((1, 1, 1), dtype=bool), 1.0
    for image in images.values():
        few = image[strided]
        apart = np.abs(few - background_value(image)) > 1e-3 * float(few.max() - few.min())
        least_background = min(least_background, 1 - float(apart.mean()))
        common = common & apart
    filled = np.asarray(binary_fill_holes(common))
    cut_out = least_background >= _LEAST_BACKGROUND or filled.size * voxel_ml <= LARGEST_BRAIN_ML
    return bool(filled.any()) and cut_out and float(filled.sum()) * voxel_ml <= LARGEST_BRAIN_ML


def _estimated_brain(images: Mapping[str, Volume], size_mm: VoxelSize) -> Mask:
    isotropic = (_BRAIN_MM,) * 3
    full = next(iter(images.values())).shape
    shape = resized_shape(full, size_mm, isotropic)
    coarse = {name: resample(image, size_mm, isotropic, shape) for name, image in images.items()}
    brain = find_brain(coarse, _BRAIN_MM).mask.astype(np.float32)
    return np.asarray(resample(brain, isotropic, size_mm, (full[0], full[1], full[2])) > 0.5)
