from __future__ import annotations

import numpy as np
import pytest
from lifelines.datasets import load_lung

from radiogen.errors import ConfigError
from radiogen.stats.survival import log_rank, stratified_log_rank
from radiogen.stats.survival_tests import WEIGHTINGS, best_cut, weighted_log_rank


def test_lung_by_karnofsky_stratified_by_institution() -> None:
    """R: survdiff(Surv(time, status) ~ pat.karno + strata(inst), data = lung): Chisq = 21.4 on 7 degrees of freedom, p = 0.00326."""
    table = load_lung().dropna(subset=["pat.karno", "inst"])
    test = stratified_log_rank(
        table["time"].to_numpy(dtype=float), table["status"].to_numpy(dtype=bool),
        table["pat.karno"].to_numpy(), table["inst"].to_numpy(),
    )  # fmt: skip
    assert test.statistic == pytest.approx(21.4, abs=0.05)
    assert test.degrees_of_freedom == 7
    assert test.p == pytest.approx(0.00326, abs=5e-6)


def test_lung_by_sex_with_petos_weights() -> None:
    """R: survdiff(Surv(time, status) ~ sex, data = lung, rho = 1): Chisq = 12.7 on 1 degree of freedom."""
    table = load_lung()
    times, died = table["time"].to_numpy(dtype=float), table["status"].to_numpy(dtype=bool)
    assert weighted_log_rank(times, died, table["sex"].to_numpy(), "peto").statistic == pytest.approx(12.7, abs=0.05)


def test_one_stratum_is_the_plain_test_and_a_perfect_confounder_leaves_nothing() -> None:
    rng = np.random.default_rng(0)
    times, died = rng.exponential(5, 80), rng.random(80) < 0.7
    groups = np.where(rng.random(80) < 0.5, "a", "b")
    plain, one = log_rank(times, died, groups), stratified_log_rank(times, died, groups, np.zeros(80))
    assert one.statistic == pytest.approx(plain.statistic)
    assert one.p == pytest.approx(plain.p)
    nothing = stratified_log_rank(times, died, groups, groups)
    assert (nothing.degrees_of_freedom, nothing.p) == (0, 1.0)


def test_weights_look_where_they_say() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat([0, 1], 300)
    # The groups differ late only: after the fifth month the second lives three times as long.
    times = rng.exponential(8, 600)
    late = np.where((times > 5) & (groups == 1), 5 + (times - 5) * 3, times)
    p = {name: weighted_log_rank(late, np.ones(600, bool), groups, name).p for name in WEIGHTINGS}
    assert p["late"] < p["gehan"]
    with pytest.raises(ConfigError, match="gehan"):
        weighted_log_rank(late, np.ones(600, bool), groups, "best")


def test_a_cut_that_was_looked_for_is_not_believed_too_early() -> None:
    """On scores that say nothing the plain test at the best cut is 'significant' far too often, the corrected one is not."""
    naive = corrected = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        times, died = rng.exponential(5, 60), rng.random(60) < 0.8
        found = best_cut(times, died, rng.normal(size=60), seed=seed, n_permutations=99)
        naive += found.naive_p < 0.05
        corrected += found.p <= 0.05
    assert naive > 15
    assert corrected <= 8  # binomial(60, 0.05) exceeds 8 with probability 0.4 %


def test_a_planted_cut_is_found() -> None:
    rng = np.random.default_rng(5)
    score = rng.uniform(0, 1, 400)
    times = rng.exponential(np.where(score > 0.7, 2.0, 10.0))
    found = best_cut(times, np.ones(400, bool), score, seed=0, n_permutations=199)
    assert found.cut == pytest.approx(0.7, abs=0.03)
    assert found.p == pytest.approx(1 / 200)
    assert found.n_high == (score > found.cut).sum()
    with pytest.raises(ConfigError, match="different values"):
        best_cut(times, np.ones(400, bool), np.zeros(400), seed=0)
