"""Column names and label spellings of other people's tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.evaluate.columns import as_text, binary_labels, find_column, grades, is_prediction, numbers, wide_columns

PS_NET = ["Data_collection", "Patient", "IDH_mutated", "Prediction_score_IDH_wildtype", "Prediction_score_IDH_mutated", "1p19q_codeleted",
          "Prediction_score_1p19q_intact", "Prediction_score_1p19q_codeleted", "Grade", "Prediction_score_grade_2", "Prediction_score_grade_3",
          "Prediction_score_grade_4"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "role"),
    [("PatientID", "case"), ("Subject ID", "case"), ("Y_Prob", "y_prob"), ("pred_proba", "y_prob"), ("ground-truth", "y_true"),
     ("Label", "y_true"), ("Centre", "site"), ("Data_collection", "site"), ("fold", "split"), ("seed", "repeat")],
)  # fmt: skip
def test_roles_are_found_whatever_the_spelling(name: str, role: str) -> None:
    assert find_column(["other", name], role) == name


def test_the_likeliest_name_wins_and_taken_ones_do_not() -> None:
    assert find_column(["patient", "case"], "case") == "case"
    assert find_column(["score", "prob"], "y_prob", ["prob"]) == "score"
    assert find_column(["nothing"], "y_prob") is None


@pytest.mark.parametrize(
    ("target", "label", "score"),
    [
        ("idh", "IDH_mutated", "Prediction_score_IDH_mutated"),
        ("codeletion", "1p19q_codeleted", "Prediction_score_1p19q_codeleted"),
        ("grade", "Grade", "Prediction_score_grade_4"),
    ],
)
def test_wide_tables(target: str, label: str, score: str) -> None:
    found = wide_columns(PS_NET, target)
    assert (found.labels, found.scores) == ((label,), (score,))


def test_methylated_is_not_unmethylated() -> None:
    found = wide_columns(["MGMT", "prob_MGMT_unmethylated", "prob_MGMT_methylated"], "mgmt")
    assert found.scores == ("prob_MGMT_methylated",)
    assert found.complements == ("prob_MGMT_unmethylated",)


def test_predictions_are_told_from_facts() -> None:
    assert is_prediction("IDH_prob")
    assert not is_prediction("IDH status")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("0.0", 0), ("Yes", 1), ("no", 0), ("IDH1 p.R132H", 1), ("wildtype", 0), ("WT", 0), ("methylated", 1), ("unmethylated", 0),
     ("codel", 1), ("non-codel", 0), ("Intact", 0), ("TRUE", 1), ("neg", 0), ("-1", np.nan), ("", np.nan), ("indeterminate", np.nan)],
)  # fmt: skip
def test_labels(text: str, number: float) -> None:
    values, odd = binary_labels(pd.Series([text]))
    assert not odd
    np.testing.assert_equal(values.iloc[0], float(number))


def test_grade_four_is_positive_unless_the_column_is_binary_already() -> None:
    assert binary_labels(pd.Series(["2", "III", "4", "-1"]), "grade")[0].tolist()[:3] == [0, 0, 1]
    assert binary_labels(pd.Series([0, 1, 1]), "grade")[0].tolist() == [0, 1, 1]
    assert binary_labels(pd.Series(["2", "HGG"]), "grade")[1] == ["HGG"]


def test_what_is_not_understood_is_named() -> None:
    values, odd = binary_labels(pd.Series(["2", "1", "maybe"]))
    assert odd == ["2", "maybe"]
    assert values.isna().tolist() == [True, False, True]


def test_text_and_numbers() -> None:
    assert as_text(pd.Series([True, False])).tolist() == ["1", "0"]
    assert as_text(pd.Series([1.0, 2.5, np.nan])).tolist() == ["1", "2.5", ""]
    assert as_text(pd.Series([7, 8])).tolist() == ["7", "8"]
    np.testing.assert_equal(numbers(pd.Series(["0,25", "1e-3", "x"])).to_numpy(), [0.25, 0.001, np.nan])
    assert grades(pd.Series([2, 3, -1])).tolist()[:2] == [2.0, 3.0]
