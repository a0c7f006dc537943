"""Deformable registration of a brain to the template, blind to the lesion, which has no counterpart in the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its own manual uses
from jaxtyping import Float, Float32
from scipy.ndimage import binary_dilation, map_coordinates

from radiogen.cohort.nifti import Grid, Image
from radiogen.errors import GeometryError
from radiogen.preprocess.intensity import background_value
from radiogen.preprocess.register import resample_onto
from radiogen.preprocess.resample import resample, resized_shape
from radiogen.preprocess.sitk_image import from_sitk, to_sitk
from radiogen.types import Affine, Mask, Volume

Field = Float32[np.ndarray, "i j k 3"]

_WORK_MM = 2.0
_SHRINKS = (4, 2, 1)
_ITERATIONS = (40, 40, 20)
_INVERSIONS = 30


@dataclass(frozen=True)
class Deformation:
    """A smooth map from a fixed to a moving world: each point is displaced, then transformed by the start.

    Args:
        displacement: mm along the world's axes, on the fixed grid, canonical.
        grid: the fixed grid.
        start: fixed world -> moving world, applied after the displacement.
    """

    displacement: Field
    grid: Grid
    start: Affine

    def apply(self, image: Image, *, interpolation: str = "linear") -> Volume:
        """Return an image of the moving world on the fixed grid.

        Args:
            image: the image.
            interpolation: `linear`, or `nearest` for labels.
        """
        order = 0 if interpolation == "nearest" else 1
        to_voxel = np.linalg.inv(image.affine) @ self.start
        points = _world(self.grid) + np.moveaxis(self.displacement, 3, 0).reshape(3, -1)
        voxels = (to_voxel[:3, :3] @ points + to_voxel[:3, 3:]).reshape(3, *self.grid.canonical_shape)
        outside = 0.0 if order == 0 else background_value(image.data)
        return np.asarray(map_coordinates(image.data, voxels, order=order, cval=outside, output=np.float32))

    def at(self, points_mm: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """Return the displacement of points of the fixed world, mm, linear between voxels; beyond the grid that of its edge."""
        to_voxel = np.linalg.inv(self.grid.canonical_affine)
        voxels = to_voxel[:3, :3] @ points_mm + to_voxel[:3, 3:]
        parts = [map_coordinates(self.displacement[..., axis], voxels, order=1, mode="nearest") for axis in range(3)]
        return np.stack(parts).astype(np.float64)

    def inverse(self, grid: Grid) -> Deformation:
        """Return the map back, from the moving to the fixed world.

        Args:
            grid: of the moving image, on which the displacement is wanted.

        Source: the fixed-point iteration of Chen et al. 2008, doi:10.1118/1.2816107.
        """
        back = np.linalg.inv(self.start)
        world = _world(grid)
        straight = back[:3, :3] @ world + back[:3, 3:]
        to_voxel = np.linalg.inv(self.grid.canonical_affine)
        found = straight.copy()
        for _ in range(_INVERSIONS):
            voxels = to_voxel[:3, :3] @ found + to_voxel[:3, 3:]
            for axis in range(3):
                moved = map_coordinates(self.displacement[..., axis], voxels, order=1, mode="nearest")
                found[axis] = straight[axis] - moved
        # The start of the inverse is applied last as well, so the displacement is measured in the moving world.
        shift = self.start[:3, :3] @ (found - straight)
        displacement = np.moveaxis(shift.reshape(3, *grid.canonical_shape), 0, 3).astype(np.float32)
        return Deformation(np.ascontiguousarray(displacement), grid, back)

    def jacobian(self) -> Float[np.ndarray, "i j k"]:
        """Return by how much each voxel grows (above 1) or shrinks in the displacement; zero or less is a fold."""
        to_world = np.linalg.inv(self.grid.canonical_affine[:3, :3])
        gradients = np.stack([np.stack(np.gradient(self.displacement[..., c]), -1) for c in range(3)], -2)
        return np.asarray(np.linalg.det(np.eye(3) + gradients @ to_world))


def deform(
    fixed: Image, moving: Image, *, start: Affine, lesion: Mask | None = None, smoothing_voxels: float = 1.5
) -> Deformation:
    """Find the smooth deformation from a template's T1 to a patient's, blind to the lesion.

    Diffeomorphic demons on 2 mm voxels. Inside the lesion the moving image is taken to look like the template, so that no force acts
    there and the field is what its smoothness carries in from around. One thread: the same input gives the same bytes.

    Measured on BraTS-GLI-00000-000 (lesion 73 mL) against MNI152 at 2 mm, after an affine start; similarity is normalised mutual information inside
    the brain without the lesion, of the T1 that was registered and of the T2 that was not:

    =========  ======  ======  ============  ==========  =====
    smoothing  T1      T2      min Jacobian  brain Dice  CPU s
    =========  ======  ======  ============  ==========  =====
    none yet   1.0304  1.0216
    1.0        1.0767  1.0373  0.12          0.979       6.8
    1.5        1.0633  1.0351  0.25          0.976       6.9
    2.0        1.0520  1.0319  0.48          0.972       7.3
    =========  ======  ======  ============  ==========  =====

    Args:
        fixed: the template, skull-stripped T1.
        moving: the patient's T1 without contrast agent, skull-stripped; another contrast needs mutual information, which demons do not use.
        start: affine registration, fixed world -> moving world.
        lesion: on the moving image's voxels.
        smoothing_voxels: how stiff the field is: standard deviation of its smoothing, working voxels.

    Raises:
        GeometryError: the lesion does not have the moving image's shape.

    Source: Vercauteren et al. 2009, Diffeomorphic demons, doi:10.1016/j.neuroimage.2008.10.040; cost-function masking of lesions: Brett et al. 2001,
    doi:10.1006/nimg.2001.0845.
    """
    if lesion is not None and lesion.shape != moving.data.shape:
        raise GeometryError(f"The lesion has shape {lesion.shape}, the moving image {moving.data.shape}.")
    small = _working(fixed)
    grid = small.grid
    like = to_sitk(small.data, small.affine)
    placed = to_sitk(resample_onto(moving, grid, start), small.affine)
    matched = from_sitk(_histogram_match(placed, like))
    if lesion is not None:
        mask = resample_onto(Image(lesion.astype(np.float32), moving.grid), grid, start, interpolation="nearest") > 0.5
        matched = np.where(binary_dilation(mask), small.data, matched)
    field = _demons(small.data, matched.astype(np.float32), small.affine, smoothing_voxels)
    i, j, k = fixed.data.shape
    parts = [
        resample(np.ascontiguousarray(field[..., c]), grid.voxel_size_mm, fixed.grid.voxel_size_mm, (i, j, k))
        for c in range(3)
    ]
    return Deformation(np.stack(parts, axis=-1), fixed.grid, start)


def _working(image: Image) -> Image:
    size = image.grid.voxel_size_mm
    new = (max(size[0], _WORK_MM), max(size[1], _WORK_MM), max(size[2], _WORK_MM))
    shape = resized_shape(image.data.shape, size, new)
    affine = image.affine.copy()
    affine[:3, :3] = image.affine[:3, :3] * (np.array(new) / size)
    centre = image.affine[:3, :3] @ ((np.array(image.data.shape) - 1) / 2) + image.affine[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Image(resample(image.data, size, new, shape), Grid(shape, affine))


def _histogram_match(moving: sitk.Image, fixed: sitk.Image) -> sitk.Image:
    method = sitk.HistogramMatchingImageFilter()
    method.SetNumberOfHistogramLevels(256)
    method.SetNumberOfMatchPoints(16)
    method.ThresholdAtMeanIntensityOn()
    return method.Execute(moving, fixed)


def _demons(fixed: Volume, moving: Volume, affine: Affine, smoothing_voxels: float) -> Field:
    zero = np.zeros((*fixed.shape[::-1], 3))
    field = sitk.GetImageFromArray(zero, isVector=True)
    field.CopyInformation(to_sitk(fixed, affine))
    for shrink, iterations in zip(_SHRINKS, _ITERATIONS, strict=True):
        first, second = (_shrunk(to_sitk(data, affine), shrink) for data in (fixed, moving))
        method = sitk.DiffeomorphicDemonsRegistrationFilter()
        method.SetNumberOfIterations(iterations)
        method.SetSmoothDisplacementField(True)
        method.SetStandardDeviations(smoothing_voxels)
        method.SetNumberOfThreads(1)
        last = sitk.Resample(field, first, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
        field = method.Execute(first, second, last)
    return np.ascontiguousarray(sitk.GetArrayFromImage(field).transpose(2, 1, 0, 3), dtype=np.float32)


def _shrunk(image: sitk.Image, factor: int) -> sitk.Image:
    if factor == 1:
        return image
    return sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, float(factor)), [factor] * 3)


def _world(grid: Grid) -> Float[np.ndarray, "3 n"]:
    index = np.indices(grid.canonical_shape, dtype=np.float64).reshape(3, -1)
    affine = grid.canonical_affine
    return np.asarray(affine[:3, :3] @ index + affine[:3, 3:])
