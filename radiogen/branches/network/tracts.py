"""Named white-matter tracts: an atlas of probability maps in MNI152, one volume per tract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Integer
from nibabel.filebasedimages import ImageFileError

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.disconnection import share_inside
from radiogen.branches.network.patient import shares_of_voxels
from radiogen.branches.network.space import world_of
from radiogen.cohort.nifti import Grid
from radiogen.errors import InputError
from radiogen.preprocess.deform import Deformation
from radiogen.types import Affine, LabelVolume

LEAST_PROBABILITY = 0.25
"""Share of an atlas' subjects (of its largest value) from which on a voxel belongs to a tract."""


@dataclass(frozen=True)
class Tracts:
    """Named tracts on the voxels of a network template.

    Args:
        names: one per tract.
        voxels: flat voxel indices (C order on the grid), one tract after another, each sorted.
        start: where each tract begins, and the end.
    """

    names: tuple[str, ...]
    voxels: Integer[np.ndarray, " v"]
    start: Integer[np.ndarray, " s"]

    def of(self, tract: int) -> Integer[np.ndarray, " n"]:
        """Return the voxels of one tract."""
        return self.voxels[self.start[tract] : self.start[tract + 1]]


@dataclass(frozen=True)
class TractCover:
    """How one tract lies to the connections of a template.

    Args:
        name: of the tract.
        n_voxels: of the tract on the template's grid.
        covered: share of the tract inside any connection.
        dice: of the tract and the connection that fits it best.
        connection: number of that connection; -1 where none touches the tract.
    """

    name: str
    n_voxels: int
    covered: float
    dice: float
    connection: int


def read_tracts(path: Path, names: Path | None, grid: Grid, least_probability: float = LEAST_PROBABILITY) -> Tracts:
    """Read an atlas of tracts onto a grid (nearest voxel).

    Args:
        path: NIfTI in MNI152 with one volume per tract: probabilities, percentages or bytes from 0; the largest value as stored counts as 1.
        names: text file with one name per line; None: tracts are named by their number.
        grid: the template's.
        least_probability: where a tract is, as a share of the atlas' largest value.

    Raises:
        InputError: it cannot be read, is no such atlas, has another number of names, or has no tract on the grid.

    Source: such as Yeh, Nature Communications 2022;13:4933 (HCP-1065, 64 tracts).
    """
    try:
        image: Any = nib.load(path)
        # As stored, and all at once: one volume after the other would unpack the whole file for each.
        stored = np.asarray(image.dataobj.get_unscaled())
        if stored.ndim != 4:
            raise ValueError(f"it has {stored.ndim} axes, 4 are accepted")
    except (OSError, ImageFileError, IndexError, ValueError, EOFError, AttributeError) as error:
        raise InputError(
            f"{Path(path).name} cannot be read as an atlas of tracts: {' '.join(str(error).split())}.",
            hint="Give a NIfTI file with four axes, one volume per tract.",
        ) from error
    told = _names(names, stored.shape[3])
    to_voxel = np.linalg.inv(image.affine)
    places = np.rint(to_voxel[:3, :3] @ world_of(grid).reshape(3, -1) + to_voxel[:3, 3:]).astype(np.int64)
    inside = np.flatnonzero(((places >= 0) & (places < np.array(image.shape[:3])[:, None])).all(axis=0))
    limit = least_probability * float(stored.max())
    chosen = tuple(places[:, inside])
    found = [inside[stored[..., number][chosen] >= limit] for number in range(stored.shape[3])]
    kept = [number for number, voxels in enumerate(found) if len(voxels)]
    if not kept or limit <= 0:
        raise InputError(f"{path.name} has no tract on the template's grid.", hint="Give an atlas in MNI152 space.")
    start = np.concatenate([[0], np.cumsum([len(found[number]) for number in kept])]).astype(np.int64)
    return Tracts(tuple(told[number] for number in kept), np.concatenate([found[n] for n in kept]), start)


def cover(template: NetworkTemplate, tracts: Tracts) -> list[TractCover]:
    """Return how every tract lies to the connections of a template.

    Args:
        template: any.
        tracts: on the template's grid.
    """
    held = np.zeros(template.nodes.size, dtype=bool)
    held[template.roi_voxels] = True
    sizes = np.diff(template.roi_start)
    rows = []
    for number, name in enumerate(tracts.names):
        voxels = tracts.of(number)
        mine = np.zeros(template.nodes.size, dtype=np.int64)
        mine[voxels] = 1
        common = np.add.reduceat(mine[template.roi_voxels], template.roi_start[:-1])
        dice = 2 * common / (sizes + len(voxels))
        best = int(dice.argmax()) if common.any() else -1
        rows.append(TractCover(name, len(voxels), float(held[voxels].mean()), float(dice.max()), best))
    return rows


def tract_shares(
    tracts: Tracts,
    labels: LabelVolume,
    grid: Grid,
    matrix: Affine,
    template: Grid,
    deformation: Deformation | None = None,
) -> dict[str, dict[str, float]]:
    """Return tumour region -> tract -> share of the tract inside it.

    Args:
        tracts: on the template's grid.
        labels: mask in radiogen's labels.
        grid: of the mask.
        matrix: world of the mask -> world of the template, mm.
        template: its grid.
        deformation: from the template to the case; None: affine.
    """
    occupied = shares_of_voxels(labels, grid, matrix, tracts.voxels, template, deformation)
    places = np.arange(len(tracts.voxels))
    found = {region: share_inside(values, places, tracts.start).tolist() for region, values in occupied.items()}
    return {region: dict(zip(tracts.names, shares, strict=True)) for region, shares in found.items()}


def _names(path: Path | None, n: int) -> list[str]:
    if path is None:
        return [f"tract-{number + 1:02d}" for number in range(n)]
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The names {path} cannot be read: {error}.", hint="Give one name per line.") from error
    if len(lines) != n or len(set(lines)) != n:
        raise InputError(
            f"{path.name} has {len(lines)} names ({len(set(lines))} different), the atlas has {n} tracts.",
            hint="Give one name per line, in the order of the volumes.",
        )
    return lines
