from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.stats.icc import icc_3_1

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
"""Six cases, four judges: Shrout & Fleiss 1979, table 2."""


def test_the_published_example() -> None:
    """Shrout & Fleiss 1979, table 4: ICC(3,1) = 0.71; mean squares of table 3: 11.24 and 1.02."""
    found = icc_3_1(SHROUT_FLEISS[:, :, None])
    assert found.icc[0] == pytest.approx((11.24 - 1.02) / (11.24 + 3 * 1.02), abs=0.002)
    assert found.icc[0] == pytest.approx(0.71, abs=0.005)
    # ICC(3,1) 0.714841, interval [0.34, 0.95]: R package psych, documentation of ICC(), which uses this very table.
    assert found.icc[0] == pytest.approx(0.714841, abs=1e-6)
    assert [found.low[0], found.high[0]] == pytest.approx([0.34, 0.95], abs=0.005)
    assert found.n_cases.tolist() == [6]


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = 0.8
    cases = rng.normal(0.0, np.sqrt(truth), (20, 1, 4000))
    values = cases + rng.normal(0.0, np.sqrt(1 - truth), (20, 3, 4000)) + np.array([0.0, 2.0, -1.0])[None, :, None]
    found = icc_3_1(values)
    covered = np.mean((found.low <= truth) & (truth <= found.high))
    assert covered == pytest.approx(0.95, abs=0.012)
    assert np.mean(found.icc) == pytest.approx(truth, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(-50, 50), st.floats(0.01, 100))
def test_a_shift_of_one_measurement_and_a_scale_of_all_change_nothing(seed: int, shift: float, scale: float) -> None:
    values = np.random.default_rng(seed).normal(size=(8, 3, 2))
    moved = values * scale
    moved[:, 1] += shift
    one, other = icc_3_1(values), icc_3_1(moved)
    for name in ("icc", "low", "high"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-6)
    assert np.all((one.low <= one.icc) & (one.icc <= one.high) & (one.high <= 1))


def test_features_do_not_influence_each_other_and_incomplete_cases_are_left_out() -> None:
    values = np.stack([SHROUT_FLEISS, SHROUT_FLEISS**2], axis=2)
    holed = np.concatenate([values, values[:1]])
    holed[6, 2, 0] = np.nan
    found = icc_3_1(holed)
    assert found.n_cases.tolist() == [6, 7]
    assert found.icc[0] == pytest.approx(icc_3_1(values).icc[0])
    assert found.icc[1] == pytest.approx(icc_3_1(holed[:, :, 1:]).icc[0])


def test_degenerate_features() -> None:
    same = np.full((5, 3), 0.1)
    agreeing = np.repeat(np.arange(5.0)[:, None] / 7, 3, axis=1)
    shifted = agreeing + np.array([0.0, 0.1, 0.3])
    only_columns = np.repeat(np.array([[0.1, 0.2, 0.7]]), 5, axis=0)
    empty = np.full((5, 3), np.nan)
    one_case = np.where(np.arange(5)[:, None] == 0, agreeing, np.nan)
    found = icc_3_1(np.stack([same, agreeing, shifted, only_columns, empty, one_case], axis=2))
    for values in (found.icc, found.low, found.high):
        assert np.isnan(values).tolist() == [True, False, False, True, True, True]
        assert values[1:3] == pytest.approx([1.0, 1.0])
    assert found.n_cases.tolist() == [5, 5, 5, 5, 0, 1]


def test_no_agreement_is_at_least_minus_one_over_k_less_one() -> None:
    opposed = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert icc_3_1(opposed[:, :, None]).icc[0] == pytest.approx(-1.0)


def test_too_few_measurements_and_an_odd_confidence() -> None:
    with pytest.raises(ValueError, match="two or more"):
        icc_3_1(np.zeros((3, 1, 1)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        icc_3_1(np.zeros((3, 2, 1)), confidence=95.0)


def test_another_implementation_agrees() -> None:
    """Values of pingouin 0.7.0, `intraclass_corr`, ICC(C,1), whose interval is rounded to two digits."""
    values = np.array(
        [
            [-2.56, 0.0, -1.4], [-4.38, -2.73, -3.81], [-1.13, -0.98, -1.21], [1.39, 0.78, 0.25], [2.68, 3.1, 0.63],
            [-0.04, -0.76, 0.05], [-2.39, -1.08, -1.14], [-1.87, -2.62, -1.97], [0.41, 0.14, 1.72],
            [2.16, 4.44, 3.99], [-1.45, 0.82, -0.56], [-2.43, -2.42, -4.46],
        ]
    )  # fmt: skip
    found = icc_3_1(values[:, :, None])
    assert found.icc[0] == pytest.approx(0.840038, abs=1e-6)
    assert [found.low[0], found.high[0]] == pytest.approx([0.64, 0.95], abs=0.005)


@pytest.mark.parametrize(
    ("seed", "n", "k", "icc", "low", "high"),
    [(1, 26, 15, 0.778580462572824, 0.68, 0.87), (2, 10, 2, 0.8552338303276694, 0.52, 0.96)],
)
def test_an_independent_implementation_says_the_same(
    seed: int, n: int, k: int, icc: float, low: float, high: float
) -> None:
    """Values of pingouin 0.7.0, `intraclass_corr`, type ICC(C,1); it rounds the interval to two digits."""
    cases = np.random.default_rng(seed).normal(size=(n, 1))
    found = icc_3_1((cases + 0.5 * np.random.default_rng(seed + 9).normal(size=(n, k)))[:, :, None])
    assert found.icc[0] == pytest.approx(icc, abs=1e-12)
    assert [found.low[0], found.high[0]] == pytest.approx([low, high], abs=0.005)
