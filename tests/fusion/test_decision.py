"""Calibration, thresholds and conformal sets: known truths, and coverage by simulation."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from radiogen.config.classify import ClassifySettings
from radiogen.fusion.decision import Decision, choose_threshold, conformal_limit, fit_calibration, fit_decision
from radiogen.fusion.doubt import cross_fitted
from radiogen.fusion.model import FusedClassifier
from radiogen.stats.classification import at_threshold
from tests.fusion.data import FAST


def drawn(rng: np.random.Generator, n: int, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    y = (rng.random(n) < 0.3).astype(np.int64)
    return rng.normal(size=(n, 4)) + strength * y[:, None] * np.array([1.0, 0.5, 0.0, 0.0]), y


@pytest.mark.parametrize("how", ["sigmoid", "isotonic", "beta"])
def test_distorted_probabilities_are_put_right(how: str) -> None:
    rng = np.random.default_rng(0)
    true = expit(rng.normal(-1, 1.5, 6000))
    y = (rng.random(6000) < true).astype(np.int64)
    distorted = expit(2.5 * logit(true) + 1.0)  # too extreme, and too high
    calibrated = fit_calibration(how, distorted[:3000], y[:3000]).apply(distorted[3000:])
    # Isotonic regression has many free values, so it is a little further off.
    assert np.abs(calibrated - true[3000:]).mean() < 0.03
    assert np.abs(distorted[3000:] - true[3000:]).mean() > 0.09
    assert (np.diff(calibrated[np.argsort(distorted[3000:])]) >= -1e-12).all()


def test_sigmoid_is_platts_fit() -> None:
    # Logistic regression of scikit-learn on the same smoothed targets, each row once per class with the target's weight.
    rng = np.random.default_rng(1)
    p = expit(rng.normal(size=50))
    y = (rng.random(50) < p).astype(np.int64)
    high, low = (y.sum() + 1) / (y.sum() + 2), 1 / (50 - y.sum() + 2)
    target = np.where(y == 1, high, low)
    x = np.concatenate([logit(p), logit(p)])[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(x, np.repeat([1, 0], 50), sample_weight=np.concatenate([target, 1 - target]))
    found = fit_calibration("sigmoid", p, y)
    np.testing.assert_allclose(found.numbers, [model.coef_[0, 0], model.intercept_[0]], atol=1e-4)


def test_a_score_that_ranks_backwards_is_flattened_not_turned() -> None:
    p, y = np.linspace(0.1, 0.9, 40), (np.arange(40) < 20).astype(np.int64)
    for how in ("sigmoid", "beta"):
        assert np.ptp(fit_calibration(how, p, y).apply(p)) < 1e-3


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rule=st.sampled_from(["sensitivity", "specificity"]), wanted=st.floats(0.5, 0.99))
def test_the_wanted_rate_is_reached_and_the_other_is_as_large_as_can_be(seed: int, rule: str, wanted: float) -> None:
    rng = np.random.default_rng(seed)
    p, y = np.round(rng.random(30), 2), np.arange(30) % 2
    found = at_threshold(y, p, choose_threshold(rule, p, y, wanted=wanted))
    other = "specificity" if rule == "sensitivity" else "sensitivity"
    assert getattr(found, rule) >= wanted - 1e-9
    tried = [at_threshold(y, p, cut) for cut in np.linspace(-0.005, 1.005, 102)]
    assert getattr(found, other) == max(getattr(each, other) for each in tried if getattr(each, rule) >= wanted - 1e-9)


def test_youden_is_the_best_of_all_thresholds() -> None:
    rng = np.random.default_rng(2)
    p, y = np.round(rng.random(60), 2), np.arange(60) % 2
    found = at_threshold(y, p, choose_threshold("youden", p, y)).balanced_accuracy
    assert found == max(at_threshold(y, p, cut).balanced_accuracy for cut in np.linspace(-0.005, 1.005, 102))
    assert choose_threshold("half", p, y) == 0.5


def discriminant(X: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Probability of class 1 by linear discriminant analysis with unit variances."""
    negative, positive = X[y == 0].mean(axis=0), X[y == 1].mean(axis=0)
    return expit((new - (negative + positive) / 2) @ (positive - negative) + logit(y.mean()))


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_hold_the_truth_as_often_as_stated_in_each_class(coverage: float) -> None:
    rng = np.random.default_rng(0)
    chosen = ClassifySettings(coverage=coverage)
    right: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(60):
        X, y = drawn(rng, 400)
        train, y_train = X[:150], y[:150]
        scores = np.empty(150)
        for test in np.array_split(np.arange(150), 5):
            rest = np.setdiff1d(np.arange(150), test)
            scores[test] = discriminant(train[rest], y_train[rest], train[test])
        decision = fit_decision(scores, y_train, chosen)
        found = decision.sets(discriminant(train, y_train, X[150:]))
        for label, own in ((0, "negative"), (1, "positive")):
            right[label].append(float(np.isin(found[y[150:] == label], [own, "both"]).mean()))
    for label in (0, 1):
        error = np.std(right[label], ddof=1) / np.sqrt(60)
        # At least what is stated, within three standard errors; at most one score's weight more (45 positives: 1 / 46).
        assert coverage - 3 * error < np.mean(right[label]) < coverage + 0.03 + 3 * error


