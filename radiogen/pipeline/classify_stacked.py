"""Networks on images beside tables: their out-of-fold scores are one more branch of the fused classifier, see `radiogen.pipeline.stacking`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.weights import describe_weights
from radiogen.config.classify import ClassifySettings
from radiogen.config.embedding_model import ImageRecipe
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import CohortError
from radiogen.fusion.inner_scores import IMAGE_SCORE, IMAGES
from radiogen.fusion.join import FusionTable
from radiogen.pipeline.classify_images import recipe_notes
from radiogen.pipeline.image_folds import Trainings
from radiogen.pipeline.image_model import final_model, trainings_of
from radiogen.pipeline.recipe_study import RecipeOutcome
from radiogen.pipeline.stacking import ScoreBranch, check_stackable, run_stacked
from radiogen.types import Labels01


def run_classify_stacked(
    recipe: ImageRecipe,
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
    """Write what `run_classify` writes, with the networks' scores as branch `images`; also `images/` and `model/images/`.

    Every training is kept in `folds/` when it is done, so that a killed study goes on with what is left.

    Args:
        recipe: networks and training.
        features: branch name -> table indexed by case.
        cohort: as `read_cohort` returns it: images, masks where the recipe looks at the tumour, labels, clinical facts.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs.
        settings: splits, inner folds, preparation, classifiers.
        evaluate: how the predictions are judged.
        feature_settings: branch -> settings with which its features were made.
        cache_folder: where prepared volumes are kept; None: radiogen's cache.
        jobs: cases and folds worked on at the same time; the result does not depend on it.
        progress: show progress bars.
        synthetic: the patients are made up; the reports say so.
        splits: folds from a file instead of drawn ones, see `radiogen.fusion.frozen`.

    Returns:
        The metrics of the fused classifier, and the cases whose images could not be prepared; they have no score.

    Raises:
        ConfigError: permutations are asked for, or a table is called `images`.
        InputError: no case with a known label, one class only, or fewer cases than folds.
        CohortError: no case can be prepared.
        RadiogenError: a training failed.
    """
    check_stackable(settings, IMAGES, features)
    failures = ImageClassifier(recipe.settings, cache_folder=cache_folder, jobs=jobs, progress=progress).prepare(cohort)
    imaged = cohort.drop(index=[failure.case for failure in failures])
    if imaged.empty:
        raise CohortError(
            f"No case can be prepared; the first: {failures[0].case}: {failures[0].cause}", hint=failures[0].fix
        )

    def scorer(cases: pd.Index, y: Labels01, patient: np.ndarray) -> Trainings:
        return trainings_of(recipe, imaged.loc[cases], y, patient, Path(out), cache_folder=cache_folder, jobs=jobs)

    def save(trainings: Trainings, table: FusionTable, metrics: Mapping[str, Any], folder: Path) -> None:
        weights = describe_weights(recipe.settings.weights, recipe.settings.seed)
        final_model(
            trainings,
            table,
            metrics,
            folder,
            name=recipe.name,
            seed=settings.seed,
            weights=weights,
            synthetic=synthetic,
        )

    notes = recipe_notes(recipe, failures)
    branch = ScoreBranch(IMAGES, IMAGE_SCORE, recipe.name, imaged.index, scorer, save, notes)
    metrics = run_stacked(
        branch, features, cohort, target, out, settings, evaluate=evaluate, feature_settings=feature_settings,
        jobs=jobs, progress=progress, synthetic=synthetic, splits=splits,
    )  # fmt: skip
    return RecipeOutcome(metrics, failures)
