"""The one door: every usual layout of a predictions table, and every problem listed at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from radiogen.errors import CohortError
from radiogen.evaluate.layout import PredictionColumns
from radiogen.evaluate.predictions import COLUMNS, check_predictions, per_case, read_predictions


def own(n: int = 6, repeats: int = 2) -> pd.DataFrame:
    rows = [
        {"case": f"c{i}", "patient": f"p{i // 2}", "site": "AB"[i % 2], "target": "idh", "y_true": i // 3, "y_prob": (i + r) / 10,
         "split": f"fold{i % 2}", "repeat": r, "model": "logistic", "grade": 2 + i % 3}
        for r in range(repeats) for i in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def problems(error: pytest.ExceptionInfo[CohortError]) -> str:
    return str(error.value)


def test_our_own_schema_passes_unchanged(tmp_path: Path) -> None:
    own().to_csv(tmp_path / "predictions.csv", index=False)
    tidy = read_predictions(tmp_path / "predictions.csv")
    assert list(tidy.columns[: len(COLUMNS)]) == COLUMNS
    pd.testing.assert_frame_equal(
        tidy[["y_true", "y_prob", "repeat", "split"]], own()[["y_true", "y_prob", "repeat", "split"]]
    )
    assert tidy.attrs["notes"] == []
    pd.testing.assert_frame_equal(check_predictions(tidy), tidy)


def test_parquet_and_an_index_called_case(tmp_path: Path) -> None:
    own(repeats=1).set_index("case").to_parquet(tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet")["case"].tolist() == [f"c{i}" for i in range(6)]
    assert check_predictions(own(repeats=1).set_index("case"))["case"].tolist() == [f"c{i}" for i in range(6)]


def test_repeats_are_averaged_per_case() -> None:
    cases = per_case(check_predictions(own()))
    assert cases.loc["c4", "y_prob"] == pytest.approx(0.45)
    assert len(cases) == 6


def wide() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Patient": ["a", "b", "c", "d"],
            "IDH_mutated": [1, 0, -1, 0],
            "Prediction_score_IDH_wildtype": [0.1, 0.7, 0.5, 0.8],
            "Prediction_score_IDH_mutated": [0.9, 0.3, 0.5, 0.2],
            "Grade": [4, 4, 2, 3],
            "Prediction_score_grade_4": [0.5, 0.6, 0.1, 0.2],
        }
    )


def test_wide_table_needs_a_target_and_drops_unknown_labels() -> None:
    with pytest.raises(CohortError, match="several targets found: idh, grade"):
        check_predictions(wide())
    tidy = check_predictions(wide(), target="idh")
    assert tidy["y_prob"].tolist() == [0.9, 0.3, 0.2]
    assert "1 of 4 rows have an unknown label" in tidy.attrs["notes"][0]
    assert check_predictions(wide(), target="grade")["y_true"].tolist() == [1, 1, 0, 0]
    assert "IDH_mutated" not in tidy.columns
    assert "Grade" in tidy.columns
    with pytest.raises(CohortError, match="no target 'mgmt'; targets found: idh, grade"):
        check_predictions(wide(), target="mgmt")


def test_only_a_score_of_the_negative_class() -> None:
    tidy = check_predictions(wide().drop(columns="Prediction_score_IDH_mutated"), target="idh")
    assert tidy["y_prob"].tolist() == pytest.approx([0.9, 0.3, 0.2])
    assert "scores the negative class" in tidy.attrs["notes"][1]


def test_several_score_columns_have_to_be_chosen_from() -> None:
    table = wide().assign(IDH_score_b=[0.1, 0.2, 0.3, 0.4])
    with pytest.raises(CohortError, match="several score columns for idh: Prediction_score_IDH_mutated, IDH_score_b"):
        check_predictions(table, target="idh")
    chosen = check_predictions(table, target="idh", columns=PredictionColumns(score="IDH_score_b"))
    assert chosen["y_prob"].tolist() == [0.1, 0.2, 0.4]


def test_long_table_with_several_targets_or_models() -> None:
    table = pd.concat([own(), own().assign(target="mgmt", y_prob=0.9)])
    with pytest.raises(CohortError, match="holds several targets: idh, mgmt"):
        check_predictions(table)
    with pytest.raises(CohortError, match="holds no target 'grade'; it holds idh, mgmt"):
        check_predictions(table, target="grade")
    assert set(check_predictions(table, target="mgmt")["y_prob"]) == {0.9}
    with pytest.raises(CohortError, match="several models: a, b"):
        check_predictions(pd.concat([own().assign(model="a"), own().assign(model="b")]))
    two = pd.concat([own().assign(model="a"), own().assign(model="b", y_prob=0.3)])
    assert set(check_predictions(two, model="b")["y_prob"]) == {0.3}


def simple_table(scores: list[float], labels: list[object] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(len(scores))],
            "label": labels or ["yes", "no"] * (len(scores) // 2),
            "score": scores,
        }
    )


def test_logits_percent_and_anything_else() -> None:
    logits = check_predictions(simple_table([2.0, -1.0, 0.5, -3.0]))
    assert logits["y_prob"].tolist() == pytest.approx(expit([2.0, -1.0, 0.5, -3.0]).tolist())
    assert "read as a logit" in logits.attrs["notes"][0]
    percent = check_predictions(simple_table([80.0, 20.0, 60.0, 0.5]))
    assert percent["y_prob"].tolist() == pytest.approx([0.8, 0.2, 0.6, 0.005])
    assert "read as percent" in percent.attrs["notes"][0]
    ranked = check_predictions(simple_table([800.0, -20.0, 60.0, 55.0]))
    assert ranked["y_prob"].tolist() == pytest.approx([0.8, 0.2, 0.6, 0.4])
    assert ranked.attrs["ranked"]
    assert check_predictions(ranked).attrs["ranked"]


def test_probability_of_the_predicted_class() -> None:
    table = simple_table([0.9, 0.8, 0.6, 0.7])
    assert "0.5 or more" in check_predictions(table).attrs["notes"][0]
    with_label = check_predictions(table.assign(predicted_label=["yes", "no", "yes", "no"]))
    assert with_label["y_prob"].tolist() == pytest.approx([0.9, 0.2, 0.6, 0.3])
    usual = check_predictions(simple_table([0.9, 0.2, 0.6, 0.3]).assign(predicted_label=[1, 0, 1, 0]))
    assert usual["y_prob"].tolist() == [0.9, 0.2, 0.6, 0.3]


def test_semicolons_decimal_commas_byte_order_mark_and_leading_zeros(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffID;Label;Prob\n007;ja\n", encoding="utf-8")
    path.write_text("\ufeffID;Label;Prob\n007;1;0,75\n008;0;0,25\n", encoding="utf-8")
    tidy = read_predictions(path)
    assert tidy["case"].tolist() == ["007", "008"]
    assert tidy["y_prob"].tolist() == [0.75, 0.25]


def test_hard_labels_are_scores_where_nothing_better_is_there() -> None:
    table = pd.DataFrame(
        {"id": list("abcd"), "y_true": [1, 0, 1, 0], "y_pred": [1, 0, 0, 0], "probability": [0.9, 0.3, 0.4, 0.2]}
    )
    assert check_predictions(table)["y_prob"].tolist() == [0.9, 0.3, 0.4, 0.2]
    assert check_predictions(table.drop(columns="probability"))["y_prob"].tolist() == [1, 0, 0, 0]


def test_columns_named_by_the_user() -> None:
    table = pd.DataFrame({"k": ["a", "b"], "who": ["p", "q"], "t": [1, 0], "s": [0.6, 0.4], "w": ["X", "Y"]})
    tidy = check_predictions(table, columns=PredictionColumns(label="t", score="s", case="k", patient="who", site="w"))
    assert tidy[["case", "patient", "site", "y_true", "y_prob"]].to_numpy().tolist() == [
        ["a", "p", "X", 1, 0.6],
        ["b", "q", "Y", 0, 0.4],
    ]
    with pytest.raises(CohortError, match="no score column 'scor'; found") as error:
        check_predictions(table, columns=PredictionColumns(label="nope", score="scor"))
    assert "no label column 'nope'" in problems(error)


def test_all_problems_at_once() -> None:
    table = simple_table([0.1, 0.2, 0.3, 0.4], ["yes", "perhaps", "no", "never"]).astype({"score": object})
    table.loc[2, "score"] = "high"
    table.loc[3, "id"] = ""
    with pytest.raises(CohortError) as error:
        check_predictions(table)
    assert "3 problem(s)" in problems(error)
    assert all(part in problems(error) for part in ("'never', 'perhaps'", "'high'", "blank case id"))
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"a": [1], "b": [2]}), "no label column .* and score column .* found a, b"),
        (pd.DataFrame({"label": [], "score": []}), "the table has no rows"),
        (simple_table([0.1, 0.2], ["yes", "yes"]), "one class only: .* 2 positive and 0 negative"),
        (simple_table([0.1, np.inf]), "holds 'inf'; accepted: finite numbers"),
        (pd.concat([own(), own().head(1)]), "case 'c0' occurs more than once in repeat 0"),
        (pd.concat([own(), own().tail(1).assign(repeat=7, y_true=0)]), "case 'c5' has both labels"),
        (pd.concat([own(), own().tail(1).assign(repeat=7, patient="x")]), "case 'c5' belongs to several patients"),
        (pd.DataFrame([[1, 0.1, 0.2]], columns=["label", "score", "score"]), "column 'score' occurs more than once"),
    ],
)
def test_tables_that_cannot_be_used(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        check_predictions(table)


def test_missing_scores_are_left_out_loudly() -> None:
    tidy = check_predictions(simple_table([0.1, np.nan, 0.3, 0.4]))
    assert len(tidy) == 3
    assert "no score" in tidy.attrs["notes"][0]


def test_rows_without_an_id_and_repeated_ids() -> None:
    tidy = check_predictions(simple_table([0.1, 0.2]).drop(columns="id"))
    assert tidy["case"].tolist() == ["row1", "row2"]
    twice = check_predictions(pd.concat([simple_table([0.1, 0.2]), simple_table([0.3, 0.6])]))
    assert twice["repeat"].tolist() == [0, 0, 1, 1]
    assert per_case(twice)["y_prob"].tolist() == pytest.approx([0.2, 0.4])


def test_training_rows_are_left_out() -> None:
    table = pd.concat([own(repeats=1).assign(split="test"), own(repeats=1).assign(split="train", y_prob=0.99)])
    table["case"] = [f"c{i}" for i in range(12)]
    tidy = check_predictions(table.drop(columns="patient"))
    assert len(tidy) == 6
    assert "6 row(s) are marked as training rows" in tidy.attrs["notes"][0]
    everything = check_predictions(own(repeats=1).assign(split="train"))
    assert "how well the model remembers" in everything.attrs["notes"][0]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00bad", b'a,b\n"1,2\n3'])
def test_files_that_are_no_tables(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CohortError):
        read_predictions(path)


def test_follow_up_scans_are_recognised_by_public_ids() -> None:
    table = pd.DataFrame(
        {
            "id": ["UCSF-PDGM-0429", "UCSF-PDGM-0429_FU003d", "a-1", "a-01"],
            "label": [1, 1, 0, 0],
            "score": [0.9, 0.8, 0.1, 0.2],
        }
    )
    tidy = check_predictions(table)
    assert tidy.set_index("case")["patient"].nunique() == 3
    assert "1 case(s) are recognised" in tidy.attrs["notes"][0]
