"""Classifiers by name: our own families, and any scikit-learn classifier, registered by another package or given by its import path."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float

from radiogen.errors import ConfigError
from radiogen.fusion.classifiers import Candidate, Family, Labels, NewRows, Patients, Rows, row_weights
from radiogen.fusion.names import CLASSIFIERS


def family_named(name: str, class_weight: str) -> Family:
    """Return a family of classifiers.

    Args:
        name: a registered one, one of another package's entry points in the group `radiogen.classifiers`, or `package.module:Class`.
        class_weight: `none` or `balanced`.

    Raises:
        ConfigError: there is no such class, or it is no classifier with `fit` and `predict_proba`; or it cannot weigh rows and shall.

    Example:
        >>> family_named("sklearn.naive_bayes:GaussianNB", "none").candidates
        [{}]
    """
    kind = _imported(name) if ":" in name else CLASSIFIERS.load(name)
    if hasattr(kind, "predict_proba") and hasattr(kind, "fit"):
        return OutsideFamily(kind, class_weight)
    if not (hasattr(kind, "fit") and hasattr(kind, "score") and hasattr(kind, "weights")):
        raise ConfigError(f"'{name}' is no classifier: a class with fit and predict_proba is accepted.")
    family: Family = kind(class_weight)
    return family


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"The classifier '{name}' cannot be imported: {error}",
            hint="Give package.module:Class, and install its package.",
        ) from error


class OutsideFamily:
    """A scikit-learn classifier as it is, untuned: made without arguments, but for the seed and one thread, where it has such.

    Args:
        kind: class with `fit` and `predict_proba`.
        class_weight: `none` or `balanced`.

    Raises:
        ConfigError: `balanced`, and its `fit` takes no `sample_weight`.
    """

    signed = False

    def __init__(self, kind: type, class_weight: str = "none") -> None:
        self.kind = kind
        self.class_weight = class_weight
        self.candidates: list[Candidate] = [{}]
        if class_weight != "none" and "sample_weight" not in inspect.signature(kind.fit).parameters:  # type: ignore[attr-defined]
            raise ConfigError(f"{kind.__name__} cannot weigh classes.", hint="Set class_weight to none.")

    def score(
        self, X: Rows, y: Labels, X_new: NewRows, *, seed: int, patient: Patients = None
    ) -> Float[np.ndarray, "candidates m"]:
        """Return the probability of class 1 on new rows."""
        return np.asarray(self.fit(X, y, {}, seed=seed).predict_proba(X_new), dtype=float)[None, :, 1]

    def fit(self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None) -> Any:
        """Return the fitted classifier."""
        model = self.kind()
        known = model.get_params() if hasattr(model, "get_params") else {}
        wanted = {"random_state": seed, "n_jobs": 1}
        if own := {name: value for name, value in wanted.items() if name in known}:
            model.set_params(**own)
        if self.class_weight == "none":
            return model.fit(X, y)
        return model.fit(X, y, sample_weight=row_weights(y, self.class_weight))

    def weights(self, model: Any) -> Float[np.ndarray, " p"]:
        """Return the size of its coefficients or its importances; where it has neither, the same for every column."""
        for name in ("coef_", "feature_importances_"):
            if hasattr(model, name):
                return np.abs(np.asarray(getattr(model, name), dtype=float)).reshape(-1)
        columns = int(getattr(model, "n_features_in_", 0))
        return np.full(columns, 1.0 / max(columns, 1))
