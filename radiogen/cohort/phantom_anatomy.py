"""A made-up brain: the MNI152 tissue maps that nilearn carries, deformed at random into one patient's anatomy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, zoom

from radiogen.cohort.phantom_fields import smooth_field
from radiogen.types import Affine, Mask, Volume

FIELD_OF_VIEW_MM = (192.0, 228.0, 192.0)
"""Size of the imaged box along R, A, S; it holds the MNI brain with room for a larger one."""

ORIGIN_MM = (-96.0, -128.0, -82.0)
"""World position of the first voxel, MNI millimetres."""

_MOST_TILT_RAD = 0.08
_SIZE_SPREAD = 0.04


@dataclass(frozen=True)
class Template:
    """The shared anatomy, at 1 mm in MNI space.

    Args:
        brain, grey, white: fraction of each voxel, 0 to 1; the rest of the brain is fluid.
        depth_mm: distance from the brain's outer surface, mm; zero outside.
        seeds: where a supratentorial glioma may start, 0 or 1.
        to_voxel: world (mm) -> template voxel, a 4 x 4 matrix.
    """

    brain: Volume
    grey: Volume
    white: Volume
    depth_mm: Volume
    seeds: Volume
    to_voxel: Affine


@dataclass(frozen=True)
class Anatomy:
    """One patient's brain on the phantom's grid.

    Args:
        brain: the brain-extraction mask.
        grey, white, fluid: tissue fractions, summing to 1 inside the brain.
        depth_mm: distance from the brain's surface, mm.
        midline_mm: distance from the (deformed) midsagittal plane, mm, signed.
        height_mm: MNI height of what lies here, mm.
        spacing_mm: voxel edge, mm.
    """

    brain: Mask
    grey: Volume
    white: Volume
    fluid: Volume
    depth_mm: Volume
    midline_mm: Volume
    height_mm: Volume
    spacing_mm: float


@lru_cache(maxsize=2)
def load_template(spacing_mm: float = 1.0) -> Template:
    """Return the MNI152 2009a tissue maps, made ready once per process.

    Args:
        spacing_mm: voxel edge of the phantoms to be made, mm; coarse ones get smoothed maps, so that nothing aliases.

    Source: Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54(1), 2011 (ICBM 2009a).
    """
    image = load_mni152_template(resolution=1)
    brain = np.asarray(load_mni152_brain_mask(resolution=1).dataobj) > 0
    grey, white = (
        np.clip(load(resolution=1).get_fdata(dtype=np.float32), 0, 1) * brain
        for load in (load_mni152_gm_template, load_mni152_wm_template)
    )
    fluid = np.clip(1 - grey - white, 0, 1) * brain
    # An average of 152 brains is blurred; powers of the fractions bring the edges of one brain back.
    sharp = [fraction**1.8 for fraction in (grey, white, fluid)]
    total = np.maximum(sum(sharp), 1e-6)
    maps = [brain.astype(np.float32), sharp[0] / total, sharp[1] / total]
    if spacing_mm > 2:
        maps = [gaussian_filter(part, 0.3 * spacing_mm) for part in maps]
    depth = 2 * distance_transform_edt(brain[::2, ::2, ::2])
    depth = zoom(depth.astype(np.float32), np.array(brain.shape) / depth.shape, order=1)
    affine = np.asarray(image.affine, dtype=float)
    seeds = _seed_region(white, depth, affine)
    return Template(maps[0], maps[1], maps[2], depth, seeds, np.linalg.inv(affine))


def _seed_region(white: Volume, depth_mm: Volume, affine: Affine) -> Volume:
    axes = (np.arange(size) * affine[axis, axis] + affine[axis, 3] for axis, size in enumerate(white.shape))
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    hemisphere = (np.abs(x) > 16) & (y > -80) & (y < 52) & (z > -14) & (z < 52)
    return (hemisphere & (white > 0.5) & (depth_mm > 12)).astype(np.float32)


def grid_shape(spacing_mm: float) -> tuple[int, int, int]:
    """Return the voxels of the phantom's grid along R, A, S.

    Example:
        >>> grid_shape(2.0)
        (97, 115, 97)
    """
    i, j, k = (round(size / spacing_mm) + 1 for size in FIELD_OF_VIEW_MM)
    return i, j, k


def grid_affine(spacing_mm: float) -> Affine:
    """Return the canonical affine of the phantom's grid, mm."""
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = ORIGIN_MM
    return affine


