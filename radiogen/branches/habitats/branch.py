"""The habitats branch: a frozen model applied to cohort rows, one row of features per case, and its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from radiogen.branches.base import RowBranch, scheme_hash
from radiogen.branches.habitats.features import habitat_features
from radiogen.branches.habitats.model import FILES, HabitatModel, load_model
from radiogen.branches.habitats.voxels import CaseVoxels, read_case_voxels
from radiogen.cohort.nifti import write_labels
from radiogen.config.habitats import HabitatSettings
from radiogen.resources import sha256_file
from radiogen.run.provenance import hash_inputs
from radiogen.types import LabelVolume


@dataclass(frozen=True)
class HabitatValues:
    """What the branch knows of one case.

    Args:
        values: column -> value.
        notes: remarks on blank columns; there are none.
    """

    values: dict[str, float]
    notes: list[str] = field(default_factory=list)


class HabitatBranch(RowBranch):
    """Habitat features of a model that was fitted before; columns `habitat_...`.

    The model was fitted on its training patients: as features of those same patients in cross-validation its columns know the test rows.

    Args:
        settings: kept for the branch's provenance.
        model_folder: the folder that `save_model` wrote.
        maps_folder: where each case's habitat map is written as `<case>.nii.gz`; None: nowhere.
        data_folder: what relative paths of maps beyond the four sequences are relative to.
        options: those of `RowBranch`.
    """

    stage: ClassVar[str] = "habitats"
    algorithm: ClassVar[int] = 1

    def __init__(
        self,
        settings: HabitatSettings,
        model_folder: Path,
        *,
        maps_folder: Path | None = None,
        data_folder: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(settings, **options)
        self.model_folder, self.maps_folder, self.data_folder = model_folder, maps_folder, data_folder
        self.model = load_model(model_folder)

    def measurement(self) -> Callable[[str, pd.Series], HabitatValues]:
        """Return the function that divides a case, writes its map and measures it."""
        return partial(_measured, model=self.model, maps_folder=self.maps_folder, data_folder=self.data_folder)

    def settings_that_count(self) -> dict[str, Any]:
        """Return the content of the model's files."""
        return {name: sha256_file(self.model_folder / name) for name in FILES}

    def inputs_of_case(self, row: pd.Series) -> dict[str, str]:
        """Return the hash of every map and of the mask."""
        paths = {name: _path(row.get(name), self.data_folder) for name in (*self.model.maps, "mask")}
        return {**hash_inputs(paths), **scheme_hash(row)}

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the model's columns."""
        return np.array(self.model.columns, dtype=object)


def read_voxels(case: str, row: pd.Series, *, maps: tuple[str, ...], region: str, folder: Path | None) -> CaseVoxels:
    """Read a case's voxels; see `read_case_voxels`."""
    return read_case_voxels(row, maps, region, folder)


def measured(
    voxels: CaseVoxels, model: HabitatModel, map_path: Path | None = None
) -> tuple[HabitatValues, LabelVolume]:
    """Divide a case, write its map, and measure it.

    Args:
        voxels: of the case.
        model: frozen.
        map_path: where its habitat map is written; None: nowhere.

    Returns:
        The features, and the map on the canonical grid.
    """
    habitats = model.divide(voxels.values)
    labels = voxels.volume_labels(habitats)
    if map_path is not None:
        write_labels(map_path, labels, voxels.grid)
    return HabitatValues(habitat_features(voxels.box_labels(habitats), model.k)), labels


def _measured(
    case: str, row: pd.Series, *, model: HabitatModel, maps_folder: Path | None, data_folder: Path | None
) -> HabitatValues:
    voxels = read_case_voxels(row, model.maps, model.region, data_folder)
    return measured(voxels, model, None if maps_folder is None else maps_folder / f"{case}.nii.gz")[0]


def _path(value: object, folder: Path | None) -> Path | None:
    return (folder or Path()) / value if isinstance(value, str) and value else None
