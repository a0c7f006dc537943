"""Families of classifiers: each knows its candidates for tuning, and scores all of them on one split at little more than the cost of one.

No family weighs the classes unless asked to: weights distort the probabilities, and rank hardly better.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier

Rows = Float[np.ndarray, "n p"]
NewRows = Float[np.ndarray, "m p"]
Labels = Integer[np.ndarray, " n"]
Weights = Float[np.ndarray, " n"]
Candidate = dict[str, float | int]
"""Hyper-parameters by name."""

Range = tuple[float, float, str]
"""Lowest and highest value of a hyper-parameter, and its scale: `linear`, `log` or `whole` (numbers)."""

Patients = np.ndarray | None
"""Patient per row; None: every row is its own."""


@runtime_checkable
class Family(Protocol):
    """One kind of classifier with its candidates, the simplest first; `signed` says that its weights are coefficients.

    A family is made with one argument, `class_weight`: `none` or `balanced`. With an attribute `ranges` (hyper-parameter -> `Range`) it can also be
    tuned by Bayesian search. A method `refit`, called as `fit`, is a sooner way to nearly the same model; the fast permutation test uses it.
    """

    candidates: list[Candidate]
    signed: bool

    def score(
        self, X: Rows, y: Labels, X_new: NewRows, *, seed: int, patient: Patients = None
    ) -> Float[np.ndarray, "candidates m"]:
        """Return the probability of class 1 on new rows for every candidate fitted on the given ones."""
        ...

    def fit(self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None) -> Any:
        """Return a fitted scikit-learn classifier."""
        ...

    def weights(self, model: Any) -> Float[np.ndarray, " p"]:
        """Return one importance per column: signed standardised coefficients, or gains of at least zero."""
        ...


def row_weights(y: Labels, class_weight: str) -> Float[np.ndarray, " n"]:
    """Return the weight of every row: 1, or with `balanced` such that both classes weigh the same and the mean is 1.

    Example:
        >>> row_weights(np.array([0, 0, 0, 1]), "balanced").round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """
    if class_weight == "none":
        return np.ones(len(y))
    counts = np.bincount(y, minlength=2)
    return len(y) / (2.0 * np.maximum(counts, 1))[y]


def _sample_weight(y: Labels, class_weight: str) -> Weights | None:
    return None if class_weight == "none" else row_weights(y, class_weight)


class ElasticNetFamily:
    """Logistic regression with an elastic-net penalty, solved by SAGA along a path of falling penalties.

    The penalty is given as a share of the smallest one at which every coefficient is zero, so that the same candidates suit 26 cases with 3,000
    columns and 500 with 100.

    Source: Friedman, Hastie, Tibshirani, J Stat Softw 2010, 33(1), section 2.5 (the path and its first penalty); Defazio et al., NeurIPS 2014 (SAGA).
    """

    signed = True
    l1_ratios = (0.1, 0.9)
    strengths = (0.6, 0.3, 0.1, 0.03, 0.01)
    ranges: ClassVar[dict[str, Range]] = {"l1_ratio": (0.05, 1.0, "linear"), "strength": (0.005, 1.0, "log")}

    def __init__(self, class_weight: str = "none") -> None:
        self.class_weight = class_weight
        self.candidates: list[Candidate] = [
            {"l1_ratio": ratio, "strength": strength} for strength in self.strengths for ratio in self.l1_ratios
        ]

    def score(
        self, X: Rows, y: Labels, X_new: NewRows, *, seed: int, patient: Patients = None
    ) -> Float[np.ndarray, "candidates m"]:
        """Return the probability of class 1 on new rows for every candidate; each fit starts where the stronger penalty's ended."""
        found: dict[tuple[float | int, float | int], np.ndarray] = {}
        weights = _sample_weight(y, self.class_weight)
        for ratio in self.l1_ratios:
            model = _elastic_net(ratio, seed)
            for strength in self.strengths:
                model.set_params(C=_inverse_penalty(X, y, weights, ratio, strength))
                found[ratio, strength] = _fitted(model, X, y, weights).predict_proba(X_new)[:, 1]
        return np.array([found[item["l1_ratio"], item["strength"]] for item in self.candidates])

    def fit(
        self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None
    ) -> LogisticRegression:
        """Return the fitted logistic regression, reached along the same path as in tuning."""
        model = _elastic_net(candidate["l1_ratio"], seed)
        weights = _sample_weight(y, self.class_weight)
        stronger = [value for value in self.strengths if value > candidate["strength"]]
        for strength in [*stronger, candidate["strength"]]:
            model.set_params(C=_inverse_penalty(X, y, weights, candidate["l1_ratio"], strength))
            _fitted(model, X, y, weights)
        return model

    def refit(
        self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None
    ) -> LogisticRegression:
        """Return the logistic regression fitted at one penalty, without the path to it; the same but for the solver's tolerance."""
        weights = _sample_weight(y, self.class_weight)
        model = _elastic_net(candidate["l1_ratio"], seed)
        model.set_params(C=_inverse_penalty(X, y, weights, candidate["l1_ratio"], candidate["strength"]))
        return _fitted(model, X, y, weights)

    def weights(self, model: LogisticRegression) -> Float[np.ndarray, " p"]:
        """Return the coefficients, which are standardised because the columns are."""
        return model.coef_[0].astype(float)


