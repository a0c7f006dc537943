"""The network branch as a scikit-learn transformer, with a cache of single cases by content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.base import RowBranch, entry_key, read_entry, read_scheme_mask, scheme_hash
from radiogen.branches.network.base import NetworkTemplate, PatientGraph
from radiogen.branches.network.columns import column_names, graph_values
from radiogen.branches.network.disconnection import WholeNetwork, whole_network
from radiogen.branches.network.graph_files import read_graph, write_connections, write_graph
from radiogen.branches.network.patient import patient_graph, share_outside_brain
from radiogen.branches.network.template import default_template, load_template_file, template_digest
from radiogen.branches.network.tracts import Tracts, read_tracts, tract_shares
from radiogen.cohort.case import CaseImages, check_one_space, read_case
from radiogen.cohort.nifti import Grid
from radiogen.cohort.table import present_sequences
from radiogen.config.network import NetworkSettings
from radiogen.errors import InputError
from radiogen.preprocess.deform import Deformation
from radiogen.preprocess.template_space import deform_case, place_case, transform_files
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_json
from radiogen.run.provenance import content_hash, hash_inputs
from radiogen.types import Affine, LabelVolume

STAGE = "features-network"

_ALGORITHM = 2
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


class NetworkBranch(RowBranch):
    """What a tumour does to the brain's network: destroyed regions and connections, and the network's measures without them.

    Columns are `network_<name>` for the whole network, its halves and lobes, `network_destroyed_<region>` for the share of every region of the
    atlas inside the tumour, `network_strength_loss_<region>` for the share of its connections' weight that is lost, and, with an atlas of tracts,
    `network_tract_<tract>` for the share of every tract inside the tumour. The network is that of the
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

    stage = STAGE
    algorithm = _ALGORITHM

    def measurement(self) -> Callable[[str, pd.Series], CaseNetwork]:
        """Return the function that measures a case; where the settings name a folder for graphs, it writes those too."""
        return partial(case_network, settings=self.settings, cache_folder=self.cache_folder)

    def settings_that_count(self) -> dict[str, Any]:
        """Return the settings; a template and an atlas of tracts count by their content, not by their path."""
        return _settings_that_count(self.settings)

    def inputs_of_case(self, row: pd.Series) -> dict[str, str]:
        """Return the hash of every image and mask, and of the transforms of preprocessing."""
        return _inputs(row, self.settings)

    def files_of_case(self, case: str) -> list[Path]:
        """Return the graph and the table of connections that are written where the settings name a folder for them."""
        return [] if self.settings.graphs is None else list(graph_paths(self.settings.graphs, case))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns; they follow from the settings and the template alone."""
        template = template_of(self.settings)
        names = [f"network_tract_{name}" for name in _tracts_of(self.settings, template).names]
        return np.array([*column_names(template), *names], dtype=object)


def template_of(settings: NetworkSettings) -> NetworkTemplate:
    """Return the template that the settings mean.

    Raises:
        InputError: its file cannot be used.
    """
    return default_template() if settings.template is None else load_template_file(settings.template)


def graph_paths(folder: str | Path, case: str) -> tuple[Path, Path]:
    """Return where the graph and the table of connections of a case stand.

    Example:
        >>> [path.name for path in graph_paths("graphs", "007")]
        ['007.safetensors', '007.csv']
    """
    return Path(folder) / f"{case}.safetensors", Path(folder) / f"{case}.csv"


def case_network(case: str, row: pd.Series, *, settings: NetworkSettings, cache_folder: Path | None) -> CaseNetwork:
    """Return the columns of one cohort row, from the cache where the same content was measured before.

    Raises:
        ImageError: the case has no mask, or files are unusable.
        GeometryError: mask and sequences do not share their voxels.
    """
    whole, digest = _whole_network(settings.template, _template_file_hash(settings))
    key = entry_key(_ALGORITHM, _settings_that_count(settings), _inputs(row, settings), _PACKAGES)
    stem = None if cache_folder is None else Path(cache_folder) / key
    found = _read_entry(stem, case)
    if found is None:
        found = measure_case(row, settings, whole)
        _write_entry(stem, found)
    if settings.graphs is not None:
        _write_graph_files(settings, case, found.graph, whole.template, digest)
    return found


def known_template(settings: NetworkSettings) -> tuple[NetworkTemplate, str]:
    """Return the template that the settings mean, read once per process, and the digest of its content.

    Raises:
        InputError: its file cannot be used.
    """
    whole, digest = _whole_network(settings.template, _template_file_hash(settings))
    return whole.template, digest


def case_key(row: pd.Series, settings: NetworkSettings, what: str) -> str:
    """Return a name for what is computed of a cohort row on a template, by the content of its files, the settings and the versions.

    Args:
        row: cohort row.
        settings: the template, and how a case gets onto it.
        what: which result.

    Raises:
        InputError: the template's file cannot be used.
    """
    return entry_key(_ALGORITHM, {**_settings_that_count(settings), "what": what}, _inputs(row, settings), _PACKAGES)


@dataclass(frozen=True)
class LocatedCase:
    """One cohort row, read and placed.

    Args:
        images: the sequences; none of them is needed.
        labels: mask in radiogen's labels, on the same voxels.
        matrix: world of the case -> world of the template, mm; None: the case could not be placed, or must not be used.
        whole_only: the mask shows the whole tumour only.
        notes: what is missing, and why the case could not be placed, one line each.
        deformation: from the template to the case, where the settings ask for one; None: affine.
    """

    images: CaseImages
    labels: LabelVolume
    matrix: Affine | None
    whole_only: bool
    notes: list[str]
    deformation: Deformation | None = None


def locate_case(row: pd.Series, settings: NetworkSettings) -> LocatedCase:
    """Read one cohort row and find its place in the template's brain.

    Args:
        row: cohort row with a mask.
        settings: `registration`, `preprocessed`, `placement`, `cut_by`, `seed`.

    Raises:
        ImageError: the case has no mask, or files are unusable.
        GeometryError: mask and sequences do not share their voxels.
    """
    labels, grid, scheme = read_scheme_mask(row)
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
    if matrix is None or outside > _IMPOSSIBLE:
        return LocatedCase(images, labels, None, whole_only, notes)
    deformation = None
    if settings.placement == "deformable":
        deformation, note = deform_case(row, labels, matrix)
        notes += [note] if note else []
    return LocatedCase(images, labels, matrix, whole_only, notes, deformation)


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
    graph = patient_graph(place.images, labels, whole.template, settings, place.matrix, place.deformation)
    if labels.any() and not graph.destroyed_edges.any():
        notes.append(
            f"{settings.cut_by} touches no connection of the template, so nothing is lost; a template may leave out the cerebellum"
        )
    values = graph_values(graph, whole, settings.severed, whole_only=place.whole_only)
    tracts = _tracts_of(settings, whole.template)
    if tracts.names:
        grids = place.images.grid, place.matrix, whole.template.grid, place.deformation
        shares = tract_shares(tracts, labels, *grids)[settings.cut_by]
        values |= {f"network_tract_{name}": share for name, share in shares.items()}
    return CaseNetwork(values, notes, graph)


@lru_cache(maxsize=2)
def _whole_network(template: Path | None, content: str) -> tuple[WholeNetwork, str]:
    """Return the template measured once per process, and its digest; `content` tells another template under the same name."""
    found = template_of(NetworkSettings(template=template))
    return whole_network(found), template_digest(found)


def _template_file_hash(settings: NetworkSettings) -> str:
    if settings.template is None:
        return content_hash(dict(default_template().provenance))
    if not Path(settings.template).is_file():
        raise InputError(
            f"The network template {settings.template} does not exist.", hint="Make one: radiogen network template."
        )
    return sha256_file(settings.template)


def _tracts_of(settings: NetworkSettings, template: NetworkTemplate) -> Tracts:
    """Return the tracts that the settings mean on the template's grid; none where they name no atlas."""
    if settings.tracts is None:
        return Tracts((), np.zeros(0, np.int64), np.zeros(1, np.int64))
    grid = template.grid
    place = grid.canonical_shape, tuple(grid.canonical_affine.ravel().tolist())
    return _read_tracts_once(settings.tracts, settings.tract_names, *place, _hash_of(settings.tracts))


