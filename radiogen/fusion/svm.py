"""A support vector machine whose probabilities come from rows that it did not see."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.fusion.classifiers import Candidate, Labels, NewRows, Patients, Range, Rows


class CalibratedSvm(ClassifierMixin, BaseEstimator):
    """A support vector machine with a Gaussian kernel; its margins become probabilities by a sigmoid fitted on inner folds of patients.

    A sigmoid fitted on the rows of training would see margins that are too large. A small width of the kernel makes the machine all but linear.

    Args:
        C: inverse penalty.
        gamma_times: width of the kernel, as a multiple of one over columns times variance.
        folds: inner folds for the sigmoid.
        class_weight: None, `balanced`, or class -> weight.
        seed: of the inner folds.

    Source: Cortes, Vapnik, Mach Learn 1995, 20:273; Platt, Advances in Large Margin Classifiers 1999 (the sigmoid and its targets); Keerthi, Lin,
    Neural Comput 2003, 15:1667 (small widths).
    """

    def __init__(
        self, C: float = 1.0, gamma_times: float = 1.0, folds: int = 3, class_weight: Any = None, seed: int = 0
    ) -> None:
        self.C = C
        self.gamma_times = gamma_times
        self.folds = folds
        self.class_weight = class_weight
        self.seed = seed

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, patient: Any = None) -> CalibratedSvm:
        """Fit the sigmoid on inner folds, then the machine on all rows.

        Args:
            X: rows of standardised columns.
            y: labels of two classes.
            patient: patient per row; every row is its own by default.

        Raises:
            ValueError: there are not two classes.
        """
        X, y = validate_data(self, X, y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        group = np.arange(len(y)) if patient is None else np.asarray(patient)
        self.gamma_ = self.gamma_times / (X.shape[1] * max(float(X.var()), 1e-12))
        weights = compute_sample_weight(self.class_weight, y)
        self.slope_, self.intercept_ = self._sigmoid(X, labels, group, weights)
        self.machine_ = self._machine().fit(X, labels, weights)
        return self

    def _machine(self) -> SVC:
        return SVC(C=self.C, gamma=self.gamma_)

    def _sigmoid(self, X: np.ndarray, y: np.ndarray, group: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        positive = int(y.sum())
        odds = float(np.log((weights * y).sum() / (weights * (1 - y)).sum()))
        folds = min(self.folds, patients_of_smaller_class(group, y))
        if folds < 2:
            return 0.0, odds  # nothing can be held out: the prevalence
        margin = np.zeros(len(y))
        for test in grouped_folds(group, y, folds, self.seed):
            train = np.setdiff1d(np.arange(len(y)), test)
            margin[test] = self._machine().fit(X[train], y[train], weights[train]).decision_function(X[test])
        target = np.where(y == 1, (positive + 1) / (positive + 2), 1 / (len(y) - positive + 2))
        # Soft targets as two copies of each row: Platt's likelihood.
        both = np.concatenate([weights * target, weights * (1 - target)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # margins without spread need no steps
            model = LogisticRegression(C=1e6).fit(np.tile(margin, 2)[:, None], np.repeat([1, 0], len(y)), both)
        slope = float(model.coef_[0, 0])
        # Margins that rank held-out rows the wrong way round say nothing.
        return (slope, float(model.intercept_[0])) if slope > 0 else (0.0, odds)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the two classes per row."""
        check_is_fitted(self, "machine_")
        X = validate_data(self, X, reset=False)
        positive = 1 / (1 + np.exp(-(self.slope_ * self.machine_.decision_function(X) + self.intercept_)))
        return np.column_stack([1 - positive, positive])

    def predict(self, X: Any) -> np.ndarray:
        """Return the more probable class per row."""
        likelier = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[likelier]

    def mean_slope(self) -> Float[np.ndarray, " p"]:
        """Return per column the mean derivative of the log-odds at the support vectors."""
        vectors, dual = self.machine_.support_vectors_, self.machine_.dual_coef_[0]
        squares = (vectors**2).sum(axis=1)
        distance = np.maximum(squares[:, None] + squares - 2 * vectors @ vectors.T, 0.0)
        kernel = np.exp(-self.gamma_ * distance)
        moved = (kernel @ dual) @ vectors - (kernel.sum(axis=0) * dual) @ vectors
        return np.asarray(-2 * self.gamma_ * self.slope_ * moved / len(vectors), dtype=float)


class SvmFamily:
    """Support vector machines with probabilities from inner folds; penalty and width of the kernel are tuned."""

    signed = True
    ranges: ClassVar[dict[str, Range]] = {"C": (0.01, 100.0, "log"), "gamma_times": (0.03, 3.0, "log")}

    def __init__(self, class_weight: str = "none") -> None:
        self.class_weight = class_weight
        self.candidates: list[Candidate] = [
            {"C": C, "gamma_times": gamma} for C in (0.1, 1.0, 10.0) for gamma in (0.1, 1.0)
        ]

    def score(
        self, X: Rows, y: Labels, X_new: NewRows, *, seed: int, patient: Patients = None
    ) -> Float[np.ndarray, "candidates m"]:
        """Return the probability of class 1 on new rows for every candidate."""
        return np.array(
            [self.fit(X, y, item, seed=seed, patient=patient).predict_proba(X_new)[:, 1] for item in self.candidates]
        )

    def fit(self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None) -> CalibratedSvm:
        """Return the fitted machine."""
        weight = None if self.class_weight == "none" else self.class_weight
        model = CalibratedSvm(candidate["C"], candidate["gamma_times"], class_weight=weight, seed=seed)
        return model.fit(X, y, patient)

    def weights(self, model: CalibratedSvm) -> Float[np.ndarray, " p"]:
        """Return per column the mean derivative of the log-odds at the support vectors."""
        return model.mean_slope()
