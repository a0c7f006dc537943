"""The permutation test of the whole pipeline: labels move only where they may, p is exact, a stopped run goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.errors import ConfigError
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.permutations import PermutationTest, permutation_test, permuted_labels
from radiogen.fusion.permutations_fast import FastRefit
from radiogen.fusion.refit import refitted_auc
from tests.fusion.data import FAST, made_up


def table_of(sites: str = "A", strength: float = 2.0) -> FusionTable:
    features, cohort = made_up(24, noise=3, strength=strength, sites=sites)
    return fusion_table(features, cohort, "idh")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(4, 30))
def test_labels_stay_in_their_block_and_with_their_patient(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    patient = np.array([f"p{number}" for number in rng.integers(0, n, n)])
    block = np.array(list("xyz"))[rng.integers(0, 3, n)]
    rows = np.arange(n)  # every label is its own, so that each can be followed
    moved = permuted_labels(rows, patient, block, rng)
    assert sorted(moved) == list(rows)
    assert (block[moved] == block).all()
    for name in set(patient):
        assert len(set(patient[moved[patient == name]])) == 1


def test_every_order_is_drawn_equally_often() -> None:
    rng = np.random.default_rng(0)
    y, patient, block = np.array([0, 1, 2]), np.array(list("abc")), np.array(list("xxx"))
    orders = [tuple(permuted_labels(y, patient, block, rng)) for _ in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    # 3000 / 6 = 500, standard deviation 20.4.
    assert max(abs(count - 500) for count in counts) < 5 * 20.4


def test_p_counts_the_true_labels_themselves() -> None:
    assert PermutationTest(0.8, [0.5, 0.6, 0.8, 0.9], "exact").p == pytest.approx(3 / 5)
    assert PermutationTest(0.8, [0.1] * 99, "exact").p == pytest.approx(0.01)


def test_a_stopped_test_goes_on_where_it_was(tmp_path: Path) -> None:
    table = table_of("AB")
    chosen = FAST.model_copy(update={"permutations_refit": 3, "inner_folds": 2})
    whole = permutation_test(table, chosen)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "00002.json").write_text(json.dumps({"permutation": 2, "auc": 0.123}))
    resumed = permutation_test(table, chosen, folder=tmp_path / "kept")
    assert resumed.aucs[1] == 0.123  # read, not computed
    assert [*resumed.aucs[:1], *resumed.aucs[2:]] == [*whole.aucs[:1], *whole.aucs[2:]]
    assert not (tmp_path / "kept").exists()
    assert whole.observed == refitted_auc(table, chosen)


def test_the_fast_statistic_is_nearly_the_exact_one_for_the_true_labels() -> None:
    table = table_of()
    chosen = FAST.model_copy(update={"selection": ("correlation", "univariate"), "max_columns": 4})
    fast = FastRefit.prepare(table, chosen, None)
    # But for the solver's tolerance: a few of the pairs may change places.
    assert fast(table.y) == pytest.approx(refitted_auc(table, chosen), abs=0.03)
    trees = chosen.model_copy(update={"classifiers": ("xgboost",), "class_weight": "balanced"})
    assert FastRefit.prepare(table, trees, None)(table.y) == pytest.approx(refitted_auc(table, trees), abs=1e-12)
    assert [name for name, _ in fast.folds[0].steps] == ["univariate"]


def test_selection_by_label_is_made_again_for_each_permutation() -> None:
    # Columns chosen once with the true labels would let nothing of the true labels' strength into the permuted ones; made again, noise is chosen.
    features, cohort = made_up(60, noise=100, strength=0.0)
    table = fusion_table(features, cohort, "mgmt")
    chosen = FAST.model_copy(
        update={
            "selection": ("univariate",),
            "max_columns": 5,
            "inner_folds": 2,
            "permutations_refit": 15,
            "permutation_method": "fast",
        }
    )
    found = permutation_test(table, chosen)
    # The standard error of a null AUC of 30 against 30 is 0.075, of the mean of 15 at least 0.019.
    assert abs(np.mean(found.aucs) - 0.5) < 0.1
    assert found.p > 0.01


def test_what_cannot_be_permuted_is_refused() -> None:
    table = table_of()
    with pytest.raises(ConfigError, match="made with the true labels"):
        permutation_test(replace(table, scores={"x": table.features}), FAST)
    with pytest.raises(ConfigError, match="fusion 'early'"):
        permutation_test(table, FAST.model_copy(update={"permutation_method": "fast", "fusion": "mean"}))
