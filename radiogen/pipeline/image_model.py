"""The final model of a study of images: trained on every case, once, and written with its card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.config.embedding_model import ImageRecipe
from radiogen.fusion.image_bundle import image_bundle, save_image_model
from radiogen.fusion.join import FusionTable
from radiogen.pipeline.image_folds import Trainings, image_hashes
from radiogen.types import Labels01


def trainings_of(
    recipe: ImageRecipe,
    cohort: pd.DataFrame,
    y: Labels01,
    patient: np.ndarray,
    out: Path,
    *,
    cache_folder: Path | None,
    jobs: int,
) -> Trainings:
    """Return the trainings of a study, which are kept in `out/folds`.

    Args:
        recipe: networks and training.
        cohort: rows with images.
        y: 0/1 label per row.
        patient: patient per row.
        out: folder of the study.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
    """
    hashes = image_hashes(cohort, recipe.settings)
    return Trainings(recipe.settings, cohort, y, patient, out / "folds", hashes, cache_folder, jobs)


def model_files(classifier: ImageClassifier) -> list[str]:
    """Return the names of the files of a saved classifier on images."""
    networks = [f"network-{number}.safetensors" for number in range(len(classifier.members_of_))]
    return ["classifier.json", *networks, "features.csv", "card.json", "card.md"]


def final_model(
    trainings: Trainings,
    table: FusionTable,
    metrics: Mapping[str, Any],
    folder: Path,
    *,
    name: str,
    seed: int,
    weights: Mapping[str, Any],
    synthetic: bool,
) -> None:
    """Train on every case, and write the model; kept where it is still true.

    Args:
        trainings: of the study.
        table: labels, patients and sites of its cases.
        metrics: of the out-of-fold predictions.
        folder: of the model.
        name: of the recipe.
        seed: of the training.
        weights: what the first weights were.
        synthetic: the patients are made up.
    """
    facts = {"metrics": dict(metrics), "synthetic": synthetic, "recipe": name}
    provenance = trainings.provenance_of_all(seed, facts)
    files = [folder / file for file in model_files(ImageClassifier(trainings.model))]
    if provenance.is_current(files):
        return
    classifier, work = trainings.train_all("all", seed)
    bundle = image_bundle(
        classifier,
        trainings.cohort,
        table,
        metrics,
        name=name,
        salt=provenance.fingerprint,
        weights=weights,
        synthetic=synthetic,
    )
    save_image_model(folder, bundle)
    provenance.record(files)
    if work is not None:
        shutil.rmtree(work, ignore_errors=True)
