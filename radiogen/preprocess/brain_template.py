"""The brain of a head by the template's brain: placed by affine registration, then corrected by what this head's tissues look like."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
    gaussian_filter,
    label,
)
from sklearn.mixture import GaussianMixture

from radiogen.cohort.nifti import Grid, Image
from radiogen.errors import CaseError
from radiogen.preprocess.register import register, resample_onto
from radiogen.preprocess.template import Template
from radiogen.types import Mask, Volume

_WORK_MM = 2.0
_PLACED_BY = ("t1n", "t2w", "t2f", "t1c")
_MOST_PLACED = 2
_ROUNDS = 2
_TISSUES = 4
_SAMPLES = 8000
_CORE_MM, _SHELL_MM, _BAND_MM = 4.0, (2.0, 14.0), 12.0
_TRUST_MM = 2.0
"""How far from the placed outline a voxel lies when the placement counts as much as a likelihood ratio of e."""

_MOST_EVIDENCE = 4.0


def template_brain(images: Mapping[str, Volume], grid: Grid, template: Template) -> tuple[Mask, tuple[str, ...]]:
    """Return the brain of a head by the template's brain.

    The template is registered (affine) to up to two sequences and its outline averaged. Mixtures of Gaussians over all sequences then learn this
    head's tissues deep inside that outline and in the shell around it, and decide within 12 mm of the outline, smoothed and weighed against it.

    Args:
        images: sequence name -> volume with the skull on, one isotropic grid.
        grid: of the images, in the template's space up to a rigid or affine error.
        template: whose brain is placed.

    Returns:
        The mask and notes on how it was found.

    Raises:
        CaseError: the template's brain falls outside the images.

    Source: mixtures of tissues against a registered prior as in Ashburner and Friston 2005, Unified segmentation,
    doi:10.1016/j.neuroimage.2005.02.018.
    """
    work = _work_grid(grid)
    small = {name: resample_onto(Image(image, grid), work, np.eye(4)) for name, image in images.items()}
    distance_mm, notes = _placed(small, work, template)
    features = _features(small)
    outline_mm = distance_mm
    for _ in range(_ROUNDS):
        mask = _decided(features, distance_mm, outline_mm)
        if not mask.any():
            raise CaseError("No brain was found inside the head.", hint="Give brain-extracted images or a brain mask.")
        outline_mm = _signed_mm(mask, work.voxel_size_mm[0])
    # The signed distance is smooth, so that the finer grid gets a smooth surface rather than steps of the working voxels.
    smooth = gaussian_filter(outline_mm, 0.5).astype(np.float32)
    full = resample_onto(Image(smooth, work), grid, np.eye(4)) > 0
    return np.asarray(full), tuple(notes)


def _work_grid(grid: Grid) -> Grid:
    size = grid.voxel_size_mm[0]
    if size >= _WORK_MM:
        return Grid(grid.canonical_shape, grid.canonical_affine)
    i, j, k = (max(1, int(np.ceil(n * size / _WORK_MM))) for n in grid.canonical_shape)
    affine = grid.canonical_affine.copy()
    affine[:3, :3] *= _WORK_MM / size
    return Grid((i, j, k), affine)


def _placed(
    images: Mapping[str, Volume], grid: Grid, template: Template
) -> tuple[Float[np.ndarray, "i j k"], list[str]]:
    """Return the distance from the template's outline (positive inside), averaged over registrations."""
    brain = Image(template.brain.astype(np.float32), template.image.grid)
    distances, notes = [], []
    for name in [name for name in _PLACED_BY if name in images][:_MOST_PLACED]:
        found = register(template.image, Image(images[name], grid), kind="affine")
        placed = resample_onto(brain, grid, np.linalg.inv(found.matrix)) > 0.5
        if found.problems:
            notes.append(f"Placing the template's brain on {name}: {' '.join(found.problems)}")
        if placed.any():
            distances.append(_signed_mm(placed, grid.voxel_size_mm[0]))
    if not distances:
        raise CaseError("The template's brain does not lie within the images.", hint="Look at the images.")
    return np.asarray(np.mean(distances, axis=0)), notes


def _signed_mm(mask: Mask, voxel_mm: float) -> Float[np.ndarray, "i j k"]:
    return np.asarray(voxel_mm * (distance_transform_edt(mask) - distance_transform_edt(~mask)))


def _features(images: Mapping[str, Volume]) -> Float[np.ndarray, "i j k c"]:
    channels = []
    for name in sorted(images):
        smooth = gaussian_filter(images[name].astype(np.float64), 0.5)
        low, high = np.percentile(smooth, [5, 99])
        # Sound images end far below 10 times their range; single damaged voxels can be 1e38, and would drown every tissue.
        channels.append(np.clip((smooth - low) / max(float(high - low), 1e-12), -10, 10))
    return np.stack(channels, axis=-1)


def _decided(
    features: Float[np.ndarray, "i j k c"],
    placed_mm: Float[np.ndarray, "i j k"],
    outline_mm: Float[np.ndarray, "i j k"],
) -> Mask:
    """Return the brain by tissues and placement, near the present outline."""
    core = _mixture(features[outline_mm > _CORE_MM])
    shell = _mixture(features[(outline_mm < -_SHELL_MM[0]) & (outline_mm > -_SHELL_MM[1])])
    if core is None or shell is None:
        return np.asarray(outline_mm > 0)
    band = np.abs(outline_mm) < _BAND_MM
    evidence = np.zeros(outline_mm.shape)
    difference = core.score_samples(features[band]) - shell.score_samples(features[band])
    evidence[band] = np.clip(difference, -_MOST_EVIDENCE, _MOST_EVIDENCE)
    mask = gaussian_filter(evidence, 0.7) + placed_mm / _TRUST_MM > 0
    mask[outline_mm > _BAND_MM] = True
    mask[outline_mm < -_BAND_MM] = False
    opened = _largest(np.asarray(binary_opening(mask, iterations=2)))
    return np.asarray(binary_fill_holes(binary_closing(opened, iterations=2)))


def _mixture(values: Float[np.ndarray, "n c"]) -> GaussianMixture | None:
    if len(values) < 50 * _TISSUES:
        return None
    sample = values[:: max(1, len(values) // _SAMPLES)]
    if len(np.unique(sample, axis=0)) < 50 * _TISSUES:  # a damaged image of a few values has no tissues
        return None
    return GaussianMixture(_TISSUES, random_state=0, reg_covar=1e-4).fit(sample)


def _largest(mask: Mask) -> Mask:
    labelled, n = label(mask)
    if n <= 1:
        return mask
    return np.asarray(labelled == np.bincount(labelled.ravel())[1:].argmax() + 1)
