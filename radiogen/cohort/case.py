"""One case in memory: its sequences on one grid, and its mask."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from radiogen.cohort.masks import read_mask
from radiogen.cohort.nifti import Grid, Image, read_image
from radiogen.cohort.table import present_sequences
from radiogen.errors import GeometryError, ImageError
from radiogen.types import SEQUENCES, LabelVolume, Volume

Content = TypeVar("Content")

REFERENCE_ORDER = ("t1c", "t2f", "t2w", "t1n")
"""Whose file grid the outputs of a case go back onto: the first of these that the case has."""


@dataclass(frozen=True)
class CaseImages:
    """The sequences of one case, all RAS-canonical on the same voxels.

    Args:
        case: case id.
        images: sequence name -> canonical float32 intensities, in the order `t1n t1c t2w t2f`, only those the case has.
        grid: file grid of the reference sequence (`REFERENCE_ORDER`); outputs are written on it.
    """

    case: str
    images: Mapping[str, Volume]
    grid: Grid

    @property
    def missing(self) -> list[str]:
        """Return the names of the sequences this case does not have."""
        return [name for name in SEQUENCES if name not in self.images]


def read_case(row: pd.Series) -> CaseImages:
    """Read every sequence of a cohort row.

    Args:
        row: one row of the cohort table; its name is the case id.

    Raises:
        ImageError: the case has no sequence, or files are unusable; every unusable file is listed.
        GeometryError: the sequences do not share their voxels; the numbers are in the message.
    """
    paths = present_sequences(row)
    if not paths:
        raise ImageError("The case has no sequence.", hint="Give at least one of t1n, t1c, t2w, t2f.")
    images: dict[str, Image] = read_each(paths, read_image)
    reference = next(name for name in REFERENCE_ORDER if name in images)
    check_one_space({name: image.grid for name, image in images.items()}, reference)
    return CaseImages(str(row.name), {name: image.data for name, image in images.items()}, images[reference].grid)


def read_each(paths: Mapping[str, str], read: Callable[[str], Content]) -> dict[str, Content]:
    """Read several files of a case, and list every one that cannot be used.

    Args:
        paths: role -> file.
        read: reads one file, or raises an ImageError.

    Raises:
        ImageError: files cannot be used.
    """
    contents: dict[str, Content] = {}
    errors: list[ImageError] = []
    # Decompression lets go of the interpreter, so files are read side by side; problems are listed in the order of the files.
    with ThreadPoolExecutor(max_workers=max(1, min(len(paths), os.cpu_count() or 1))) as threads:
        reading = {name: threads.submit(read, path) for name, path in paths.items()}
        for name, content in reading.items():
            try:
                contents[name] = content.result()
            except ImageError as error:
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ImageError(
            f"{len(errors)} files cannot be used:", problems=[error.message for error in errors], hint=errors[0].hint
        )
    return contents


def read_case_mask(row: pd.Series, grid: Grid) -> LabelVolume:
    """Read the mask of a cohort row, in radiogen's labels, checked to lie on the voxels of `grid`.

    Args:
        row: one row of the cohort table; a column `mask_labels` may name the label scheme, otherwise it is detected.
        grid: grid of the case's images.

    Raises:
        ImageError: the case has no mask, or it cannot be used.
        GeometryError: mask and images do not share their voxels.
    """
    if not isinstance(row.get("mask"), str):
        raise ImageError("The case has no mask.", hint="Run radiogen segment first, or give one in the column 'mask'.")
    scheme = row.get("mask_labels")
    labels, mask_grid = read_mask(row["mask"], scheme if isinstance(scheme, str) and scheme else "auto")
    check_one_space({"mask": mask_grid, "images": grid}, "images")
    return labels


def check_one_space(grids: Mapping[str, Grid], reference: str) -> None:
    """Raise when grids do not cover the same voxels of the world.

    Args:
        grids: name for messages -> grid.
        reference: the name that the others are compared with.

    Raises:
        GeometryError: names every grid that lies elsewhere, with the numbers.
    """
    apart = {name: grid for name, grid in grids.items() if not grid.same_space(grids[reference])}
    if apart:
        raise GeometryError(
            f"{', '.join(apart)} and {reference} do not share their voxels:",
            problems=[f"{name}: {grid.describe()}" for name, grid in [*apart.items(), (reference, grids[reference])]],
            hint="Co-register them to one grid first.",
        )
