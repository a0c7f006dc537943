"""Canonical arrays -> SimpleITK images in boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from radiomics import imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from radiogen.branches.radiomics.plan import Plan
from radiogen.cohort.nifti import Grid
from radiogen.types import Mask, Volume


@dataclass(frozen=True)
class Box:
    """A block of voxels: first index and one past the last, along the three axes of a SimpleITK image.

    Args:
        low: first index.
        high: one past the last.
    """

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    @classmethod
    def around(cls, mask: Mask) -> Box:
        """Return the bounding box of a mask that is not empty."""
        low, high = [], []
        for axis in range(3):
            line = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            low.append(int(line[0]))
            high.append(int(line[-1]) + 1)
        return cls((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    @classmethod
    def of(cls, image: sitk.Image) -> Box:
        """Return the box of a whole image."""
        size = image.GetSize()
        return cls((0, 0, 0), (size[0], size[1], size[2]))

    def grown(self, reach: tuple[int, int, int], within: Box, *, periodic: bool) -> Box:
        """Return the box with `reach` voxels around it, cut at the borders of `within`.

        Args:
            reach: voxels per axis.
            within: box of the whole image.
            periodic: the filter sees the far side of the image behind its border, so an axis that meets a border is kept whole.
        """
        low, high = [], []
        for axis in range(3):
            first, last = self.low[axis] - reach[axis], self.high[axis] + reach[axis]
            whole = periodic and (first < 0 or last > within.high[axis])
            low.append(0 if whole else max(first, 0))
            high.append(within.high[axis] if whole else min(last, within.high[axis]))
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def seen_from(self, outer: Box) -> Box:
        """Return the same voxels in the indices of an image cropped to `outer`."""
        low = [self.low[axis] - outer.low[axis] for axis in range(3)]
        high = [self.high[axis] - outer.low[axis] for axis in range(3)]
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Return the box as numpy slices."""
        return slice(self.low[0], self.high[0]), slice(self.low[1], self.high[1]), slice(self.low[2], self.high[2])


@dataclass(frozen=True)
class Frame:
    """One sequence with the regions that are measured on it, prepared for PyRadiomics.

    Args:
        image: the whole prepared image: filters may look at all of it.
        inner: where in it the masks lie.
        masks: region -> mask (1 inside), of the size of `inner`.
    """

    image: sitk.Image
    inner: Box
    masks: Mapping[str, sitk.Image]


def lps(data: np.ndarray) -> np.ndarray:
    """Return a canonical (RAS) array with its first two axes reversed: LPS, the orientation of ITK and of the BraTS grid.

    PyRadiomics' surface mesh and the wavelet filters change a little when an image is mirrored (surface area by some 0.05 %). Every case is therefore
    measured in one orientation, however its files are stored, and this is the one in which published tables of BraTS-space images were made.
    """
    return data[::-1, ::-1]


def to_sitk(data: np.ndarray, grid: Grid) -> sitk.Image:
    """Return a canonical (i, j, k) array as a SimpleITK image in LPS orientation, with its spacing, direction and origin.

    Whole numbers are passed as integers, as PyRadiomics would read them from such a file: its wavelet then computes in double precision.
    """
    if data.dtype == np.float32 and np.array_equal(data, np.rint(data)) and np.abs(data).max(initial=0) < 2**31:
        data = data.astype(np.int32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(lps(data).T))
    mirror = np.diag([-1.0, -1.0, 1.0, 1.0])
    reversed_index = mirror.copy()
    reversed_index[:2, 3] = np.array(data.shape[:2]) - 1
    affine, spacing = mirror @ grid.canonical_affine @ reversed_index, np.array(grid.voxel_size_mm)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def zscore(data: Volume) -> Volume:
    """Return an image in standard deviations from the mean, both over its non-zero voxels; all voxels are transformed.

    A skull-stripped image is zero outside the brain, so these are the statistics of the brain.

    Source: Carre et al., Sci Rep 2020;10:12340.

    Example:
        >>> zscore(np.array([[[0, 1, 3]]], dtype=np.float32)).round(1).tolist()
        [[[-2.0, -1.0, 1.0]]]
    """
    inside = data[data != 0].astype(np.float64)
    return ((data - inside.mean()) / (inside.std() or 1.0)).astype(np.float32)


def crop(image: sitk.Image, box: Box) -> sitk.Image:
    """Return the part of an image inside a box."""
    size = [high - low for low, high in zip(box.low, box.high, strict=True)]
    return sitk.RegionOfInterest(image, size, box.low)


def frames(data: Volume, grid: Grid, masks: Mapping[str, Mask], plan: Plan, refused: dict[str, str]) -> Iterator[Frame]:
    """Yield the frames of one sequence: one for all regions, or one per region where PyRadiomics crops or resamples around each.

    Args:
        data: canonical intensities.
        grid: grid of the case.
        masks: region -> canonical mask, none of them empty.
        plan: what is computed.
        refused: receives the reason for every region that PyRadiomics' own preparation refuses.
    """
    image = to_sitk(zscore(data) if plan.normalisation == "zscore" else data, grid)
    if plan.region_by_region:
        for region, mask in masks.items():
            whole = to_sitk(mask.astype(np.uint8), grid)
            try:
                part, part_mask = RadiomicsFeatureExtractor.loadImage(image, whole, None, **plan.setting)
            except ValueError as error:
                refused[region] = str(error)
                continue
            yield Frame(part, Box.of(part), {region: part_mask})
        return
    if plan.setting.get("normalize"):
        image = imageoperations.normalizeImage(image, **plan.setting)
    inner = Box.around(lps(np.logical_or.reduce(list(masks.values()))))
    part = crop(image, inner)
    yield Frame(image, inner, {region: _like(part, lps(mask)[inner.slices]) for region, mask in masks.items()})


def _like(image: sitk.Image, mask: Mask) -> sitk.Image:
    placed = sitk.GetImageFromArray(np.ascontiguousarray(mask.T).astype(np.uint8))
    placed.CopyInformation(image)
    return placed
