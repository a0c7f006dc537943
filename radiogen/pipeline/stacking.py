"""Networks beside tables: their out-of-fold scores are one more branch of the fused classifier, whatever the networks look at.

Within each outer training side the networks are trained on inner folds, so that every training case is scored by networks that did not see it; a
network of the whole training side scores the test side. So nothing of a test row reaches the classifier. Inside the training side the tuning of the
classifier is a little too hopeful of the scores, as in any stacking: the networks that scored one case have seen cases that tuning holds out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.splits import Split
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import ConfigError
from radiogen.evaluate.audit import evaluate_predictions
from radiogen.fusion.inner_scores import score_table, training_key
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.pipeline.classify import clinical_facts, run_classify
from radiogen.pipeline.classify_images import prediction_rows, study_splits, training_seed
from radiogen.pipeline.inner_folds import Scorer, inner_probability, n_inner_folds
from radiogen.run.atomic import write_csv, write_json
from radiogen.types import Labels01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreBranch:
    """Networks whose scores stand beside tables.

    Args:
        name: of the branch, of its folder and of the folder of its model.
        column: of its scores.
        recipe: name of the networks' recipe.
        cases: those that the networks can look at.
        scorer: cases, their labels and patients -> their trainings.
        save: trainings, their part of the table, metrics by the networks alone, folder: train on every case and write the model.
        notes: what a reader must know of the networks.
    """

    name: str
    column: str
    recipe: str
    cases: pd.Index
    scorer: Callable[[pd.Index, Labels01, np.ndarray], Scorer]
    save: Callable[[Any, FusionTable, Mapping[str, Any], Path], None]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Study:
    """What the scores of one study are made from: the fused table, its splits, and the trainings on the rows that have scores."""

    branch: ScoreBranch
    table: FusionTable
    splits: list[Split]
    scorer: Scorer
    folds: int

    @property
    def scored(self) -> np.ndarray:
        """Return the row positions of the table's cases with scores, in the order of the trainings' rows."""
        return self.table.features.index.get_indexer(self.scorer.cases)

    def rows(self, of_table: np.ndarray) -> np.ndarray:
        """Return the trainings' rows of some of the table's."""
        return np.flatnonzero(np.isin(self.scored, of_table))

    @property
    def n_trainings(self) -> int:
        """Return how many trainings the study costs."""
        patient, y = self.scorer.patient, self.scorer.y
        sides = [self.rows(split.train) for split in self.splits]
        inner = [n_inner_folds(patient[side], y[side], self.folds) + 1 for side in sides]
        return sum(inner) + n_inner_folds(patient, y, self.folds) + 1


def run_stacked(
    branch: ScoreBranch,
    features: Mapping[str, pd.DataFrame],
    cohort: pd.DataFrame,
    target: str,
    out: Path,
    settings: ClassifySettings,
    *,
    evaluate: EvaluateSettings | None = None,
    feature_settings: Mapping[str, Any] | None = None,
    jobs: int = 1,
    progress: bool = False,
    synthetic: bool = False,
    splits: Path | None = None,
) -> dict[str, Any]:
    """Write what `run_classify` writes, with the networks' scores as one more branch; also `<branch>/` and `model/<branch>/`.

    Args:
        branch: the networks.
        features: branch name -> table indexed by case.
        cohort: as `read_cohort` returns it.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs.
        settings: splits, inner folds, preparation, classifiers.
        evaluate: how the predictions are judged.
        feature_settings: branch -> settings with which its features were made.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show progress bars.
        synthetic: the patients are made up; the reports say so.
        splits: folds from a file instead of drawn ones, see `radiogen.fusion.frozen`.

    Returns:
        The metrics of the fused classifier.

    Raises:
        ConfigError: permutations are asked for, or a table has the branch's name.
        InputError: no case with a known label, one class only, or fewer cases than folds.
        RadiogenError: a training failed.
    """
    check_stackable(settings, branch.name, features)
    out, evaluate = Path(out), evaluate or EvaluateSettings(seed=settings.seed)
    # A random split beside the sites would take as many trainings again.
    settings = settings.model_copy(update={"random_split": False})
    study = _study(branch, features, cohort, target, settings, splits)
    log.info(
        "%s: %d trainings of the networks, inner folds and the model included; what is done is kept.",
        branch.recipe,
        study.n_trainings,
    )
    scores, alone = _scores(study, settings)
    by_networks = {
        **evaluate_predictions(alone, clinical_facts(features, cohort.loc[study.scorer.cases]), evaluate).metrics,
        "recipe": branch.recipe,
        "synthetic": synthetic,
        "notes": [*study.table.notes, *branch.notes],
    }
    write_csv(out / branch.name / "predictions.csv", alone, index=False)
    write_json(out / branch.name / "metrics.json", by_networks)
    told = f"{branch.column}: log-odds by the networks of recipe {branch.recipe}, of training cases out of inner folds."
    metrics = run_classify(
        {**features, branch.name: scores.pop("")}, cohort, target, out, settings, evaluate=evaluate, jobs=jobs, progress=progress,
        feature_settings={**(feature_settings or {}), branch.name: {"recipe": branch.recipe}}, synthetic=synthetic, scores=scores, splits=splits,
        notes=[told, *branch.notes],
    )  # fmt: skip
    branch.save(study.scorer, _of_networks(study), by_networks, out / "model" / branch.name)
    return metrics


def check_stackable(settings: ClassifySettings, name: str, features: Mapping[str, pd.DataFrame]) -> None:
    """Raise where networks cannot stand beside tables: better before they are trained.

    Args:
        settings: of the classifier.
        name: of the networks' branch.
        features: the tables.

    Raises:
        ConfigError: permutations are asked for, or a table has the branch's name.
    """
    if settings.permutations_refit:
        raise ConfigError(
            "Labels cannot be permuted where networks are trained: each permutation would take all trainings once more.",
            hint="Leave --permute out, or --recipe.",
        )
    if name in features:
        raise ConfigError(
            f"A feature table is called '{name}', as the branch of the networks' scores.", hint="Rename its file."
        )


def _study(
    branch: ScoreBranch,
    features: Mapping[str, pd.DataFrame],
    cohort: pd.DataFrame,
    target: str,
    settings: ClassifySettings,
    splits: Path | None,
) -> _Study:
    # Who has scores; the numbers are not used.
    there = score_table(branch.cases, np.linspace(0.4, 0.6, len(branch.cases)), branch.column)
    table = fusion_table({**features, branch.name: there}, cohort, target)
    drawn, _ = study_splits(table, settings, splits)
    known = set(branch.cases)
    cases = pd.Index([case for case in table.features.index if case in known], dtype=object, name="case")
    rows = table.features.index.get_indexer(cases)
    scorer = branch.scorer(cases, table.y[rows], table.cohort["patient"].to_numpy(dtype=object)[rows])
    return _Study(branch, table, drawn, scorer, settings.inner_folds)


def _scores(study: _Study, settings: ClassifySettings) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the scores for every training side, under an empty name those for a training on all cases, and the predictions by networks alone."""
    cases, everything = study.table.features.index, np.arange(len(study.scorer.y))
    column, scorer = study.branch.column, study.scorer
    inner = inner_probability(scorer, "all", everything, study.folds, settings.seed)
    scores, alone = {"": score_table(scorer.cases, inner, column)}, []
    for number, split in enumerate(study.splits):
        seed = training_seed(settings, split.repeat)
        train, test = study.rows(split.train), study.rows(split.test)
        probability = np.full(len(everything), np.nan)
        probability[train] = inner_probability(scorer, f"fold{number:02d}", train, study.folds, seed)
        probability[test] = scorer.probability(f"fold{number:02d}", train, test, seed)
        scores[training_key(cases[split.train])] = score_table(scorer.cases, probability, column).reindex(cases)
        tested = Split(split.repeat, split.name, split.train, study.scored[test])
        alone.append(prediction_rows(study.table, tested, probability[test], study.branch.recipe))
    return scores, pd.concat(alone, ignore_index=True)


def _of_networks(study: _Study) -> FusionTable:
    """Return the part of the table that the networks were trained on."""
    rows, table = study.scored, study.table
    return FusionTable(
        table.target, table.features.iloc[rows][[]], table.y[rows], table.cohort.iloc[rows], {}, list(table.notes)
    )
