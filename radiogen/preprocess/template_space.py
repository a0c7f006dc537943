"""How the world of a case is brought to that of MNI152: by its grid, by the transforms of preprocessing, or by registration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from radiogen.cohort.case import check_one_space
from radiogen.cohort.nifti import Grid, read_image
from radiogen.cohort.table import present_sequences
from radiogen.preprocess.deform import Deformation, deform
from radiogen.preprocess.register import Registration, is_stripped, register
from radiogen.preprocess.template import load_template
from radiogen.types import Affine, LabelVolume, Mask

SRI24_GRID = Grid((240, 240, 155), np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]))
"""The voxels of every BraTS image."""

SRI24_TO_MNI152 = np.array(
    [
        [1.08311031, 0.01003606, 0.00423223, 127.378521],
        [0.01162287, 1.02471952, 0.22816515, -143.5815],
        [0.00627066, -0.23286162, 1.14456459, -52.2099388],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""World of SRI24 -> world of MNI152, mm, affine: `preprocess.template.bridge` of the two skull-stripped T1 templates. The other direction, inverted,
puts no point of the brain more than 0.3 mm elsewhere."""

_MARGIN_VOXELS = 2


@runtime_checkable
class PlacementSettings(Protocol):
    """What the settings of a branch say about placing a case."""

    @property
    def registration(self) -> Literal["where-needed", "always", "never"]:
        """Return whether a case is registered whose place its grid or its files tell, or one whose place they do not."""

    @property
    def preprocessed(self) -> Path | None:
        """Return the study folder of `radiogen preprocess` that holds the transforms."""

    @property
    def seed(self) -> int:
        """Return the seed of the sampling in registration."""


@dataclass(frozen=True)
class Placement:
    """Where a case's world lies in that of MNI152.

    Args:
        matrix: case world -> MNI152 world, mm; nothing where it is not known.
        note: how it was registered, or why it is not known; empty where its files say it.
    """

    matrix: Affine | None
    note: str = ""


def place_case(row: pd.Series, labels: LabelVolume, grid: Grid, settings: PlacementSettings) -> Placement:
    """Find where a case lies in MNI152.

    Cases on the grid of the template or of SRI24, and those with transforms of `radiogen preprocess`, are placed by these; any other is registered
    (affine, the lesion left out of the comparison) by the first sequence it has of t1n, t1c, t2w, t2f; where the result is not plausible, by the one
    of the others that becomes most similar to the template.

    Args:
        row: cohort row.
        labels: mask in radiogen's labels.
        grid: of the mask.
        settings: of the branch.

    Raises:
        ImageError: a sequence that is registered cannot be used.
        GeometryError: it does not share its voxels with the mask.
    """
    if settings.registration != "always":
        known = known_matrix(grid, transform_files(row, settings))
        if known is not None:
            return Placement(known)
    if settings.registration == "never":
        return Placement(None, "place: blank, the case's grid is no template's and registration is set to never")
    return _register(row, labels, grid, settings.seed)


def deform_case(row: pd.Series, labels: LabelVolume, matrix: Affine) -> tuple[Deformation | None, str]:
    """Find how a case's brain is pushed aside beside the template's, starting from where it lies, blind to the lesion.

    Args:
        row: cohort row.
        labels: mask in radiogen's labels.
        matrix: case world -> MNI152 world, mm.

    Returns:
        The deformation from MNI152 to the case and an empty note; or nothing, and why.

    Raises:
        ImageError: the native T1 cannot be used.
        GeometryError: it does not have the mask's shape.

    Source: `preprocess.deform.deform`.
    """
    path = present_sequences(row).get("t1n")
    if path is None:
        return None, "place: not deformed, because that needs t1n"
    image = read_image(path)
    if not is_stripped(image):
        return None, "place: not deformed, because t1n shows the skull; run radiogen preprocess first"
    return deform(load_template().image, image, start=np.linalg.inv(matrix), lesion=labels > 0), ""


def known_matrix(grid: Grid, files: Mapping[str, Path]) -> Affine | None:
    """Return case world -> MNI152 world where the grid or the files of `radiogen preprocess` tell it.

    Args:
        grid: of the case.
        files: as `transform_files` returns them.

    Example:
        >>> known_matrix(SRI24_GRID, {}) is SRI24_TO_MNI152
        True
    """
    base = _of_template(grid)
    if base is not None or "transforms" not in files:
        return base
    transforms, sidecar = _read_json(files["transforms"]), _read_json(files["sidecar"])
    try:
        output = _grid(transforms["output"])
        to_mni = np.eye(4) if sidecar["settings"]["template"] == "mni152" else _of_template(output)
        if to_mni is None or grid.same_space(output):
            return to_mni
        for facts in transforms["sequences"].values():
            if grid.same_space(_grid(facts["native"])):
                return to_mni @ np.linalg.inv(np.array(facts["matrix_output_to_native_mm"], dtype=float))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # not files of radiogen preprocess
    return None


def transform_files(row: pd.Series, settings: PlacementSettings) -> dict[str, Path]:
    """Return the files of `radiogen preprocess` that say how a case was moved: beside its images, or in the study of the settings.

    Args:
        row: cohort row; its name is the case id.
        settings: of the branch.
    """
    folders = [Path(path).parent for path in present_sequences(row).values()]
    if settings.preprocessed is not None:
        folders.insert(0, Path(settings.preprocessed) / "preprocessed" / str(row.name))
    for folder in folders:
        files = {"transforms": folder / "transforms.json", "sidecar": folder / "brain.json"}
        if all(path.is_file() for path in files.values()):
            return files
    return {}


def _of_template(grid: Grid) -> Affine | None:
    if grid.same_space(load_template().image.grid):
        return np.eye(4)
    return SRI24_TO_MNI152 if grid.same_space(SRI24_GRID) else None


def _register(row: pd.Series, labels: LabelVolume, grid: Grid, seed: int) -> Placement:
    """Register the first sequence; where that fails the others, of which the most similar one is taken."""
    paths = present_sequences(row)
    if not paths:
        return Placement(None, "place: blank, the case has no sequence to register and its grid is no template's")
    healthy = ~binary_dilation(labels > 0, iterations=_MARGIN_VOXELS)
    first, *others = paths
    tried = {first: _to_template(first, paths[first], grid, healthy, seed)}
    if tried[first].problems:
        tried |= {name: _to_template(name, paths[name], grid, healthy, seed) for name in others}
    failed = {name: found for name, found in tried.items() if found.problems}
    if len(failed) == len(tried):
        causes = " ".join(f"{name}: {' '.join(found.problems)}" for name, found in failed.items())
        return Placement(None, f"place: blank, {', '.join(tried)} could not be registered to MNI152. {causes}")
    best = max((name for name in tried if name not in failed), key=lambda name: tried[name].similarity_after)
    after = f"; {', '.join(failed)} could not be" if failed else ""
    return Placement(
        np.linalg.inv(tried[best].matrix),
        f"place: {best} was registered to MNI152 (similarity {tried[best].similarity_after:.3f} of 1 to 2){after}",
    )


def _to_template(name: str, path: str, grid: Grid, healthy: Mask, seed: int) -> Registration:
    image = read_image(path)
    check_one_space({"mask": grid, name: image.grid}, name)
    # From the template to the case: the template's brain says what is compared, whether the case has its skull or not.
    return register(load_template().image, image, kind="affine", moving_mask=healthy, seed=seed)


def _grid(facts: Mapping[str, Any]) -> Grid:
    i, j, k = (int(n) for n in facts["shape"])
    return Grid((i, j, k), np.array(facts["affine"], dtype=float))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
