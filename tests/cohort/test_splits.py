"""Splits: no patient or site on both sides, every case tested once per repeat, whatever the cohort looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.cohort.splits import (
    GROUPED_KFOLD,
    SITE_HELD_OUT,
    Split,
    grouped_folds,
    make_splits,
    patients_of_smaller_class,
)
from radiogen.errors import InputError


def cohort(patients: list[str], sites: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame({"patient": patients, "site": pd.Series(sites, dtype=object)})


def one_each(n: int, sites: str) -> tuple[pd.DataFrame, np.ndarray]:
    return cohort([f"p{i}" for i in range(n)], [sites[i % len(sites)] for i in range(n)]), np.arange(n) // len(
        sites
    ) % 2


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[pd.DataFrame, np.ndarray, int]:
    n = draw(st.integers(16, 60))
    patient = draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    site = draw(st.lists(st.sampled_from(["A", "B", "C", "D", None]), min_size=n, max_size=n))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    return cohort([f"p{i}" for i in patient], site), y, draw(st.integers(0, 5))


def check(table: pd.DataFrame, y: np.ndarray, splits: list[Split], scheme: str) -> None:
    patient, site = table["patient"].to_numpy(), table["site"].fillna("unknown").to_numpy()
    for split in splits:
        assert not set(split.train) & set(split.test)
        assert len(split.train) + len(split.test) == len(y)
        assert not set(patient[split.train]) & set(patient[split.test])
        assert set(y[split.train]) == {0, 1}
        if scheme == SITE_HELD_OUT:
            assert not set(site[split.train]) & set(site[split.test])
            assert set(y[split.test]) == {0, 1}
    for repeat in {split.repeat for split in splits}:
        tested = np.concatenate([split.test for split in splits if split.repeat == repeat])
        assert sorted(tested) == list(range(len(y)))


@settings(max_examples=120, deadline=None)
@given(cohorts(), st.integers(2, 4))
def test_nobody_is_on_both_sides(made: tuple[pd.DataFrame, np.ndarray, int], n_splits: int) -> None:
    table, y, seed = made
    try:
        splits, scheme = make_splits(table, y, seed=seed, n_splits=n_splits, repeats=2)
    except InputError:
        assert patients_of_smaller_class(table["patient"].to_numpy(), y) < max(n_splits, 4)
        return
    check(table, y, splits, scheme)


@settings(max_examples=30, deadline=None)
@given(cohorts())
def test_same_seed_same_split_whatever_the_order_of_rows(made: tuple[pd.DataFrame, np.ndarray, int]) -> None:
    table, y, seed = made
    order = np.random.default_rng(seed).permutation(len(y))
    try:
        splits, _ = make_splits(table, y, seed=seed, n_splits=3)
    except InputError:
        return
    shuffled, _ = make_splits(table.iloc[order].reset_index(drop=True), y[order], seed=seed, n_splits=3)
    for one, other in zip(splits, shuffled, strict=True):
        assert one.name == other.name
        assert sorted(order[other.test]) == list(one.test)


def test_another_seed_draws_other_folds() -> None:
    table, y = one_each(40, "A")
    drawn = [make_splits(table, y, seed=seed, repeats=1)[0][0].test.tolist() for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_repeats_differ_and_folds_are_stratified() -> None:
    table, y = one_each(40, "A")
    splits, scheme = make_splits(table, y, seed=0, n_splits=5, repeats=3)
    assert scheme == GROUPED_KFOLD
    assert [split.repeat for split in splits] == [0] * 5 + [1] * 5 + [2] * 5
    assert {int(y[split.test].sum()) for split in splits} == {4}
    assert splits[0].test.tolist() != splits[5].test.tolist()


def test_each_large_site_is_held_out_once() -> None:
    table, y = one_each(60, "ABC")
    splits, scheme = make_splits(table, y, seed=0)
    assert scheme == SITE_HELD_OUT
    assert [(split.repeat, split.name, len(split.test)) for split in splits] == [
        (0, "site=A", 20), (0, "site=B", 20), (0, "site=C", 20),
    ]  # fmt: skip


def test_sites_can_be_ignored() -> None:
    table, y = one_each(60, "ABC")
    assert make_splits(table, y, seed=0, sites="ignore")[1] == GROUPED_KFOLD


def test_small_sites_are_tested_together_and_leftovers_join_the_smallest_fold() -> None:
    sites = ["A"] * 10 + ["B"] * 8 + ["C"] * 3 + ["D"] * 3 + ["E"]
    table, y = cohort([f"p{i}" for i in range(25)], sites), np.arange(25) % 2
    splits, scheme = make_splits(table, y, seed=0, min_site_cases=6)
    assert scheme == SITE_HELD_OUT
    assert {split.name: len(split.test) for split in splits} == {"site=A": 10, "site=B": 8, "site=C+D+E": 7}


def test_a_one_class_site_is_not_tested_alone() -> None:
    sites = ["A"] * 10 + ["B"] * 10 + ["C"] * 10
    y = np.array([0, 1] * 10 + [1] * 10)
    splits, _ = make_splits(cohort([f"p{i}" for i in range(30)], sites), y, seed=0)
    assert [split.name for split in splits] == ["site=A", "site=B+C"]


def test_sites_that_share_a_patient_are_one() -> None:
    table, y = one_each(60, "ABC")
    table.loc[1, "patient"] = table.loc[0, "patient"]
    splits, _ = make_splits(table, y, seed=0)
    assert [split.name for split in splits] == ["site=A+B", "site=C"]


def test_many_sites_become_few_folds() -> None:
    table, y = one_each(200, "ABCDEFGHIJKLMNOPQRST")
    splits, _ = make_splits(table, y, seed=0, max_site_folds=4)
    assert len(splits) == 4
    assert len({split.name for split in splits}) == 4
    assert any(split.name.endswith(" more") for split in splits)
    check(table, y, splits, SITE_HELD_OUT)


def test_site_that_is_the_label_cannot_be_held_out() -> None:
    y = np.array([0] * 20 + [1] * 20)
    table = cohort([f"p{i}" for i in range(40)], ["A"] * 20 + ["B"] * 20)
    assert make_splits(table, y, seed=0)[1] == GROUPED_KFOLD


def test_sites_fall_back_when_the_others_lack_a_class() -> None:
    y = np.array([0, 1] * 10 + [0] * 19 + [1])
    table = cohort([f"p{i}" for i in range(40)], ["A"] * 20 + ["B"] * 20)
    assert make_splits(table, y, seed=0)[1] == GROUPED_KFOLD


def test_one_known_site_and_unknown_ones_are_split_at_random() -> None:
    table, y = cohort([f"p{i}" for i in range(40)], ["A"] * 20 + [None] * 20), np.arange(40) % 2
    assert make_splits(table, y, seed=0)[1] == GROUPED_KFOLD


def test_patients_stay_together_and_count_as_positive_with_one_positive_case() -> None:
    patient = np.array([f"p{i // 2}" for i in range(24)], dtype=object)
    y = np.array([0, 1] * 6 + [0, 0] * 6)
    folds = grouped_folds(patient, y, 3, seed=0)
    assert [len(fold) for fold in folds] == [8, 8, 8]
    assert [int(y[fold].sum()) for fold in folds] == [2, 2, 2]


@pytest.mark.parametrize(
    ("positive", "n", "folds", "words"),
    [
        (0, 20, 5, "One class only: 0 positive and 20 negative"),
        (20, 20, 5, "One class only: 20 positive and 0 negative"),
        (2, 20, 5, "smaller class has 2 patient"),
        (4, 20, 5, "Fewer cases than folds: the smaller class has 4 patients, and 5 folds"),
        (3, 20, 2, "2 folds leave 1 patient"),
    ],
)
def test_what_cannot_be_split_says_the_numbers(positive: int, n: int, folds: int, words: str) -> None:
    table = cohort([f"p{i}" for i in range(n)], ["A"] * n)
    with pytest.raises(InputError, match=words) as caught:
        make_splits(table, np.array([1] * positive + [0] * (n - positive)), seed=0, n_splits=folds)
    assert caught.value.exit_code == 2
    assert caught.value.hint
