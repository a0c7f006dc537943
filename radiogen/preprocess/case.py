"""One case from its own voxels to one grid: co-registration, template space, brain, bias field, intensity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import binary_erosion

from radiogen.cohort.nifti import Grid, Image
from radiogen.config.preprocess import PreprocessSettings
from radiogen.errors import ImageError
from radiogen.preprocess.bias import correct_bias
from radiogen.preprocess.deface import deface
from radiogen.preprocess.extract import BrainMask, extract_brain_mask
from radiogen.preprocess.intensity import foreground
from radiogen.preprocess.register import Registration, pose, register, resample_onto
from radiogen.preprocess.standardise import INTENSITY_METHODS
from radiogen.preprocess.template import Template
from radiogen.types import SEQUENCES, Affine, Mask, Volume

_STILL_MM, _STILL_DEG = 1.0, 1.0
"""A sequence that shares its voxels with the reference and would be moved by less than this is left where it is: the move is within the error of
registration itself."""


@dataclass(frozen=True)
class Preprocessed:
    """A case on the output grid.

    Args:
        images: sequence name -> intensities as they are written.
        unstripped: sequence name -> intensities with all that was imaged, before intensity methods.
        brain: the brain on the same voxels.
        grid: of the output; its own axes are canonical.
        matrices: sequence name -> where in its own world (mm) each point of the output's world lies.
        registrations: sequence name -> how it was registered: the reference to the template, the others to the reference.
        reference: the sequence that was registered to the template.
        already_stripped: the images came without a skull.
        notes: what was done or missing, in plain sentences.
    """

    images: Mapping[str, Volume]
    unstripped: Mapping[str, Volume]
    brain: Mask
    grid: Grid
    matrices: Mapping[str, Affine]
    registrations: Mapping[str, Registration]
    reference: str
    already_stripped: bool
    notes: tuple[str, ...]


def preprocess_images(
    images: Mapping[str, Image], template: Template, settings: PreprocessSettings, *, given_brain: Image | None = None
) -> Preprocessed:
    """Bring the sequences of one case onto one grid in template space.

    Every image is resampled once: its registration to the reference and the reference's to the template are composed first.

    Args:
        images: sequence name -> image on its own grid.
        template: the space of the output.
        settings: how.
        given_brain: brain mask in the world of the reference, where the user has one.

    Raises:
        ImageError: there is no sequence.
        CaseError: no brain is found.
    """
    present = {name: images[name] for name in SEQUENCES if name in images}
    if not present:
        raise ImageError("The case has no sequence.", hint="Give at least one of t1n, t1c, t2w, t2f.")
    reference = next(name for name in settings.reference_order if name in present)
    notes = [f"{name} is missing." for name in SEQUENCES if name not in present]
    compared = present if settings.bias == "none" else {name: _even(image) for name, image in present.items()}
    registrations, matrices = _register_all(compared, reference, template, settings, notes)
    grid = output_grid(template, settings.spacing_mm)
    raw = {
        name: resample_onto(image, grid, matrices[name], interpolation=settings.interpolation)
        for name, image in present.items()
    }
    given = (
        None if given_brain is None else resample_onto(given_brain, grid, matrices[reference], interpolation="nearest")
    )
    found = extract_brain_mask(
        raw, grid, template, method=settings.brain if given is None else "given", given=None if given is None else given > 0
    )  # fmt: skip
    notes += found.notes
    done = {name: _finished(name, raw[name], grid, found, settings) for name in raw}
    return Preprocessed(
        done, raw, found.mask, grid, matrices, registrations, reference, found.already_stripped, tuple(notes)
    )


def output_grid(template: Template, spacing_mm: float) -> Grid:
    """Return the grid of the output: the template's box in voxels of the spacing, axes R, A, S.

    Args:
        template: the space.
        spacing_mm: voxel edge, mm.
    """
    own = template.image.grid
    edges_mm = [n * mm for n, mm in zip(own.canonical_shape, own.voxel_size_mm, strict=True)]
    i, j, k = (max(1, round(edge / spacing_mm)) for edge in edges_mm)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    first = own.canonical_affine[:3, 3] - np.array(own.voxel_size_mm) / 2
    affine[:3, 3] = first + spacing_mm / 2
    return Grid((i, j, k), affine)


def _register_all(
    images: Mapping[str, Image], reference: str, template: Template, settings: PreprocessSettings, notes: list[str]
) -> tuple[dict[str, Registration], dict[str, Affine]]:
    """Return how each sequence was registered, and its matrix from template world to its own."""
    fixed = images[reference]
    to_reference = register(template.image, fixed, kind=settings.transform, seed=settings.seed)
    registrations, matrices = {reference: to_reference}, {reference: to_reference.matrix}
    for name, image in images.items():
        if name == reference:
            continue
        found = register(fixed, image, kind="rigid", seed=settings.seed)
        rotation_deg, shift_mm = pose(found.matrix, middle_mm(fixed))
        together = image.grid.same_space(fixed.grid)
        if together and rotation_deg < _STILL_DEG and shift_mm < _STILL_MM:
            found = replace(found, matrix=np.eye(4), similarity_after=found.similarity_before)
            notes.append(f"{name} already lay on {reference} and was left there.")
        registrations[name] = found
        matrices[name] = found.matrix @ to_reference.matrix
    return registrations, matrices


def middle_mm(image: Image) -> Float[np.ndarray, " 3"]:
    """Return the world position of the middle of an image, mm: the point whose move tells most; a world's origin may lie outside the head."""
    centre = (np.array(image.data.shape, dtype=float) - 1) / 2
    return np.asarray(image.affine[:3, :3] @ centre + image.affine[:3, 3])


