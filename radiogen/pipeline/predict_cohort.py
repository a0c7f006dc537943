"""A saved model of any kind on a cohort with images: features or prepared images first, then what the model says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.branches.names import BRANCHES
from radiogen.cohort.join import join_labels
from radiogen.cohort.table import read_cohort
from radiogen.errors import InputError
from radiogen.fusion.bundle import load_model
from radiogen.fusion.inner_scores import GRAPHS, HABITATS, IMAGES
from radiogen.fusion.survival_bundle import load_risk_model
from radiogen.pipeline.inputs import Inputs, from_cohort, read_labels, settings_from_card
from radiogen.pipeline.predict import Bundle, PredictedCases, is_graph_model, is_image_model, run_predict
from radiogen.pipeline.survival_predict import is_risk_model, run_predict_risk
from radiogen.run.quarantine import write_failures

_LEARNED = (IMAGES, GRAPHS, HABITATS)
"""Branches that were learned with the classifier: their models stand in folders of these names beside it."""

_STAGE = {IMAGES: "prepare-images", GRAPHS: "prepare-graphs"}


def predict_cohort(
    model: Path,
    cohort: Path,
    out: Path,
    *,
    labels: Path | None = None,
    params: Path | None = None,
    files: Mapping[str, Mapping[str, Any]] | None = None,
    device: str | None = None,
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> PredictedCases:
    """Apply a model to the cases of a cohort table and write `predictions.csv`, and `failed.csv` where cases failed.

    Args:
        model: folder that `radiogen classify` or `radiogen survival` wrote (`OUT/model`).
        cohort: `cohort.csv` with images and masks.
        out: folder for the output; features that are computed stand in it, too.
        labels: table that fills what the cohort does not know.
        params: PyRadiomics parameter file, where the model's features need one.
        files: branch -> setting -> path of a file that the model's features need, or of a folder that belongs to the cases.
        device: of networks; None: the best there is for images, the processor for brain networks.
        cache_folder: where prepared images and graphs are kept; None: radiogen's cache.
        jobs: cases worked on at the same time.
        progress: show progress bars.

    Raises:
        InputError: the model cannot be used, or was trained on tables that radiogen did not make.
        CohortError: the table is wrong, or no case can be prepared.
    """
    working: dict[str, Any] = {"cache_folder": cache_folder, "jobs": jobs, "progress": progress}
    if is_graph_model(model):
        from radiogen.pipeline.predict_graphs import run_predict_graphs  # here: it needs torch-geometric

        table = _labelled(cohort, labels)
        found = run_predict_graphs(model, table, out, device=device or "cpu", **working)
        write_failures(out / "failed.csv", found.failures, stages=[_STAGE[GRAPHS]])
        return found
    if is_image_model(model):
        from radiogen.pipeline.predict_images import run_predict_images  # here: tables never wait for torch

        table = _labelled(cohort, labels)
        found = run_predict_images(model, table, out, device=device or "auto", **working)
        write_failures(out / "failed.csv", found.failures, stages=[_STAGE[IMAGES]])
        return found
    of_risk = is_risk_model(model)
    bundle: Bundle = load_risk_model(model) if of_risk else load_model(model)
    branches = list(bundle.card["features"])
    foreign = sorted(set(branches) - {*BRANCHES.names(), *_LEARNED})
    if foreign:
        raise InputError(
            f"This model was trained on feature tables that radiogen did not make ({', '.join(foreign)}).",
            hint="Give the same kind of table to radiogen predict --features.",
        )
    inputs = from_cohort(
        cohort, out, [name for name in branches if name not in _LEARNED], labels=read_labels(labels) if labels else None,
        settings=settings_from_card(bundle.card["feature_settings"], params, files or {}), jobs=jobs, progress=progress,
    )  # fmt: skip
    _add_scores(model, branches, inputs, out, device, working)
    if HABITATS in branches:
        from radiogen.pipeline.habitats_apply import run_habitats_apply  # here: few models have habitats

        found_habitats = run_habitats_apply(
            model / HABITATS, inputs.cohort, out / HABITATS, folder=cohort.parent, jobs=jobs, progress=progress
        )
        inputs.features[HABITATS], unread = found_habitats
        inputs.failures.extend(unread)
        write_failures(out / "failed.csv", unread, stages=[HABITATS])
    apply = run_predict_risk if of_risk else run_predict
    return PredictedCases(apply(model, inputs.features, out, cohort=inputs.cohort), inputs.failures, bundle)


def _labelled(cohort: Path, labels: Path | None) -> pd.DataFrame:
    table = read_cohort(cohort)
    return table if labels is None else join_labels(table, [read_labels(labels)])[0]


def _add_scores(
    model: Path, branches: list[str], inputs: Inputs, out: Path, device: str | None, working: Mapping[str, Any]
) -> None:
    """Score the cases by the networks of a model that fuses images or brain networks with tables."""
    if IMAGES in branches:
        from radiogen.pipeline.predict_images import image_scores

        scores, failures = image_scores(model / IMAGES, inputs.cohort, device=device or "auto", **working)
        inputs.features[IMAGES] = scores
        inputs.failures.extend(failures)
        write_failures(out / "failed.csv", failures, stages=[_STAGE[IMAGES]])
    if GRAPHS in branches:
        from radiogen.pipeline.predict_graphs import graph_scores

        scores, failures = graph_scores(model / GRAPHS, inputs.cohort, device=device or "cpu", **working)
        inputs.features[GRAPHS] = scores
        inputs.failures.extend(failures)
        write_failures(out / "failed.csv", failures, stages=[_STAGE[GRAPHS]])
