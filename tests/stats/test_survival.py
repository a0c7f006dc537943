"""Survival statistics on made-up patients with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.utils import concordance_index

from radiogen.stats.survival import (
    at_risk_table,
    common_horizon,
    holm,
    kaplan_meier,
    log_rank,
    median_follow_up,
    pairwise_log_rank,
    restricted_mean,
    restricted_mean_difference,
)
from radiogen.stats.survival_cox import (
    NotEstimableError,
    _higher,
    _ordered_pairs,
    concordance,
    concordance_interval,
    cox_regression,
    cross_validated_risk,
    likelihood_ratio_p,
)

follow_ups = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=2, max_size=40)


def exponential(n: int, hazard_ratio: float, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two groups with a constant hazard ratio, censored at random."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    times = rng.exponential(1000 / np.where(group == 1, hazard_ratio, 1.0))
    censored = rng.exponential(2000, n)
    return np.minimum(times, censored), times <= censored, group


@settings(max_examples=25, deadline=None)
@given(follow_ups)
def test_kaplan_meier_is_the_product_of_its_own_counts(patients: list[tuple[int, bool]]) -> None:
    times, died = np.array([float(time) for time, _ in patients]), np.array([dead for _, dead in patients])
    table = kaplan_meier(times, died).table
    np.testing.assert_allclose(table["survival"], np.cumprod(1 - table["events"] / table["at_risk"]), atol=1e-9)
    assert table["events"].sum() == died.sum()
    assert table["censored"].sum() == (~died).sum()
    assert table["at_risk"].tolist() == [(times >= time).sum() for time in table["time"]]
    known = table.dropna()
    assert (known["lower"] <= known["survival"] + 1e-9).all()
    assert (known["upper"] >= known["survival"] - 1e-9).all()


def test_median_is_found_on_a_curve_at_exactly_one_half() -> None:
    for n in range(2, 40, 2):
        curve = kaplan_meier(np.arange(1.0, n + 1), np.ones(n, dtype=bool))
        assert curve.median == n / 2


def test_median_that_is_not_reached_is_infinite() -> None:
    curve = kaplan_meier(np.array([5.0, 6.0, 7.0]), np.array([True, False, False]))
    assert curve.median == np.inf
    assert curve.median_ci[1] == np.inf


def test_survival_after_the_last_follow_up_is_unknown() -> None:
    curve = kaplan_meier(np.array([5.0, 6.0, 7.0]), np.array([True, False, False]))
    assert curve.at(6.5)[0] == pytest.approx(2 / 3)
    assert np.isnan(curve.at(7.1)).all()


def test_interval_is_missing_once_everybody_has_died() -> None:
    table = kaplan_meier(np.array([1.0, 2.0]), np.array([True, True])).table
    assert table["survival"].iloc[-1] == 0
    assert table[["lower", "upper"]].iloc[-1].isna().all()


def test_at_risk_counts_stand_at_the_start_of_the_interval() -> None:
    times, died = np.array([0.0, 10.0, 10.0, 15.0, 20.0]), np.array([True, True, False, True, False])
    table = at_risk_table(times, died, [0.0, 10.0, 20.0])
    assert table["at_risk"].tolist() == [5, 4, 1]  # whoever dies AT month 10 is still at risk at month 10
    assert table["events"].tolist() == [1, 2, 0]
    assert table["censored"].tolist() == [0, 1, 1]


@settings(max_examples=25, deadline=None)
@given(follow_ups, st.lists(st.integers(1, 50), max_size=5, unique=True))
def test_at_risk_falls_by_what_was_lost(patients: list[tuple[int, bool]], later: list[int]) -> None:
    times, died = np.array([float(time) for time, _ in patients]), np.array([dead for _, dead in patients])
    table = at_risk_table(times, died, [0.0, *(float(edge) for edge in sorted(later))])
    lost = table["events"] + table["censored"]
    assert (table["at_risk"].diff().dropna() == -lost[:-1].to_numpy()).all()
    assert lost.sum() == len(times)


def test_median_follow_up_counts_last_contacts() -> None:
    assert median_follow_up(np.array([1.0, 2.0, 30.0, 40.0]), np.array([True, True, False, False])) == 30.0


def test_log_rank_finds_a_difference_and_holds_its_level() -> None:
    assert log_rank(*exponential(300, 3.0, seed=1)).p < 1e-6
    p_values = [log_rank(*exponential(60, 1.0, seed=seed)).p for seed in range(100)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.12


def test_pairwise_tests_are_adjusted() -> None:
    times, died, _ = exponential(90, 1.0, seed=3)
    groups = np.array(["a", "b", "c"] * 30)
    times[groups == "c"] /= 20
    table = pairwise_log_rank(times, died, groups, ["a", "b", "c"])
    assert table[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert (table["p_holm"] >= table["p"]).all()
    assert table["p_holm"].iloc[1:].max() < 0.001 < table["p_holm"].iloc[0]


def test_holm_by_hand() -> None:
    """0.01 x 4, then 0.02 x 3, then 0.03 x 2 (not below the one before), then 0.5."""
    np.testing.assert_allclose(holm(np.array([0.5, 0.01, 0.03, 0.02])), [0.5, 0.04, 0.06, 0.06])
    assert holm(np.array([])).size == 0


def test_restricted_mean_without_censoring_is_the_plain_mean() -> None:
    times = np.array([1.0, 2.0, 4.0, 9.0])
    result = restricted_mean(times, np.ones(4, dtype=bool), 9.0)
    assert result.mean == pytest.approx(times.mean())
    assert result.standard_error == pytest.approx(times.std() / 2)
    assert restricted_mean(times, np.ones(4, dtype=bool), 3.0).mean == pytest.approx(np.minimum(times, 3).mean())


def test_restricted_mean_of_survivors_is_the_horizon() -> None:
    result = restricted_mean(np.array([10.0, 12.0]), np.array([False, False]), 10.0)
    assert (result.mean, result.standard_error, result.ci) == (10.0, 0.0, (10.0, 10.0))
    assert np.isnan(restricted_mean_difference(result, result)[2])


def test_common_horizon_lies_inside_every_group() -> None:
    assert common_horizon(np.array([5.0, 50.0, 8.0, 20.0]), np.array(["a", "a", "b", "b"])) == 20.0


def test_cox_recovers_the_hazard_ratio() -> None:
    times, died, group = exponential(3000, 2.0, seed=5)
    model = cox_regression(pd.DataFrame({"group": group.astype(float)}), times, died)
    row = model.table.loc["group"]
    assert row["lower"] < 2.0 < row["upper"]
    assert row["hazard_ratio"] == pytest.approx(2.0, rel=0.15)
    assert row["proportional_p"] > 0.01


def test_cox_finds_hazards_that_cross() -> None:
    rng = np.random.default_rng(7)
    group = rng.integers(0, 2, 800)
    times = np.where(group == 1, rng.weibull(3.0, 800), rng.weibull(0.7, 800))
    model = cox_regression(pd.DataFrame({"group": group.astype(float)}), times, np.ones(800, dtype=bool))
    assert model.table.loc["group", "proportional_p"] < 1e-6


def test_cox_says_when_a_ratio_has_no_bound() -> None:
    values = (np.arange(40) < 20).astype(float)
    model = cox_regression(pd.DataFrame({"all_deaths": values}), np.arange(1.0, 41.0), values > 0)
    assert not model.table.loc["all_deaths", "bounded"]


@pytest.mark.parametrize(
    ("columns", "died", "reason"),
    [
        ({"x": [1.0, 2.0, 3.0, 4.0]}, [False] * 4, "No event"),
        ({"x": [1.0, 1.0, 1.0, 1.0]}, [True] * 4, "same value"),
        ({"x": [1.0, 2.0, 3.0, 5.0], "y": [2.0, 4.0, 6.0, 10.0]}, [True] * 4, "repeat one another"),
    ],
)
def test_cox_refuses_what_data_cannot_determine(columns: dict[str, list[float]], died: list[bool], reason: str) -> None:
    with pytest.raises(NotEstimableError, match=reason):
        cox_regression(pd.DataFrame(columns), np.arange(1.0, 5.0), np.array(died))


def test_likelihood_ratio_of_noise_and_of_signal() -> None:
    times, died, group = exponential(400, 3.0, seed=8)
    noise = np.random.default_rng(0).normal(size=400)
    alone = cox_regression(pd.DataFrame({"noise": noise}), times, died)
    both = cox_regression(pd.DataFrame({"noise": noise, "group": group.astype(float)}), times, died)
    assert likelihood_ratio_p(alone, both) < 1e-6
    group_alone = cox_regression(pd.DataFrame({"group": group.astype(float)}), times, died)
    assert likelihood_ratio_p(group_alone, both) > 0.01


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_bootstrap_pairs_give_the_same_c_as_lifelines(patients: list[tuple[int, bool, int]]) -> None:
    times = np.array([float(time) for time, _, _ in patients])
    died = np.array([dead for _, dead, _ in patients])
    risk = np.array([float(value) for _, _, value in patients])
    pairs = _ordered_pairs(times, died, slice(None))
    agreeing = pairs * _higher(risk, slice(None))
    if pairs.sum() == 0:
        with pytest.raises(NotEstimableError):
            concordance(times, died, risk)
        return
    assert agreeing.sum() / pairs.sum() == pytest.approx(concordance_index(times, -risk, died))


def test_concordance_interval_is_seeded_and_holds_the_estimate() -> None:
    times, died, group = exponential(700, 2.5, seed=2)
    risk = group.astype(float)
    low, high = concordance_interval(times, died, risk, seed=4, n_bootstrap=300)
    assert low < concordance(times, died, risk) < high
    assert high - low < 0.12
    assert (low, high) == concordance_interval(times, died, risk, seed=4, n_bootstrap=300)
    assert (low, high) != concordance_interval(times, died, risk, seed=5, n_bootstrap=300)


def test_cross_validation_takes_the_optimism_out() -> None:
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.normal(size=(80, 12)), columns=[f"noise{i}" for i in range(12)])
    times, died = rng.exponential(size=80), rng.random(80) < 0.8
    apparent = concordance(times, died, cox_regression(noise, times, died).risk)
    honest = concordance(times, died, cross_validated_risk(noise, times, died, seed=0))
    assert apparent > 0.6 > honest


def test_cross_validated_risks_do_not_depend_on_how_a_covariate_is_coded() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"age": rng.normal(60, 10, 90), "group": rng.integers(0, 2, 90).astype(float)})
    times, died = rng.exponential(np.exp(-0.03 * table["age"] - table["group"])), rng.random(90) < 0.8
    turned = pd.DataFrame({"age": table["age"] / 10 - 40, "group": 1 - table["group"]})
    risks = [cross_validated_risk(part, times, died, seed=0, folds=4) for part in (table, turned)]
    np.testing.assert_allclose(risks[0], risks[1], atol=1e-8)
