"""The AUC over pairs inside a stratum: equal to the ordinary one for one stratum, honest under cross-validation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.stats.auc import auc, auc_covariance, delong_test
from radiogen.stats.resampling import bootstrap_aucs, permutation_p
from radiogen.stats.within import (
    bootstrap_within_aucs,
    cross_validation_widening,
    pairs_within,
    within_auc,
    within_covariance,
    within_interval_from,
    within_permutation_p,
    within_test,
)


def made(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, strata = rng.permutation(np.arange(n) % 2), rng.integers(0, 4, n)
    return y, np.round(y + rng.normal(size=(2, n)), 1), strata, rng.integers(0, 25, n)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_by_counting_pairs(seed: int) -> None:
    y, (scores, _), strata, _ = made(seed, 24)
    wins = pairs = 0.0
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero((y == 0) & (strata == strata[i])):
            pairs += 1
            wins += float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j])
    assert pairs_within(y, strata) == pairs
    assert within_auc(y, scores, strata) == pytest.approx(wins / pairs)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_one_stratum_is_the_ordinary_auc_with_delong_and_obuchowski(seed: int) -> None:
    y, scores, _, groups = made(seed)
    one = np.zeros(len(y), dtype=int)
    assert within_auc(y, scores[0], one) == pytest.approx(auc(y, scores[0]))
    for patients in (None, groups):
        ours, theirs = within_covariance(y, scores, one, patients), auc_covariance(y, scores, patients)
        assert ours[0] == pytest.approx(theirs[0])
        assert ours[1] == pytest.approx(theirs[1])
    assert within_test(y, *scores, one, groups=groups).p == pytest.approx(delong_test(y, *scores, groups=groups).p)


def test_resamples_equal_the_ordinary_ones_and_the_mean_of_strata() -> None:
    y, scores, strata, groups = made(3)
    one = np.zeros(len(y), dtype=int)
    scores[1, :7] = np.nan
    ours = bootstrap_within_aucs(y, scores, one, groups=groups, n_resamples=50, rng=np.random.default_rng(0))
    assert ours == pytest.approx(bootstrap_aucs(y, scores, groups=groups, n_resamples=50, rng=np.random.default_rng(0)))
    counts = [(y[strata == s] == 1).sum() * (y[strata == s] == 0).sum() for s in range(4)]
    each = [auc(y[strata == s], scores[0][strata == s]) for s in range(4)]
    assert within_auc(y, scores[0], strata) == pytest.approx(np.average(each, weights=counts))


def test_a_shift_between_strata_changes_nothing() -> None:
    y, scores, strata, groups = made(4)
    moved = scores[0] + 10.0 * strata
    assert within_auc(y, moved, strata) == within_auc(y, scores[0], strata)
    assert within_covariance(y, moved[None], strata)[1] == pytest.approx(within_covariance(y, scores[:1], strata)[1])
    first = within_permutation_p(y, scores[0], strata, groups=groups, n_permutations=99, rng=np.random.default_rng(0))
    second = within_permutation_p(y, moved, strata, groups=groups, n_permutations=99, rng=np.random.default_rng(0))
    assert first[0] == second[0]


def test_permutation_equals_the_ordinary_one_and_is_widened() -> None:
    y, scores, _, _ = made(5, 200)
    one, weak = np.zeros(200, dtype=int), 0.2 * y + np.random.default_rng(0).normal(size=200)
    rng = np.random.default_rng
    narrow, permuted = within_permutation_p(y, weak, one, n_permutations=3000, rng=rng(1))
    assert narrow == pytest.approx(permutation_p(y, weak, n_permutations=3000, rng=rng(2)), abs=0.02)
    wide, stretched = within_permutation_p(y, weak, one, widening=1.5, n_permutations=3000, rng=rng(1))
    assert wide > narrow
    assert stretched.std() == pytest.approx(1.5 * permuted.std())
    assert permuted.mean() == pytest.approx(0.5, abs=0.01)
    assert within_permutation_p(y, scores[0], one, n_permutations=99, rng=rng(0))[0] == 0.01


def test_labels_stay_inside_their_block_and_with_their_patient() -> None:
    y = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    groups, block = np.repeat(np.arange(4), 2), np.repeat([0, 1], 4)
    perfect = y.astype(float)
    _, permuted = within_permutation_p(
        y, perfect, block, groups=groups, blocks=block, n_permutations=200, rng=np.random.default_rng(0)
    )
    assert set(permuted) == {0.0, 0.5, 1.0}  # each block has two patients: in order or not


def test_a_stratum_without_a_pair_and_no_pair_at_all() -> None:
    y, strata = np.array([1, 0, 1, 1]), np.array([0, 0, 1, 1])
    assert within_auc(y, np.array([2.0, 1.0, 0.0, 0.0]), strata) == 1.0
    assert np.isnan(within_auc(y, np.ones(4), np.arange(4)))
    assert within_interval_from(1.0, np.ones(10), 12) == (pytest.approx(0.735, abs=1e-3), 1.0)


def ridge_scores(rng: np.random.Generator, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Held-out scores of a ridge regression on pure noise."""
    x, scores = rng.normal(size=(len(y), 5)), np.empty(len(y))
    for number in np.unique(fold):
        test = fold == number
        centre = y[~test].mean()
        weights = np.linalg.solve(x[~test].T @ x[~test] + np.eye(5), x[~test].T @ (y[~test] - centre))
        scores[test] = x[test] @ weights + centre
    return scores


def test_without_signal_pooling_falls_below_chance_and_folds_move_together() -> None:
    """Held-out sites with different shares of positives: the reason for this module, and for the widening."""
    rng = np.random.default_rng(0)
    site = np.arange(100) % 5
    pooled, within, errors = [], [], []
    for _ in range(150):
        y = (rng.random(100) < np.array([0.25, 0.4, 0.5, 0.6, 0.75])[site]).astype(int)
        scores = ridge_scores(rng, y, site)
        pooled.append(auc(y, scores))
        areas, covariance = within_covariance(y, scores[None], site)
        within.append(areas[0])
        errors.append(np.sqrt(covariance[0, 0]))
    assert np.mean(pooled) < 0.46
    assert np.mean(within) == pytest.approx(0.5, abs=0.015)
    z = (np.array(within) - 0.5) / np.array(errors)
    assert 1.1 < z.std() < cross_validation_widening(5)
    assert np.mean(z / cross_validation_widening(5) > 1.645) < 0.08
