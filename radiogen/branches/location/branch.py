"""The location branch as a scikit-learn transformer, with a cache of single cases by content."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.base import RowBranch, entry_key, read_entry, read_scheme_mask, scheme_hash
from radiogen.branches.location.atlas import LobeMap, atlas_columns, atlas_hashes, lobe_map
from radiogen.branches.location.measure import (
    COMPOSITION,
    PLACE,
    composition,
    outside_brain,
    place,
    region_points,
    tumour_regions,
)
from radiogen.cohort.table import present_sequences
from radiogen.config.location import LocationSettings
from radiogen.preprocess.template_space import place_case, transform_files
from radiogen.run.atomic import write_json
from radiogen.run.provenance import hash_inputs

STAGE = "features-location"

_ALGORITHM = 2
"""Raised when this package measures something in another way, so that cached values are made again."""
_PACKAGES = ("SimpleITK", "scipy", "numpy", "nilearn")

_DOUBTFUL, _IMPOSSIBLE = 0.2, 0.5
_WHOLE_TUMOUR = "whole-tumour"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CasePlace:
    """What is known about one case.

    Args:
        values: column -> value; columns that are not here are blank.
        notes: why columns are blank, and how the case was registered, one line each.
    """

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class LocationBranch(RowBranch):
    """Where the tumour lies in MNI152, and what it is made of.

    Columns are `location_<region>_<name>` for the place (centroid, sides, distances to midline, ventricles and surface in mm, fractions of tissues
    and lobes), and `location_<name>` for ratios of volumes and numbers of lesions. Lobes need an atlas (setting `atlas`). How often a place is
    taken has been reported to depend on IDH and MGMT; a model may use that, and one of texture may be using it without saying so.

    Args:
        settings: what is measured.
        jobs: cases worked on at the same time; the values do not depend on it.
        cache_folder: where the values of single cases are kept by content hash; None: nowhere.
        progress: show a progress bar.
        on_failure: `raise`, or `skip` to leave cases with an unusable mask out of the table that `transform` returns.

    Source: Ellingson et al., AJNR Am J Neuroradiol 2013;34:533 (place and phenotype of glioblastoma).

    Example:
        >>> LocationBranch(LocationSettings(regions=("wt",))).get_feature_names_out()[:2].tolist()
        ['location_wt_centroid_x_mm', 'location_wt_centroid_y_mm']
    """

    settings: LocationSettings

    stage = STAGE
    algorithm = _ALGORITHM

    def measurement(self) -> Callable[[str, pd.Series], CasePlace]:
        """Return the function that measures a case."""
        if self.settings.atlas is None:
            log.info("features location: no columns for lobes, because no atlas is set; give 'aal' or a label map")
        return partial(case_place, settings=self.settings, cache_folder=self.cache_folder)

    def settings_that_count(self) -> dict[str, Any]:
        """Return the settings; an atlas counts by its content, not by its path."""
        return _settings_that_count(self.settings)

    def inputs_of_case(self, row: pd.Series) -> dict[str, str]:
        """Return the hash of the mask, of the sequences that may be registered, and of the transforms of preprocessing."""
        return _inputs(row, self.settings)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns; they follow from the settings and the atlas alone."""
        lobes = lobe_map(self.settings)
        names = [*PLACE, *(atlas_columns(lobes.lobes) if lobes is not None else [])]
        placed = [f"location_{region}_{name}" for region in self.settings.regions for name in names]
        return np.array([*placed, *(f"location_{name}" for name in COMPOSITION)], dtype=object)


def case_place(case: str, row: pd.Series, *, settings: LocationSettings, cache_folder: Path | None) -> CasePlace:
    """Return the columns of one cohort row, from the cache where the same content was measured before.

    Raises:
        ImageError: the case has no mask, or files are unusable.
        GeometryError: the mask and the sequence that is registered do not share their voxels.
    """
    key = entry_key(_ALGORITHM, _settings_that_count(settings), _inputs(row, settings), _PACKAGES)
    entry = None if cache_folder is None else Path(cache_folder) / f"{key}.json"
    known = read_entry(entry)
    if known is not None:
        return CasePlace(*known)
    found = measure_case(row, settings, lobe_map(settings))
    if entry is not None:
        write_json(entry, {"values": found.values, "notes": found.notes})
    return found


def measure_case(row: pd.Series, settings: LocationSettings, lobes: LobeMap | None) -> CasePlace:
    """Measure one cohort row.

    A region without voxels has no place and a note; its ratios are 0 where what they are divided by is there.

    Args:
        row: cohort row with a mask; a sequence only where the case has to be registered.
        settings: what is measured.
        lobes: the atlas; None: no lobes.

    Raises:
        ImageError: the case has no mask, or files are unusable.
        GeometryError: the mask and the sequence that is registered do not share their voxels.
    """
    labels, grid, scheme = read_scheme_mask(row)
    whole_only = scheme == _WHOLE_TUMOUR
    found = composition(labels, grid, settings.least_lesion_ml, whole_only=whole_only)
    values = {f"location_{name}": value for name, value in found.items()}
    notes = ["the mask shows the whole tumour only, so its parts and their ratios are blank"] if whole_only else []
    masks = tumour_regions(labels)
    usable = {name: masks[name] for name in settings.regions if name == "wt" or not whole_only}
    notes += [f"{name}: the mask has no such voxel" for name, mask in usable.items() if not mask.any()]
    if not masks["wt"].any():
        return CasePlace(values, notes)
    placement = place_case(row, labels, grid, settings)
    notes += [placement.note] if placement.note else []
    if placement.matrix is None:
        return CasePlace(values, notes)
    outside = outside_brain(region_points(masks["wt"], grid, placement.matrix))
    if outside > _DOUBTFUL:
        blank = ", so the place is blank" if outside > _IMPOSSIBLE else ", so the place is doubtful"
        notes.append(f"place: {outside:.0%} of the tumour lie outside the template's brain{blank}")
    for name, mask in usable.items() if outside <= _IMPOSSIBLE else ():
        if mask.any():
            numbers = place(region_points(mask, grid, placement.matrix), settings.crossing_share, lobes)
            values |= {f"location_{name}_{key}": value for key, value in numbers.items()}
    return CasePlace(values, notes)


def _settings_that_count(settings: LocationSettings) -> dict[str, Any]:
    values = settings.model_dump(mode="json", exclude={"atlas", "atlas_names", "preprocessed"})
    return {**values, "atlas": atlas_hashes(settings)}


def _inputs(row: pd.Series, settings: LocationSettings) -> dict[str, str]:
    files = {**present_sequences(row), **transform_files(row, settings), "mask": row.get("mask")}
    return {**hash_inputs(files), **scheme_hash(row)}