def _elastic_net(l1_ratio: float, seed: int) -> LogisticRegression:
    return LogisticRegression(
        solver="saga", l1_ratio=l1_ratio, tol=1e-3, max_iter=1000, warm_start=True, random_state=seed
    )


def _fitted(model: LogisticRegression, X: Rows, y: Labels, weights: Weights | None) -> LogisticRegression:
    with warnings.catch_warnings():
        # The end of a path of weak penalties may stop early; that is one more form of regularisation, judged by the inner folds like the others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, weights)


def _inverse_penalty(X: Rows, y: Labels, weights: Weights | None, l1_ratio: float, strength: float) -> float:
    """Return scikit-learn's C for a share of the smallest penalty that leaves no coefficient."""
    prevalence = np.average(y, weights=weights)
    residual = y - prevalence if weights is None else weights * (y - prevalence)
    largest = float(np.abs(X.T @ residual).max(initial=0.0)) / l1_ratio
    return 1.0 / max(strength * largest, 1e-6)


class XgboostFamily:
    """Gradient-boosted trees; the number of trees is tuned from one fit per depth.

    Source: Chen, Guestrin, KDD 2016.
    """

    signed = False
    depths = (1, 3)
    trees = (30, 80, 200)
    ranges: ClassVar[dict[str, Range]] = {"max_depth": (1.0, 4.0, "whole"), "n_estimators": (20.0, 300.0, "whole")}

    def __init__(self, class_weight: str = "none") -> None:
        self.class_weight = class_weight
        self.candidates: list[Candidate] = [
            {"max_depth": depth, "n_estimators": trees} for trees in self.trees for depth in self.depths
        ]

    def score(
        self, X: Rows, y: Labels, X_new: NewRows, *, seed: int, patient: Patients = None
    ) -> Float[np.ndarray, "candidates m"]:
        """Return the probability of class 1 on new rows for every candidate: the first trees of one long model per depth."""
        found: dict[tuple[float | int, float | int], np.ndarray] = {}
        for depth in self.depths:
            model = _xgboost(depth, max(self.trees), seed).fit(X, y, sample_weight=_sample_weight(y, self.class_weight))
            for trees in self.trees:
                found[depth, trees] = model.predict_proba(X_new, iteration_range=(0, trees))[:, 1]
        return np.array([found[item["max_depth"], item["n_estimators"]] for item in self.candidates], dtype=float)

    def fit(self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None) -> XGBClassifier:
        """Return the fitted trees."""
        model = _xgboost(int(candidate["max_depth"]), int(candidate["n_estimators"]), seed)
        return model.fit(X, y, sample_weight=_sample_weight(y, self.class_weight))

    def weights(self, model: XGBClassifier) -> Float[np.ndarray, " p"]:
        """Return each column's share of the total gain."""
        return model.feature_importances_.astype(float)


