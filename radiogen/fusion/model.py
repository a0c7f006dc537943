"""The fused classifier: prepares, tunes on inner folds, averages. Everything it learns comes from the rows given to `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin

from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.classifiers import Family
from radiogen.fusion.names import CLASSIFIERS
from radiogen.fusion.prepare import preparation
from radiogen.types import Labels01

_EPSILON = 1e-6
IMPORTANCE_COLUMNS = ["selected", "coefficient", "gain"]


class FusedClassifier(ClassifierMixin, BaseEstimator):
    """Preparation, classifiers tuned on inner folds of patients, and the mean of their log-odds.

    Log-odds, because averaged probabilities are drawn towards one half.

    Each classifier's candidates are compared by the log loss of their inner out-of-fold probabilities, a proper score, which keeps the
    probabilities honest as well as the ranking. The preparation is fitted again inside each inner fold.

    Args:
        classifiers: names in the registry.
        combine: `average` or `best` (lowest inner log loss).
        inner_folds: folds for tuning; fewer where a class has fewer patients.
        seed: seed of inner folds and classifiers.
        clip_z, selection, max_correlation, max_columns: see `ClassifySettings`.
    """

    def __init__(
        self,
        classifiers: tuple[str, ...] = ("elastic-net", "xgboost"),
        combine: str = "average",
        inner_folds: int = 5,
        seed: int = 0,
        clip_z: float = 5.0,
        selection: str = "correlation",
        max_correlation: float = 0.95,
        max_columns: int = 50,
    ) -> None:
        self.classifiers = classifiers
        self.combine = combine
        self.inner_folds = inner_folds
        self.seed = seed
        self.clip_z = clip_z
        self.selection = selection
        self.max_correlation = max_correlation
        self.max_columns = max_columns

    @classmethod
    def from_settings(cls, settings: ClassifySettings, seed: int) -> FusedClassifier:
        """Return an unfitted classifier with the settings' choices and its own seed."""
        names = ("classifiers", "combine", "inner_folds", "clip_z", "selection", "max_correlation", "max_columns")
        return cls(seed=seed, **{name: getattr(settings, name) for name in names})

    def fit(self, X: pd.DataFrame, y: Labels01, patient: np.ndarray | None = None) -> FusedClassifier:
        """Tune on inner folds and fit on all given rows.

        Args:
            X: one row per case, columns of numbers, NaN where missing.
            y: 0/1 label per row.
            patient: patient id per row, so that inner folds keep patients together; every row is its own patient by default.
        """
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.classes_ = np.array([0, 1])
        values = X.to_numpy(dtype=float)
        group = np.arange(len(y)) if patient is None else np.asarray(patient, dtype=object)
        families: dict[str, Family] = {name: CLASSIFIERS.load(name)() for name in self.classifiers}
        inner = self._inner_probabilities(families, values, y, group)
        self.choices_ = {name: _best(families[name], inner[name], y) for name in families}
        self.preparation_ = self._preparation()
        prepared = self.preparation_.fit_transform(values, y)
        used = list(families) if self.combine == "average" else [min(self.choices_, key=self._inner_loss)]
        self.members_ = {
            name: families[name].fit(prepared, y, self.choices_[name]["parameters"], seed=self.seed) for name in used
        }
        return self

    def _inner_loss(self, name: str) -> float:
        return float(self.choices_[name]["inner_log_loss"])

    def _preparation(self) -> Any:
        names = ("clip_z", "selection", "max_correlation", "max_columns")
        return preparation(ClassifySettings.parse({name: getattr(self, name) for name in names}))

    def _inner_probabilities(
        self, families: dict[str, Family], values: np.ndarray, y: Labels01, group: np.ndarray
    ) -> dict[str, np.ndarray]:
        folds = min(self.inner_folds, patients_of_smaller_class(group, y))
        found = {name: np.full((len(family.candidates), len(y)), np.nan) for name, family in families.items()}
        for test in grouped_folds(group, y, folds, self.seed):
            train = np.setdiff1d(np.arange(len(y)), test)
            prepare = self._preparation().fit(values[train], y[train])
            before, after = prepare.transform(values[train]), prepare.transform(values[test])
            for name, family in families.items():
                found[name][:, test] = family.score(before, y[train], after, seed=self.seed)
        return found

    def predict_proba(self, X: pd.DataFrame) -> Float[np.ndarray, "n 2"]:
        """Return the probabilities of class 0 and 1 per row.

        Args:
            X: holds every column seen in `fit`, in any order; NaN where missing.
        """
        prepared = self.preparation_.transform(X[list(self.feature_names_in_)].to_numpy(dtype=float))
        each = [model.predict_proba(prepared)[:, 1].astype(float) for model in self.members_.values()]
        positive = expit(np.mean([logit(np.clip(item, _EPSILON, 1 - _EPSILON)) for item in each], axis=0))
        return np.column_stack([1 - positive, positive])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return 1 where the probability is at least one half, else 0."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)

    def importance(self) -> pd.DataFrame:
        """Return one row per column that reached the classifiers: `selected` (used by any of them), `coefficient`, `gain`."""
        names = self.preparation_[:-1].get_feature_names_out(self.feature_names_in_)
        names = self.preparation_[-1].get_feature_names_out(names)
        table = pd.DataFrame(0.0, index=pd.Index(names, name="feature"), columns=IMPORTANCE_COLUMNS)
        gains = []
        for name, model in self.members_.items():
            family: Family = CLASSIFIERS.load(name)()
            weights = family.weights(model)
            table["selected"] = np.maximum(table["selected"], (weights != 0).astype(float))
            if family.signed:
                table["coefficient"] += weights
            else:
                gains.append(weights)
        if gains:
            table["gain"] = np.mean(gains, axis=0)
        return table


def _best(family: Family, probabilities: Float[np.ndarray, "candidates n"], y: Labels01) -> dict[str, Any]:
    clipped = np.clip(probabilities, _EPSILON, 1 - _EPSILON)
    losses = -np.where(y == 1, np.log(clipped), np.log1p(-clipped)).mean(axis=1)
    best = int(np.argmin(np.round(losses, 9)))  # the first of equals: the simplest
    return {"parameters": dict(family.candidates[best]), "inner_log_loss": float(losses[best])}
