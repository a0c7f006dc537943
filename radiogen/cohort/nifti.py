"""NIfTI in and out: RAS-canonical inside, the input's own grid outside."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Shaped
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError, ImageDataError

from radiogen.errors import GeometryError, ImageError
from radiogen.run.atomic import writing
from radiogen.types import Affine, LabelVolume, Volume

_LEAST_VOLUME, _LEAST_MM, _MOST_MM, _MOST_VOXELS = 0.25, 0.05, 5000.0, 2.0**31

AFFINE_TOLERANCE_MM = 1e-3
"""How far apart two grids may put the same voxel corner and still be one grid: rounding of headers, nothing more."""


@dataclass(frozen=True)
class Grid:
    """A file's own voxel grid, kept so that outputs go back onto it.

    Args:
        shape: voxels along the file's own three axes.
        affine: the file's voxel index -> world, mm.
    """

    shape: tuple[int, int, int]
    affine: Affine

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """Return the shape after reordering the axes to RAS."""
        order = io_orientation(self.affine)[:, 0].astype(int)
        shape = [0, 0, 0]
        for axis, target in enumerate(order):
            shape[target] = self.shape[axis]
        return shape[0], shape[1], shape[2]

    @cached_property
    def canonical_affine(self) -> Affine:
        """Return the affine of the reordered (RAS) volume, mm."""
        return self.affine @ inv_ornt_aff(io_orientation(self.affine), self.shape)

    @property
    def voxel_size_mm(self) -> tuple[float, float, float]:
        """Return the voxel size along the canonical axes, mm."""
        size = nib.affines.voxel_sizes(self.canonical_affine)
        return float(size[0]), float(size[1]), float(size[2])

    def to_canonical(self, data: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "a b c"]:
        """Return data given on this grid, reordered to RAS."""
        return np.ascontiguousarray(apply_orientation(data, io_orientation(self.affine)))

    def from_canonical(self, data: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "a b c"]:
        """Return RAS data reordered back to this grid.

        Raises:
            GeometryError: the data does not have this grid's canonical shape.
        """
        if tuple(data.shape) != self.canonical_shape:
            raise GeometryError(
                f"Data of shape {tuple(data.shape)} cannot go back onto a grid of canonical shape {self.canonical_shape}."
            )
        back = ornt_transform(axcodes2ornt(("R", "A", "S")), io_orientation(self.affine))
        return np.ascontiguousarray(apply_orientation(data, back))

    def corner_distance_mm(self, other: Grid) -> float:
        """Return the largest distance between corresponding canonical corners of two grids, mm; infinity when shapes differ."""
        if self.canonical_shape != other.canonical_shape:
            return float("inf")
        far = np.array(self.canonical_shape) - 1
        corners = np.array([[i, j, k, 1] for i in (0, far[0]) for j in (0, far[1]) for k in (0, far[2])], dtype=float).T
        difference = (self.canonical_affine - other.canonical_affine) @ corners
        return float(np.linalg.norm(difference[:3], axis=0).max())

    def same_space(self, other: Grid) -> bool:
        """Return whether two files cover the same voxels of the world, whatever order their axes are stored in."""
        return self.corner_distance_mm(other) <= AFFINE_TOLERANCE_MM

    def describe(self) -> str:
        """Return shape, voxel size and origin in one short text for messages."""
        origin = ", ".join(f"{value:.2f}" for value in self.canonical_affine[:3, 3])
        size = " x ".join(f"{value:.3g}" for value in self.voxel_size_mm)
        return f"{'x'.join(map(str, self.canonical_shape))} voxels of {size} mm, origin ({origin}) mm"


@dataclass(frozen=True)
class Image:
    """One image in canonical orientation and the grid of the file it came from.

    Args:
        data: intensities, RAS-canonical.
        grid: the file's own grid.
    """

    data: Volume
    grid: Grid

    @property
    def affine(self) -> Affine:
        """Return the canonical affine, mm."""
        return self.grid.canonical_affine


def read_image(path: str | Path) -> Image:
    """Read one MRI volume.

    Args:
        path: NIfTI file, compressed or not, 3-D or 4-D with a single volume.

    Returns:
        Canonical float32 data and the file's grid.

    Raises:
        ImageError: missing, not NIfTI, truncated, not one volume, singular affine, NaN or infinite voxels, or every voxel the same.
    """
    data, grid = _read(path)
    if not np.isfinite(data).all():
        count = int((~np.isfinite(data)).sum())
        raise ImageError(
            f"{_name(path)} holds {count} NaN or infinite voxel(s).",
            hint="Write the image again without them; radiogen does not guess values.",
        )
    if data.size == 0 or data.min() == data.max():
        value = "no voxels" if data.size == 0 else f"the value {data.flat[0]:g} in every voxel"
        raise ImageError(f"{_name(path)} is empty: it holds {value}.", hint="Check the export of this sequence.")
    return Image(grid.to_canonical(data.astype(np.float32)), grid)


def read_labels(path: str | Path) -> tuple[LabelVolume, Grid]:
    """Read one label map as stored, without translating its labels.

    Returns:
        Canonical uint8 labels and the file's grid.

    Raises:
        ImageError: as for `read_image` (an all-zero map is accepted here), or values that are not whole numbers from 0 to 255.
    """
    data, grid = _read(path)
    rounded = np.rint(data)
    if (
        not np.isfinite(data).all()
        or np.abs(data - rounded).max(initial=0) > 1e-3
        or rounded.min(initial=0) < 0
        or rounded.max(initial=0) > 255
    ):
        raise ImageError(
            f"{_name(path)} is not a label map: its values are not whole numbers from 0 to 255.",
            hint="Give a mask, not an image.",
        )
    return grid.to_canonical(rounded.astype(np.uint8)), grid


def read_grid(path: str | Path) -> Grid:
    """Read only the header of a NIfTI file and return its grid.

    Raises:
        ImageError: missing, not NIfTI, not one volume, or a singular affine.
    """
    return _open(path)[1]


def write_labels(path: str | Path, labels: LabelVolume, grid: Grid) -> None:
    """Write canonical labels onto a file grid, atomically.

    Args:
        path: `.nii.gz` or `.nii`.
        labels: RAS-canonical labels.
        grid: the grid to write on, usually that of the input image.
    """
    _write(path, grid.from_canonical(labels), grid)


def write_image(path: str | Path, data: Volume, grid: Grid) -> None:
    """Write canonical float32 data onto a file grid, atomically."""
    _write(path, grid.from_canonical(data), grid)


def _write(path: str | Path, data: np.ndarray, grid: Grid) -> None:
    image = nib.Nifti1Image(data, grid.affine)
    image.header.set_xyzt_units("mm")
    with writing(path) as beside:
        nib.save(image, beside)


def _name(path: str | Path) -> str:
    return Path(path).name


def _open(path: str | Path) -> tuple[nib.Nifti1Image, Grid]:
    if not Path(path).is_file():
        raise ImageError(
            f"{_name(path)} does not exist (looked in {Path(path).parent}).",
            hint="Correct the path in the cohort table.",
        )
    try:
        image = nib.load(path)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError) as error:
        raise ImageError(
            f"{_name(path)} cannot be read as NIfTI: {_one_line(error)}", hint="Export or download the file again."
        ) from error
    if not isinstance(image, nib.Nifti1Image):
        raise ImageError(
            f"{_name(path)} is {type(image).__name__}; NIfTI (.nii, .nii.gz) is accepted.", hint="Convert it to NIfTI."
        )
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise ImageError(
            f"{_name(path)} has shape {tuple(image.shape)}; one 3-D volume is accepted.",
            hint="Split a time series or colour image first.",
        )
    grid = Grid((shape[0], shape[1], shape[2]), np.asarray(image.affine, dtype=float))
    problem = _implausible(grid)
    if problem:
        raise ImageError(f"{_name(path)} has a header {problem}.", hint="Convert it from DICOM again.")
    return image, grid


def _implausible(grid: Grid) -> str:
    """Return what no scan of a head can have; damaged headers do."""
    axes = grid.affine[:3, :3]
    sizes_mm = np.linalg.norm(axes, axis=0)
    # Shear of a tilted gantry stays well above this volume of three unit vectors; three axes in one plane have none.
    if not np.isfinite(grid.affine).all() or not sizes_mm.all() or abs(np.linalg.det(axes / sizes_mm)) < _LEAST_VOLUME:
        return "that gives no voxel size or direction (singular affine)"
    extents_mm = sizes_mm * grid.shape
    if extents_mm.max() > _MOST_MM or extents_mm.min() < _LEAST_MM or np.prod(grid.shape, dtype=float) > _MOST_VOXELS:
        voxels = " x ".join(map(str, grid.shape))
        return f"with {voxels} voxels of {' x '.join(f'{size:g}' for size in sizes_mm)} mm, which is not the size of a head"
    return ""


def _read(path: str | Path) -> tuple[np.ndarray, Grid]:
    image, grid = _open(path)
    try:
        data = np.asanyarray(image.dataobj)
    except (ImageDataError, OSError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise ImageError(
            f"{_name(path)} is damaged or cut short: {_one_line(error)}", hint="Export or download the file again."
        ) from error
    if data.dtype.fields is not None or np.iscomplexobj(data):
        raise ImageError(
            f"{_name(path)} holds {data.dtype} voxels; one real number per voxel is accepted.",
            hint="Export magnitude images.",
        )
    return data.reshape(grid.shape), grid


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
