"""The network branch as a scikit-learn transformer, with a cache of single cases by content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.base import Extraction, FeatureBranch, scheme_hash
from radiogen.branches.network.base import NetworkTemplate, PatientGraph
from radiogen.branches.network.columns import column_names, graph_values
from radiogen.branches.network.disconnection import WholeNetwork, whole_network
from radiogen.branches.network.graph_files import read_graph, write_connections, write_graph
from radiogen.branches.network.patient import patient_graph, share_outside_brain
from radiogen.branches.network.template import default_template, load_template_file
from radiogen.cohort.case import CaseImages, check_one_space, read_case
from radiogen.cohort.masks import detect_scheme, translate_labels
from radiogen.cohort.nifti import Grid, read_labels
from radiogen.cohort.table import present_sequences
from radiogen.config.network import NetworkSettings
from radiogen.errors import ImageError, InputError
from radiogen.preprocess.template_space import place_case, transform_files
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import content_hash, hash_inputs
from radiogen.types import Affine, LabelVolume

STAGE = "features-network"

_ALGORITHM = 1
"""Raised when this package measures something in another way, so that cached values are made again."""
_PACKAGES = ("SimpleITK", "scipy", "numpy", "nilearn", "networkx")

_DOUBTFUL, _IMPOSSIBLE = 0.2, 0.5
_WHOLE_TUMOUR = "whole-tumour"


@dataclass(frozen=True)
class CaseNetwork:
    """What is known about one case.

    Args:
        values: column -> value; columns that are not here are blank.
        notes: why columns are blank, and how the case was registered, one line each.
        graph: the graph; nothing where the case could not be placed.
    """

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    graph: PatientGraph | None = None


class NetworkBranch(FeatureBranch):
    """What a tumour does to the brain's network: destroyed regions and connections, and the network's measures without them.

    Columns are `network_<name>` for the whole network, its halves and lobes, `network_destroyed_<region>` for the share of every region of the
    atlas inside the tumour, and `network_strength_loss_<region>` for the share of its connections' weight that is lost. The network is that of the
    template, not of the patient: no diffusion image is looked at.

    Args:
        settings: what is measured.
        jobs: cases worked on at the same time; the values do not depend on it.
        cache_folder: where values and graphs of single cases are kept by content hash; None: nowhere.
        progress: show a progress bar.
        on_failure: `raise`, or `skip` to leave cases with unusable files out of the table that `transform` returns.

    Source: Foulon et al., GigaScience 2018;7:giy004 (disconnection by a template); Rubinov and Sporns, NeuroImage 2010;52:1059 (measures).

    Example:
        >>> NetworkBranch(NetworkSettings(cut_by="tc")).settings.severed
        0.5
    """

    settings: NetworkSettings

    def extract(self, table: pd.DataFrame, *, dask: str | None = None) -> Extraction:
        """Return the network columns of every case of a cohort table; cases with unusable files are quarantined.

        Where the settings name a folder for graphs, those are written too.

        Raises:
            InputError: the template cannot be used.
        """
        columns = (
            self.get_feature_names_out().tolist()
        )  # also finds what is wrong with the template before the first case
        rows = {str(case): row for case, row in table.iterrows()}
        work = partial(case_network, settings=self.settings, cache_folder=self.cache_folder)
        results, failures = run_cases(work, rows, stage=STAGE, jobs=self.jobs, dask=dask, progress=self.progress)
        index = pd.Index(list(results), name="case", dtype=object)
        features = pd.DataFrame([found.values for found in results.values()], index=index, columns=columns, dtype=float)
        return Extraction(features, failures, {case: found.notes for case, found in results.items() if found.notes})

    def provenance_settings(self) -> dict[str, Any]:
        """Return the settings; a template counts by its content, not by its path."""
        return {**_settings_that_count(self.settings), "algorithm": _ALGORITHM}

    def provenance_inputs(self, table: pd.DataFrame) -> dict[str, str]:
        """Return the hash of every image and mask, and of the transforms of preprocessing."""
        inputs: dict[str, str] = {}
        for case, row in table.iterrows():
            inputs |= {f"{case}/{role}": value for role, value in _inputs(row, self.settings).items()}
        return inputs

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns; they follow from the settings and the template alone."""
        return np.array(column_names(template_of(self.settings)), dtype=object)


def template_of(settings: NetworkSettings) -> NetworkTemplate:
    """Return the template that the settings mean.

    Raises:
        InputError: its file cannot be used.
    """
    return default_template() if settings.template is None else load_template_file(settings.template)


def case_network(case: str, row: pd.Series, *, settings: NetworkSettings, cache_folder: Path | None) -> CaseNetwork:
    """Return the columns of one cohort row, from the cache where the same content was measured before.

    Raises:
        ImageError: the case has no mask, or files are unusable.
        GeometryError: mask and sequences do not share their voxels.
    """
    whole = _whole_network(settings.template, _template_hash(settings))
    stem = None if cache_folder is None else Path(cache_folder) / _cache_key(row, settings)
    found = _read_entry(stem, case)
    if found is None:
        found = measure_case(row, settings, whole)
        _write_entry(stem, found)
    if settings.graphs is not None and found.graph is not None:
        write_graph(Path(settings.graphs) / f"{case}.safetensors", found.graph, whole.template)
        write_connections(Path(settings.graphs) / f"{case}.csv", found.graph, whole.template, settings.cut_by)
    return found


