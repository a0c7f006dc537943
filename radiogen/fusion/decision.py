"""From a probability to a decision: calibration, threshold and conformal set, all learned from out-of-fold scores of the training side alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from radiogen.config.classify import ClassifySettings
from radiogen.types import Labels01, Scores

_EPSILON = 1e-6
NEGATIVE, POSITIVE, BOTH, NONE = "negative", "positive", "both", "none"
SETS = (NEGATIVE, POSITIVE, BOTH, NONE)
"""What a conformal set can hold; `both` and `none` are no call."""


@dataclass(frozen=True)
class Calibration:
    """A rising map from probability to probability, as plain numbers.

    Args:
        how: `none`, `sigmoid`, `isotonic` or `beta`.
        numbers: of `sigmoid` slope and intercept on the log-odds; of `beta` a, b, c; of `isotonic` none.
        knots: of `isotonic`: probabilities before calibration, rising.
        values: of `isotonic`: probabilities after it, at the knots.
    """

    how: str = "none"
    numbers: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def apply(self, probability: Scores) -> Scores:
        """Return calibrated probabilities.

        Args:
            probability: of the positive class.
        """
        if self.how == "none":
            return probability
        if self.how == "isotonic":
            return np.interp(probability, np.array(self.knots), np.array(self.values))
        clipped = np.clip(probability, _EPSILON, 1 - _EPSILON)
        if self.how == "sigmoid":
            slope, intercept = self.numbers
            return expit(slope * logit(clipped) + intercept)
        a, b, c = self.numbers
        return expit(a * np.log(clipped) - b * np.log1p(-clipped) + c)


def fit_calibration(how: str, probability: Scores, y: Labels01) -> Calibration:
    """Return the calibration fitted on out-of-fold probabilities; slopes are at least zero, so that no ranking is turned round.

    Args:
        how: `none`, `sigmoid` (logistic regression on the log-odds), `isotonic`, or `beta` (logistic regression on log p and -log(1 - p)).
        probability: of the positive class, by models that did not see the row.
        y: 0/1 label per row.

    Source: Platt, Advances in Large Margin Classifiers 1999 (sigmoid, with its smoothed targets); Zadrozny, Elkan, KDD 2002 (isotonic); Kull,
    Silva Filho, Flach, AISTATS 2017 (beta).

    Example:
        >>> p, y = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.9]), np.array([0, 0, 1, 0, 1, 1])
        >>> fit_calibration("isotonic", p, y).apply(np.array([0.1, 0.5])).tolist()
        [0.0, 0.5]
    """
    if how == "none":
        return Calibration()
    if how == "isotonic":
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(probability, y.astype(float))
        return Calibration(how, (), tuple(map(float, model.X_thresholds_)), tuple(map(float, model.y_thresholds_)))
    clipped = np.clip(probability, _EPSILON, 1 - _EPSILON)
    if how == "sigmoid":
        # log p and -log(1 - p) with one slope are the log-odds.
        slope, intercept = _logistic(logit(clipped)[:, None], y)
        return Calibration(how, (slope, intercept))
    return Calibration(how, tuple(_logistic(np.column_stack([np.log(clipped), -np.log1p(-clipped)]), y)))


def _logistic(columns: Float[np.ndarray, "n k"], y: Labels01) -> list[float]:
    positive = int(y.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (len(y) - positive + 2)
    targets = np.where(y == 1, high, low)
    design = np.column_stack([columns, np.ones(len(y))])

    def loss(weights: Float[np.ndarray, " k"]) -> tuple[float, Float[np.ndarray, " k"]]:
        odds = design @ weights
        return float(np.sum(np.logaddexp(0.0, odds) - targets * odds)), design.T @ (expit(odds) - targets)

    start = np.array([*np.ones(columns.shape[1]), 0.0])
    bounds = [(0.0, None)] * columns.shape[1] + [(None, None)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-8})
    return [float(weight) for weight in found.x]


def choose_threshold(rule: str, probability: Scores, y: Labels01, *, wanted: float = 0.9) -> float:
    """Return the probability at and above which a row is called positive.

    Thresholds lie half-way between neighbouring scores, because one that sits on a score would belong to that row.

    Args:
        rule: `half` (0.5), `youden` (largest sensitivity + specificity), `sensitivity` or `specificity` (the wanted one is reached, the other as
            large as possible).
        probability: of the positive class, by models that did not see the row.
        y: 0/1 label per row.
        wanted: sensitivity or specificity to reach.

    Source: Youden, Cancer 1950, 3:32.

    Example:
        >>> choose_threshold("youden", np.array([0.1, 0.25, 0.75, 0.9]), np.array([0, 0, 1, 1]))
        0.5
    """
    if rule == "half" or len(np.unique(y)) < 2:
        return 0.5
    scores = np.unique(probability)
    above = (scores[-1] + 1) / 2 if scores[-1] < 1 else np.nextafter(scores[-1], np.inf)  # calls nobody positive
    cuts = np.concatenate([[scores[0] / 2], (scores[:-1] + scores[1:]) / 2, [above]])
    positive, negative = np.sort(probability[y == 1]), np.sort(probability[y == 0])
    sensitivity = 1 - np.searchsorted(positive, cuts) / len(positive)
    specificity = np.searchsorted(negative, cuts) / len(negative)
    if rule == "youden":
        best = sensitivity + specificity
        ties = np.flatnonzero(best >= best.max() - 1e-12)
        at = ties[int(np.argmin(np.abs(cuts[ties] - 0.5)))]
    else:
        kept, other = (sensitivity, specificity) if rule == "sensitivity" else (specificity, sensitivity)
        at = int(np.argmax(np.where(kept >= wanted - 1e-12, other, -1.0)))
    return float(cuts[at])


def conformal_limit(scores: Scores, coverage: float) -> float:
    """Return the largest nonconformity at which a label still belongs to the set: the ceil((n + 1) coverage)-th smallest score.

    Args:
        scores: nonconformity of calibration rows.
        coverage: wanted share of rows whose set holds the truth.

    Returns:
        The limit; infinity where there are too few rows for the coverage, so that nothing is ever excluded.

    Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005; Angelopoulos, Bates, Found Trends Mach Learn 2023, 16:494.

    Example:
        >>> conformal_limit(np.arange(1.0, 20.0), 0.9), conformal_limit(np.arange(3.0), 0.9)
        (18.0, inf)
    """
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


@dataclass(frozen=True)
class Decision:
    """What turns a model's probability into a decision.

    Args:
        calibration: applied first; threshold and limits are of calibrated probabilities.
        rule: how the threshold was chosen.
        threshold: at and above it a case is called positive.
        coverage: of the conformal sets; None without them.
        limits: largest nonconformity (1 minus the label's probability) of label 0 and of label 1; None: nothing is excluded.
        n_scores: out-of-fold scores of class 0 and 1 that all this rests on.
    """

    calibration: Calibration
    rule: str
    threshold: float
    coverage: float | None
    limits: tuple[float | None, float | None]
    n_scores: tuple[int, int]

    def sets(self, probability: Scores) -> np.ndarray | None:
        """Return per case `positive`, `negative`, `both` or `none`; None where no coverage was asked for.

        Args:
            probability: calibrated, of the positive class.
        """
        if self.coverage is None:
            return None
        has = [_within(1 - p, limit) for p, limit in zip((1 - probability, probability), self.limits, strict=True)]
        return np.array(
            [_SET_OF[bool(negative), bool(positive)] for negative, positive in zip(*has, strict=True)], dtype=object
        )

    def as_card(self) -> dict[str, Any]:
        """Return the decision as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> Decision:
        """Return the decision that `as_card` described."""
        calibration = Calibration(
            values["calibration"]["how"],
            *(tuple(map(float, values["calibration"][name])) for name in ("numbers", "knots", "values")),
        )
        low, high = (None if limit is None else float(limit) for limit in values["limits"])
        coverage = None if values["coverage"] is None else float(values["coverage"])
        zero, one = (int(count) for count in values["n_scores"])
        return cls(calibration, str(values["rule"]), float(values["threshold"]), coverage, (low, high), (zero, one))


_SET_OF = {(False, True): POSITIVE, (True, False): NEGATIVE, (True, True): BOTH, (False, False): NONE}


def _within(scores: Scores, limit: float | None) -> Bool[np.ndarray, " n"]:
    # Rounding of 1 - (1 - p) must not turn a case away.
    return np.ones(len(scores), dtype=bool) if limit is None else scores <= limit + 1e-12


def fit_decision(
    probability: Scores, y: Labels01, settings: ClassifySettings, groups: np.ndarray | None = None
) -> Decision:
    """Learn calibration, threshold and conformal limits from out-of-fold scores of training rows.

    All three share the same scores. The conformal limits are of each class on its own (Mondrian), so that the rare class is covered as often as
    the common one; of a patient with several cases the mean score counts, because such cases are not exchangeable with one another.

    With the scores of a cross-fitting instead of a held-out part the guarantee is no longer exact: the models behind the scores saw slightly
    fewer cases than the final one. In simulations the coverage is reached (tests/fusion/test_decision.py). At a new site nothing is guaranteed,
    because its cases are not exchangeable with those of the training sites.

    Args:
        probability: of the positive class, by models that did not see the row's patient.
        y: 0/1 label per row.
        settings: `calibrate`, `threshold`, `wanted`, `coverage`.
        groups: patient per row; every row its own by default.

    Source: Vovk, Ann Math Artif Intell 2015, 74:9 (cross-conformal); Vovk, Lindsay, Nouretdinov, Gammerman, Mondrian Confidence Machine, 2003.
    """
    calibration = fit_calibration(settings.calibrate, probability, y)
    calibrated = calibration.apply(probability)
    limits: list[float | None] = [None, None]
    if settings.coverage is not None:
        for label in (0, 1):
            rows = y == label
            wrong = calibrated[rows] if label == 0 else 1 - calibrated[rows]
            limit = conformal_limit(_one_per_group(wrong, None if groups is None else groups[rows]), settings.coverage)
            limits[label] = None if math.isinf(limit) else limit
    return Decision(
        calibration,
        settings.threshold,
        choose_threshold(settings.threshold, calibrated, y, wanted=settings.wanted),
        settings.coverage,
        (limits[0], limits[1]),
        (int((y == 0).sum()), int((y == 1).sum())),
    )


def _one_per_group(scores: Scores, groups: np.ndarray | None) -> Float[np.ndarray, " g"]:
    if groups is None:
        return scores
    _, number = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    return np.bincount(number, weights=scores) / np.bincount(number)
