"""Bootstrap and permutation: against brute force, for coverage, for patients as the unit."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from radiogen.stats.auc import auc, auc_covariance, perfect_auc_interval
from radiogen.stats.resampling import (
    Patients,
    _SortedScore,
    auc_interval_from,
    bca_interval,
    bootstrap_auc_interval,
    bootstrap_aucs,
    bootstrap_difference,
    patient_weights,
    percentile_interval,
    permutation_p,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("ties", [True, False])
def test_weighted_auc_is_that_of_the_resampled_rows(ties: bool) -> None:
    draw = rng(1)
    y = np.repeat([0, 1], [12, 9])
    scores = draw.normal(size=21) + y
    scores = np.round(scores) if ties else scores
    scores[[2, 15]] = np.nan
    weights = draw.integers(0, 4, (30, 21)).astype(float)
    found = _SortedScore.of(y, scores).weighted_auc(weights[:, y == 1], weights[:, y == 0])
    for row, area in zip(weights.astype(int), found, strict=True):
        rows = np.repeat(np.arange(21), np.where(np.isnan(scores), 0, row))
        assert area == pytest.approx(roc_auc_score(y[rows], scores[rows]))


def test_resamples_keep_patients_whole_and_classes_filled() -> None:
    groups = np.array([5, 5, 7, 8, 8, 8, 9, 10, 10])
    y = np.array([1, 1, 0, 0, 0, 0, 1, 0, 1])
    patients = Patients.of(y, groups)
    assert patients.strata.tolist() == [1, 0, 0, 1, 2]
    assert patients.smaller_class == 3
    weights = np.concatenate(list(patient_weights(patients, 200, rng())))
    for patient in np.unique(groups):
        assert np.ptp(weights[:, groups == patient], axis=1).max() == 0
    assert (weights[:, 7] == 1).all()  # the only patient of its kind is always drawn
    assert weights[:, [0, 6]].sum(axis=1).tolist() == [2.0] * 200


def test_bootstrap_spread_is_the_delong_error() -> None:
    draw = rng(2)
    y = np.repeat([0, 1], [90, 60])
    scores = draw.normal(size=150) + y
    spread = bootstrap_aucs(y, scores[None], n_resamples=3000, rng=rng())[0].std()
    assert spread == pytest.approx(np.sqrt(auc_covariance(y, scores[None])[1][0, 0]), rel=0.06)


def test_copied_rows_of_a_patient_do_not_narrow_the_interval() -> None:
    draw = rng(3)
    y = np.repeat([0, 1], 40)
    scores = draw.normal(size=80) + y
    low, high = bootstrap_auc_interval(y, scores, rng=rng())
    many = np.repeat(np.arange(80), 4)
    clustered = bootstrap_auc_interval(y[many], scores[many], groups=many, rng=rng())
    naive = bootstrap_auc_interval(y[many], scores[many], rng=rng())
    assert clustered == pytest.approx((low, high), abs=1e-12)
    assert naive[1] - naive[0] < 0.6 * (high - low)


@pytest.mark.parametrize(("n_positive", "n_negative", "area"), [(12, 12, 0.8), (30, 60, 0.85)])
def test_coverage(n_positive: int, n_negative: int, area: float) -> None:
    draw = rng(4)
    y = np.repeat([1, 0], [n_positive, n_negative])
    covered = {"percentile": 0, "bca": 0}
    for _ in range(400):
        scores = draw.normal(size=len(y)) + np.sqrt(2) * norm.ppf(area) * y
        resamples = bootstrap_aucs(y, scores[None], n_resamples=400, rng=draw)[0]
        for method in ("percentile", "bca"):
            low, high = auc_interval_from(resamples, y, scores, method=method)
            covered[method] += low <= area <= high
    assert 0.92 <= covered["percentile"] / 400 <= 0.985
    assert 0.92 <= covered["bca"] / 400 <= 0.985


def test_paired_difference_uses_the_pairing() -> None:
    draw = rng(5)
    y = np.repeat([0, 1], 60)
    common = draw.normal(size=120) + y
    a, b = common + 0.1 * draw.normal(size=120), common + 0.1 * draw.normal(size=120)
    low, high = bootstrap_difference(y, a, b, rng=rng())
    alone = bootstrap_auc_interval(y, a, rng=rng())
    assert low < auc(y, a) - auc(y, b) < high
    assert high - low < 0.4 * (alone[1] - alone[0])
    assert bootstrap_difference(y, a, 2 * a, rng=rng()) == (0.0, 0.0)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_difference_intervals_rarely_exclude_a_true_zero(method: str) -> None:
    draw = rng(6)
    y = np.repeat([0, 1], [30, 20])
    above = 0
    for _ in range(300):
        a, b = draw.normal(size=(2, 50)) + y
        above += bootstrap_difference(y, a, b, n_resamples=300, method=method, rng=draw)[0] > 0
    assert above / 300 <= 0.055  # 0.025 expected


def test_perfect_separation_is_not_certainty() -> None:
    y = np.repeat([0, 1], [40, 10])
    for method in ("percentile", "bca"):
        assert bootstrap_auc_interval(y, y.astype(float), method=method, rng=rng()) == perfect_auc_interval(1.0, 10)


def test_intervals_without_anything_to_stand_on() -> None:
    assert np.isnan(percentile_interval(np.array([np.nan]), 20)).all()
    assert np.isnan(percentile_interval(np.array([0.5, 0.6]), 1)).all()
    assert np.isnan(bca_interval(0.5, np.array([np.nan]), 0.0)).all()


def test_expanded_percentile_tends_to_the_plain_one() -> None:
    values = rng(7).normal(size=20_000)
    assert percentile_interval(values, 100_000) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.01)
    narrow, wide = percentile_interval(values, 100_000), percentile_interval(values, 10)
    assert wide[1] - wide[0] > 1.1 * (narrow[1] - narrow[0])


def test_a_score_with_unknown_rows_is_judged_on_its_known_rows() -> None:
    draw = rng(8)
    y = np.repeat([0, 1], 50)
    scores = draw.normal(size=100) + y
    part = np.where(np.arange(100) % 3 == 0, np.nan, scores)
    both = bootstrap_aucs(y, np.stack([scores, part]), n_resamples=500, rng=rng())
    known = ~np.isnan(part)
    assert both[1].mean() == pytest.approx(auc(y[known], part[known]), abs=0.02)
    assert both[1].std() > both[0].std()


def test_permutation_p_is_the_exact_one() -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 1])
    scores = np.array([0.1, 0.4, 0.35, 0.2, 0.8, 0.3, 0.9])
    observed = auc(y, scores)
    exact = np.mean(
        [
            auc(np.isin(np.arange(7), chosen).astype(int), scores) >= observed - 1e-12
            for chosen in itertools.combinations(range(7), 3)
        ]
    )
    assert permutation_p(y, scores, n_permutations=20_000, rng=rng()) == pytest.approx(exact, abs=0.01)


def test_permutation_p_is_uniform_under_the_null_and_never_zero() -> None:
    draw = rng(9)
    y = np.repeat([0, 1], [30, 20])
    p = [permutation_p(y, draw.normal(size=50), n_permutations=199, rng=draw) for _ in range(400)]
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.08
    assert permutation_p(y, y.astype(float), n_permutations=99, rng=rng()) == 0.01


def test_permutation_moves_patients_not_rows() -> None:
    draw = rng(10)
    patients = np.repeat(np.arange(20), 10)
    y = np.repeat([0, 1], 100)
    by_patient, by_row = [], []
    for _ in range(100):
        scores = np.repeat(draw.normal(size=20), 10) + 0.1 * draw.normal(size=200)
        by_patient.append(permutation_p(y, scores, groups=patients, n_permutations=99, rng=draw))
        by_row.append(permutation_p(y, scores, n_permutations=99, rng=draw))
    assert np.mean(np.array(by_patient) <= 0.05) < 0.13
    assert np.mean(np.array(by_row) <= 0.05) > 0.2  # what ignoring patients would do


def test_same_seed_same_numbers() -> None:
    y = np.repeat([0, 1], 30)
    scores = rng(11).normal(size=60)
    first, again = (bootstrap_auc_interval(y, scores, rng=rng(3)) for _ in range(2))
    assert first == again


@pytest.mark.benchmark
def test_2000_resamples_of_500_rows_take_about_a_second() -> None:
    y = np.repeat([0, 1], 250)
    scores = rng(12).normal(size=500)
    start = time.perf_counter()
    bootstrap_auc_interval(y, scores, rng=rng())
    assert time.perf_counter() - start < 2
