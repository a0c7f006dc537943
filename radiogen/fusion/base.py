"""What every way of fusing branches is: a classifier over a table of named columns that knows which branch each column came from."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Integer
from sklearn.base import BaseEstimator, ClassifierMixin

from radiogen.cohort.splits import patients_of_smaller_class
from radiogen.config.classify import ClassifySettings
from radiogen.config.fusion import FusionNetworkSettings
from radiogen.fusion.context import RowContext, row_context
from radiogen.types import Labels01

log = logging.getLogger(__name__)

_LEAST_PATIENTS = 4

EPSILON = 1e-6
"""Probabilities are kept this far from 0 and 1 where their log-odds are taken."""

IMPORTANCE_COLUMNS = ["selected", "coefficient", "gain"]


class FusedModel(ClassifierMixin, BaseEstimator):
    """A classifier over the columns of one or more branches. Everything it learns comes from the rows given to `fit`.

    Args:
        settings: of preparation, classifiers, tuning and fusion, as `ClassifySettings` dumps them; None: the defaults.
        seed: seed of inner folds, selectors, classifiers and networks.
        branch_of: column -> branch; None: all columns are one branch.
    """

    choices_: dict[str, dict[str, Any]]
    """What was tuned: name of a classifier or network -> `parameters` and `inner_log_loss`."""

    feature_names_in_: np.ndarray
    """The columns seen in `fit`, in order."""

    def __init__(
        self, settings: dict[str, Any] | None = None, seed: int = 0, branch_of: dict[str, str] | None = None
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.branch_of = branch_of

    @classmethod
    def from_settings(
        cls, settings: ClassifySettings, seed: int, branch_of: Mapping[str, str] | None = None
    ) -> FusedModel:
        """Return an unfitted model with the settings' choices and its own seed."""
        # A path is no property of a model, and nothing is left of the perturbed table after training.
        chosen = settings.model_dump(mode="json", exclude={"perturbed"})
        return cls(chosen, seed, None if branch_of is None else dict(branch_of))

    @property
    def _chosen(self) -> ClassifySettings:
        values = {**ClassifySettings().model_dump(), **(self.settings or {})}
        values["network"] = FusionNetworkSettings.model_validate(values["network"])
        return ClassifySettings.model_construct(**values)

    @abstractmethod
    def fit(
        self, X: pd.DataFrame, y: Labels01, patient: np.ndarray | None = None, context: RowContext | None = None
    ) -> FusedModel:
        """Tune on inner folds and fit on all given rows.

        Args:
            X: one row per case, columns of numbers, NaN where missing.
            y: 0/1 label per row.
            patient: patient id per row, so that inner folds keep patients together; every row is its own patient by default.
            context: sites, covariates and perturbed values of the rows, where harmonisation or the ICC selector needs them.
        """

    @abstractmethod
    def predict_proba(self, X: pd.DataFrame, context: RowContext | None = None) -> Float[np.ndarray, "n 2"]:
        """Return the probabilities of class 0 and 1 per row.

        Args:
            X: holds every column seen in `fit`, in any order; NaN where missing.
            context: sites and covariates of the rows, where the model harmonises; without it all sites are new.
        """

    @abstractmethod
    def importance(self) -> pd.DataFrame:
        """Return one row per column that reached the classifiers: `selected` (used by any of them), `coefficient`, `gain`."""

    def branch_weights(self, X: pd.DataFrame, context: RowContext | None = None) -> pd.DataFrame:
        """Return how much of each row's answer rests on each branch, where the model says so; otherwise no columns.

        Args:
            X: as for `predict_proba`.
            context: as for `predict_proba`.

        Returns:
            Index of `X`; columns such as `reliability_radiomics`, which sum to 1 over the branches that a row has; NaN where it lacks one.
        """
        return pd.DataFrame(index=X.index)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return 1 where the probability is at least one half, else 0."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)


class BranchwiseModel(FusedModel):
    """A model that treats every branch by itself before it joins them."""

    def _branches(self, X: pd.DataFrame) -> dict[str, list[str]]:
        found = branch_columns([str(name) for name in X.columns], self.branch_of)
        if self._chosen.missing_branch == "skip":
            # Among the rows that have a branch, having it says nothing.
            found = {branch: [name for name in names if name != f"has_{branch}"] for branch, names in found.items()}
        return {branch: names for branch, names in found.items() if names}

    def _usable_branches(self, X: pd.DataFrame, y: Labels01, group: np.ndarray) -> dict[str, list[str]]:
        """Return branch -> columns, for those branches that both classes have often enough to learn from."""
        usable = {}
        for branch, columns in self._branches(X).items():
            rows = self._rows_with(X, branch, columns)
            if _can_learn(X.iloc[rows][columns], y[rows], group[rows]):
                usable[branch] = columns
            else:
                log.warning("The branch %s has too few patients of both classes here; it is left out.", branch)
        return usable

    def _rows_with(self, X: pd.DataFrame, branch: str, columns: list[str]) -> np.ndarray:
        if self._chosen.missing_branch == "impute":
            return np.arange(len(X))
        return np.flatnonzero(has_branch(X, branch, columns))

    def _own_context(self, context: RowContext, columns: list[str], rows: np.ndarray) -> RowContext:
        """Return the context of some rows and of a branch's columns."""
        at = {str(name): number for number, name in enumerate(context.columns)}
        return columns_of(context, np.array([at[name] for name in columns], dtype=np.int64)).take(rows)


def _can_learn(X: pd.DataFrame, y: Labels01, group: np.ndarray) -> bool:
    if len(set(y.tolist())) < 2 or patients_of_smaller_class(group, y) < _LEAST_PATIENTS:
        return False
    return bool((X.nunique() > 1).any())


def without_context(X: pd.DataFrame) -> RowContext:
    """Return the context of rows of which nothing is known but their features."""
    return row_context(pd.DataFrame(index=X.index), [str(name) for name in X.columns], [False] * X.shape[1])


def columns_of(context: RowContext, columns: Integer[np.ndarray, " q"]) -> RowContext:
    """Return the context of the same rows with some of the columns."""
    return replace(context, columns=context.columns[columns], from_images=context.from_images[columns])


def branch_columns(names: list[str], branch_of: Mapping[str, str] | None) -> dict[str, list[str]]:
    """Return branch -> its columns, in their order; the columns `has_<branch>` are among them.

    Example:
        >>> branch_columns(["age", "has_mri", "volume"], {"age": "clinical", "has_mri": "mri", "volume": "mri"})
        {'clinical': ['age'], 'mri': ['has_mri', 'volume']}
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault((branch_of or {}).get(name, "") or "features", []).append(name)
    return found


def has_branch(X: pd.DataFrame, branch: str, columns: list[str]) -> Bool[np.ndarray, " n"]:
    """Return per row whether it has a branch: any of the branch's values besides `has_<branch>`.

    Args:
        X: holds the columns.
        branch: name of the branch.
        columns: columns of the branch.
    """
    measured = [name for name in columns if name != f"has_{branch}"]
    return np.asarray(X[measured].notna().any(axis=1), dtype=bool)


def log_loss(probability: Float[np.ndarray, " n"], y: Labels01) -> float:
    """Return the mean log loss of probabilities of class 1, kept off 0 and 1.

    Example:
        >>> round(log_loss(np.array([0.5, 0.5]), np.array([0, 1])), 4)
        0.6931
    """
    clipped = np.clip(probability, EPSILON, 1 - EPSILON)
    return float(-np.where(y == 1, np.log(clipped), np.log1p(-clipped)).mean())