@dataclass(frozen=True)
class LocatedCase:
    """One cohort row, read and placed.

    Args:
        images: the sequences; none of them is needed.
        labels: mask in radiogen's labels, on the same voxels.
        matrix: world of the case -> world of the template, mm; None: the case could not be placed, or must not be used.
        whole_only: the mask shows the whole tumour only.
        notes: what is missing, and why the case could not be placed, one line each.
    """

    images: CaseImages
    labels: LabelVolume
    matrix: Affine | None
    whole_only: bool
    notes: list[str]


def locate_case(row: pd.Series, settings: NetworkSettings) -> LocatedCase:
    """Read one cohort row and find its place in the template's brain.

    Args:
        row: cohort row with a mask.
        settings: `registration`, `preprocessed`, `cut_by`, `seed`.

    Raises:
        ImageError: the case has no mask, or files are unusable.
        GeometryError: mask and sequences do not share their voxels.
    """
    labels, grid, scheme = _read_mask(row)
    images = read_case(row) if present_sequences(row) else CaseImages(str(row.name), {}, grid)
    check_one_space({"mask": grid, "images": images.grid}, "images")
    whole_only = scheme == _WHOLE_TUMOUR
    notes = [f"{name}: missing, its features in the graph are 0" for name in images.missing]
    if whole_only:
        notes.append("the mask shows the whole tumour only, so what its parts destroy is blank")
    if whole_only and settings.cut_by != "wt":
        notes.append(f"blank, cut_by is {settings.cut_by} and the mask shows the whole tumour only")
        return LocatedCase(images, labels, None, whole_only, notes)
    placement = place_case(row, labels, grid, settings)
    notes += [placement.note] if placement.note else []
    matrix = placement.matrix
    outside = 0.0 if matrix is None else share_outside_brain(labels, grid, matrix)
    if outside > _DOUBTFUL:
        blank = ", so all columns are blank" if outside > _IMPOSSIBLE else ", so the place is doubtful"
        notes.append(f"place: {outside:.0%} of the tumour lie outside the template's brain{blank}")
    return LocatedCase(images, labels, None if outside > _IMPOSSIBLE else matrix, whole_only, notes)


def measure_case(row: pd.Series, settings: NetworkSettings, whole: WholeNetwork) -> CaseNetwork:
    """Measure one cohort row.

    Args:
        row: cohort row with a mask; without sequences the graph holds only what the tumour destroys.
        settings: what is measured.
        whole: the network of the template.

    Raises:
        ImageError: the case has no mask, or files are unusable.
        GeometryError: mask and sequences do not share their voxels.
    """
    place = locate_case(row, settings)
    if place.matrix is None:
        return CaseNetwork({}, place.notes)
    labels, notes = place.labels, place.notes
    graph = patient_graph(place.images, labels, whole.template, settings, place.matrix)
    if labels.any() and not graph.destroyed_edges.any():
        notes.append(
            f"{settings.cut_by} touches no connection of the template, so nothing is lost; a template may leave out the cerebellum"
        )
    return CaseNetwork(graph_values(graph, whole, settings.severed, whole_only=place.whole_only), notes, graph)


@lru_cache(maxsize=2)
def _whole_network(template: Path | None, content: str) -> WholeNetwork:
    """Return the template measured once per process; `content` tells another template under the same name."""
    return whole_network(template_of(NetworkSettings(template=template)))


def _template_hash(settings: NetworkSettings) -> str:
    if settings.template is None:
        return content_hash(dict(default_template().provenance))
    if not Path(settings.template).is_file():
        raise InputError(
            f"The network template {settings.template} does not exist.", hint="Make one: radiogen network template."
        )
    return sha256_file(settings.template)


def _read_mask(row: pd.Series) -> tuple[LabelVolume, Grid, str]:
    if not isinstance(row.get("mask"), str):
        raise ImageError("The case has no mask.", hint="Run radiogen segment first, or give one in the column 'mask'.")
    stored, grid = read_labels(row["mask"])
    given = row.get("mask_labels")
    scheme = given if isinstance(given, str) and given else detect_scheme(stored)
    return translate_labels(stored, scheme), grid, scheme


def _settings_that_count(settings: NetworkSettings) -> dict[str, Any]:
    values = settings.model_dump(mode="json", exclude={"template", "preprocessed", "graphs"})
    return {**values, "template": _template_hash(settings)}


def _inputs(row: pd.Series, settings: NetworkSettings) -> dict[str, str]:
    files = {**present_sequences(row), **transform_files(row, settings), "mask": row.get("mask")}
    return {**hash_inputs(files), **scheme_hash(row)}


def _cache_key(row: pd.Series, settings: NetworkSettings) -> str:
    return content_hash(
        {
            "algorithm": _ALGORITHM,
            "settings": _settings_that_count(settings),
            "inputs": _inputs(row, settings),
            "versions": {name: version(name) for name in _PACKAGES},
        }
    )


def _write_entry(stem: Path | None, found: CaseNetwork) -> None:
    if stem is None:
        return
    if found.graph is not None:
        write_graph(stem.with_suffix(".safetensors"), found.graph)
    values: Mapping[str, Any] = {"values": found.values, "notes": found.notes, "graph": found.graph is not None}
    write_json(stem.with_suffix(".json"), values)


def _read_entry(stem: Path | None, case: str) -> CaseNetwork | None:
    if stem is None or not stem.with_suffix(".json").is_file():
        return None
    try:
        stored = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        values = {name: float("nan") if value is None else float(value) for name, value in stored["values"].items()}
        graph = read_graph(stem.with_suffix(".safetensors"), case) if stored["graph"] else None
        return CaseNetwork(values, [str(note) for note in stored["notes"]], graph)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
        return None  # a damaged entry is made again
