"""What an embedding network sees of a case: a box of voxels around the tumour or the brain, with intensities as the network knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.sparse import csr_matrix

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.intensities import INTENSITIES, OUTSIDE, not_air, video255
from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid
from radiogen.errors import CaseError, ConfigError, GeometryError
from radiogen.registry import did_you_mean
from radiogen.types import Affine, Mask, Volume

PreparedVolume = Float32[np.ndarray, "a b c"]
"""A volume on a network's voxels, RAS."""

Labels = UInt8[np.ndarray, "_i _j _k"]
"""The tumour in radiogen's labels, canonical; that it has the image's shape is checked with a message."""

Triple = tuple[float, float, float]

VIDEO_LEAST_MM = (126.0, 126.0, 150.0)
"""`video255` is computed over at least so much; smaller images are padded with zeros. Source: see `video255`."""

NO_TUMOUR_NOTE = "The mask is empty: the input was centred on the brain."


@dataclass(frozen=True)
class Box:
    """Where a prepared volume lies in the case's canonical volume.

    Args:
        centre: the middle of the box, in voxels of the case (0 is the middle of the first one).
        step: size of a prepared voxel along i, j, k, in voxels of the case.
        shape: prepared voxels along i, j, k.
        notes: what was done otherwise than asked for, in plain sentences.
    """

    centre: Triple
    step: Triple
    shape: tuple[int, int, int]
    notes: tuple[str, ...] = ()

    @property
    def affine_to_case(self) -> Affine:
        """Return the 4 x 4 matrix from prepared voxel to canonical voxel of the case.

        Example:
            >>> Box((4.5, 4.5, 4.5), (2.0, 2.0, 2.0), (4, 4, 4)).affine_to_case[:3, 3].tolist()
            [1.5, 1.5, 1.5]
        """
        affine = np.diag([*self.step, 1.0])
        affine[:3, 3] = [
            middle - (n - 1) / 2 * step for middle, n, step in zip(self.centre, self.shape, self.step, strict=True)
        ]
        return affine


@dataclass(frozen=True)
class Prepared:
    """A prepared volume that can be put back into its case.

    Args:
        data: i x j x k as the specification says, float32, RAS.
        affine_to_case: 4 x 4, prepared voxel -> canonical voxel of the case; the case's canonical affine times this gives mm of the world.
        notes: what was done otherwise than asked for, in plain sentences.
    """

    data: PreparedVolume
    affine_to_case: Affine
    notes: tuple[str, ...] = ()


def prepare_input(image: Volume, voxel_size_mm: Triple, labels: Labels | None, spec: InputSpec) -> PreparedVolume:
    """Return an image as a network expects it; the same input gives the same bytes, a mirrored one the mirrored volume.

    What the box covers beyond the image is background. A tumour box of an empty mask is centred on the brain: `prepare` says so in its notes.

    Args:
        image: one sequence, i x j x k, RAS; 0 is background.
        voxel_size_mm: size of its voxels along i, j, k, mm.
        labels: the tumour in radiogen's labels, on the same voxels; needed where `spec.centre` is `tumour`.
        spec: what the network expects.

    Returns:
        float32 of `spec.shape`, RAS.

    Raises:
        ConfigError: the specification's intensity is not known.
        GeometryError: the mask has another shape than the image.
        CaseError: there is no mask where one is needed.

    Example:
        >>> image = np.zeros((20, 20, 20), np.float32); image[5:15, 5:15, 5:15] = np.arange(10)
        >>> spec = InputSpec("brain", (2.0, 2.0, 2.0), (8, 8, 8), "minmax255")
        >>> prepare_input(image, (1.0, 1.0, 1.0), None, spec).shape
        (8, 8, 8)
    """
    return _prepared(image, voxel_size_mm, box_of(image, voxel_size_mm, labels, spec), spec)


def prepare(image: Volume, grid: Grid, labels: Labels | None, spec: InputSpec) -> Prepared:
    """Return `prepare_input` together with where it lies in the case.

    Args:
        image: one sequence, canonical (RAS) on `grid`; 0 is background.
        grid: the case's file grid.
        labels: the tumour in radiogen's labels, on the same voxels.
        spec: what the network expects.

    Raises:
        ConfigError: the specification's intensity is not known.
        GeometryError: image and grid, or image and mask, differ in shape.
        CaseError: there is no mask where one is needed.
    """
    if image.shape != grid.canonical_shape:
        raise GeometryError(f"The image has shape {image.shape}, its grid {grid.canonical_shape}.")
    box = box_of(image, grid.voxel_size_mm, labels, spec)
    return Prepared(_prepared(image, grid.voxel_size_mm, box, spec), box.affine_to_case, box.notes)


