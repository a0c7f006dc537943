"""Registration of two images of one head, rigid or affine, and resampling by the transforms that it finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its own manual uses
from jaxtyping import Float, Int64
from scipy.ndimage import binary_dilation, binary_fill_holes, gaussian_filter, map_coordinates

from radiogen.cohort.nifti import Grid, Image
from radiogen.errors import ConfigError, GeometryError, ImageError
from radiogen.preprocess.brain import LARGEST_BRAIN_ML
from radiogen.preprocess.intensity import background_value, foreground
from radiogen.preprocess.poses import pose, rigid, scaling, starting_poses
from radiogen.preprocess.resample import resample, resized_shape
from radiogen.preprocess.similarity import BINS, levels, normalised_mutual_information, of_levels, value_range
from radiogen.preprocess.sitk_image import affine_transform, from_sitk, to_sitk
from radiogen.types import Affine, Mask, Volume

__all__ = ["Registration", "normalised_mutual_information", "pose", "register", "resample_onto", "rigid"]

KINDS = ("rigid", "affine")
INTERPOLATIONS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "bspline": sitk.sitkBSpline}

_SEARCH_MM, _COARSE_MM, _FINE_MM = 8.0, 4.0, 2.0
_TRIED = 4
"""How many starting poses are refined at 4 mm; the best of them goes on."""

_COARSE_SAMPLES, _FINE_SAMPLES = 12_000, 40_000
_MOST_TURN_DEG = 60.0
_SCALES = (0.7, 1.4)
_LEAST_OVERLAP, _ENOUGH_OVERLAP = 0.4, 0.8
_LEAST_SIMILARITY = 1.02
_NO_WORSE = 0.002
_MOVED_MM, _MOVED_DEG = 2.0, 2.0


@dataclass(frozen=True)
class Registration:
    """Where in the moving image each point of the fixed one lies.

    Args:
        matrix: fixed world -> moving world, mm.
        kind: `rigid` or `affine`.
        similarity_before: normalised mutual information with the files' own positions, 1 to 2.
        similarity_after: the same after registration.
        problems: what speaks against the result, in plain sentences; empty when nothing does.
    """

    matrix: Affine
    kind: str
    similarity_before: float
    similarity_after: float
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Level:
    """One image on coarse voxels, and the part of it that is compared."""

    image: Image
    inside: Mask

    @property
    def points_mm(self) -> Float[np.ndarray, "3 n"]:
        affine = self.image.affine
        return np.asarray(affine[:3, :3] @ np.argwhere(self.inside).T + affine[:3, 3:])

    @property
    def centre_mm(self) -> Float[np.ndarray, " 3"]:
        return np.asarray(self.points_mm.mean(axis=1))


def register(
    fixed: Image,
    moving: Image,
    *,
    kind: str = "rigid",
    fixed_mask: Mask | None = None,
    moving_mask: Mask | None = None,
    seed: int = 0,
) -> Registration:
    """Find where in the moving image each point of the fixed one lies, for any two contrasts, with the skull on or off.

    Many poses are compared at 8 mm, the best few refined at 4 mm and the best of those at 2 mm, by Mattes mutual information. When one image
    shows the brain only and the other the head, they are compared where the brain is. One thread and seeded samples: the same input and seed give the
    same bytes.

    Args:
        fixed: the image whose space is the target.
        moving: the image to be brought there.
        kind: `rigid` (turn and shift) or `affine` (also scale and shear).
        fixed_mask: voxels of the fixed image to compare; its head or brain by default.
        moving_mask: voxels of the moving image to compare; all by default.
        seed: of the jitter of sample points.

    Returns:
        The transform from the fixed to the moving world, and how good it is.

    Raises:
        ConfigError: the kind is unknown.
        ImageError: an image is flat or not finite, or a mask is empty.
        GeometryError: a mask does not have its image's shape.

    Source: Mattes et al. 2003, PET-CT image registration in the chest using free-form deformations, doi:10.1109/TMI.2003.809072.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> data = gaussian_filter(rng.random((24, 24, 24)), 2).astype(np.float32)
        >>> image = Image(data, Grid((24, 24, 24), np.diag([4.0, 4.0, 4.0, 1.0])))
        >>> register(image, image).matrix.round(1).tolist() == np.eye(4).tolist()
        True
    """
    _check(fixed, moving, kind, fixed_mask, moving_mask)
    fixed_stripped, moving_stripped = is_stripped(fixed), is_stripped(moving)
    both = fixed_stripped == moving_stripped
    if moving_stripped and not fixed_stripped and fixed_mask is None:
        found = _search(moving, fixed, kind, (moving_mask, fixed_mask), both, seed)
        matrix = np.linalg.inv(found.matrix)
    else:
        found = _search(fixed, moving, kind, (fixed_mask, moving_mask), both, seed)
        matrix = found.matrix
    # Sums of floating-point numbers differ in the last bit by where an array happens to lie in memory; 1e-8 mm is nobody's anatomy.
    matrix = np.round(matrix, 8) + 0.0
    return Registration(matrix, kind, found.similarity_before, found.similarity_after, found.problems)


def is_stripped(image: Image) -> bool:
    """Return whether the image shows a brain on an empty background, without a skull.

    Args:
        image: any scale of intensities.
    """
    data = image.data
    apart = np.abs(data - background_value(data)) > 1e-3 * float(data.max() - data.min())
    voxel_ml = float(np.prod(image.grid.voxel_size_mm)) / 1000
    return bool(apart.mean() < 0.75 and apart.sum() * voxel_ml <= LARGEST_BRAIN_ML)


def resample_onto(image: Image, grid: Grid, matrix: Affine, *, interpolation: str = "linear") -> Volume:
    """Return an image on another grid, in its canonical orientation.

    Args:
        image: the moving image.
        grid: the voxels to fill.
        matrix: world of the grid -> world of the image, mm.
        interpolation: `linear`, `nearest` (labels) or `bspline` (cubic, kept within the image's range).

    Returns:
        Canonical volume; outside the image its background value, or 0 for `nearest`.

    Raises:
        ConfigError: the interpolation is unknown.

    Example:
        >>> image = Image(np.arange(8, dtype=np.float32).reshape(2, 2, 2), Grid((2, 2, 2), np.eye(4)))
        >>> float(resample_onto(image, Grid((1, 1, 1), np.eye(4)), rigid((0.0, 0.0, 0.0), (0.5, 0.0, 0.0)))[0, 0, 0])
        2.0
    """
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(f"The interpolation '{interpolation}' is not one of: {', '.join(INTERPOLATIONS)}.")
    if image.grid.same_space(grid) and np.array_equal(matrix, np.eye(4)):
        return image.data.copy()
    like = sitk.ResampleImageFilter()
    like.SetSize([int(n) for n in grid.canonical_shape])
    frame = to_sitk(np.zeros((1, 1, 1), np.uint8), grid.canonical_affine)
    like.SetOutputSpacing(frame.GetSpacing())
    like.SetOutputDirection(frame.GetDirection())
    like.SetOutputOrigin(frame.GetOrigin())
    like.SetTransform(affine_transform(matrix))
    like.SetInterpolator(INTERPOLATIONS[interpolation])
    like.SetDefaultPixelValue(0.0 if interpolation == "nearest" else background_value(image.data))
    found = from_sitk(like.Execute(to_sitk(image.data, image.affine)))
    if interpolation == "bspline":
        found = np.clip(found, image.data.min(), image.data.max())
    return np.asarray(found, dtype=np.float32)


def _check(fixed: Image, moving: Image, kind: str, fixed_mask: Mask | None, moving_mask: Mask | None) -> None:
    if kind not in KINDS:
        raise ConfigError(f"The kind of registration '{kind}' is not one of: {', '.join(KINDS)}.")
    for name, image, mask in (("fixed", fixed, fixed_mask), ("moving", moving, moving_mask)):
        if not np.isfinite(image.data).all() or image.data.min() == image.data.max():
            raise ImageError(f"The {name} image cannot be registered: it is flat or holds values that are not numbers.")
        if mask is not None and mask.shape != image.data.shape:
            raise GeometryError(f"The mask of the {name} image has shape {mask.shape}, the image {image.data.shape}.")
        if mask is not None and not mask.any():
            raise ImageError(f"The mask of the {name} image is empty.", hint="Give no mask, or one with voxels.")


def _search(
    fixed: Image, moving: Image, kind: str, masks: tuple[Mask | None, Mask | None], both: bool, seed: int
) -> Registration:
    """Register with the fixed image as the one whose voxels are compared; `both` are stripped or both are not."""
    margin_mm = 8.0 if both else 0.0
    search, coarse, fine = (
        (_level(fixed, masks[0], size, margin_mm), _level(moving, masks[1], size, margin_mm))
        for size in (_SEARCH_MM, _COARSE_MM, _FINE_MM)
    )
    starts = starting_poses(search[0].centre_mm, search[1].centre_mm)
    starts = sorted(starts, key=lambda start: -_score(*search, start))
    tried = [_refine(*coarse, start, "rigid", masks[1] is not None, seed) for start in _distinct(starts, search[0])]
    best = max(tried, key=lambda end: _score(*coarse, end))
    if kind == "affine":
        best = _refine(*coarse, best, "affine", masks[1] is not None, seed)
    matrix = _refine(*fine, best, kind, masks[1] is not None, seed)
    before, after = _similarity(*fine, np.eye(4)), _similarity(*fine, matrix)
    problems = []
    if _score(*fine, matrix) < _score(*fine, np.eye(4)) - _NO_WORSE:
        turn_deg, shift_mm = pose(matrix, fine[0].centre_mm)
        if turn_deg > _MOVED_DEG or shift_mm > _MOVED_MM:
            problems.append(
                f"The similarity did not rise: {before:.3f} before, {after:.3f} after; the files' own positions were kept."
            )
        matrix, after = np.eye(4), before
    problems += _problems(*fine, matrix, after)
    return Registration(matrix, kind, before, after, tuple(problems))


def _level(image: Image, mask: Mask | None, voxel_mm: float, margin_mm: float) -> _Level:
    """Return the image on voxels of at least this size, and what is compared of it."""
    size = image.grid.voxel_size_mm
    new = (max(size[0], voxel_mm), max(size[1], voxel_mm), max(size[2], voxel_mm))
    shape = resized_shape(image.data.shape, size, new)
    affine = image.affine.copy()
    affine[:3, :3] = image.affine[:3, :3] * (np.array(new) / size)
    centre = image.affine[:3, :3] @ ((np.array(image.data.shape) - 1) / 2) + image.affine[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    small = Image(resample(image.data, size, new, shape), Grid(shape, affine))
    if mask is None:
        inside = _head(image, small, margin_mm)
    else:
        inside = resample(mask.astype(np.float32), size, new, shape) > 0.5
        inside = inside if inside.any() else resample(mask.astype(np.float32), size, new, shape) > 0
    return _Level(small, inside)


def _head(image: Image, small: Image, margin_mm: float) -> Mask:
    """Return the head, or the brain where the skull is off, with a margin, so that its outline counts too."""
    if is_stripped(image):
        inside = foreground(small.data)
    else:
        low, high = np.percentile(small.data[small.data > small.data.min()], [2, 98])
        inside = gaussian_filter(small.data, 1.0) > low + 0.1 * (high - low)
    inside = np.asarray(binary_fill_holes(inside))
    steps = [round(margin_mm / edge) for edge in small.grid.voxel_size_mm]
    box = np.ones([2 * step + 1 for step in steps], dtype=bool)
    return np.asarray(binary_dilation(inside, box)) if margin_mm > 0 else inside


def _similarity(fixed: _Level, moving: _Level, matrix: Affine) -> float:
    """Return the normalised mutual information where the compared part of the fixed image meets the moving one; 1 where hardly anything meets."""
    to_voxel = np.linalg.inv(moving.image.affine) @ matrix
    voxels = to_voxel[:3, :3] @ fixed.points_mm + to_voxel[:3, 3:]
    last = np.array(moving.image.data.shape)[:, None] - 0.5
    met = ((voxels >= -0.5) & (voxels <= last)).all(axis=0)
    if met.mean() < 0.2:
        return 1.0
    seen = map_coordinates(moving.image.data, voxels[:, met], order=1, mode="nearest")
    values = fixed.image.data[fixed.inside]
    return of_levels(_levels(values)[met], levels(seen, value_range(moving.image.data.ravel())))


def _score(fixed: _Level, moving: _Level, matrix: Affine) -> float:
    """Return what poses are ranked by: the similarity above chance, less where the heads hardly meet, because a few voxels easily agree."""
    return (_similarity(fixed, moving, matrix) - 1) * min(1.0, _overlap(fixed, moving, matrix) / _ENOUGH_OVERLAP)


def _levels(values: Float[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    return levels(values, value_range(values))


def _distinct(starts: list[Affine], fixed: _Level) -> list[Affine]:
    """Return the best few of sorted poses that are not nearly the same."""
    chosen: list[Affine] = []
    for start in starts:
        apart = [pose(start @ np.linalg.inv(other), fixed.centre_mm) for other in chosen]
        if all(turn_deg > 15 or shift_mm > 15 for turn_deg, shift_mm in apart):
            chosen.append(start)
        if len(chosen) == _TRIED:
            break
    return chosen


def _refine(fixed: _Level, moving: _Level, start: Affine, kind: str, masked: bool, seed: int) -> Affine:
    """Return the pose that gradient ascent of the mutual information reaches from a start."""
    # The world is shifted to the head's centre and measured in its radius: a step of one parameter then moves the head as far as a step of another.
    centre = fixed.centre_mm
    radius_mm = float(np.sqrt(((fixed.points_mm - centre[:, None]) ** 2).sum(axis=0).mean()))
    unit = np.diag([1 / radius_mm] * 3 + [1.0])
    unit[:3, 3] = -centre / radius_mm
    to_unit = unit @ fixed.image.affine, unit @ moving.image.affine
    fine = min(fixed.image.grid.voxel_size_mm) < _COARSE_MM
    first = unit @ start @ np.linalg.inv(unit)
    transform = sitk.Euler3DTransform() if kind == "rigid" else sitk.AffineTransform(3)
    transform.SetMatrix(tuple(float(value) for value in first[:3, :3].ravel()))
    transform.SetTranslation(tuple(float(value) for value in first[:3, 3]))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(to_sitk(fixed.inside.astype(np.uint8), to_unit[0]))
    if masked:
        method.SetMetricMovingMask(to_sitk(moving.inside.astype(np.uint8), to_unit[1]))
    share = min(1.0, (_FINE_SAMPLES if fine else _COARSE_SAMPLES) / int(fixed.inside.sum()))
    method.SetMetricSamplingStrategy(method.REGULAR)
    # A seed of 0 means the clock to SimpleITK.
    method.SetMetricSamplingPercentage(share, seed + 1)
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetInterpolator(sitk.sitkLinear)
    step_mm = (1.0 if fine else 4.0) * (1.0 if kind == "rigid" else 0.5)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=step_mm / radius_mm,
        minStep=(0.01 if fine else 0.1) / radius_mm,
        numberOfIterations=100,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetInitialTransform(transform, inPlace=True)
    # Threads add up histograms in whatever order they end.
    method.SetNumberOfThreads(1)
    method.Execute(to_sitk(fixed.image.data, to_unit[0]), to_sitk(moving.image.data, to_unit[1]))
    found = np.eye(4)
    found[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    found[:3, 3] = transform.GetTranslation()
    return np.asarray(np.linalg.inv(unit) @ found @ unit)


def _problems(fixed: _Level, moving: _Level, matrix: Affine, similarity: float) -> list[str]:
    """Return what speaks against a pose."""
    found = []
    turn_deg, _ = pose(matrix)
    least, most = scaling(matrix)
    if similarity < _LEAST_SIMILARITY:
        found.append(f"The images have little in common after registration (similarity {similarity:.3f} of 1 to 2).")
    if turn_deg > _MOST_TURN_DEG:
        found.append(f"The pose found is not plausible: it turns by {turn_deg:.0f} degrees.")
    if least < _SCALES[0] or most > _SCALES[1]:
        found.append(f"The pose found is not plausible: it scales by {least:.2f} to {most:.2f}.")
    overlap = _overlap(fixed, moving, matrix)
    if overlap < _LEAST_OVERLAP:
        found.append(f"The overlap is small: {100 * overlap:.0f} % of the smaller of the two heads or brains.")
    return found


def _overlap(fixed: _Level, moving: _Level, matrix: Affine) -> float:
    """Return how much of the smaller of the two compared regions lies within the other."""
    to_voxel = np.linalg.inv(moving.image.affine) @ matrix
    voxels = to_voxel[:3, :3] @ fixed.points_mm + to_voxel[:3, 3:]
    shared = map_coordinates(moving.inside.astype(np.float32), voxels, order=0, mode="constant") > 0.5
    sizes = [level.inside.sum() * float(np.prod(level.image.grid.voxel_size_mm)) for level in (fixed, moving)]
    return float(min(1.0, shared.mean() * sizes[0] / min(sizes)))
