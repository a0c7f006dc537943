"""AUC, DeLong and sample-size formulas against published numbers, scikit-learn and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from radiogen.stats.auc import (
    auc,
    auc_covariance,
    auc_influence,
    delong_interval,
    delong_test,
    hanley_mcneil_error,
    perfect_auc_interval,
    sample_size_statement,
    smallest_detectable_auc,
)

# Hanley & McNeil 1982, Radiology 143:29, table I: 58 normal and 51 abnormal CT images rated from 1 to 5; W = 0.893, SE = 0.032.
NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
CT_Y = np.repeat([0, 1], [sum(NORMAL), sum(ABNORMAL)])
CT_RATING = np.concatenate([np.repeat(np.arange(1.0, 6.0), NORMAL), np.repeat(np.arange(1.0, 6.0), ABNORMAL)])


def brute_force(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's AUCs and covariance from all positive-negative pairs, eq. 4-6 of the paper as written."""
    aucs, v10s, v01s = [], [], []
    for row in scores:
        pairs = np.array([[1.0 if p > q else 0.5 if p == q else 0.0 for q in row[y == 0]] for p in row[y == 1]])
        aucs.append(pairs.mean())
        v10s.append(pairs.mean(axis=1))
        v01s.append(pairs.mean(axis=0))
    n1, n0 = int(y.sum()), int((1 - y).sum())
    return np.array(aucs), np.atleast_2d(np.cov(v10s)) / n1 + np.atleast_2d(np.cov(v01s)) / n0


def random_table(seed: int, n: int = 60, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [n // 2 + 5, n - n // 2 - 5]))
    scores = rng.normal(size=(2, n)) + y
    return y, np.round(scores * 2) / 2 if ties else scores


def test_hanley_mcneil_ct_example() -> None:
    assert auc(CT_Y, CT_RATING) == pytest.approx(0.893, abs=0.0005)
    assert hanley_mcneil_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)
    error = math.sqrt(auc_covariance(CT_Y, CT_RATING[None])[1][0, 0])
    assert error == pytest.approx(0.032, abs=0.002)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [True, False])
def test_delong_equals_all_pairs(seed: int, ties: bool) -> None:
    y, scores = random_table(seed, ties=ties)
    aucs, covariance = auc_covariance(y, scores)
    expected_aucs, expected_covariance = brute_force(y, scores)
    np.testing.assert_allclose(aucs, expected_aucs, rtol=1e-12)
    np.testing.assert_allclose(covariance, expected_covariance, rtol=1e-10)
    assert aucs[0] == pytest.approx(roc_auc_score(y, scores[0]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=4, max_size=40))
def test_auc_symmetries(rows: list[tuple[int, int]]) -> None:
    y = np.array([row[0] for row in rows])
    scores = np.array([row[1] for row in rows], dtype=float)
    if 0 < y.sum() < len(y):
        area = auc(y, scores)
        assert area == pytest.approx(1 - auc(y, -scores))
        assert area == pytest.approx(1 - auc(1 - y, scores))
        assert area == pytest.approx(auc(y, np.exp(scores)))
        assert auc_influence(y, scores).sum() == pytest.approx(0, abs=1e-12)
    else:
        assert math.isnan(auc(y, scores))


def test_delong_variance_is_near_the_jackknife() -> None:
    y, scores = random_table(11, n=120)
    left_out = [auc(np.delete(y, i), np.delete(scores[0], i)) for i in range(len(y))]
    jackknife = (len(y) - 1) / len(y) * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
    assert auc_covariance(y, scores[:1])[1][0, 0] == pytest.approx(jackknife, rel=0.03)


def test_delong_variance_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], [60, 40])
    samples = rng.normal(size=(1500, 100)) + y
    areas = [auc(y, row) for row in samples]
    variances = [auc_covariance(y, row[None])[1][0, 0] for row in samples[:200]]
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.12)


def test_paired_test_holds_its_level_and_finds_a_difference() -> None:
    rng = np.random.default_rng(6)
    y = np.repeat([0, 1], [60, 60])
    p_null, p_other = [], []
    for _ in range(400):
        common, a, b = rng.normal(size=(3, 120))
        p_null.append(delong_test(y, common + a + y, common + b + y).p)
        p_other.append(delong_test(y, common + a + 1.8 * y, common + b + 0.4 * y).p)
    assert 0.025 <= np.mean(np.array(p_null) < 0.05) <= 0.08
    assert np.mean(np.array(p_other) < 0.05) > 0.9


def test_same_ranks_are_no_difference() -> None:
    y, scores = random_table(1)
    found = delong_test(y, scores[0], 3 * scores[0] + 1)
    assert (found.difference, found.p) == (0.0, 1.0)


def test_rows_copied_within_patients_add_no_certainty() -> None:
    y, scores = random_table(2, n=40)
    single = auc_covariance(y, scores)[1]
    copied = auc_covariance(np.repeat(y, 3), np.repeat(scores, 3, axis=1), np.repeat(np.arange(40), 3))[1]
    np.testing.assert_allclose(copied, single, rtol=1e-10)
    naive = auc_covariance(np.repeat(y, 3), np.repeat(scores, 3, axis=1))[1]
    assert naive[0, 0] < 0.4 * single[0, 0]


def test_mixed_patients_follow_repeated_samples() -> None:
    """Obuchowski's variance where every patient has a positive and a negative row that are correlated."""
    rng = np.random.default_rng(8)
    patients = np.repeat(np.arange(50), 2)
    y = np.tile([0, 1], 50)
    draws = [np.repeat(rng.normal(size=50), 2) + 0.5 * rng.normal(size=100) + y for _ in range(1200)]
    areas = [auc(y, row) for row in draws]
    variances = [auc_covariance(y, row[None], patients)[1][0, 0] for row in draws[:200]]
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.15)


def test_interval_stays_inside_and_perfect_separation_is_not_certainty() -> None:
    y, scores = random_table(3)
    low, high = delong_interval(y, scores[0])
    assert 0 < low < auc(y, scores[0]) < high < 1
    labels = np.repeat([0, 1], [30, 8])
    assert delong_interval(labels, labels.astype(float)) == perfect_auc_interval(1.0, 8)
    assert delong_interval(labels, -labels.astype(float)) == perfect_auc_interval(0.0, 8)
    assert perfect_auc_interval(1.0, 8)[0] ** 8 == pytest.approx(0.025)


def test_one_patient_in_a_class_has_no_variance() -> None:
    y, scores = np.array([0, 0, 0, 1]), np.array([0.1, 0.6, 0.2, 0.5])
    assert np.isnan(delong_interval(y, scores)).all()
    assert math.isnan(delong_test(y, scores, scores**2).p)


def test_smallest_detectable_auc_is_the_mann_whitney_bound() -> None:
    m, n = 25, 40
    null_error = math.sqrt((m + n + 1) / (12 * m * n))
    assert hanley_mcneil_error(0.5, m, n) == pytest.approx(null_error)
    assert smallest_detectable_auc(m, n) == pytest.approx(0.5 + 1.959964 * null_error, abs=1e-6)
    assert smallest_detectable_auc(1, 2) == 1.0
    assert "n=65 (25 positive, 40 negative)" in sample_size_statement(m, n)
