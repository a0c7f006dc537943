"""From masks, images and labels to predictions, a verdict and named connections: graph networks, tested as all other classifiers are."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.branches.clinical import ClinicalBranch
from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.prepared import PreparedGraphs, prepare_graphs
from radiogen.cohort.splits import Split
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.features import ClinicalSettings
from radiogen.config.network_recipes import GraphModelSettings, GraphRecipe
from radiogen.evaluate.audit import Evaluation, evaluate_predictions
from radiogen.fusion.graph_bundle import MODEL_FILES, graph_bundle, save_graph_model
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.pipeline.classify import clinical_facts, table_hash
from radiogen.pipeline.classify_images import prediction_rows, study_splits, training_seed
from radiogen.pipeline.graph_explanation import (
    MAPS,
    PICTURES,
    TABLE,
    learned_checks,
    write_connections,
    write_pictures,
)
from radiogen.pipeline.graph_folds import FoldResult, GraphTrainings, settings_that_count, training_log
from radiogen.pipeline.predict_graphs import file_hashes
from radiogen.pipeline.recipe_study import RecipeOutcome, recipe_metrics, run_folds, split_settings
from radiogen.report.classification import write_classification_report
from radiogen.report.explained_network import explained_sections, explanation_words
from radiogen.report.reporting import write_reporting
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.provenance import Provenance, content_hash, hash_inputs
from radiogen.run.quarantine import Failure
from radiogen.types import Labels01

log = logging.getLogger(__name__)

STAGE = "classify-graphs"

_FILES = ("predictions.csv", "training.csv", TABLE, "metrics.json", "report.html", *MAPS, *PICTURES)


def graph_recipe_with(recipe: GraphRecipe, changes: Mapping[str, Any]) -> GraphRecipe:
    """Return a recipe whose settings are changed; what is None stays.

    Args:
        recipe: a recipe.
        changes: `seed` and `device`.

    Raises:
        ConfigError: a change is not accepted.
    """
    settings = recipe.settings.model_dump(exclude_unset=True)
    if changes.get("seed") is not None:
        settings["seed"] = changes["seed"]
    if changes.get("device") is not None:
        settings["network"] = {**settings.get("network", {}), "device": changes["device"]}
    return recipe.model_copy(update={"settings": GraphModelSettings.parse(settings)})


def run_classify_graphs(
    recipe: GraphRecipe,
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
    """Write `predictions.csv`, `training.csv`, `metrics.json`, `report.html`, `model/`, and tables, maps and pictures of what the networks look at.

    All of it is kept where it is still true, and every fold is kept in `folds/` when it is done, so that a killed study goes on with what is left.

    Args:
        recipe: graphs, network and training.
        cohort: as `read_cohort` returns it: masks, images, labels, clinical facts.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs.
        settings: seed, sites, folds and repeats; the rest is for classifiers of tables.
        evaluate: how the predictions are judged.
        cache_folder: where prepared cases are kept; None: radiogen's cache.
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
    found = prepare_graphs(cohort, recipe.settings, cache_folder, jobs=jobs, progress=progress)
    features = {"graphs": found.facts, "clinical": _clinical(cohort.loc[found.facts.index], jobs)}
    table = fusion_table(features, cohort.loc[found.facts.index], target)
    clinical = clinical_facts(features, cohort.loc[table.features.index])
    patient = table.cohort["patient"].to_numpy(dtype=object)
    trainings = graph_trainings(recipe, found, cohort.loc[table.features.index], table.y, patient, out)
    prepared = trainings.prepared
    provenance = _provenance(recipe, trainings, table, clinical, settings, evaluate, synthetic=synthetic, splits=splits)
    outputs = [out / name for name in _FILES] + [out / "model" / name for name in MODEL_FILES]
    if provenance.is_current(outputs):
        log.info("classify %s by %s: unchanged, kept", target, recipe.name)
        write_reporting(out)
        return RecipeOutcome(_read(out), found.failures)
    drawn, scheme, results = cross_validate_graphs(trainings, table, settings, splits=splits, progress=progress)
    folds = _pairs(drawn, results)
    predictions = _table([prediction_rows(table, split, result.probability, recipe.name) for split, result in folds])
    evaluation = evaluate_predictions(predictions, clinical, evaluate)
    named = {"name": found.template.name, "nodes": found.template.n_nodes, "connections": found.template.n_edges}
    notes = [*table.notes, *graph_notes(recipe, found.failures)]
    metrics = recipe_metrics(evaluation, scheme, recipe.name, "graphs", notes, synthetic=synthetic, template=named)
    write_csv(out / "predictions.csv", predictions, index=False)
    everything = trainings.fitted(np.arange(len(table.y)), settings.seed)
    bundle = graph_bundle(
        everything, recipe.settings, prepared, table, metrics,
        name=recipe.name, salt=provenance.fingerprint, synthetic=synthetic,
    )  # fmt: skip
    save_graph_model(out / "model", bundle, prepared)
    _write_results(out, trainings, folds, everything, Evaluation(metrics, evaluation.scores), provenance)
    provenance.record(outputs)
    write_reporting(out)
    return RecipeOutcome(_read(out), found.failures)