def box_of(image: Volume, voxel_size_mm: Triple, labels: Labels | None, spec: InputSpec) -> Box:
    """Return where a network's input lies in the case.

    `tumour`: around the middle of the whole tumour's bounding box (of all labels where there is a cavity only); where the mask is empty, as `brain`.
    A single axial slice (`spec.shape` ends with 1) is the one with most of the tumour, in the middle of those where several have as much. `brain`:
    around the middle of the bounding box of what is not zero (for `video255`: not air). `volume`: the whole image.

    Args:
        image: one sequence, RAS.
        voxel_size_mm: size of its voxels, mm.
        labels: the tumour in radiogen's labels.
        spec: what the network expects.

    Raises:
        ConfigError: the specification's intensity is not known.
        GeometryError: the mask has another shape than the image.
        CaseError: there is no mask where one is needed.

    Example:
        >>> image = np.ones((10, 10, 10), np.float32)
        >>> labels = np.zeros((10, 10, 10), np.uint8); labels[2:5, 2:5, 8:] = 3
        >>> box_of(image, (1.0, 1.0, 1.0), labels, InputSpec("tumour", (1.0, 1.0, 1.0), (4, 4, 4), "zscore")).centre
        (3.0, 3.0, 8.5)
    """
    if spec.intensity not in INTENSITIES:
        raise ConfigError(
            f"'{spec.intensity}' is not one of the intensities: {', '.join(INTENSITIES)}.",
            hint=did_you_mean(spec.intensity, list(INTENSITIES)),
        )
    if labels is not None and labels.shape != image.shape:
        raise GeometryError(f"The mask has shape {labels.shape}, the image {image.shape}.")
    if spec.centre == "volume":
        centre = _triple((n - 1) / 2 for n in image.shape)
        return Box(centre, _triple(n / m for n, m in zip(image.shape, spec.shape, strict=True)), spec.shape)
    step = _triple(new / old for new, old in zip(spec.voxel_size_mm, voxel_size_mm, strict=True))
    notes: tuple[str, ...] = ()
    if spec.centre == "tumour":
        if labels is None:
            raise CaseError(
                "The network looks at the tumour, and the case has no mask.",
                hint="Run radiogen segment first, or centre the input on the brain.",
            )
        tumour = region_masks(labels)["wt"]
        tumour = tumour if tumour.any() else labels > 0
        if tumour.any():
            i, j, k = middle_of(np.asarray(tumour))
            return Box((i, j, _largest_plane(np.asarray(tumour)) if spec.shape[2] == 1 else k), step, spec.shape)
        notes = (NO_TUMOUR_NOTE,)
    return Box(middle_of(not_air(image) if spec.intensity == "video255" else image != 0), step, spec.shape, notes)


def middle_of(mask: Mask) -> Triple:
    """Return the middle of a mask's bounding box, in voxels; of an empty mask the middle of the volume.

    Example:
        >>> mask = np.zeros((5, 5, 5), bool); mask[1, 2:4, 4] = True
        >>> middle_of(mask)
        (1.0, 2.5, 4.0)
    """
    middle = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        middle.append((found[0] + found[-1]) / 2 if found.size else (mask.shape[axis] - 1) / 2)
    return _triple(middle)