@lru_cache(maxsize=2)
def _read_tracts_once(
    path: Path, names: Path | None, shape: tuple[int, int, int], affine: tuple[float, ...], content: str
) -> Tracts:
    return read_tracts(path, names, Grid(shape, np.array(affine).reshape(4, 4)))


def _hash_of(path: Path | None) -> str:
    return sha256_file(path) if path is not None and Path(path).is_file() else ""


def _settings_that_count(settings: NetworkSettings) -> dict[str, Any]:
    paths = {"template", "preprocessed", "graphs", "tracts", "tract_names"}
    values = settings.model_dump(mode="json", exclude=paths)
    if settings.tracts is not None:
        values["tracts"] = [_hash_of(settings.tracts), _hash_of(settings.tract_names)]
    whole, digest = _whole_network(settings.template, _template_file_hash(settings))
    return {**values, "template": digest, "template_name": whole.template.name}


def _inputs(row: pd.Series, settings: NetworkSettings) -> dict[str, str]:
    files = {**present_sequences(row), **transform_files(row, settings), "mask": row.get("mask")}
    return {**hash_inputs(files), **scheme_hash(row)}


def _write_graph_files(
    settings: NetworkSettings, case: str, graph: PatientGraph | None, template: NetworkTemplate, digest: str
) -> None:
    written, connections = graph_paths(settings.graphs or "", case)
    if graph is None:  # what an earlier run with other settings left would be taken for this one's
        written.unlink(missing_ok=True)
        connections.unlink(missing_ok=True)
        return
    write_graph(written, graph, template, digest)
    write_connections(connections, graph, template, settings.cut_by)


def _write_entry(stem: Path | None, found: CaseNetwork) -> None:
    if stem is None:
        return
    if found.graph is not None:
        write_graph(stem.with_suffix(".safetensors"), found.graph)
    write_json(stem.with_suffix(".json"), {"values": found.values, "notes": found.notes})


def _read_entry(stem: Path | None, case: str) -> CaseNetwork | None:
    stored = read_entry(None if stem is None else stem.with_suffix(".json"))
    if stem is None or stored is None:
        return None
    values, notes = stored
    try:
        # A case that could not be placed has neither values nor a graph.
        graph = read_graph(stem.with_suffix(".safetensors"), case) if values else None
    except InputError:
        return None  # a damaged entry is made again
    return CaseNetwork(values, notes, graph)