class Deformation:
    """A random smooth map from the phantom's grid into template space.

    Args:
        rng: generator.
        spacing_mm: voxel edge of the phantom, mm.
        variation: multiplier of every random displacement.
    """

    def __init__(self, rng: np.random.Generator, spacing_mm: float, variation: float) -> None:
        self.spacing_mm = spacing_mm
        shape = grid_shape(spacing_mm)
        tilt = rng.uniform(-_MOST_TILT_RAD, _MOST_TILT_RAD, 3) * variation
        size = 1 + rng.normal(0, _SIZE_SPREAD, 3).clip(-2 * _SIZE_SPREAD, 2 * _SIZE_SPREAD) * variation
        matrix = _rotation(tilt) @ np.diag(1 / size)
        axes = (np.arange(n, dtype=np.float32) * spacing_mm + start for n, start in zip(shape, ORIGIN_MM, strict=True))
        self.world_mm = np.stack(np.meshgrid(*axes, indexing="ij"))
        # Turn and scale about the middle of the brain, so that it stays in the field of view.
        centre = np.array([0.0, -18.0, 10.0], dtype=np.float32).reshape(3, 1)
        turned = matrix.astype(np.float32) @ (self.world_mm.reshape(3, -1) - centre) + centre
        self.template_mm = turned.reshape(3, *shape)
        for scale_mm, amplitude_mm in ((45.0, 3.5), (18.0, 1.6)):
            for axis in range(3):
                self.template_mm[axis] += variation * amplitude_mm * smooth_field(rng, shape, spacing_mm, scale_mm)

    def push(self, centre_mm: Float32[np.ndarray, " three"], radius_mm: float, amplitude_mm: float) -> None:
        """Add mass effect: tissue around a centre is pushed outwards.

        Args:
            centre_mm: where the mass grows, world mm.
            radius_mm: how far from the centre the push is strongest, mm.
            amplitude_mm: how far tissue moves there, mm.
        """
        away = self.world_mm - centre_mm.reshape(3, 1, 1, 1)
        ratio = np.sqrt((away**2).sum(axis=0)) / radius_mm
        # r exp(-r^2 / 2) peaks at r = 1; sampling nearer to the centre shows tissue farther out.
        gain = amplitude_mm / radius_mm * np.exp(0.5 - 0.5 * ratio**2)
        self.template_mm -= away * gain

    def sample(
        self,
        volume: Float32[np.ndarray, "a b c"],
        template: Template,
        where: Bool[np.ndarray, "i j k"] | None = None,
        *,
        order: int = 1,
    ) -> Float32[np.ndarray, "i j k"]:
        """Return a template map on the phantom's grid, linearly interpolated (order 0: nearest); zero where `where` is false."""
        matrix = template.to_voxel
        points = self.template_mm.reshape(3, -1) if where is None else self.template_mm[:, where]
        voxels = (matrix[:3, :3].astype(np.float32) @ points) + matrix[:3, 3:].astype(np.float32)
        values = map_coordinates(volume, voxels, order=order, mode="constant", prefilter=False)
        if where is None:
            return values.reshape(self.template_mm.shape[1:])
        filled = np.zeros(where.shape, dtype=np.float32)
        filled[where] = values
        return filled


def _rotation(angles_rad: np.ndarray) -> np.ndarray:
    turn = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        c, s = np.cos(angle), np.sin(angle)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i], step[i, j], step[j, i], step[j, j] = c, -s, s, c
        turn = step @ turn
    return turn


def build_anatomy(deformation: Deformation, template: Template, rng: np.random.Generator) -> Anatomy:
    """Return one patient's tissues.

    Args:
        deformation: the patient's own map into template space, mass effect included.
        template: the shared anatomy.
        rng: generator, for how wide the sulci are.
    """
    spacing = deformation.spacing_mm
    brain = deformation.sample(template.brain, template, order=0) > 0.5
    grey, white = (deformation.sample(part, template, brain) for part in (template.grey, template.white))
    fluid = np.clip(1 - grey - white, 0, 1) * brain
    atrophy = rng.normal(0.2, 0.25) + 0.35 * smooth_field(rng, brain.shape, spacing, 25.0)
    fluid = fluid * np.exp(atrophy)
    total = np.maximum(grey + white + fluid, 1e-6)
    depth = deformation.sample(template.depth_mm, template, brain)
    return Anatomy(
        brain=brain,
        grey=grey / total,
        white=white / total,
        fluid=fluid / total,
        depth_mm=depth,
        midline_mm=deformation.template_mm[0],
        height_mm=deformation.template_mm[2],
        spacing_mm=spacing,
    )
