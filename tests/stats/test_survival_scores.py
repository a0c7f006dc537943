from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.datasets import load_lung

from radiogen.stats.survival_cox import NotEstimableError, concordance, concordance_difference
from radiogen.stats.survival_scores import (
    brier_scores,
    calibration_at,
    integrated_brier,
    marginal_survival,
    time_dependent_auc,
    uncensored_probability,
    uno_concordance,
)

HORIZONS = np.array([180.0, 365.0, 540.0])


@pytest.fixture(scope="module")
def lung() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`survival::lung`; half a day after each last contact, so that no death and censoring fall together: there conventions differ."""
    table = load_lung()[["time", "status", "age", "sex", "ph.ecog"]].dropna()
    died = table["status"].to_numpy(dtype=bool)
    times = table["time"].to_numpy(dtype=float)
    risk = np.round(20 * (table["age"] / 10 + table["ph.ecog"] - table["sex"] * 0.5)).to_numpy(dtype=float)
    return np.where(died, times, times + 0.5), died, risk


def test_scores_of_the_lung_patients(lung: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Values of scikit-survival 0.28.0: concordance_index_ipcw, cumulative_dynamic_auc, brier_score, integrated_brier_score."""
    times, died, risk = lung
    assert uno_concordance(times, died, risk) == pytest.approx(0.6039529054682583, abs=1e-12)
    assert uno_concordance(times, died, risk, horizon=500.0) == pytest.approx(0.604158574895989, abs=1e-12)
    np.testing.assert_allclose(
        time_dependent_auc(times, died, risk, HORIZONS),
        [0.6667607932913037, 0.6154192033738616, 0.6295147435657292],
        atol=1e-12,
    )
    z = (risk - risk.mean()) / risk.std()
    scores = brier_scores(times, died, np.exp(-np.outer(np.exp(0.4 * z), HORIZONS / 450)), HORIZONS)
    np.testing.assert_allclose(scores, [0.1905380409469703, 0.23396142815625973, 0.1859594025049598], atol=1e-12)
    assert integrated_brier(scores, HORIZONS) == pytest.approx(0.2111368710414041, abs=1e-12)


def test_without_censoring_weights_are_one_and_brier_is_the_squared_error() -> None:
    rng = np.random.default_rng(0)
    times, died = rng.exponential(10, 60), np.ones(60, bool)
    predicted = rng.random((60, 1))
    np.testing.assert_array_equal(uncensored_probability(times, died, times), 1)
    expected = np.mean(((times > 7) - predicted[:, 0]) ** 2)
    assert brier_scores(times, died, predicted, np.array([7.0]))[0] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=2, max_size=30))
def test_without_censoring_unos_c_is_harrells(patients: list[tuple[int, int]]) -> None:
    times = np.array([float(time) for time, _ in patients])
    risk = np.array([float(value) for _, value in patients])
    died = np.ones(len(times), bool)
    if len(np.unique(times)) == 1:
        with pytest.raises(NotEstimableError):
            uno_concordance(times, died, risk)
        return
    assert uno_concordance(times, died, risk) == pytest.approx(concordance(times, died, risk))


def test_unos_c_does_not_move_with_censoring_where_harrells_does() -> None:
    """Under crossing hazards Harrell's C depends on how long patients were watched; Uno's C up to a horizon does not."""
    rng = np.random.default_rng(1)
    n = 4000
    group = rng.random(n) < 0.5
    # The first group dies early or very late, the second in between.
    lived = np.where(
        group,
        np.where(rng.random(n) < 0.5, rng.exponential(2, n), 20 + rng.exponential(5, n)),
        5 + rng.exponential(3, n),
    )
    risk = group.astype(float)
    truth = uno_concordance(lived, np.ones(n, bool), risk, horizon=9.0)
    until = rng.uniform(1, 14, n)
    times, died = np.minimum(lived, until), lived <= until
    assert abs(uno_concordance(times, died, risk, horizon=9.0) - truth) < 0.02
    assert abs(concordance(times, died, risk) - truth) > 0.03


def test_a_horizon_that_nobody_reaches_has_no_auc_and_no_brier() -> None:
    times, died = np.array([1.0, 2.0, 3.0]), np.array([True, True, False])
    risk = np.array([3.0, 2.0, 1.0])
    assert np.isnan(time_dependent_auc(times, died, risk, np.array([5.0]))).all()
    assert np.isnan(brier_scores(times, died, np.full((3, 1), 0.5), np.array([5.0]))).all()


def test_calibration_finds_a_model_that_expects_too_few_deaths() -> None:
    rng = np.random.default_rng(2)
    hazard = np.exp(rng.normal(size=2000))
    times = rng.exponential(1 / hazard)
    until = rng.uniform(0.2, 4, 2000)
    seen, died = np.minimum(times, until), times <= until
    right = calibration_at(seen, died, np.exp(-hazard), 1.0)
    assert right.observed_to_expected == pytest.approx(1, abs=0.05)
    assert ((right.table["predicted"] - right.table["observed"]).abs() < 0.06).all()
    half = calibration_at(seen, died, np.exp(-hazard / 2), 1.0)
    assert half.observed_to_expected > 1.3
    assert (half.table["predicted"] > half.table["observed"]).all()


def test_everybody_alike_is_the_kaplan_meier_curve() -> None:
    times, died = np.array([2.0, 4.0, 4.0, 9.0]), np.array([True, True, False, False])
    assert marginal_survival(times, died, np.array([1.0, 2.0, 5.0]), 1)[0].tolist() == [1.0, 0.75, 0.5]


def test_the_difference_of_two_concordances_is_paired() -> None:
    rng = np.random.default_rng(3)
    risk = rng.normal(size=300)
    times = rng.exponential(np.exp(-risk))
    died = np.ones(300, bool)
    noise = rng.normal(size=300)
    difference, (low, high) = concordance_difference(times, died, noise, risk, seed=1, n_bootstrap=200)
    assert difference == pytest.approx(concordance(times, died, risk) - concordance(times, died, noise))
    assert 0.05 < low < difference < high
    assert concordance_difference(times, died, risk, 2 * risk, seed=1, n_bootstrap=100) == (0.0, (0.0, 0.0))
