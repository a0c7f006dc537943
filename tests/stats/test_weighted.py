"""Measures per resample equal the plain ones on the resampled rows; Brier's parts; the smooth calibration curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from radiogen.stats.brier import brier_parts, scaled_brier
from radiogen.stats.calibration import brier_score, calibration_in_the_large, expected_calibration_error, recalibration
from radiogen.stats.calibration_curve import calibration_curve, spline_basis
from radiogen.stats.classification import at_threshold
from radiogen.stats.weighted import (
    fit_logistic,
    resample_weights,
    weighted_average_precision,
    weighted_brier,
    weighted_calibration_error,
    weighted_large_calibration,
    weighted_recalibration,
)


def made(seed: int, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    return y, np.round(1 / (1 + np.exp(-(y - 0.5 + rng.normal(size=n)))), 2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_line_of_weights_is_a_table_with_repeated_rows(seed: int) -> None:
    y, p = made(seed)
    drawn = np.random.default_rng(seed).integers(0, 3, 80)
    drawn[:4] = 1
    weights, again = np.stack([np.ones(80), drawn.astype(float)]), np.repeat(np.arange(80), drawn)
    assert weighted_brier(y, p, weights)[1] == pytest.approx(brier_score(y[again], p[again]))
    expected = average_precision_score(y[again], p[again])
    assert weighted_average_precision(y, p, weights)[1] == pytest.approx(expected)
    slopes, intercepts = weighted_recalibration(y, p, weights)
    assert (slopes[1], intercepts[1]) == pytest.approx(recalibration(y[again], p[again]), abs=1e-5)
    assert weighted_large_calibration(y, p, weights)[1] == pytest.approx(
        calibration_in_the_large(y[again], p[again]), abs=1e-6
    )
    assert weighted_calibration_error(y, p, weights)[0] == pytest.approx(expected_calibration_error(y, p))


def test_the_logistic_fit_equals_scikit_learn_and_separation_is_nan() -> None:
    y, p = made(1)
    design = np.column_stack([np.ones(80), p, p**2])
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(design[:, 1:], y)
    ours = fit_logistic(y, design, np.ones((1, 80)))[0]
    assert ours == pytest.approx([theirs.intercept_[0], *theirs.coef_[0]], rel=1e-3)
    apart = np.column_stack([np.ones(80), y.astype(float)])
    assert np.isnan(fit_logistic(y, apart, np.ones((1, 80)))).all()


def test_patients_are_drawn_whole_and_large_tables_fewer_times(monkeypatch: pytest.MonkeyPatch) -> None:
    y, groups = np.repeat([0, 1], 30), np.repeat(np.arange(20), 3)
    weights = resample_weights(y, groups, 50, np.random.default_rng(0))
    assert weights.shape == (50, 60)
    assert (weights.reshape(50, 20, 3) == weights.reshape(50, 20, 3)[:, :, :1]).all()
    assert (weights[:, y == 1].sum(axis=1) == 30).all()
    monkeypatch.setattr("radiogen.stats.weighted._CELLS", 60 * 300)
    assert len(resample_weights(y, groups, 2000, np.random.default_rng(0))) == 300
    assert len(resample_weights(np.tile(y, 9), None, 2000, np.random.default_rng(0))) == 200


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, 2, 5, 10]))
def test_the_parts_of_the_brier_score_sum_to_it(seed: int, bins: int | None) -> None:
    y, p = made(seed)
    parts = brier_parts(y, p, bins=bins)
    assert parts.score == pytest.approx(brier_score(y, p), abs=1e-12)
    assert parts.uncertainty == pytest.approx(0.25)
    assert bins is not None or parts.within == pytest.approx(0.0, abs=1e-12)


def test_brier_parts_by_hand() -> None:
    """Two forecasts, 0.2 (one of four came true) and 0.7 (three of four): all terms by hand, Murphy 1973."""
    y, p = np.array([1, 0, 0, 0, 1, 1, 1, 0]), np.repeat([0.2, 0.7], 4)
    parts = brier_parts(y, p, bins=None)
    assert parts.reliability == pytest.approx(0.0025)
    assert (parts.resolution, parts.uncertainty) == (pytest.approx(0.0625), pytest.approx(0.25))
    assert scaled_brier(y, p) == pytest.approx(1 - 0.19 / 0.25)
    assert np.isnan(scaled_brier(np.ones(3, dtype=int), np.full(3, 0.4)))


def test_predictive_values_and_matthews_by_hand() -> None:
    found = at_threshold(np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([0.9, 0.8, 0.1, 0.7, 0.2, 0.2, 0.3, 0.1]), 0.5)
    assert (found.positive_predictive_value, found.negative_predictive_value) == (2 / 3, 4 / 5)
    assert found.matthews_correlation == pytest.approx((2 * 4 - 1 * 1) / np.sqrt(3 * 3 * 5 * 5))
    own = at_threshold(np.array([1, 0]), np.array([0.4, 0.4]), np.array([0.3, 0.5]))
    assert (own.sensitivity, own.specificity, own.threshold) == (1.0, 1.0, 0.4)


def test_the_spline_is_linear_beyond_its_outer_knots() -> None:
    basis = spline_basis(np.array([3.0, 4.0, 5.0, -1.0, -2.0, -3.0]), np.array([0.0, 1.0, 2.0]))
    assert np.diff(basis[:3], n=2, axis=0) == pytest.approx(np.zeros((1, 2)), abs=1e-12)
    assert (basis[3:, 1] == 0).all()


def test_the_curve_finds_what_the_probabilities_are_worth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.05, 0.95, 2000)
    y = (rng.random(2000) < truth).astype(int)
    weights = resample_weights(y, None, 100, rng)
    honest = calibration_curve(y, truth, weights)
    assert honest is not None
    assert np.abs(honest["share"] - honest["probability"]).max() < 0.05
    inside = (honest["low"] <= honest["probability"]) & (honest["probability"] <= honest["high"])
    assert inside.mean() > 0.8
    boastful = calibration_curve(y, truth**2 / (truth**2 + (1 - truth) ** 2), weights)
    assert boastful is not None
    assert (boastful["share"] - boastful["probability"]).iloc[5] > 0.02
    assert calibration_curve(y[:30], truth[:30], np.ones((2, 30))) is None
