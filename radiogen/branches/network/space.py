"""The template brain of networks: MNI152 on coarser voxels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from radiogen.cohort.nifti import Grid
from radiogen.preprocess.template import load_template
from radiogen.types import Mask, Volume

_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True)
class BrainSpace:
    """The template brain that networks live in.

    Args:
        grid: canonical grid.
        brain: the brain.
        grey: share of grey matter, 0 to 1.
        white: share of white matter, 0 to 1.
    """

    grid: Grid
    brain: Mask
    grey: Volume
    white: Volume


@lru_cache(maxsize=2)
def brain_space(voxel_mm: int) -> BrainSpace:
    """Return MNI152 with its tissue maps on voxels of whole millimetres.

    Args:
        voxel_mm: voxel size, mm; maps are smoothed to it before every n-th voxel is taken.

    Source: Fonov et al., NeuroImage 54(1), 2011 (the symmetric ICBM 2009a template that nilearn carries).

    Example:
        >>> brain_space(2).grid.shape
        (99, 117, 95)
    """
    template = load_template()
    if template.grey is None or template.white is None:  # mni152 has both
        raise TypeError("the template has no tissue maps")
    every = (slice(None, None, voxel_mm),) * 3
    affine = template.image.affine @ np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    brain = template.brain[every]
    grid = Grid((brain.shape[0], brain.shape[1], brain.shape[2]), affine)
    sigma = voxel_mm * _FWHM_TO_SIGMA if voxel_mm > 1 else 0.0
    grey, white = (
        np.ascontiguousarray(gaussian_filter(map_, sigma)[every]) for map_ in (template.grey, template.white)
    )
    return BrainSpace(grid, np.ascontiguousarray(brain), grey, white)


def world_of(grid: Grid) -> Float[np.ndarray, "3 i j k"]:
    """Return the world coordinates of every voxel of a grid.

    Args:
        grid: any.

    Returns:
        x, y, z in mm (RAS), in canonical order.

    Example:
        >>> world_of(Grid((2, 1, 1), np.diag([2.0, 2, 2, 1])))[0].ravel().tolist()
        [0.0, 2.0]
    """
    affine = grid.canonical_affine
    voxels = np.indices(grid.canonical_shape, dtype=float)
    return np.tensordot(affine[:3, :3], voxels, axes=1) + affine[:3, 3].reshape(3, 1, 1, 1)
