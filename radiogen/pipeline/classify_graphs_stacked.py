"""Graph networks beside tables: their out-of-fold scores are one more branch of the fused classifier, see `radiogen.pipeline.stacking`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.network.prepared import prepare_graphs
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.network_recipes import GraphRecipe
from radiogen.fusion.graph_bundle import MODEL_FILES, graph_bundle, save_graph_model
from radiogen.fusion.inner_scores import GRAPH_SCORE, GRAPHS
from radiogen.fusion.join import FusionTable
from radiogen.pipeline.classify_graphs import graph_notes, graph_trainings
from radiogen.pipeline.graph_folds import GraphTrainings
from radiogen.pipeline.recipe_study import RecipeOutcome
from radiogen.pipeline.stacking import ScoreBranch, check_stackable, run_stacked
from radiogen.run.provenance import Provenance, content_hash
from radiogen.types import Labels01


def run_graphs_stacked(
    recipe: GraphRecipe,
    features: Mapping[str, pd.DataFrame],
    cohort: pd.DataFrame,
    target: str,
    out: Path,
    settings: ClassifySettings,
    *,
    evaluate: EvaluateSettings | None = None,
    feature_settings: Mapping[str, Any] | None = None,
    cache_folder: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
    synthetic: bool = False,
    splits: Path | None = None,
) -> RecipeOutcome:
    """Write what `run_classify` writes, with the graph networks' scores as branch `graphs`; also `graphs/` and `model/graphs/`.

    Every training is kept in `folds/` when it is done, so that a killed study goes on with what is left.

    Args:
        recipe: graphs, network and training.
        features: branch name -> table indexed by case.
        cohort: as `read_cohort` returns it: masks, images, labels, clinical facts.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs.
        settings: splits, inner folds, preparation, classifiers.
        evaluate: how the predictions are judged.
        feature_settings: branch -> settings with which its features were made.
        cache_folder: where prepared cases are kept; None: radiogen's cache.
        jobs: cases and folds worked on at the same time; the result does not depend on it.
        progress: show progress bars.
        synthetic: the patients are made up; the reports say so.
        splits: folds from a file instead of drawn ones, see `radiogen.fusion.frozen`.

    Returns:
        The metrics of the fused classifier, and the cases without a graph; they have no score.

    Raises:
        ConfigError: permutations are asked for, or a table is called `graphs`.
        InputError: no case with a known label, one class only, or fewer cases than folds.
        CohortError: no case can be prepared.
        RadiogenError: a training failed.
    """
    check_stackable(settings, GRAPHS, features)
    found = prepare_graphs(cohort, recipe.settings, cache_folder, jobs=jobs, progress=progress)

    def scorer(cases: pd.Index, y: Labels01, patient: np.ndarray) -> GraphTrainings:
        return graph_trainings(recipe, found, cohort.loc[cases], y, patient, Path(out))

    def save(trainings: GraphTrainings, table: FusionTable, metrics: Mapping[str, Any], folder: Path) -> None:
        final_graph_model(trainings, table, metrics, folder, name=recipe.name, seed=settings.seed, synthetic=synthetic)

    notes = graph_notes(recipe, found.failures)
    branch = ScoreBranch(GRAPHS, GRAPH_SCORE, recipe.name, found.facts.index, scorer, save, notes)
    metrics = run_stacked(
        branch, features, cohort, target, out, settings, evaluate=evaluate, feature_settings=feature_settings,
        jobs=jobs, progress=progress, synthetic=synthetic, splits=splits,
    )  # fmt: skip
    return RecipeOutcome(metrics, found.failures)


def final_graph_model(
    trainings: GraphTrainings,
    table: FusionTable,
    metrics: Mapping[str, Any],
    folder: Path,
    *,
    name: str,
    seed: int,
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
        synthetic: the patients are made up.

    Raises:
        InputError: a class has too few patients.
        OutputError: the folder cannot be written.
    """
    everything = np.arange(len(trainings.y))
    rows = trainings.provenance(everything, everything[:0], seed, explain=False)
    facts = content_hash({"metrics": dict(metrics), "synthetic": synthetic, "recipe": name})
    provenance = Provenance("graph-model", {**rows.settings, "facts": facts}, {"rows": rows.fingerprint})
    files = [folder / file for file in MODEL_FILES]
    if provenance.is_current(files):
        return
    bundle = graph_bundle(
        trainings.fitted(everything, seed), trainings.settings, trainings.prepared, table, metrics,
        name=name, salt=provenance.fingerprint, synthetic=synthetic,
    )  # fmt: skip
    save_graph_model(folder, bundle, trainings.prepared)
    provenance.record(files)
