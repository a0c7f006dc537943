"""Networks on images beside tables: their out-of-fold scores are one more branch of the fused classifier.

Within each outer training side the networks are trained on inner folds, so that every training case is scored by networks that did not see it; a
network of the whole training side scores the test side. So nothing of a test row reaches the classifier. Inside the training side the tuning of the
classifier is a little too hopeful of the scores, as in any stacking: the networks that scored one case have seen cases that tuning holds out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.weights import describe_weights
from radiogen.cohort.splits import Split
from radiogen.config.classify import ClassifySettings
from radiogen.config.embedding_model import ImageRecipe
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import CohortError, ConfigError
from radiogen.evaluate.audit import evaluate_predictions
from radiogen.fusion.inner_scores import IMAGE_SCORE, IMAGES, image_score_table, training_key
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.pipeline.classify import clinical_facts, run_classify
from radiogen.pipeline.classify_images import (
    ImagesOutcome,
    prediction_rows,
    recipe_notes,
    study_splits,
    training_seed,
)
from radiogen.pipeline.image_folds import Trainings, n_inner_folds
from radiogen.pipeline.image_model import final_model, trainings_of
from radiogen.run.atomic import write_csv, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Study:
    """What the scores of one study are made from: the fused table, its splits, and the trainings on the rows that have images."""

    table: FusionTable
    splits: list[Split]
    trainings: Trainings
    folds: int

    @property
    def with_images(self) -> np.ndarray:
        """Return the row positions of the table's cases with images, in the order of the trainings' rows."""
        return self.table.features.index.get_indexer(self.trainings.cohort.index)

    def rows(self, of_table: np.ndarray) -> np.ndarray:
        """Return the trainings' rows of some of the table's."""
        return np.flatnonzero(np.isin(self.with_images, of_table))

    @property
    def n_trainings(self) -> int:
        """Return how many trainings the study costs."""
        patient, y = self.trainings.patient, self.trainings.y
        sides = [self.rows(split.train) for split in self.splits]
        inner = [n_inner_folds(patient[side], y[side], self.folds) + 1 for side in sides]
        return sum(inner) + n_inner_folds(patient, y, self.folds) + 1


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
) -> ImagesOutcome:
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
        ConfigError: permutations are asked for.
        InputError: no case with a known label, one class only, or fewer cases than folds.
        CohortError: no case can be prepared.
        RadiogenError: a training failed.
    """
    if settings.permutations_refit:
        raise ConfigError(
            "Labels cannot be permuted where networks are trained: each permutation would take all trainings once more.",
            hint="Leave --permute out, or --recipe.",
        )
    out, evaluate = Path(out), evaluate or EvaluateSettings(seed=settings.seed)
    # A random split beside the sites would take as many trainings again.
    settings = settings.model_copy(update={"random_split": False})
    failures = ImageClassifier(recipe.settings, cache_folder=cache_folder, jobs=jobs, progress=progress).prepare(cohort)
    imaged = cohort.drop(index=[failure.case for failure in failures])
    if imaged.empty:
        raise CohortError(
            f"No case can be prepared; the first: {failures[0].case}: {failures[0].cause}", hint=failures[0].fix
        )
    there = image_score_table(
        imaged.index, np.linspace(0.4, 0.6, len(imaged))
    )  # who has images; the numbers are not used
    table = fusion_table({**features, IMAGES: there}, cohort, target)
    drawn, _ = study_splits(table, settings, splits)
    cases = [case for case in table.features.index if case in set(imaged.index)]
    rows = table.features.index.get_indexer(pd.Index(cases))
    trainings = trainings_of(
        recipe, imaged.loc[cases], table.y[rows], table.cohort["patient"].to_numpy(dtype=object)[rows], out,
        cache_folder=cache_folder, jobs=jobs,
    )  # fmt: skip
    study = _Study(table, drawn, trainings, settings.inner_folds)
    log.info(
        "%s: %d trainings of the networks, inner folds and the model included; what is done is kept.",
        recipe.name,
        study.n_trainings,
    )
    scores, alone = _scores(study, settings, recipe.name)
    clinical = clinical_facts(features, study.trainings.cohort)
    told = recipe_notes(recipe, failures)
    by_images = {
        **evaluate_predictions(alone, clinical, evaluate).metrics,
        "recipe": recipe.name,
        "synthetic": synthetic,
        "notes": [*study.table.notes, *told],
    }
    write_csv(out / IMAGES / "predictions.csv", alone, index=False)
    write_json(out / IMAGES / "metrics.json", by_images)
    metrics = run_classify(
        {**features, IMAGES: scores.pop("")}, cohort, target, out, settings, evaluate=evaluate, jobs=jobs, progress=progress,
        feature_settings={**(feature_settings or {}), IMAGES: {"recipe": recipe.name}}, synthetic=synthetic, scores=scores, splits=splits,
        notes=[f"{IMAGE_SCORE}: log-odds by the networks of recipe {recipe.name}, of training cases out of inner folds.", *told],
    )  # fmt: skip
    final_model(
        study.trainings, _of_images(study), by_images, out / "model" / IMAGES, name=recipe.name, seed=settings.seed,
        weights=describe_weights(recipe.settings.weights, recipe.settings.seed), synthetic=synthetic,
    )  # fmt: skip
    return ImagesOutcome(metrics, failures)


def _scores(study: _Study, settings: ClassifySettings, name: str) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the scores for every training side, under an empty name those for a training on all cases, and the predictions by images alone."""
    cases, everything = study.table.features.index, np.arange(len(study.trainings.y))
    inner = study.trainings.score_inner("all", everything, study.folds, settings.seed)
    scores, alone = {"": image_score_table(study.trainings.cohort.index, inner)}, []
    for number, split in enumerate(study.splits):
        seed = training_seed(settings, split.repeat)
        train, test = study.rows(split.train), study.rows(split.test)
        probability = np.full(len(everything), np.nan)
        probability[train] = study.trainings.score_inner(f"fold{number:02d}", train, study.folds, seed)
        probability[test] = study.trainings.score(f"fold{number:02d}", train, test, seed)[0]
        found = image_score_table(study.trainings.cohort.index, probability)
        scores[training_key(cases[split.train])] = found.reindex(cases)
        tested = Split(split.repeat, split.name, split.train, study.with_images[test])
        alone.append(prediction_rows(study.table, tested, probability[test], name))
    return scores, pd.concat(alone, ignore_index=True)


def _of_images(study: _Study) -> FusionTable:
    """Return the part of the table that the networks were trained on."""
    rows, table = study.with_images, study.table
    return FusionTable(
        table.target, table.features.iloc[rows][[]], table.y[rows], table.cohort.iloc[rows], {}, list(table.notes)
    )
