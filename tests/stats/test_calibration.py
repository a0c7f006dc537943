"""Calibration against planted truths, scikit-learn and a general-purpose optimiser."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from radiogen.stats.calibration import (
    brier_score,
    calibration_in_the_large,
    expected_calibration_error,
    recalibration,
    reliability,
)


def planted(slope: float, intercept: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=n)
    y = (rng.random(n) < expit(intercept + slope * predicted)).astype(int)
    return y, expit(predicted)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, 0.7), (2.0, -1.0)])
def test_recalibration_finds_what_was_planted(slope: float, intercept: float) -> None:
    y, p = planted(slope, intercept)
    assert recalibration(y, p) == pytest.approx((slope, intercept), abs=0.06)


def test_recalibration_is_the_maximum_of_the_likelihood() -> None:
    y, p = planted(0.6, 0.4, n=80)
    best = minimize(
        lambda w: np.sum(np.logaddexp(0, w[0] + w[1] * logit(p)) - y * (w[0] + w[1] * logit(p))), [0.0, 1.0], tol=1e-10
    )
    slope, intercept = recalibration(y, p)
    assert (intercept, slope) == pytest.approx(tuple(best.x), abs=1e-4)


def test_calibration_in_the_large_is_the_planted_shift() -> None:
    y, p = planted(1.0, 0.7)
    assert calibration_in_the_large(y, p) == pytest.approx(0.7, abs=0.05)
    shift = calibration_in_the_large(y, p)
    assert expit(logit(p) + shift).mean() == pytest.approx(y.mean(), abs=1e-9)


def test_probabilities_of_zero_and_one_are_clipped_not_fatal() -> None:
    y = np.array([0, 1, 0, 1, 1, 0, 1, 0])
    p = np.array([0.0, 1.0, 0.3, 0.6, 0.0, 1.0, 1.0, 0.0])
    assert all(math.isfinite(value) for value in (*recalibration(y, p), calibration_in_the_large(y, p)))


@pytest.mark.parametrize(
    ("y", "p"),
    [([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]), ([1, 1, 1, 1], [0.1, 0.2, 0.8, 0.9])],
)
def test_no_slope_where_none_exists(y: list[int], p: list[float]) -> None:
    assert np.isnan(recalibration(np.array(y), np.array(p))).all()


def test_brier_is_scikit_learns() -> None:
    y, p = planted(1.0, 0.0, n=200)
    assert brier_score(y, p) == pytest.approx(brier_score_loss(y, p))


def test_expected_calibration_error_by_hand() -> None:
    y = np.array([0, 0, 1, 1, 0, 1, 1, 1])
    p = np.array([0.1, 0.1, 0.2, 0.2, 0.9, 0.9, 0.9, 0.9])
    # bins by equal counts, equal values together: {0.1 x2}, {0.2 x2}, {0.9 x4}
    expected = (2 * 0.1 + 2 * 0.8 + 4 * 0.15) / 8
    assert expected_calibration_error(y, p, bins=4) == pytest.approx(expected)


def test_bins_hold_equally_many_rows_and_ties_stay_together() -> None:
    rng = np.random.default_rng(1)
    curve = reliability(rng.integers(0, 2, 100), rng.random(100), bins=10)
    assert curve["n"].tolist() == [10] * 10
    assert curve["mean_probability"].is_monotonic_increasing
    assert len(reliability(np.array([0, 1] * 10), np.full(20, 0.5))) == 1


def test_perfect_calibration_has_little_error() -> None:
    y, p = planted(1.0, 0.0)
    assert expected_calibration_error(y, p) < 0.02
    assert expected_calibration_error(y, expit(4 * logit(p))) > 0.1
