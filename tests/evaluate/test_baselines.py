"""The race: rules of scoring, no leakage in fitted baselines, paired differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.baselines import Baseline, crossfit, drawn_folds, race, table_folds, trivial_baselines
from radiogen.evaluate.predictions import check_predictions, per_case
from radiogen.stats.auc import auc

QUICK = EvaluateSettings(bootstrap_resamples=300, permutations=199, crossfit_repeats=2, crossfit_folds=4)


def made_cases(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], n // 2))
    names = [f"c{i:03d}" for i in range(n)]
    cases = pd.DataFrame(
        {
            "patient": names,
            "site": np.where(rng.random(n) < 0.5 + 0.3 * y, "A", "B"),
            "y_true": y,
            "y_prob": rng.random(n),
        },
        index=names,
    )
    facts = pd.DataFrame(
        {"age": 60 - 15 * y + rng.normal(0, 8, n), "sex_male": rng.integers(0, 2, n).astype(float), "wt_ml": rng.lognormal(size=n),
         "grade": rng.integers(2, 5, n).astype(float), "idh": y.astype(float)}, index=names
    )  # fmt: skip
    return cases, facts


def by_name(baselines: list[Baseline]) -> dict[str, Baseline]:
    return {baseline.name: baseline for baseline in baselines}


def test_which_baselines_run_for_which_target() -> None:
    cases, facts = made_cases()
    always = ["age", "sex", "age+sex", "volume"]
    no_idh = facts.drop(columns="idh")
    assert list(by_name(trivial_baselines(cases, no_idh, "idh", [], QUICK))) == [
        *always,
        "grade",
        "site",
        "all clinical",
        "all together",
    ]
    assert list(by_name(trivial_baselines(cases, facts, "mgmt", [], QUICK))) == [
        *always,
        "grade",
        "idh",
        "site",
        "all clinical",
        "all together",
    ]
    assert list(by_name(trivial_baselines(cases, facts, "grade", [], QUICK))) == [
        *always,
        "site",
        "all clinical",
        "all together",
    ]
    assert list(by_name(trivial_baselines(cases, facts[["age"]], "idh", [], QUICK))) == ["age", "site", "all together"]
    assert trivial_baselines(cases.assign(site="unknown"), facts[[]], "idh", [], QUICK) == []


def test_one_variable_is_scored_by_its_rank_whatever_its_direction() -> None:
    cases, facts = made_cases()
    facts.loc[facts.index[:7], "age"] = np.nan
    found = by_name(trivial_baselines(cases, facts, "idh", [], QUICK))["age"]
    known = facts["age"].notna().to_numpy()
    assert np.isnan(found.scores).tolist() == (~known).tolist()
    expected = 1 - roc_auc_score(cases["y_true"][known], facts["age"][known])
    assert auc(cases["y_true"].to_numpy()[known], found.scores[known]) == pytest.approx(expected)
    assert "only the direction is fitted (lower is positive)" in found.how


def test_few_full_sites_are_scored_by_their_own_share() -> None:
    cases, facts = made_cases()
    found = by_name(trivial_baselines(cases, facts, "idh", [], QUICK))["site"]
    share = cases.groupby("site")["y_true"].mean()
    assert found.scores.tolist() == cases["site"].map(share).tolist()
    assert "upper bound" in found.how


def test_many_sites_without_signal_score_like_chance() -> None:
    cases, facts = made_cases(200)
    many = cases.assign(site=[f"s{i % 40}" for i in range(200)])
    found = by_name(trivial_baselines(many, facts, "idh", [], QUICK))["site"]
    assert "out of fold" in found.how
    assert auc(many["y_true"].to_numpy(), found.scores) < 0.62  # each site's own share would reach about 0.7


def test_fitted_baselines_are_out_of_fold() -> None:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 40)
    noise = rng.normal(size=(80, 40))
    cases = pd.DataFrame({"patient": [f"p{i}" for i in range(80)], "y_true": y})
    folds = drawn_folds(cases, QUICK)
    assert abs(auc(y, crossfit(y, noise, folds)) - 0.5) < 0.17
    everything = [(0, np.arange(80))]
    assert np.isnan(crossfit(y, noise, everything)).all()  # nothing left to train on


def test_changing_a_test_label_leaves_its_own_score_alone() -> None:
    rng = np.random.default_rng(2)
    y = rng.permutation(np.repeat([0, 1], 30))
    x = rng.normal(size=(60, 3)) + y[:, None]
    folds = [(0, np.arange(k, 60, 5)) for k in range(5)]
    flipped = y.copy()
    flipped[folds[0][1]] = 1 - flipped[folds[0][1]]
    np.testing.assert_array_equal(crossfit(y, x, folds)[folds[0][1]], crossfit(flipped, x, folds)[folds[0][1]])


def test_unknown_values_are_imputed_and_wholly_unknown_rows_left_out() -> None:
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 30)
    x = rng.normal(size=(60, 2)) + 2 * y[:, None]
    x[::3, 0] = np.nan
    x[5] = np.nan
    scores = crossfit(y, x, [(0, np.arange(k, 60, 4)) for k in range(4)])
    assert np.flatnonzero(np.isnan(scores)).tolist() == [5]
    known = ~np.isnan(scores)
    assert auc(y[known], scores[known]) > 0.85


def test_folds_of_the_table_are_used_where_it_has_them() -> None:
    table = pd.DataFrame(
        {
            "case": list("dcba") * 2,
            "y_true": [0, 1, 0, 1] * 2,
            "y_prob": 0.3,
            "split": list("xxyy") + list("xyxy"),
            "repeat": [0] * 4 + [1] * 4,
        }
    )
    tidy = check_predictions(table)
    folds = table_folds(tidy, per_case(tidy))
    assert [(repeat, test.tolist()) for repeat, test in folds] == [(0, [2, 3]), (0, [0, 1]), (1, [1, 3]), (1, [0, 2])]
    without = check_predictions(table.assign(split="test"))
    assert table_folds(without, per_case(without)) == []


def test_drawn_folds_hold_patients_together() -> None:
    cases, _ = made_cases(60)
    cases["patient"] = [f"p{i // 3}" for i in range(60)]
    cases["y_true"] = (np.arange(60) // 3) % 2
    folds = drawn_folds(cases, QUICK)
    assert len(folds) == 8
    for _, test in folds:
        inside = set(cases["patient"].iloc[test])
        assert not inside & set(cases["patient"].drop(cases.index[test]))
    assert sorted(np.concatenate([test for repeat, test in folds if repeat == 0])) == list(range(60))


def test_race_on_the_rows_where_the_baseline_is_known() -> None:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 60)
    model, weak = rng.normal(size=120) + 2 * y, rng.normal(size=120)
    weak[::4] = np.nan
    baselines = [Baseline("weak", weak, "test"), Baseline("itself", model.copy(), "test")]
    rows = race(y, model, baselines, np.arange(120), QUICK, np.random.default_rng(0))
    known = ~np.isnan(weak)
    assert rows[0]["n"] == 90
    assert rows[0]["model_auc"] == pytest.approx(roc_auc_score(y[known], model[known]))
    assert rows[0]["delta"] == pytest.approx(rows[0]["model_auc"] - rows[0]["auc"])
    assert rows[0]["delta_ci"][0] > 0.15
    assert rows[0]["delong_p"] < 0.001
    assert (rows[1]["delta"], rows[1]["delta_ci"], rows[1]["delong_p"]) == (0.0, [0.0, 0.0], 1.0)
    assert race(y, model, [], np.arange(120), QUICK, np.random.default_rng(0)) == []
