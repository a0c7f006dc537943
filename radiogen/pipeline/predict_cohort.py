"""A saved classifier of any kind on a cohort with images: features or prepared images first, then the probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radiogen.branches.names import BRANCHES
from radiogen.cohort.table import read_cohort
from radiogen.errors import InputError
from radiogen.fusion.bundle import load_model
from radiogen.fusion.inner_scores import GRAPHS, IMAGES
from radiogen.pipeline.inputs import Inputs, from_cohort, settings_from_card
from radiogen.pipeline.predict import PredictedCases, is_graph_model, is_image_model, run_predict
from radiogen.pipeline.survival_predict import is_risk_model

_SCORED = (IMAGES, GRAPHS)


def predict_cohort(
    model: Path,
    cohort: Path,
    out: Path,
    *,
    files: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> PredictedCases:
    """Apply a model to the cases of a cohort table and write `predictions.csv`.

    Args:
        model: folder that `radiogen classify` wrote (`OUT/model`), of any kind of classifier.
        cohort: `cohort.csv` with images and masks.
        out: folder for the output; features that are computed stand in it, too.
        files: branch -> setting -> path of a file that the model's features need, or of a folder that belongs to the cases.
        device: of networks on images.
        cache_folder: where prepared images and graphs are kept; None: radiogen's cache.
        jobs: cases worked on at the same time.
        progress: show progress bars.

    Raises:
        InputError: the model cannot be used, is one of survival, or was trained on tables that radiogen did not make.
        CohortError: the table is wrong, or no case can be prepared.
    """
    if is_graph_model(model):
        from radiogen.pipeline.predict_graphs import run_predict_graphs  # here: it needs torch-geometric

        return run_predict_graphs(
            model, read_cohort(cohort), out, device="cpu", cache_folder=cache_folder, jobs=jobs, progress=progress
        )
    if is_image_model(model):
        from radiogen.pipeline.predict_images import (
            run_predict_images,
        )  # here: whoever has tables never waits for torch

        return run_predict_images(
            model, read_cohort(cohort), out, device=device, cache_folder=cache_folder, jobs=jobs, progress=progress
        )
    if is_risk_model(model):
        raise InputError(
            "This is a survival model, which tells risks; a classifier is accepted here.", hint="Use radiogen predict."
        )
    bundle = load_model(model)
    branches = list(bundle.card["features"])
    foreign = sorted(set(branches) - {*BRANCHES.names(), *_SCORED})
    if foreign:
        raise InputError(
            f"This model was trained on feature tables that radiogen did not make ({', '.join(foreign)}).",
            hint="Give the same kind of table to radiogen predict --features.",
        )
    settings = settings_from_card(bundle.card["feature_settings"], None, files)
    wanted = [name for name in branches if name not in _SCORED]
    inputs = from_cohort(cohort, out, wanted, settings=settings, jobs=jobs, progress=progress)
    _add_scores(model, branches, inputs, device, cache_folder, jobs=jobs, progress=progress)
    predictions = run_predict(model, inputs.features, out, cohort=inputs.cohort)
    return PredictedCases(predictions, inputs.failures, bundle)


def _add_scores(
    model: Path,
    branches: list[str],
    inputs: Inputs,
    device: str,
    cache_folder: Path | None,
    *,
    jobs: int,
    progress: bool,
) -> None:
    """Score the cases by the networks of a model that fuses images or brain networks with tables."""
    if IMAGES in branches:
        from radiogen.pipeline.predict_images import image_scores

        inputs.features[IMAGES], failures = image_scores(
            model / IMAGES, inputs.cohort, device=device, cache_folder=cache_folder, jobs=jobs, progress=progress
        )
        inputs.failures.extend(failures)
    if GRAPHS in branches:
        from radiogen.pipeline.predict_graphs import graph_scores

        inputs.features[GRAPHS], failures = graph_scores(
            model / GRAPHS, inputs.cohort, device="cpu", cache_folder=cache_folder, jobs=jobs, progress=progress
        )
        inputs.failures.extend(failures)
