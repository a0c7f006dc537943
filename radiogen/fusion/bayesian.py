"""Bayesian search over the ranges of a classifier's hyper-parameters, seeded and in memory."""

from __future__ import annotations

import numpy as np
import optuna
from jaxtyping import Float

from radiogen.fusion.base import log_loss
from radiogen.fusion.classifiers import Candidate, Family, Range
from radiogen.fusion.search import InnerFold
from radiogen.run.log import quiet_optuna
from radiogen.types import Labels01


def tried_by_tpe(
    family: Family, ranges: dict[str, Range], folds: list[InnerFold], y: Labels01, trials: int, seed: int
) -> tuple[list[Candidate], Float[np.ndarray, "candidates n"]]:
    """Return what a tree-structured Parzen estimator tried, and its out-of-fold probabilities; the first is the simplest candidate of the grid.

    Args:
        family: the classifier.
        ranges: hyper-parameter -> its range.
        folds: prepared inner folds.
        y: labels of all rows of the training side.
        trials: how many are tried.
        seed: of classifiers and search.

    Source: Bergstra et al., NeurIPS 2011 (tree-structured Parzen estimator); Akiba et al., KDD 2019 (Optuna).
    """
    candidates: list[Candidate] = []
    found: list[np.ndarray] = []

    def objective(trial: optuna.Trial) -> float:
        candidate = {name: _suggested(trial, name, limits) for name, limits in ranges.items()}
        probability = np.full(len(y), np.nan)
        for fold in folds:
            model = family.fit(fold.before, fold.y, candidate, seed=seed, patient=fold.patient)
            probability[fold.test] = model.predict_proba(fold.after)[:, 1]
        candidates.append(candidate)
        found.append(probability)
        return log_loss(probability, y)

    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(8, trials)))
        study.enqueue_trial(dict(family.candidates[0]))
        study.optimize(objective, n_trials=trials)
    return candidates, np.array(found)


def _suggested(trial: optuna.Trial, name: str, limits: Range) -> float | int:
    low, high, scale = limits
    if scale == "whole":
        return trial.suggest_int(name, int(low), int(high))
    # Rounded, so that what is written in tuning.csv is what was used.
    return float(f"{trial.suggest_float(name, low, high, log=scale == 'log'):.4g}")
