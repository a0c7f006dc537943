"""From images and labels to predictions, a verdict and a report: classifiers that learn from volumes, tested as all others are."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
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
from radiogen.errors import CohortError
from radiogen.evaluate.audit import evaluate_predictions
from radiogen.fusion.frozen import read_splits, scheme_of
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import PREDICTION_COLUMNS, PROBABILITY_DIGITS
from radiogen.pipeline.classify import clinical_facts, table_hash
from radiogen.pipeline.image_folds import Trainings
from radiogen.pipeline.image_model import final_model, model_files, trainings_of
from radiogen.pipeline.recipe_study import RecipeOutcome, recipe_metrics, run_folds, split_settings
from radiogen.report.classification import write_classification_report
from radiogen.report.reporting import write_reporting
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import Failure

log = logging.getLogger(__name__)

STAGE = "classify-images"


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
    splits: Path | None = None,
) -> RecipeOutcome:
    """Write `predictions.csv`, `training.csv`, `metrics.json`, `report.html` and `model/`; kept where they are still true.

    Every fold is kept in `folds/` when it is done, so that a killed study goes on with what is left.

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
        splits: folds from a file instead of drawn ones, see `radiogen.fusion.frozen`.

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
    weights = describe_weights(recipe.settings.weights, recipe.settings.seed)
    chosen = {
        "target": target, "recipe": recipe.model_dump(mode="json"), "evaluate": evaluate.model_dump(mode="json"), "synthetic": synthetic,
        "splits": split_settings(settings),
        "weights": weights,
    }  # fmt: skip
    cohort = cohort.loc[table.features.index]
    patient = table.cohort["patient"].to_numpy(dtype=object)
    trainings = trainings_of(recipe, cohort, table.y, patient, out, cache_folder=cache_folder, jobs=jobs)
    provenance = Provenance("classify", chosen, {**_inputs(trainings, clinical), **hash_inputs({"splits": splits})})
    outputs = [out / name for name in ("predictions.csv", "training.csv", "metrics.json", "report.html")]
    outputs += [out / "model" / name for name in model_files(model)]
    if provenance.is_current(outputs):
        log.info("classify %s by %s: unchanged, kept", target, recipe.name)
        write_reporting(out)
        return RecipeOutcome(_read(outputs[2]), failures)
    predictions, training, scheme = cross_validate_images(
        trainings, table, settings, recipe.name, splits=splits, progress=progress
    )
    evaluation = evaluate_predictions(predictions, clinical, evaluate)
    notes = [*table.notes, *recipe_notes(recipe, failures)]
    metrics = recipe_metrics(evaluation, scheme, recipe.name, "images", notes, synthetic=synthetic)
    write_csv(outputs[0], predictions, index=False)
    write_csv(outputs[1], training, index=False)
    write_json(outputs[2], metrics)
    final_model(
        trainings, table, metrics, out / "model", name=recipe.name, seed=settings.seed, weights=weights,
        synthetic=synthetic,
    )  # fmt: skip
    foot = {"stage": STAGE, "settings": dict(provenance.settings), "inputs": dict(provenance.inputs)}
    write_classification_report(outputs[3], metrics, evaluation.scores, provenance=foot, synthetic=synthetic)
    provenance.record(outputs)
    write_reporting(out)
    return RecipeOutcome(_read(outputs[2]), failures)


def study_splits(table: FusionTable, settings: ClassifySettings, splits: Path | None) -> tuple[list[Split], str]:
    """Return the splits that a classifier on tables would have too, and `site-held-out` or `grouped-kfold`.

    Args:
        table: labels, patients and sites.
        settings: splits.
        splits: folds from a file instead of drawn ones.

    Raises:
        InputError: one class only, fewer cases than folds, or the file does not fit.
    """
    if splits is not None:
        frozen = read_splits(splits, table)
        return frozen, scheme_of(frozen, table.cohort["site"])
    return make_splits(
        table.cohort, table.y, seed=settings.seed, n_splits=settings.folds, repeats=settings.repeats,
        sites=settings.sites, min_site_cases=settings.min_site_cases, max_site_folds=settings.max_site_folds,
    )  # fmt: skip


def training_seed(settings: ClassifySettings, repeat: int) -> int:
    """Return the seed of the networks of one drawing of the split."""
    return int(np.random.SeedSequence([settings.seed, repeat]).generate_state(1)[0] % 2**31)


def cross_validate_images(
    trainings: Trainings,
    table: FusionTable,
    settings: ClassifySettings,
    name: str,
    *,
    splits: Path | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Train on every training side and predict its test side.

    Args:
        trainings: of the study.
        table: labels, patients, sites and strata.
        settings: splits.
        name: what the `model` column says.
        splits: folds from a file instead of drawn ones.
        progress: show a progress bar over the folds.

    Returns:
        The predictions table; the training log, one row per fold, network and epoch; `site-held-out` or `grouped-kfold`.

    Raises:
        InputError: one class only, or fewer cases than folds.
        RadiogenError: a fold failed.
    """
    drawn, scheme = study_splits(table, settings, splits)
    log.info(
        "%s: %d trainings of the networks, one for each fold and one for the model; what is done is kept.",
        name,
        len(drawn) + 1,
    )

    def fold(_: str, numbered: tuple[int, Split]) -> tuple[pd.DataFrame, pd.DataFrame]:
        number, split = numbered
        seed = training_seed(settings, split.repeat)
        probability, rows = trainings.score(f"fold{number:02d}", split.train, split.test, seed)
        return prediction_rows(table, split, probability, name), _named(rows, split)

    results = run_folds(fold, drawn, table.target, progress=progress)
    predictions = pd.concat([rows for rows, _ in results], ignore_index=True)
    training = pd.concat([rows for _, rows in results], ignore_index=True)
    return predictions.sort_values(["repeat", "case"], kind="stable", ignore_index=True), training, scheme


def _facts(cohort: pd.DataFrame, *, jobs: int) -> dict[str, pd.DataFrame]:
    """Return what the trivial baselines need, and for every case how many sequences it has."""
    clinical = ClinicalBranch(ClinicalSettings(), jobs=jobs, on_failure="skip").extract(cohort).features
    counts = [float(len(present_sequences(row))) for _, row in cohort.iterrows()]
    return {"images": pd.DataFrame({"n_sequences": counts}, index=cohort.index), "clinical": clinical}


def prediction_rows(table: FusionTable, split: Split, probability: np.ndarray, name: str) -> pd.DataFrame:
    """Return the rows of the predictions table of one test side.

    Args:
        table: labels, patients, sites and strata.
        split: whose test side.
        probability: of its rows.
        name: what the `model` column says.
    """
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


def _named(training: pd.DataFrame, split: Split) -> pd.DataFrame:
    return pd.concat(
        [pd.DataFrame({"split": split.name, "repeat": split.repeat}, index=training.index), training], axis=1
    )


def _inputs(trainings: Trainings, clinical: pd.DataFrame) -> dict[str, str]:
    sites = table_hash(trainings.cohort[["patient", "site"]])
    files = {f"{case}/{role}": value for case, roles in trainings.hashes.items() for role, value in roles.items()}
    return {"clinical": table_hash(clinical), "sites": sites, **files}


def recipe_notes(recipe: ImageRecipe, failures: list[Failure]) -> list[str]:
    """Return what a reader must know of a recipe's result: cases left out, random weights, and what the paper reports.

    Args:
        recipe: networks and training.
        failures: cases that could not be prepared.
    """
    notes = []
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
