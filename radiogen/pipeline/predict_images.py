"""A saved classifier on images applied to new cases: probabilities, and everything that speaks against trusting them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radiogen.errors import CohortError
from radiogen.fusion.image_bundle import ImageBundle, apply_image_model, load_image_model
from radiogen.fusion.inner_scores import score_table
from radiogen.pipeline.image_folds import image_hashes
from radiogen.pipeline.predict import PredictedCases, known_of, write_predictions
from radiogen.run.provenance import content_hash
from radiogen.run.quarantine import Failure


def run_predict_images(
    model: Path,
    cohort: pd.DataFrame,
    out: Path,
    *,
    device: str = "auto",
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> PredictedCases:
    """Apply a classifier on images and write `predictions.csv`.

    Args:
        model: folder that `radiogen classify --recipe` wrote (`OUT/model`).
        cohort: rows with images, masks where the model looks at the tumour, and, where known, labels.
        out: folder for the output.
        device: to predict on.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
        progress: show a progress bar.

    Raises:
        InputError: the model cannot be used.
        CohortError: no case can be prepared.
        OutputError: the folder cannot be written.
    """
    bundle = load_image_model(model, device=device, cache_folder=cache_folder, jobs=jobs, progress=progress)
    rows, failures = _prepared(bundle, cohort)
    known = known_of(rows.index, rows, str(bundle.card["target"]))
    found = apply_image_model(bundle, rows, known[0])
    inputs = {case: content_hash(roles) for case, roles in image_hashes(rows, bundle.classifier.settings).items()}
    return PredictedCases(write_predictions(model, bundle, found, known, out, inputs), failures, bundle)


def image_scores(
    model: Path,
    cohort: pd.DataFrame,
    *,
    device: str = "auto",
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Return the branch of scores that a fused model needs of its networks, and the cases that could not be prepared.

    Args:
        model: folder of the networks (`OUT/model/images`).
        cohort: rows with images.
        device: to predict on.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
        progress: show a progress bar.

    Raises:
        InputError: the model cannot be used.
        CohortError: no case can be prepared.
    """
    bundle = load_image_model(model, device=device, cache_folder=cache_folder, jobs=jobs, progress=progress)
    rows, failures = _prepared(bundle, cohort)
    return score_table(rows.index, bundle.classifier.predict_proba(rows)[:, 1]), failures


def _prepared(bundle: ImageBundle, cohort: pd.DataFrame) -> tuple[pd.DataFrame, list[Failure]]:
    failures = bundle.classifier.prepare(cohort)
    rows = cohort.drop(index=[failure.case for failure in failures])
    if rows.empty:
        raise CohortError(
            f"No case can be prepared; the first: {failures[0].case}: {failures[0].cause}", hint=failures[0].fix
        )
    return rows, failures