def test_the_models_own_inner_scores_cover_as_well() -> None:
    # Of the tuned candidate, whose choice saw the same scores: is the coverage still what it says?
    rng = np.random.default_rng(4)
    X, y = drawn(rng, 2200, strength=1.5)
    frame = pd.DataFrame(X).add_prefix("f")
    model = FusedClassifier.from_settings(FAST, 0).fit(frame[:200], y[:200])
    decision = fit_decision(model.inner_probability_, y[:200], FAST)
    found = decision.sets(model.predict_proba(frame[200:])[:, 1])
    for label, own, n in ((0, "negative", 140), (1, "positive", 60)):
        share = np.isin(found[y[200:] == label], [own, "both"]).mean()
        # Given the calibration scores the coverage varies as a beta distribution of about n draws.
        assert abs(share - 0.9) < 3 * np.sqrt(0.09 / n)


def test_too_few_scores_exclude_nothing() -> None:
    p, y = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0, 0, 1, 1])
    decision = fit_decision(p, y, ClassifySettings(coverage=0.9))
    assert decision.limits == (None, None)
    assert decision.sets(np.array([0.01, 0.99])).tolist() == ["both", "both"]
    assert conformal_limit(np.arange(9.0), 0.9) == 8.0


def test_no_call_is_legal_and_sets_follow_the_limits() -> None:
    p = np.concatenate([np.linspace(0.01, 0.2, 40), np.linspace(0.8, 0.99, 40)])
    decision = fit_decision(p, np.repeat([0, 1], 40), ClassifySettings(coverage=0.9))
    assert decision.sets(np.array([0.05, 0.5, 0.95])).tolist() == ["negative", "none", "positive"]
    mixed = fit_decision(np.linspace(0.3, 0.7, 80), np.arange(80) % 2, ClassifySettings(coverage=0.9))
    assert mixed.sets(np.array([0.5])).tolist() == ["both"]
    assert fit_decision(p, np.repeat([0, 1], 40), ClassifySettings(coverage=None)).sets(p) is None


def test_several_cases_of_a_patient_count_once() -> None:
    p, y = np.linspace(0.05, 0.95, 40), np.repeat([0, 1], 20)
    groups = np.array([f"p{row // 2}" for row in range(40)], dtype=object)
    # 10 patients per class are too few for 0.95, 20 cases are enough.
    assert fit_decision(p, y, ClassifySettings(coverage=0.95), groups).limits == (None, None)
    assert None not in fit_decision(p, y, ClassifySettings(coverage=0.95)).limits


@pytest.mark.parametrize("how", ["none", "sigmoid", "isotonic", "beta"])
def test_a_card_keeps_the_decision(how: str) -> None:
    rng = np.random.default_rng(3)
    p = rng.random(60)
    y = (rng.random(60) < p).astype(np.int64)
    decision = fit_decision(p, y, ClassifySettings(calibrate=how))
    again = Decision.from_card(json.loads(json.dumps(decision.as_card())))
    assert again == decision
    np.testing.assert_array_equal(again.calibration.apply(p), decision.calibration.apply(p))


class Remembers:
    """Knows every row it has seen, and nothing else."""

    def fit(self, X: pd.DataFrame, y: np.ndarray, patient: np.ndarray, context: object) -> Remembers:
        self.known = dict(zip(X["shared"], y, strict=True))
        return self

    def predict_proba(self, X: pd.DataFrame, context: object) -> np.ndarray:
        positive = np.array([self.known.get(value, 0.5) for value in X["shared"]], dtype=float)
        return np.column_stack([1 - positive, positive])


def test_cross_fitting_leaves_the_patient_out() -> None:
    y = np.arange(40) // 2 % 2
    frame = pd.DataFrame({"shared": np.arange(40) // 2})  # both cases of a patient look the same
    patient = np.array([f"p{row // 2}" for row in range(40)], dtype=object)
    assert (cross_fitted(Remembers, frame, y, patient, None, FAST) == 0.5).all()
    assert (cross_fitted(Remembers, frame, y, np.arange(40), None, FAST) == y).any()
