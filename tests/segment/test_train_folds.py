from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.errors import CohortError, InputError
from radiogen.segment.train_folds import assign_folds
from tests.segment.training_data import shapes_table

VOLUMES = {str(case): float(case) for case in range(60)}


@given(
    patients=st.lists(st.integers(0, 9), min_size=12, max_size=50), seed=st.integers(0, 99), n_folds=st.integers(2, 4)
)
@settings(max_examples=40, deadline=None)
def test_patients_stay_together_whatever_the_order_of_the_rows(patients: list[int], seed: int, n_folds: int) -> None:
    table = shapes_table({str(case): f"p{patient}" for case, patient in enumerate(patients)})
    if table["patient"].nunique() < n_folds:
        return
    folds = assign_folds(table, VOLUMES, n_folds, seed=seed)
    assert folds.groupby(table["patient"]).nunique().max() == 1
    assert set(folds) <= set(range(n_folds))
    shuffled = table.sample(frac=1, random_state=seed)
    assert assign_folds(shuffled, VOLUMES, n_folds, seed=seed).reindex(table.index).equals(folds)


def test_tumour_sizes_are_spread_over_the_folds() -> None:
    table = shapes_table({str(case): f"p{case}" for case in range(60)})
    folds = assign_folds(table, VOLUMES, 5, seed=0)
    means = [np.mean([VOLUMES[case] for case in folds.index[folds == fold]]) for fold in range(5)]
    assert folds.value_counts().tolist() == [12] * 5
    assert max(means) - min(means) < 12


def test_a_column_of_the_table_wins_and_minus_one_is_never_held_out() -> None:
    table = shapes_table({"a": "1", "b": "1", "c": "2", "d": "3"}).assign(fold=["0", "0", "1.0", "-1"])
    assert assign_folds(table, VOLUMES, 2, seed=0).tolist() == [0, 0, 1, -1]


def test_bad_columns_name_every_problem() -> None:
    table = shapes_table({"a": "1", "b": "1", "c": "2"}).assign(fold=["0", "1", "x"])
    with pytest.raises(CohortError) as caught:
        assign_folds(table, VOLUMES, 2, seed=0)
    assert caught.value.problems == ["c: fold is 'x'; -1 to 1 is accepted", "patient 1 is in 2 folds"]


def test_too_few_patients() -> None:
    with pytest.raises(InputError, match="1 patients cannot make 2 folds"):
        assign_folds(shapes_table({"1": "a", "2": "a"}), VOLUMES, 2, seed=0)


def test_cases_without_a_patient_are_their_own() -> None:
    table = pd.DataFrame({"patient": [None, None]}, index=["1", "2"])
    assert sorted(assign_folds(table, VOLUMES, 2, seed=0)) == [0, 1]
