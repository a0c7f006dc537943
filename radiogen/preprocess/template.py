"""The brains that cases are brought to: MNI152 by default, SRI24 or any other skull-stripped T1 from a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from scipy.ndimage import binary_fill_holes

from radiogen.cohort.nifti import Grid, Image, read_image
from radiogen.errors import ConfigError, ImageError
from radiogen.preprocess.intensity import foreground
from radiogen.preprocess.register import is_stripped, register
from radiogen.types import Affine, Mask, Volume

BUILT_IN = ("mni152",)
"""Templates that come with radiogen's dependencies."""


@dataclass(frozen=True)
class Template:
    """A brain that cases are brought to.

    Args:
        name: `mni152`, or the file's name without its ending.
        image: skull-stripped T1.
        brain: its brain, canonical.
        grey: share of each voxel that is grey matter, 0 to 1; none where the template has no such map.
        white: the same for white matter.
    """

    name: str
    image: Image
    brain: Mask
    grey: Volume | None = None
    white: Volume | None = None


def load_template(name_or_path: str | Path = "mni152") -> Template:
    """Return a template by name or from a file.

    Args:
        name_or_path: `mni152` (1 mm, carried by nilearn, nothing is downloaded) or a skull-stripped T1 in NIfTI, such as SRI24's.

    Raises:
        ConfigError: neither a known name nor a file.
        ImageError: the file cannot be read or shows a skull.

    Source: Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54(1), 2011 (ICBM 2009a); Rohlfing et al.,
    The SRI24 multichannel atlas of normal adult human brain structure, doi:10.1002/hbm.20906.

    Example:
        >>> load_template().image.data.shape
        (197, 233, 189)
    """
    if str(name_or_path) in BUILT_IN:
        return _mni152()
    path = Path(name_or_path)
    if not path.is_file():
        raise ConfigError(
            f"The template '{name_or_path}' is neither a file nor one of: {', '.join(BUILT_IN)}.",
            hint="Give the path of a skull-stripped T1 in NIfTI.",
        )
    image = read_image(path)
    if not is_stripped(image):
        raise ImageError(f"{path.name} shows more than a brain.", hint="Give a skull-stripped template.")
    brain = np.asarray(binary_fill_holes(foreground(image.data)))
    return Template(path.name.removesuffix(".gz").removesuffix(".nii"), image, brain)


@lru_cache(maxsize=1)
def _mni152() -> Template:
    image = load_mni152_template(resolution=1)
    data = image.get_fdata(dtype=np.float32)
    grid = Grid((data.shape[0], data.shape[1], data.shape[2]), np.asarray(image.affine, dtype=float))
    brain = np.asarray(load_mni152_brain_mask(resolution=1).dataobj) > 0
    grey, white = (
        np.clip(load(resolution=1).get_fdata(dtype=np.float32), 0, 1)
        for load in (load_mni152_gm_template, load_mni152_wm_template)
    )
    stripped = np.where(brain, data, np.float32(0))
    parts = [grid.to_canonical(part) for part in (stripped, brain, grey, white)]
    return Template("mni152", Image(parts[0], grid), parts[1], parts[2], parts[3])


def bridge(fixed: Template, moving: Template) -> Affine:
    """Return where in one template each point of another lies: affine, the same every time.

    Args:
        fixed: the template whose points are asked for.
        moving: the template they are looked for in.

    Returns:
        World of `fixed` -> world of `moving`, mm.

    Example:
        >>> bridge(load_template(), load_template()).tolist() == np.eye(4).tolist()
        True
    """
    if fixed.image.grid.same_space(moving.image.grid) and np.array_equal(fixed.image.data, moving.image.data):
        return np.eye(4)
    return register(fixed.image, moving.image, kind="affine").matrix