def _write_results(
    out: Path,
    trainings: GraphTrainings,
    folds: list[tuple[Split, FoldResult]],
    trained: GraphClassifier,
    evaluation: Evaluation,
    provenance: Provenance,
) -> None:
    logs = [training_log(result).assign(split=split.name, repeat=split.repeat) for split, result in folds]
    write_csv(out / "training.csv", pd.concat(logs, ignore_index=True), index=False)
    template, explanation = trainings.prepared.template, trainings.settings.explanation
    importance = held_out_importance(trainings, folds)
    write_connections(out, template, importance, trainings.settings)
    target = str(evaluation.metrics["target"])
    classes = write_pictures(out, template, importance, explanation.keep, target)
    checks = learned_checks(trainings, trained, trainings.settings.seed)
    told = {**checks, "method": explanation.method, "text": explanation_words(evaluation.metrics, checks)}
    write_json(out / "metrics.json", {**evaluation.metrics, "explanation": told})
    write_classification_report(
        out / "report.html",
        evaluation.metrics,
        evaluation.scores,
        explained=explained_sections(evaluation.metrics, checks, classes),
        provenance={
            "stage": STAGE,
            "settings": dict(provenance.settings),
            "inputs": dict(provenance.inputs),
        },
        synthetic=bool(evaluation.metrics["synthetic"]),
    )


def cross_validate_graphs(
    trainings: GraphTrainings,
    table: FusionTable,
    settings: ClassifySettings,
    *,
    splits: Path | None = None,
    progress: bool = False,
) -> tuple[list[Split], str, list[FoldResult]]:
    """Train on every training side and look at its test side.

    Args:
        trainings: of the study.
        table: labels, patients and sites.
        settings: splits.
        splits: folds from a file instead of drawn ones.
        progress: show a progress bar over the folds.

    Returns:
        The splits; `site-held-out` or `grouped-kfold`; one result per split.

    Raises:
        InputError: one class only, or fewer cases than folds.
        RadiogenError: a fold failed.
    """
    drawn, scheme = study_splits(table, settings, splits)

    def fold(_: str, numbered: tuple[int, Split]) -> FoldResult:
        number, split = numbered
        return trainings.score(f"fold{number:02d}", split.train, split.test, training_seed(settings, split.repeat))

    return drawn, scheme, run_folds(fold, drawn, table.target, progress=progress)


def held_out_importance(
    trainings: GraphTrainings, folds: list[tuple[Split, FoldResult]]
) -> dict[int, Float[np.ndarray, " e"]]:
    """Return the importance of every connection per class, 0 to 1, over cases that the explained network did not see.

    Attributions are averaged over the cases of a class in all folds, then their size is divided by the largest; masks are averaged.

    Args:
        trainings: of the study.
        folds: its splits and their results.
    """
    labels = np.concatenate([trainings.y[split.test][result.explained] for split, result in folds])
    values = np.concatenate([result.attribution for _, result in folds])
    found = {}
    for label in (0, 1):
        mean = np.abs(values[labels == label].mean(axis=0))
        of_masks = trainings.settings.explanation.method == "gnnexplainer"
        found[label] = mean if of_masks or mean.max() == 0 else mean / mean.max()
    return found


def _clinical(cohort: pd.DataFrame, jobs: int) -> pd.DataFrame:
    return ClinicalBranch(ClinicalSettings(), jobs=jobs, on_failure="skip").extract(cohort).features


def graph_trainings(
    recipe: GraphRecipe, found: PreparedGraphs, cohort: pd.DataFrame, y: Labels01, patient: np.ndarray, out: Path
) -> GraphTrainings:
    """Return the trainings of a study, which are kept in `out/folds`.

    Args:
        recipe: graphs and network.
        found: graphs of these cases, and maybe of others.
        cohort: rows of the cases.
        y: 0/1 label per case.
        patient: patient per case.
        out: folder of the study.
    """
    place = found.facts.index.get_indexer(cohort.index)
    prepared = replace(found, rows=found.rows[place], facts=found.facts.iloc[place])
    hashes = {str(case): content_hash(file_hashes(row)) for case, row in cohort.iterrows()}
    return GraphTrainings(recipe.settings, prepared, y, patient, hashes, Path(out) / "folds")


def _provenance(
    recipe: GraphRecipe,
    trainings: GraphTrainings,
    table: FusionTable,
    clinical: pd.DataFrame,
    settings: ClassifySettings,
    evaluate: EvaluateSettings,
    *,
    synthetic: bool,
    splits: Path | None,
) -> Provenance:
    chosen = {
        "target": table.target,
        "recipe": {**recipe.model_dump(mode="json", exclude={"settings"}), "settings": settings_that_count(recipe.settings)},
        "template": trainings.prepared.digest,
        "evaluate": evaluate.model_dump(mode="json"),
        "synthetic": synthetic,
        "splits": split_settings(settings),
    }  # fmt: skip
    sites = table_hash(table.cohort[["patient", "site"]])
    frozen = hash_inputs({"splits": splits})
    return Provenance(
        "classify", chosen, {"clinical": table_hash(clinical), "sites": sites, **frozen, **trainings.hashes}
    )


def graph_notes(recipe: GraphRecipe, failures: list[Failure]) -> list[str]:
    """Return what a reader must know of a recipe's result: cases left out, and what the paper reports.

    Args:
        recipe: graphs and network.
        failures: cases that could not be prepared.
    """
    left_out = (
        [f"{len(failures)} case(s) left out because they have no graph; failed.csv says why."] if failures else []
    )
    reported = [
        f"The paper reports for {item.what} ({item.data}) an accuracy of {item.accuracy:g}, sensitivity {item.sensitivity:g}, specificity "
        f"{item.specificity:g} on its own patients{'. ' + item.note if item.note else '; not measured here.'}"
        for item in recipe.reported
    ]
    return [*left_out, *reported]


def _pairs(splits: list[Split], results: list[FoldResult]) -> list[tuple[Split, FoldResult]]:
    return list(zip(splits, results, strict=True))


def _table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True).sort_values(["repeat", "case"], kind="stable", ignore_index=True)


def _read(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "metrics.json").read_text(encoding="utf-8")))
