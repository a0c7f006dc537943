"""Maps of the MNI152 template that places are read from: tissues, distances to the ventricles and to the surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label, map_coordinates

from radiogen.cohort.nifti import Grid
from radiogen.preprocess.template import Template, load_template
from radiogen.types import Mask, Volume

Points = Float[np.ndarray, "3 n"]
"""Points in MNI152 world, mm, RAS."""

_FLUID = 0.55
"""T1 below this share of the template's brightest voxel is fluid: between that of clear fluid (0.26) and of the caudate nucleus (0.70)."""

_LEAST_VENTRICLE_MM3 = 300.0

_BOXES = (
    ((9, 26), (-5, 38), (-6, 36)),  # frontal horns
    ((9, 26), (-35, -5), (6, 36)),  # bodies
    ((18, 42), (-58, -28), (-8, 36)),  # atria
    ((24, 42), (-42, -8), (-20, -8)),  # temporal horns
    ((0, 8), (-32, 2), (-8, 17)),  # third ventricle
    ((0, 8), (3, 28), (-1, 17)),  # frontal horns at the midline; below is the cistern of the lamina terminalis
    ((0, 12), (-56, -30), (-46, -22)),  # fourth ventricle
)
"""Distance from the midline, y and z, mm in MNI152: where fluid is ventricle. The insular and the basal cisterns and the fissure stay outside."""


@dataclass(frozen=True)
class Maps:
    """What the template says about every place.

    Args:
        grid: the template's.
        brain: its brain without holes.
        grey: share of grey matter, 0 to 1.
        white: share of white matter, 0 to 1.
        ventricles: 1 in the ventricles, 0 elsewhere.
        ventricle_mm: distance to the ventricles, mm; 0 inside.
        surface_mm: distance to the outer surface of the brain, mm; 0 outside. Sulci are not surface.
    """

    grid: Grid
    brain: Mask
    grey: Volume
    white: Volume
    ventricles: Volume
    ventricle_mm: Volume
    surface_mm: Volume


@lru_cache(maxsize=1)
def template_maps() -> Maps:
    """Return the maps of MNI152, made once per process.

    Source: Fonov et al., NeuroImage 54(1), 2011 (the symmetric ICBM 2009a template that nilearn carries).
    """
    template = load_template()
    grid = template.image.grid
    brain = np.asarray(binary_fill_holes(template.brain))
    ventricles = template_ventricles(template)
    size = grid.voxel_size_mm
    if template.grey is None or template.white is None:  # mni152 has both
        raise TypeError("the template has no tissue maps")
    return Maps(
        grid,
        brain,
        template.grey,
        template.white,
        ventricles.astype(np.float32),
        distance_transform_edt(~ventricles, sampling=size).astype(np.float32),
        distance_transform_edt(brain, sampling=size).astype(np.float32),
    )


def template_ventricles(template: Template) -> Mask:
    """Return the lateral, third and fourth ventricles of MNI152.

    They are what is dark on the template's T1 within boxes around them, in parts of at least 0.3 ml: 24 ml in all. The template comes with no map of
    fluid, and where the two tissue maps leave room for it, that is as often a sulcus.

    Args:
        template: MNI152.

    Example:
        >>> template = load_template()
        >>> 20_000 < int(template_ventricles(template).sum()) < 30_000
        True
    """
    grid = template.image.grid
    axes = [grid.canonical_affine[i, 3] + np.arange(n) for i, n in enumerate(grid.canonical_shape)]
    lateral, y, z = np.abs(axes[0]), axes[1], axes[2]
    boxes = np.zeros(template.brain.shape, dtype=bool)
    for across, along, up in _BOXES:
        inside = [(part >= low) & (part <= high) for part, (low, high) in ((lateral, across), (y, along), (z, up))]
        boxes[np.ix_(*inside)] = True
    fluid = boxes & template.brain & (template.image.data < _FLUID * template.image.data.max())
    parts, _ = label(fluid)
    sizes_mm3 = np.bincount(parts.ravel()) * float(np.prod(grid.voxel_size_mm))
    return np.asarray(fluid & (sizes_mm3[parts] >= _LEAST_VENTRICLE_MM3))


def values_at(volume: Volume, grid: Grid, points_mm: Points, *, beyond: str = "constant") -> Float[np.ndarray, " n"]:
    """Return a map's values at points, linear between voxels.

    Args:
        volume: canonical, on the grid.
        grid: where it lies.
        points_mm: in the grid's world.
        beyond: outside the grid `constant` (0) or `nearest` (the value at its edge).

    Example:
        >>> ramp = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
        >>> values_at(ramp, Grid((2, 2, 2), np.eye(4)), np.array([[0.5], [0.5], [0.5]])).tolist()
        [3.5]
    """
    to_voxel = np.linalg.inv(grid.canonical_affine)
    voxels = to_voxel[:3, :3] @ points_mm + to_voxel[:3, 3:]
    return np.asarray(map_coordinates(volume, voxels, output=np.float64, order=1, mode=beyond))
