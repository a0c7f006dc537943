"""Threshold counts, Wilson intervals and average precision against published numbers and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, confusion_matrix

from radiogen.stats.classification import at_threshold, average_precision, wilson_interval


def test_counts_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, 200), rng.random(200).round(1)
    found = at_threshold(y, scores, 0.4)
    counts = (found.true_negative, found.false_positive, found.false_negative, found.true_positive)
    assert counts == tuple(confusion_matrix(y, scores >= 0.4).ravel().tolist())
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, scores >= 0.4))
    assert found.accuracy == pytest.approx(np.mean((scores >= 0.4) == y))


def test_altman_and_bland_liver_scan() -> None:
    """Altman & Bland 1994, BMJ 308:1552: 231 of 258 abnormal livers found, 54 of 86 normal ones cleared."""
    y = np.repeat([1, 0], [258, 86])
    scores = np.concatenate([np.repeat([1.0, 0.0], [231, 27]), np.repeat([0.0, 1.0], [54, 32])])
    found = at_threshold(y, scores)
    assert (round(found.sensitivity, 2), round(found.specificity, 2)) == (0.90, 0.63)


def test_a_missing_class_gives_nan_not_zero() -> None:
    y, scores = np.zeros(3, dtype=int), np.array([0.1, 0.2, 0.9])
    assert math.isnan(at_threshold(y, scores).sensitivity)
    assert math.isnan(average_precision(y, scores))
    assert np.isnan(wilson_interval(0, 0)).all()


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (15, 148), (81, 263)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_average_precision_is_scikit_learns_with_ties() -> None:
    rng = np.random.default_rng(1)
    y, scores = rng.integers(0, 2, 150), rng.random(150).round(1)
    assert average_precision(y, scores) == pytest.approx(average_precision_score(y, scores))