def _even(image: Image) -> Image:
    """Return the image without its bias field, for registration."""
    return Image(correct_bias(image, foreground(image.data))[0], image.grid)


def _finished(name: str, image: Volume, grid: Grid, brain: BrainMask, settings: PreprocessSettings) -> Volume:
    """Return one sequence as it is written."""
    if settings.bias == "output":
        inside = brain.mask if not settings.keep_skull else foreground(image)
        image = correct_bias(Image(image, grid), inside)[0]
    if settings.keep_skull and not brain.already_stripped:
        return deface(Image(image, grid), brain.mask) if settings.deface else image
    stripped = np.where(brain.mask, image, np.float32(0))
    return np.asarray(INTENSITY_METHODS.load(settings.intensity)(stripped, brain.mask, name), dtype=np.float32)


def covers(image: Image, grid: Grid, matrix: Affine, brain: Mask) -> float:
    """Return the share of the brain that the scanner imaged.

    Args:
        image: a sequence on its own grid.
        grid: of the output.
        matrix: world of the output -> world of the sequence, mm.
        brain: on the output's grid.

    Example:
        >>> image = Image(np.ones((4, 4, 4), np.float32), Grid((4, 4, 4), np.eye(4)))
        >>> covers(image, Grid((4, 4, 8), np.eye(4)), np.eye(4), np.ones((4, 4, 8), bool))
        0.5
    """
    # The surface alone decides what the field of view cuts off; all voxels are asked, but only at every second one along each axis.
    points = np.argwhere(brain[::2, ::2, ::2]) * 2 if brain.size > 4096 else np.argwhere(brain)
    to_voxel = np.linalg.inv(image.grid.canonical_affine) @ matrix @ grid.canonical_affine
    voxel = points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    within = (voxel > -0.5 - 1e-6) & (voxel < np.array(image.data.shape) - 0.5 + 1e-6)
    return float(within.all(axis=1).mean()) if len(points) else 0.0


def rim(brain: Mask) -> Mask:
    """Return the outermost voxels of a brain, for outlines."""
    return np.asarray(brain & ~binary_erosion(brain))
