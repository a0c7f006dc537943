"""A saved classifier on brain networks applied to new cases: probabilities, and everything that speaks against trusting them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radiogen.branches.network.prepared import prepare_graphs
from radiogen.cohort.table import present_sequences
from radiogen.fusion.graph_bundle import apply_graph_model, load_graph_model
from radiogen.fusion.inner_scores import GRAPH_SCORE, score_table
from radiogen.pipeline.predict import PredictedCases, known_of, write_predictions
from radiogen.run.provenance import content_hash, hash_inputs
from radiogen.run.quarantine import Failure


def run_predict_graphs(
    model: Path,
    cohort: pd.DataFrame,
    out: Path,
    *,
    device: str = "cpu",
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> PredictedCases:
    """Apply a classifier on brain networks and write `predictions.csv`.

    Args:
        model: folder that `radiogen classify --recipe` wrote (`OUT/model`).
        cohort: rows with images, masks and, where known, labels.
        out: folder for the output.
        device: to predict on.
        cache_folder: where prepared cases are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
        progress: show a progress bar.

    Raises:
        InputError: the model cannot be used.
        CohortError: no case can be prepared.
        OutputError: the folder cannot be written.
    """
    bundle = load_graph_model(model, device=device)
    prepared = prepare_graphs(cohort, bundle.settings, cache_folder, jobs=jobs, progress=progress)
    rows = cohort.loc[prepared.facts.index]
    known = known_of(rows.index, rows, str(bundle.card["target"]))
    found = apply_graph_model(bundle, prepared, known[0])
    inputs = {str(case): content_hash(file_hashes(row)) for case, row in rows.iterrows()}
    return PredictedCases(write_predictions(model, bundle, found, known, out, inputs), prepared.failures, bundle)


def graph_scores(
    model: Path,
    cohort: pd.DataFrame,
    *,
    device: str = "cpu",
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Return the branch of scores that a fused model needs of its graph network, and the cases that could not be prepared.

    Args:
        model: folder of the network (`OUT/model/graphs`).
        cohort: rows with images and masks.
        device: to predict on.
        cache_folder: where prepared cases are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
        progress: show a progress bar.

    Raises:
        InputError: the model cannot be used.
        CohortError: no case can be prepared.
    """
    bundle = load_graph_model(model, device=device)
    found = prepare_graphs(cohort, bundle.settings, cache_folder, jobs=jobs, progress=progress)
    probability = bundle.classifier.predict_proba(found.rows)[:, 1]
    return score_table(found.facts.index, probability.astype(float), GRAPH_SCORE), found.failures


def file_hashes(row: pd.Series) -> dict[str, str]:
    """Return the SHA-256 of the mask and of every sequence of a cohort row.

    Args:
        row: cohort row.
    """
    return hash_inputs({**present_sequences(row), "mask": row.get("mask")})