def _largest_plane(mask: Mask) -> float:
    """Return the axial plane with most of a mask, the middle one of several."""
    areas = mask.sum(axis=(0, 1))
    largest = np.flatnonzero(areas == areas.max())
    return float(largest[(len(largest) - 1) // 2] + largest[len(largest) // 2]) / 2


def back_to_case(prepared: PreparedVolume, affine_to_case: Affine, shape: tuple[int, int, int]) -> Volume:
    """Return a map on a prepared grid on the case's canonical voxels, interpolated linearly; 0 outside the box.

    Args:
        prepared: a map on the prepared voxels, or on coarser ones whose matrix is given.
        affine_to_case: 4 x 4, its voxel -> canonical voxel of the case, without rotation, such as that of `Prepared`.
        shape: voxels of the case, canonical.

    Example:
        >>> box = Box((4.5, 4.5, 4.5), (1.0, 1.0, 1.0), (4, 4, 4))
        >>> float(back_to_case(np.ones((4, 4, 4), np.float32), box.affine_to_case, (10, 10, 10)).sum())
        64.0
    """
    for axis in range(3):
        step, first = float(affine_to_case[axis, axis]), float(affine_to_case[axis, 3])
        at = (np.arange(shape[axis]) - first) / step
        n = prepared.shape[axis]
        # Up to a voxel's outer face its own value holds.
        covered = (at >= -0.5) & (at <= n - 0.5)
        weights = _weights(n, np.clip(at, 0, n - 1), max(1.0, 1 / step)).multiply(covered[:, None]).tocsr()
        prepared = _along(prepared, weights, axis)
    return prepared


def coarser(affine_to_case: Affine, shape: Sequence[int], map_shape: Sequence[int]) -> Affine:
    """Return the matrix of a network's feature maps, which cover the prepared volume with fewer voxels.

    Args:
        affine_to_case: 4 x 4, prepared voxel -> canonical voxel of the case.
        shape: prepared voxels along i, j, k.
        map_shape: voxels of the maps along i, j, k.

    Example:
        >>> coarser(np.eye(4), (8, 8, 8), (4, 4, 4))[0].tolist()
        [2.0, 0.0, 0.0, 0.5]
    """
    scale = np.diag([*(n / m for n, m in zip(shape, map_shape, strict=True)), 1.0])
    scale[:3, 3] = (np.diag(scale)[:3] - 1) / 2
    return np.asarray(affine_to_case @ scale)


def _prepared(image: Volume, voxel_size_mm: Triple, box: Box, spec: InputSpec) -> PreparedVolume:
    outside = OUTSIDE.get(spec.intensity, 0.0)
    if spec.intensity == "video255":
        # As published, on the network's voxels: the statistics are the whole padded image's, whatever the box shows of it.
        i, j, k = (
            max(int(np.ceil(n / step - 1e-6)), int(np.ceil(least / (step * size) - 1e-6)))
            for n, step, size, least in zip(image.shape, box.step, voxel_size_mm, VIDEO_LEAST_MM, strict=True)
        )
        whole = Box(_triple((n - 1) / 2 for n in image.shape), box.step, (i, j, k))
        return video255(sample(image, box), sample(image, whole))
    return sample(INTENSITIES[spec.intensity](image) - np.float32(outside), box) + np.float32(outside)


def sample(image: Volume, box: Box) -> PreparedVolume:
    """Return the image on a box's voxels; 0 beyond its edge.

    The kernel is a triangle as wide as the larger of the two voxels: coarser voxels average what they cover, finer ones interpolate.

    Args:
        image: the image, RAS.
        box: where the new voxels lie.

    Example:
        >>> sample(np.ones((4, 4, 4), np.float32), Box((0.0, 1.5, 1.5), (1.0, 1.0, 1.0), (3, 2, 2)))[:, 0, 0].tolist()
        [0.0, 1.0, 1.0]
    """
    found: PreparedVolume = image
    first = box.affine_to_case[:3, 3]
    for axis in range(3):
        at = np.arange(box.shape[axis]) * box.step[axis] + first[axis]
        found = _along(found, _weights(image.shape[axis], at, max(1.0, box.step[axis])), axis)
    return found


def _along(data: Float32[np.ndarray, "i j k"], weights: csr_matrix, axis: int) -> PreparedVolume:
    moved = np.ascontiguousarray(np.moveaxis(data, axis, 0))
    # A sparse product adds in a fixed order, whatever the number of threads: the same input gives the same bytes.
    product = weights @ moved.reshape(moved.shape[0], -1)
    found = np.moveaxis(product.reshape(weights.shape[0], *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(found, dtype=np.float32)


def _weights(n: int, at: np.ndarray, width: float) -> csr_matrix:
    """Return the matrix from `n` voxels to those at the positions `at`; a row sums to the share of its kernel that lies on the image."""
    beyond = int(np.ceil(width)) + 1
    # Far outside there is nothing to add; near the edge the kernel's part outside counts in its sum.
    near = np.clip(at, -beyond, n - 1 + beyond)
    weights = np.clip(1 - np.abs(near[:, None] - np.arange(-2 * beyond, n + 2 * beyond)[None]) / width, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return csr_matrix(weights[:, 2 * beyond : 2 * beyond + n].astype(np.float32))


def _triple(values: Iterable[float]) -> Triple:
    i, j, k = (float(value) for value in values)
    return i, j, k
