"""`radiogen train network`: segmentation on supervoxel graphs, from a cohort table to a trained model and its held-out Dice."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.network.supervoxel_files import read_supervoxel_graph, write_supervoxel_graph
from radiogen.branches.network.supervoxel_model import SupervoxelSegmenter, save_supervoxel_model
from radiogen.branches.network.supervoxels import SupervoxelGraph, painted_dice, supervoxel_graph, supervoxel_map
from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.table import present_sequences
from radiogen.config.supervoxels import SupervoxelModelSettings, SupervoxelSettings
from radiogen.errors import CohortError, ConfigError, InputError
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import Failure, write_failures
from radiogen.segment.train_folds import assign_folds
from radiogen.types import REGIONS

STAGE = "train-supervoxels"
GRAPHS = "supervoxel-graphs"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SupervoxelOutcome:
    """What a training gave.

    Args:
        n_train: cases learned from.
        held_out: one row per held-out case: Dice of the model, and the most that its supervoxels reach (`<region>_reachable`).
        failures: cases without a graph.
    """

    n_train: int
    held_out: pd.DataFrame
    failures: list[Failure]


@dataclass(frozen=True)
class _Item:
    row: pd.Series
    path: Path
    settings: SupervoxelSettings


def run_train_supervoxels(
    settings: SupervoxelModelSettings,
    cohort: pd.DataFrame,
    out: Path,
    *,
    fold: int | None = None,
    n_folds: int = 5,
    jobs: int = 1,
    progress: bool = False,
) -> SupervoxelOutcome:
    """Build the graph of every case that has a mask, learn its labels, and measure on a held-out fold of patients.

    Writes `supervoxel-model.json` and `supervoxel-network.safetensors` (with a sidecar), `supervoxel-graphs/<case>.safetensors`, which are kept when
    the same command is run again, `metrics.json`, `held_out.csv` and, where cases have no graph, `failed.csv`.

    Args:
        settings: graphs, network, seed.
        cohort: one row per case with sequences and a mask.
        out: the folder.
        fold: which fold is held out, from 0; None: none, all cases are learned from.
        n_folds: folds of patients.
        jobs: graphs built at the same time; the numbers do not depend on it.
        progress: show a progress bar.

    Returns:
        Counts, held-out Dice and failures.

    Raises:
        ConfigError: the fold is not one of the folds.
        CohortError: no case has a mask, or no graph could be built.
        InputError: there are fewer patients than folds.
        OutputError: the folder cannot be written.
    """
    if fold is not None and not 0 <= fold < n_folds:
        raise ConfigError(f"The fold is {fold}; 0 to {n_folds - 1} is accepted.")
    graphs, failures = _graphs(settings.graph, cohort, out, jobs, progress)
    write_failures(out / "failed.csv", failures, stages=[STAGE])
    if not graphs:
        raise CohortError(
            "No case has a graph to learn from.",
            problems=[f"{failure.case}: {failure.cause}" for failure in failures[:10]],
        )
    held_out = _held_out(cohort.loc[list(graphs)], graphs, fold, n_folds, settings.seed)
    training = [graph for case, graph in graphs.items() if case not in held_out]
    if not training:
        raise InputError("Every case is held out; none is left to learn from.", hint="Leave --fold out.")
    model = SupervoxelSegmenter(settings).fit(training)
    files = save_supervoxel_model(out, model)
    scores = _scores(model, {case: graphs[case] for case in held_out})
    write_csv(out / "held_out.csv", scores)
    metrics: dict[str, Any] = {
        "n_train": len(training),
        "n_held_out": len(scores),
        "n_failed": len(failures),
        "held_out_dice": {name: _mean(scores[name]) for name in scores.columns},
        "last_loss": model.history_[-1],
    }
    write_json(out / "metrics.json", metrics)
    inputs = hash_inputs({case: out / GRAPHS / f"{case}.safetensors" for case in graphs})
    provenance = Provenance(STAGE, {**settings.model_dump(mode="json"), "fold": fold, "n_folds": n_folds}, inputs)
    provenance.record([*reversed(files), out / "metrics.json", out / "held_out.csv"])
    return SupervoxelOutcome(len(training), scores, failures)


def _graphs(
    settings: SupervoxelSettings, cohort: pd.DataFrame, out: Path, jobs: int, progress: bool
) -> tuple[dict[str, SupervoxelGraph], list[Failure]]:
    items = {
        str(case): _Item(row, out / GRAPHS / f"{case}.safetensors", settings)
        for case, row in cohort.iterrows()
        if isinstance(row.get("mask"), str) and row["mask"]
    }
    if not items:
        raise CohortError("No case has a mask to learn from.", hint="Give masks in the column 'mask'.")
    paths, failures = run_cases(_graph_of, items, stage=STAGE, jobs=jobs, progress=progress)
    return {case: read_supervoxel_graph(path) for case, path in paths.items()}, failures


def _graph_of(case: str, item: _Item) -> Path:
    files = {**present_sequences(item.row), "mask": item.row["mask"]}
    provenance = Provenance("supervoxel-graph", item.settings.model_dump(mode="json"), hash_inputs(files))
    if provenance.is_current([item.path]):
        log.info("%s: graph unchanged, kept", case)
        return item.path
    images = read_case(item.row)
    mask = read_case_mask(item.row, images.grid)
    graph = supervoxel_graph(images, supervoxel_map(images, item.settings), mask, item.settings)
    write_supervoxel_graph(item.path, graph)
    provenance.record([item.path], n_nodes=graph.n_nodes, n_edges=len(graph.edges), missing=images.missing)
    return item.path


def _held_out(
    cohort: pd.DataFrame, graphs: Mapping[str, SupervoxelGraph], fold: int | None, n_folds: int, seed: int
) -> list[str]:
    if fold is None:
        return []
    wt_ml = {case: float(_label_volumes(graph)[1:].sum()) for case, graph in graphs.items()}
    folds = assign_folds(cohort, wt_ml, n_folds, seed=seed)
    return [str(case) for case in folds.index[folds == fold]]


def _label_volumes(graph: SupervoxelGraph) -> np.ndarray:
    return np.zeros(4) if graph.volumes_ml_of_labels is None else graph.volumes_ml_of_labels.sum(0)


def _scores(model: SupervoxelSegmenter, graphs: Mapping[str, SupervoxelGraph]) -> pd.DataFrame:
    rows = {}
    for case, graph in graphs.items():
        found = painted_dice(graph, model.predict(graph))
        reachable = painted_dice(graph, np.asarray(graph.labels))
        rows[case] = {
            **{name: found[name] for name in REGIONS},
            **{f"{name}_reachable": reachable[name] for name in REGIONS},
        }
    columns = [*REGIONS, *(f"{name}_reachable" for name in REGIONS)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("case")


def _mean(scores: pd.Series) -> float | None:
    """Return the mean over the cases that have the region; None: none has it."""
    known = scores.dropna()
    return float(known.mean()) if len(known) else None
