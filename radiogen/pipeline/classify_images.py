"""From images and labels to predictions, a verdict and a report: classifiers that learn from volumes, tested as all others are."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.clinical import ClinicalBranch
from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.weights import describe_weights
from radiogen.cohort.splits import Split, make_splits
from radiogen.cohort.table import present_sequences
from radiogen.config.classify import ClassifySettings
from radiogen.config.embedding_model import EmbeddingModelSettings, ImageRecipe
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.features import ClinicalSettings
from radiogen.errors import CohortError, RadiogenError
from radiogen.evaluate.audit import evaluate_predictions
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import PREDICTION_COLUMNS, PROBABILITY_DIGITS
from radiogen.pipeline.classify import clinical_facts, table_hash
from radiogen.report.classification import write_classification_report
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import Failure

log = logging.getLogger(__name__)

STAGE = "classify-images"

NO_MODEL = "No model is saved: every network of this study was trained for one fold and tested on it."


@dataclass(frozen=True)
class ImagesOutcome:
    """What a classification of images gave.

    Args:
        metrics: the content of `metrics.json`.
        failures: cases that could not be prepared; they are left out.
    """

    metrics: dict[str, Any]
    failures: list[Failure]


def with_changes(recipe: ImageRecipe, changes: Mapping[str, Any]) -> ImageRecipe:
    """Return a recipe whose settings are changed; what is None stays.

    Args:
        recipe: a recipe.
        changes: names and values of its settings.

    Raises:
        ConfigError: a change is not accepted.
    """
    asked = {name: value for name, value in changes.items() if value is not None}
    settings = EmbeddingModelSettings.parse({**recipe.settings.model_dump(exclude_unset=True), **asked})
    return recipe.model_copy(update={"settings": settings})


def run_classify_images(
    recipe: ImageRecipe,
    cohort: pd.DataFrame,
    target: str,
    out: Path,
    settings: ClassifySettings,
    *,
    evaluate: EvaluateSettings | None = None,
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
    synthetic: bool = False,
) -> ImagesOutcome:
    """Write `predictions.csv`, `training.csv`, `metrics.json` and `report.html`; kept where they are still true.

    Args:
        recipe: networks and training.
        cohort: as `read_cohort` returns it: images, masks where the recipe looks at the tumour, labels, clinical facts.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs.
        settings: seed, sites, folds and repeats; the rest is for classifiers of tables.
        evaluate: how the predictions are judged.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time; the result does not depend on it.
        progress: show progress bars.
        synthetic: the patients are made up; the report says so.

    Returns:
        The metrics, and the cases that were left out.

    Raises:
        InputError: no case with a known label, one class only, or fewer cases than folds.
        CohortError: no case can be prepared.
        RadiogenError: a fold failed.
    """
    out, evaluate = Path(out), evaluate or EvaluateSettings(seed=settings.seed)
    model = ImageClassifier(recipe.settings, cache_folder=cache_folder, jobs=jobs, progress=progress)
    failures = model.prepare(cohort)
    cohort = cohort.drop(index=[failure.case for failure in failures])
    if cohort.empty:
        raise CohortError(
            f"No case can be prepared; the first: {failures[0].case}: {failures[0].cause}", hint=failures[0].fix
        )
    features = _facts(cohort, jobs=jobs)
    table = fusion_table(features, cohort, target)
    clinical = clinical_facts(features, cohort.loc[table.features.index])
    chosen = {
        "target": target, "recipe": recipe.model_dump(mode="json"), "evaluate": evaluate.model_dump(mode="json"), "synthetic": synthetic,
        "splits": {name: getattr(settings, name) for name in ("seed", "sites", "folds", "repeats", "min_site_cases", "max_site_folds")},
        "weights": describe_weights(recipe.settings.weights, recipe.settings.seed),
    }  # fmt: skip
    provenance = Provenance("classify", chosen, _inputs(cohort.loc[table.features.index], recipe.settings, clinical))
    outputs = [out / name for name in ("predictions.csv", "training.csv", "metrics.json", "report.html")]
    if provenance.is_current(outputs):
        log.info("classify %s by %s: unchanged, kept", target, recipe.name)
        return ImagesOutcome(_read(outputs[2]), failures)
    predictions, training, scheme = cross_validate_images(
        recipe.settings, cohort.loc[table.features.index], table, settings, recipe.name,
        cache_folder=cache_folder, jobs=jobs, progress=progress,
    )  # fmt: skip
    evaluation = evaluate_predictions(predictions, clinical, evaluate)
    metrics = {
        **evaluation.metrics,
        "split": scheme,
        "recipe": recipe.name,
        "branches": ["images"],
        "synthetic": synthetic,
        "notes": [*evaluation.metrics.get("notes", []), *table.notes, *_notes(recipe, failures)],
    }
    write_csv(outputs[0], predictions, index=False)
    write_csv(outputs[1], training, index=False)
    write_json(outputs[2], metrics)
    foot = {"stage": STAGE, "settings": dict(provenance.settings), "inputs": dict(provenance.inputs)}
    write_classification_report(outputs[3], metrics, evaluation.scores, provenance=foot, synthetic=synthetic)
    provenance.record(outputs)
    return ImagesOutcome(_read(outputs[2]), failures)


def cross_validate_images(
    model: EmbeddingModelSettings,
    cohort: pd.DataFrame,
    table: FusionTable,
    settings: ClassifySettings,
    name: str,
    *,
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Train on every training side and predict its test side.

    Args:
        model: networks and training.
        cohort: rows with images, in the order of `table`.
        table: labels, patients, sites and strata.
        settings: splits.
        name: what the `model` column says.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases prepared at the same time.
        progress: show a progress bar over the folds.

    Returns:
        The predictions table; the training log, one row per fold, network and epoch; `site-held-out` or `grouped-kfold`.

    Raises:
        InputError: one class only, or fewer cases than folds.
        RadiogenError: a fold failed.
    """
    splits, scheme = make_splits(
        table.cohort, table.y, seed=settings.seed, n_splits=settings.folds, repeats=settings.repeats,
        sites=settings.sites, min_site_cases=settings.min_site_cases, max_site_folds=settings.max_site_folds,
    )  # fmt: skip
    patient = table.cohort["patient"].to_numpy(dtype=object)

    def fold(_: str, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
        seed = int(np.random.SeedSequence([settings.seed, split.repeat]).generate_state(1)[0] % 2**31)
        classifier = ImageClassifier(model.model_copy(update={"seed": seed}), cache_folder=cache_folder, jobs=jobs)
        classifier.fit(cohort.iloc[split.train], table.y[split.train], patient[split.train])
        probability = classifier.predict_proba(cohort.iloc[split.test])[:, 1]
        return _rows(table, split, probability, name), _training_log(classifier, split)

    named = {f"repeat {split.repeat}, {split.name}": split for split in splits}
    # One fold after another: a network takes all cores, or the accelerator, by itself.
    results, failures = run_cases(fold, named, stage=f"classify {table.target}", progress=progress)
    if failures:
        raise RadiogenError(
            f"Fold '{failures[0].case}' of target {table.target} failed: {failures[0].cause}", hint=failures[0].fix
        )
    predictions = pd.concat([rows for rows, _ in results.values()], ignore_index=True)
    training = pd.concat([rows for _, rows in results.values()], ignore_index=True)
    return predictions.sort_values(["repeat", "case"], kind="stable", ignore_index=True), training, scheme


def _facts(cohort: pd.DataFrame, *, jobs: int) -> dict[str, pd.DataFrame]:
    """Return what the trivial baselines need, and for every case how many sequences it has."""
    clinical = ClinicalBranch(ClinicalSettings(), jobs=jobs, on_failure="skip").extract(cohort).features
    counts = [float(len(present_sequences(row))) for _, row in cohort.iterrows()]
    return {"images": pd.DataFrame({"n_sequences": counts}, index=cohort.index), "clinical": clinical}


def _rows(table: FusionTable, split: Split, probability: np.ndarray, name: str) -> pd.DataFrame:
    cohort = table.cohort.iloc[split.test]
    fixed = pd.DataFrame(
        {
            "case": cohort.index.astype(object),
            "patient": cohort["patient"].to_numpy(),
            "site": cohort["site"].to_numpy(),
            "target": table.target,
            "y_true": table.y[split.test],
            "y_prob": np.round(probability, PROBABILITY_DIGITS),
            "split": split.name,
            "repeat": split.repeat,
            "model": name,
        }
    )[PREDICTION_COLUMNS]
    strata = cohort.drop(columns=["patient", "site"]).reset_index(drop=True)
    return pd.concat([fixed, strata], axis=1)


def _training_log(classifier: ImageClassifier, split: Split) -> pd.DataFrame:
    rows = []
    for member in classifier.members_:
        kept = {"split": split.name, "repeat": split.repeat, "network": "+".join(member.sequences)}
        for row in member.log:
            shown = {name: value for name, value in row.items() if name in ("loss", "held_out_loss", "held_out_auc")}
            rows.append({**kept, "epoch": row["epoch"], **shown, "kept": row["epoch"] == member.best_epoch})
    return pd.DataFrame(rows)


def _inputs(cohort: pd.DataFrame, settings: EmbeddingModelSettings, clinical: pd.DataFrame) -> dict[str, str]:
    inputs = {"clinical": table_hash(clinical), "sites": table_hash(cohort[["patient", "site"]])}
    for case, row in cohort.iterrows():
        roles: dict[str, str | Path | None] = {"mask": row.get("mask")}
        roles |= {name: path for name, path in present_sequences(row).items() if name in settings.sequences}
        inputs |= {f"{case}/{role}": value for role, value in hash_inputs(roles).items()}
    return inputs


def _notes(recipe: ImageRecipe, failures: list[Failure]) -> list[str]:
    notes = [NO_MODEL]
    if failures:
        notes.append(f"{len(failures)} case(s) left out because their images cannot be prepared; failed.csv says why.")
    if recipe.settings.weights is None and recipe.settings.frozen:
        notes.append(
            "The frozen network has random weights, not trained ones: give --weights. Its AUC says nothing about the published method."
        )
    notes += [
        f"The paper reports for {item.what} an AUC of {item.auc:g} on {item.data}; it was not measured here."
        for item in recipe.reported
    ]
    return notes


def _read(path: Path) -> dict[str, Any]:
    values: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dict(values)
