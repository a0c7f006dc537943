"""Late fusion: one fused classifier per branch, then one answer from their log-odds; a branch that a case lacks has no say."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.errors import InputError
from radiogen.fusion.base import EPSILON, BranchwiseModel, log_loss, without_context
from radiogen.fusion.context import RowContext
from radiogen.fusion.model import FusedClassifier
from radiogen.stats.auc import auc
from radiogen.types import Labels01

Scores = Float[np.ndarray, "n branches"]
"""Log-odds per row and branch; NaN where a row lacks the branch."""

MOST_STACKED = 8
"""Branches that stacking accepts: every set of them has a logistic regression of its own."""

_LEAST_PATIENTS = 4


class LateFusion(BranchwiseModel):
    """One fused classifier per branch, fitted on the rows that have it; then the mean, a weighted mean or a regression of their log-odds.

    What combines them is learned from out-of-fold scores of the inner folds, in which no patient is scored by a model that saw it.

    - `mean`: every branch weighs the same.
    - `weighted`: in proportion to what a branch achieves on the inner folds; one that is no better than the prevalence weighs nothing.
    - `stacking`: logistic regression, one for every set of branches that a case may have, on the training rows that have them all.

    Args:
        settings: as `ClassifySettings` dumps them; None: the defaults.
        seed: seed of everything random.
        branch_of: column -> branch.

    Source: Wolpert, Neural Networks 1992, 5:241 (stacking); Saar-Tsechansky, Provost, J Mach Learn Res 2007, 8:1623 (one reduced model per pattern
    of what is missing).
    """

    def fit(
        self, X: pd.DataFrame, y: Labels01, patient: np.ndarray | None = None, context: RowContext | None = None
    ) -> LateFusion:
        """Fit every branch's classifier, then what combines them.

        Args:
            X: one row per case, columns of numbers, NaN where missing.
            y: 0/1 label per row.
            patient: patient id per row; every row is its own patient by default.
            context: sites, covariates and perturbed values of the rows, where a step of the preparation needs them.

        Raises:
            InputError: no branch has enough patients of both classes, or there are too many branches for stacking.
        """
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.classes_ = np.array([0, 1])
        context = without_context(X) if context is None else context
        group = np.arange(len(y)) if patient is None else np.asarray(patient, dtype=object)
        self.prevalence_ = float(np.mean(y))
        self.columns_ = self._usable_branches(X, y, group)
        if not self.columns_:
            raise InputError("No branch has enough patients of both classes to learn from.")
        if self._chosen.fusion == "stacking" and len(self.columns_) > MOST_STACKED:
            raise InputError(
                f"Stacking accepts up to {MOST_STACKED} branches; {len(self.columns_)} came.",
                hint="Choose some with --branches, or --fusion weighted.",
            )
        self.members_: dict[str, FusedClassifier] = {}
        self.choices_ = {}
        scores = np.full((len(y), len(self.columns_)), np.nan)
        for number, (branch, columns) in enumerate(self.columns_.items()):
            rows = self._rows_with(X, branch, columns)
            member = FusedClassifier(self.settings, self.seed)
            member.fit(X.iloc[rows][columns], y[rows], group[rows], self._own_context(context, columns, rows))
            scores[rows, number] = _log_odds(member.inner_probability_)
            del member.inner_probability_  # what is kept of training rows must not reach a bundle
            self.members_[branch] = member
            self.choices_ |= {f"{branch}: {name}": choice for name, choice in member.choices_.items()}
        self._fit_combination(scores, y, group)
        return self

    def _fit_combination(self, scores: Scores, y: Labels01, group: np.ndarray) -> None:
        settings = self._chosen
        self.weights_ = np.ones(scores.shape[1])
        self.stackers_: dict[str, np.ndarray] = {}
        if settings.fusion == "weighted":
            self.weights_ = _achieved(scores, y, settings.branch_weight)
        if settings.fusion == "stacking":
            self.stackers_ = _stackers(scores, y)
            inner = np.full(len(y), np.nan)
            folds = min(settings.inner_folds, patients_of_smaller_class(group, y))
            for test in grouped_folds(group, y, folds, self.seed):
                train = np.setdiff1d(np.arange(len(y)), test)
                inner[test] = self._combined(scores[test], _stackers(scores[train], y[train]))
        else:
            inner = self._combined(scores, {})
        self.inner_probability_ = expit(inner)
        weights, _ = self._weights(np.ones(scores.shape[1], dtype=bool), self.stackers_)
        self.choices_[settings.fusion] = {
            "parameters": dict(zip(self.members_, map(float, weights), strict=True)),
            "inner_log_loss": log_loss(self.inner_probability_, y),
        }

    def _weights(
        self, present: Bool[np.ndarray, " branches"], stackers: dict[str, np.ndarray]
    ) -> tuple[Float[np.ndarray, " branches"], float]:
        """Return the weights of the log-odds of the branches that a case has, and what is added."""
        if not present.any():
            return np.zeros(len(present)), float(_log_odds(np.array([self.prevalence_]))[0])
        if (fitted := stackers.get(_key(present))) is not None:
            return fitted[:-1], float(fitted[-1])
        weights = np.where(present, self.weights_, 0.0)
        if not weights.any():
            weights = present.astype(float)
        return weights / weights.sum(), 0.0

    def _combined(self, scores: Scores, stackers: dict[str, np.ndarray]) -> Float[np.ndarray, " n"]:
        present = ~np.isnan(scores)
        found = np.zeros(len(scores))
        for pattern in np.unique(present, axis=0):
            rows = (present == pattern).all(axis=1)
            weights, added = self._weights(pattern, stackers)
            found[rows] = np.where(pattern, scores[rows], 0.0) @ weights + added
        return found

    def predict_proba(self, X: pd.DataFrame, context: RowContext | None = None) -> Float[np.ndarray, "n 2"]:
        """Return the probabilities of class 0 and 1 per row; a row without any branch gets the training prevalence.

        Args:
            X: holds every column seen in `fit`, in any order; NaN where missing.
            context: sites and covariates of the rows, where the model harmonises; without it all sites are new.
        """
        X = X[list(self.feature_names_in_)]
        context = without_context(X) if context is None else context
        scores = np.full((len(X), len(self.members_)), np.nan)
        for number, (branch, member) in enumerate(self.members_.items()):
            columns = self.columns_[branch]
            rows = self._rows_with(X, branch, columns)
            if len(rows):
                own = self._own_context(context, columns, rows)
                scores[rows, number] = _log_odds(member.predict_proba(X.iloc[rows][columns], own)[:, 1])
        positive = expit(self._combined(scores, self.stackers_))
        return np.column_stack([1 - positive, positive])

    def importance(self) -> pd.DataFrame:
        """Return one row per column that reached a classifier; coefficients and gains count as much as their branch."""
        weights, _ = self._weights(np.ones(len(self.members_), dtype=bool), self.stackers_)
        tables = []
        for weight, member in zip(weights, self.members_.values(), strict=True):
            table = member.importance()
            table["coefficient"] *= weight
            table["gain"] *= abs(weight)
            tables.append(table)
        return pd.concat(tables)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability, EPSILON, 1 - EPSILON)), dtype=float)


def _achieved(scores: Scores, y: Labels01, by: str) -> Float[np.ndarray, " branches"]:
    found = []
    for column in scores.T:
        rows = ~np.isnan(column)
        truth, probability = y[rows], expit(column[rows])
        if by == "auc":
            found.append(max(0.0, float(auc(truth, probability)) - 0.5))
        else:
            chance = log_loss(np.full(len(truth), truth.mean()), truth)
            found.append(max(0.0, 1 - log_loss(probability, truth) / chance))
    return np.array(found) if any(found) else np.ones(len(found))


def _key(present: Bool[np.ndarray, " branches"]) -> str:
    return "".join("1" if here else "0" for here in present)


def _stackers(scores: Scores, y: Labels01) -> dict[str, np.ndarray]:
    """Return per set of branches the weights of their log-odds (0 for the others), then the intercept."""
    known = ~np.isnan(scores)
    found: dict[str, np.ndarray] = {}
    for pattern in product((False, True), repeat=scores.shape[1]):
        present = np.array(pattern)
        rows = known[:, present].all(axis=1)
        if not present.any() or min(np.bincount(y[rows], minlength=2)) < _LEAST_PATIENTS:
            continue  # too few have them all: their mean
        model: Any = LogisticRegression().fit(scores[np.ix_(rows, present)], y[rows])
        weights = np.zeros(len(present) + 1)
        weights[np.flatnonzero(present)], weights[-1] = model.coef_[0], model.intercept_[0]
        found[_key(present)] = weights
    return found
