"""Explanations of a saved classifier on images, or of a recipe, for the cases of a cohort: a folder of maps, pictures and one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.embedding.explain import Sanity
from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.weights import describe_weights
from radiogen.config.embedding_model import ImageRecipe
from radiogen.errors import CaseError, CohortError
from radiogen.fusion.bundle import in_training
from radiogen.fusion.image_bundle import ImageBundle, load_image_model
from radiogen.fusion.join import fusion_table, target_labels
from radiogen.pipeline.explain import Explained, check_methods, explain_case, with_shuffled_labels
from radiogen.pipeline.image_folds import image_hashes
from radiogen.pipeline.image_model import final_model, trainings_of
from radiogen.pipeline.predict import known_of
from radiogen.run.atomic import write_csv
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, content_hash
from radiogen.run.quarantine import Failure

STAGE = "explain"

TOO_ALIKE = 0.5
"""Median rank correlation above which maps are said to depend too little on what was learned."""


@dataclass(frozen=True)
class Explanations:
    """What was written.

    Args:
        table: the content of `explanations.csv`, one row per case and network.
        failures: cases that could not be explained.
    """

    table: pd.DataFrame
    failures: list[Failure]


def run_explain(
    bundle: ImageBundle,
    cohort: pd.DataFrame,
    out: Path,
    method: str = "integrated-gradients",
    *,
    shuffled_on: pd.DataFrame | None = None,
    progress: bool = False,
) -> Explanations:
    """Write a map (NIfTI on the case's grid), a picture and the facts (JSON) for every case and network, and `explanations.csv`.

    Args:
        bundle: a model.
        cohort: cases to explain.
        out: folder for the outputs.
        method: `integrated-gradients` or `grad-cam`.
        shuffled_on: cohort rows with labels, such as the training cases: networks of the same settings are trained on them with shuffled labels, and
            their maps compared too.
        progress: show a progress bar.

    Raises:
        ConfigError: the method is unknown, or not for these networks.
        CohortError: no case has a label, where labels are needed.
        CaseError: no case could be explained.
        OutputError: the folder cannot be written.
    """
    classifier = bundle.classifier
    check_methods(classifier, method)
    failures = classifier.prepare(cohort)
    rows = cohort.drop(index=[failure.case for failure in failures])
    target = str(bundle.card["target"])
    shuffled = None if shuffled_on is None else _shuffled(classifier, shuffled_on, target)

    def work(_: str, row: pd.DataFrame) -> dict[str, Explained]:
        return explain_case(classifier, row, Path(out), method, shuffled=shuffled)

    found, failed = run_cases(
        work, {str(case): rows.loc[[case]] for case in rows.index}, stage=STAGE, progress=progress
    )
    failures += failed
    if not found:
        raise CaseError(
            f"No case could be explained; the first: {failures[0].case}: {failures[0].cause}", hint=failures[0].fix
        )
    patient = known_of(rows.index, rows, target)[0]
    trained_on = dict(zip(rows.index.astype(str), in_training(bundle.card, patient), strict=True))
    table = pd.DataFrame(
        [_facts(case, name, item, trained_on[case]) for case, items in found.items() for name, item in items.items()]
    )
    path = Path(out) / "explanations.csv"
    write_csv(path, table, index=False)
    hashes = image_hashes(rows, classifier.settings)
    inputs = {"model": content_hash(bundle.card), **{case: content_hash(hashes[case]) for case in found}}
    chosen = {"method": method, "shuffled_on": None if shuffled_on is None else content_hash(list(shuffled_on.index))}
    Provenance(STAGE, chosen, inputs).record([path], sanity=sanity_words(table))
    return Explanations(table, failures)


def train_to_explain(
    recipe: ImageRecipe,
    cohort: pd.DataFrame,
    target: str,
    out: Path,
    *,
    cache_folder: Path | None = None,
    jobs: int = 1,
) -> ImageBundle:
    """Train a recipe on every labelled case and keep the model in `out/model`; a killed training goes on, a finished one is kept.

    Args:
        recipe: networks and training.
        cohort: rows with images and labels.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the model.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.

    Raises:
        InputError: no case with a known label, or a class has too few patients.
        CohortError: no case can be prepared.
    """
    settings = recipe.settings
    failures = ImageClassifier(settings, cache_folder=cache_folder, jobs=jobs).prepare(cohort)
    rows = cohort.drop(index=[failure.case for failure in failures])
    if rows.empty:
        raise CohortError(
            f"No case can be prepared; the first: {failures[0].case}: {failures[0].cause}", hint=failures[0].fix
        )
    table = fusion_table({"images": pd.DataFrame({"there": np.arange(len(rows)) * 1.0}, rows.index)}, rows, target)
    patient = table.cohort["patient"].to_numpy(dtype=object)
    trainings = trainings_of(
        recipe, rows.loc[table.features.index], table.y, patient, out, cache_folder=cache_folder, jobs=jobs
    )
    untested = {"notes": ["Trained to be explained; it was not tested on any case."]}
    final_model(
        trainings, table, untested, out / "model", name=recipe.name, seed=settings.seed,
        weights=describe_weights(settings.weights, settings.seed), synthetic=False,
    )  # fmt: skip
    return load_image_model(out / "model", device=settings.device, cache_folder=cache_folder, jobs=jobs)


def sanity_words(table: pd.DataFrame) -> list[str]:
    """Return what the sanity checks of all maps say together, one sentence each.

    Args:
        table: as `run_explain` gives it.

    Example:
        >>> table = pd.DataFrame({"head_forgotten": [0.9], "all_forgotten": [0.8], "labels_shuffled": [None]})
        >>> sanity_words(table)[1]
        'The maps hardly change when the network forgets what it learned (all weights 0.80): they show the image rather than the network.'
    """
    middle = Sanity(
        _median(table["head_forgotten"]) or 0.0,
        _median(table["all_forgotten"]) or 0.0,
        _median(table["labels_shuffled"]),
    )
    told = [f"median over {len(table)} map(s): {middle.words()}"]
    # A head that is forgotten leaves the features, so its map may well be alike.
    named = {"all weights": middle.all_forgotten, "shuffled labels": middle.labels_shuffled or 0.0}
    alike = [f"{words} {value:.2f}" for words, value in named.items() if value > TOO_ALIKE]
    if alike:
        told.append(
            f"The maps hardly change when the network forgets what it learned ({', '.join(alike)}): they show the image rather than the network."
        )
    return told


def _median(column: pd.Series) -> float | None:
    values = pd.to_numeric(column, errors="coerce").dropna()
    return None if values.empty else float(values.median())


def _facts(case: str, name: str, item: Explained, trained_on: bool) -> dict[str, Any]:
    facts: Mapping[str, Any] = {
        "case": case,
        "network": name.removeprefix(f"{case}_"),
        "probability": round(item.probability, 8),
        "in_training": trained_on,
        **item.sanity.as_dict(),
        "share_in_tumour": round(item.in_tumour, 6),
        "share_of_seen_in_tumour": round(item.tumour_share, 6),
        "map": f"{name}.nii.gz",
    }
    return dict(facts)


def _shuffled(classifier: ImageClassifier, cohort: pd.DataFrame, target: str) -> ImageClassifier:
    rows = cohort.drop(index=[failure.case for failure in classifier.prepare(cohort)])
    labels = target_labels(rows, target)
    known = rows[labels.notna()]
    if known.empty:
        raise CohortError(
            f"No case has a known {target} label, which networks with shuffled labels are trained with.",
            hint="Give the cohort that the model was trained on, with its labels.",
        )
    return with_shuffled_labels(classifier, known, labels[labels.notna()].to_numpy(dtype=np.int64))
