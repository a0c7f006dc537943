"""The graphs of a cohort, ready to learn from: every case by itself, kept on disk by content."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.branch import LocatedCase, case_key, known_template, locate_case
from radiogen.branches.network.graph_files import read_graph, write_graph
from radiogen.branches.network.patient import edge_regions, node_regions, patient_graph, sample_case
from radiogen.branches.network.rows import GraphRows
from radiogen.branches.network.vectors import RegionVectors, kept_values, template_voxels
from radiogen.cohort.masks import region_masks
from radiogen.cohort.table import present_sequences
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.errors import CaseError, CohortError
from radiogen.resources import cache_folder
from radiogen.run.atomic import make_folder, write_json, writing
from radiogen.run.executor import run_cases
from radiogen.run.quarantine import Failure

STAGE = "prepare-graphs"

_DESTROYED = ("destroyed_", "weight")


@dataclass(frozen=True)
class PreparedCase:
    """One case on disk.

    Args:
        file: its voxels (`.npy`) or its graph (`.safetensors`).
        wt_ml: volume of the whole tumour, ml.
        notes: what is missing, and how it was registered.
    """

    file: Path
    wt_ml: float
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PreparedGraphs:
    """The graphs of the cases that could be prepared.

    Args:
        rows: one graph per case, in the order of the cohort.
        facts: index `case`; `wt_ml`, `n_sequences`.
        template: what the graphs lie on.
        digest: of the template's content.
        failures: cases that are not here, and why.
        notes: case -> remarks.
    """

    rows: GraphRows
    facts: pd.DataFrame
    template: NetworkTemplate
    digest: str
    failures: list[Failure]
    notes: dict[str, list[str]]


def prepare_graphs(
    table: pd.DataFrame,
    settings: GraphModelSettings,
    folder: Path | None = None,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> PreparedGraphs:
    """Prepare every case of a cohort; what could not be prepared is told, not raised.

    Nothing is fitted. With `voxels` a case takes some 3 MB on disk, and memory holds one case at a time.

    Args:
        table: cohort rows with masks.
        settings: the template, and what nodes and connections carry.
        folder: where cases are kept, by content; None: radiogen's cache.
        jobs: cases prepared at the same time; the values do not depend on it.
        progress: show a progress bar.

    Raises:
        CohortError: no case can be prepared; the message has the first one's reason.
        InputError: the template cannot be used.
    """
    folder = cache_folder() / "network-graphs" if folder is None else Path(folder)
    make_folder(folder)
    template, digest = known_template(settings.graphs)
    work = partial(prepare_case, settings=settings, folder=folder)
    rows = {str(case): row for case, row in table.iterrows()}
    found, failures = run_cases(work, rows, stage=STAGE, jobs=jobs, progress=progress)
    if not found:
        cause, fix = (failures[0].cause, failures[0].fix) if failures else ("the cohort is empty", "")
        raise CohortError(f"No case has a graph; the first: {cause}", hint=fix)
    facts = pd.DataFrame(
        {
            "wt_ml": [case.wt_ml for case in found.values()],
            "n_sequences": [float(len(present_sequences(rows[name]))) for name in found],
        },
        index=pd.Index(list(found), name="case", dtype=object),
    )
    graphs = _graph_rows({name: case.file for name, case in found.items()}, template, settings)
    return PreparedGraphs(
        graphs, facts, template, digest, failures, {name: case.notes for name, case in found.items() if case.notes}
    )


def prepare_case(case: str, row: pd.Series, *, settings: GraphModelSettings, folder: Path) -> PreparedCase:
    """Prepare one cohort row, or find that it was prepared before.

    Args:
        case: its id.
        row: cohort row with a mask.
        settings: the template, and what nodes and connections carry.
        folder: where cases are kept.

    Raises:
        CaseError: it has no sequence to look at, or cannot be placed on the template.
        ImageError: it has no mask, or files are unusable.
        GeometryError: mask and sequences do not share their voxels.
    """
    if settings.values != "destroyed" and not present_sequences(row):
        raise CaseError("The case has no sequence to look at.", hint="Add one, or take the values 'destroyed'.")
    what = "voxels" if settings.values == "voxels" else "graph"
    stem = folder / case_key(row, settings.graphs, what)
    file = stem.with_suffix(".npy" if what == "voxels" else ".safetensors")
    facts = _known_facts(stem.with_suffix(".json"))
    if facts is None or not file.is_file():
        place = locate_case(row, settings.graphs)
        if place.matrix is None:
            raise CaseError(
                f"The case has no place on the template: {'; '.join(place.notes)}.",
                hint="Run radiogen preprocess first, or look at the mask and the images.",
            )
        _write_case(file, place, settings)
        wt_ml = float(region_masks(place.labels)["wt"].sum()) * float(np.prod(place.images.grid.voxel_size_mm)) / 1000
        facts = {"wt_ml": wt_ml, "notes": place.notes}
        write_json(stem.with_suffix(".json"), facts)
    return PreparedCase(file, float(facts["wt_ml"]), [str(note) for note in facts["notes"]])


def _write_case(file: Path, place: LocatedCase, settings: GraphModelSettings) -> None:
    template, _ = known_template(settings.graphs)
    if place.matrix is None:
        raise CaseError("The case has no place on the template.")
    if settings.values != "voxels":
        graph = patient_graph(place.images, place.labels, template, settings.graphs, place.matrix, place.deformation)
        write_graph(file, graph)
        return
    sampled = sample_case(place.images, place.labels, place.matrix, template, place.deformation)
    with writing(file) as beside, beside.open("wb") as stream:
        np.save(stream, kept_values(sampled, template_voxels(template)))


def _known_facts(path: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return {"wt_ml": float(facts["wt_ml"]), "notes": list(facts["notes"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a damaged entry is made again


def _graph_rows(files: dict[str, Path], template: NetworkTemplate, settings: GraphModelSettings) -> GraphRows:
    names = np.array(list(files), dtype=object)
    context = np.eye(template.n_nodes) if settings.node_identity else None
    if settings.values == "voxels":
        voxels, paths = template_voxels(template), list(files.values())
        nodes, edges = (RegionVectors(paths, part(template), voxels) for part in (node_regions, edge_regions))
        return GraphRows(names, nodes, edges, template.edges, context)
    graphs = [read_graph(path, case) for case, path in files.items()]
    starts = _DESTROYED if settings.values == "destroyed" else ("",)
    of_nodes = [name.startswith(starts) for name in graphs[0].node_columns]
    of_edges = [name.startswith(starts) for name in graphs[0].edge_columns]
    node_values = np.stack([graph.node_values[:, of_nodes] for graph in graphs])
    edge_values = np.stack([graph.edge_values[:, of_edges] for graph in graphs])
    return GraphRows(names, node_values, edge_values, template.edges, context)