def _xgboost(depth: int, trees: int, seed: int) -> XGBClassifier:
    return XGBClassifier(
        n_estimators=trees, max_depth=depth, learning_rate=0.06, subsample=0.8, colsample_bytree=0.5, reg_lambda=2.0, min_child_weight=2.0,
        tree_method="hist", max_bin=64, n_jobs=1, random_state=seed,
    )  # fmt: skip


class RandomForestFamily:
    """Bagged trees; how many cases a leaf must hold is tuned.

    Source: Breiman, Mach Learn 2001, 45(1).
    """

    signed = False
    kind: type[RandomForestClassifier | ExtraTreesClassifier] = RandomForestClassifier
    ranges: ClassVar[dict[str, Range]] = {"min_samples_leaf": (1.0, 20.0, "whole")}

    def __init__(self, class_weight: str = "none") -> None:
        self.class_weight = class_weight
        self.candidates: list[Candidate] = [{"min_samples_leaf": leaf} for leaf in (10, 3)]

    def score(
        self, X: Rows, y: Labels, X_new: NewRows, *, seed: int, patient: Patients = None
    ) -> Float[np.ndarray, "candidates m"]:
        """Return the probability of class 1 on new rows for every candidate."""
        return np.array([self.fit(X, y, item, seed=seed).predict_proba(X_new)[:, 1] for item in self.candidates])

    def fit(
        self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None
    ) -> RandomForestClassifier | ExtraTreesClassifier:
        """Return the fitted forest."""
        leaf = int(min(candidate["min_samples_leaf"], max(1, len(y) // 6)))
        weight = None if self.class_weight == "none" else self.class_weight
        forest = self.kind(200, min_samples_leaf=leaf, n_jobs=1, random_state=seed, class_weight=weight)
        return forest.fit(X, y)

    def weights(self, model: RandomForestClassifier | ExtraTreesClassifier) -> Float[np.ndarray, " p"]:
        """Return each column's mean decrease in impurity."""
        return model.feature_importances_.astype(float)


class ExtraTreesFamily(RandomForestFamily):
    """Trees whose thresholds are drawn at random, each on all rows; how many cases a leaf must hold is tuned.

    Source: Geurts, Ernst, Wehenkel, Mach Learn 2006, 63(1).
    """

    kind = ExtraTreesClassifier


class RidgeFamily:
    """Logistic regression with a ridge penalty: every column keeps a small part.

    The penalty is a share of the trace of the information matrix at one half, so that the same candidates suit few columns and thousands.

    Source: le Cessie, van Houwelingen, J R Stat Soc C 1992, 41(1).
    """

    signed = True
    ranges: ClassVar[dict[str, Range]] = {"strength": (1e-4, 3.0, "log")}

    def __init__(self, class_weight: str = "none") -> None:
        self.class_weight = class_weight
        self.candidates: list[Candidate] = [{"strength": share} for share in (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)]

    def score(
        self, X: Rows, y: Labels, X_new: NewRows, *, seed: int, patient: Patients = None
    ) -> Float[np.ndarray, "candidates m"]:
        """Return the probability of class 1 on new rows for every candidate."""
        return np.array([self.fit(X, y, item, seed=seed).predict_proba(X_new)[:, 1] for item in self.candidates])

    def fit(
        self, X: Rows, y: Labels, candidate: Candidate, *, seed: int, patient: Patients = None
    ) -> LogisticRegression:
        """Return the fitted logistic regression."""
        penalty = candidate["strength"] * float((X**2).sum()) / 4
        model = LogisticRegression(C=1.0 / max(penalty, 1e-6), max_iter=1000)
        return _fitted(model, X, y, _sample_weight(y, self.class_weight))

    def weights(self, model: LogisticRegression) -> Float[np.ndarray, " p"]:
        """Return the coefficients, which are standardised because the columns are."""
        return model.coef_[0].astype(float)
