"""Joining branches with labels: what may be a feature, and what is left out with its count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.errors import CohortError, InputError
from radiogen.fusion.join import fusion_table, join_branches, target_labels, usable_columns
from tests.fusion.data import made_up


@pytest.mark.parametrize(
    "name",
    ["IDH", "idh_status", "MGMT status", "1p/19q", "WHO CNS Grade", "Final pathologic diagnosis", "y_true", "OS", "Label", "site", "Patient ID",
     "diagnostics_Mask-original_VoxelNum", "Unnamed: 0", "Survival_months", "id"],
)  # fmt: skip
def test_labels_ids_and_diagnostics_are_never_features(name: str) -> None:
    kept, notes = usable_columns(pd.DataFrame({name: [0.0, 1.0], "t1c_wt_original_glcm_Idmn": [1.0, 2.0]}))
    assert kept.columns.tolist() == ["t1c_wt_original_glcm_Idmn"]
    assert name in notes[0]


@pytest.mark.parametrize(
    "name",
    ["original_shape_Elongation", "age", "t2f_et_wavelet-LLH_gldm_LowGrayLevelEmphasis", "7", "has_radiomics", "wt_ml"],
)
def test_ordinary_features_stay(name: str) -> None:
    assert usable_columns(pd.DataFrame({name: [0.0, 1.0]}))[0].columns.tolist() == [name]


def test_text_is_left_out_and_infinity_is_missing() -> None:
    table = pd.DataFrame({"x": [1.0, np.inf], "flag": [True, False], "words": ["a", "b"]})
    kept, notes = usable_columns(table)
    assert kept["x"].isna().tolist() == [False, True]
    assert kept["flag"].tolist() == [1.0, 0.0]
    assert "words" in notes[0]


def test_grade_is_four_against_two_and_three() -> None:
    grade = pd.DataFrame({"grade": [1.0, 2.0, 3.0, 4.0, np.nan]})
    assert target_labels(grade, "grade").tolist() == pytest.approx([np.nan, 0, 0, 1, np.nan], nan_ok=True)


def test_unknown_target_and_missing_column() -> None:
    with pytest.raises(InputError, match="accepted: idh, mgmt, codeletion, grade"):
        target_labels(pd.DataFrame(), "idhh")
    with pytest.raises(CohortError, match="codeletion_1p19q"):
        target_labels(pd.DataFrame({"idh": [1.0]}), "codeletion")


def test_case_without_a_branch_keeps_nan_and_is_flagged() -> None:
    features, cohort = made_up(20)
    features["radiomics"] = features["radiomics"].iloc[:15]
    table = fusion_table(features, cohort, "idh")
    assert table.features["has_radiomics"].tolist() == [1.0] * 15 + [0.0] * 5
    assert table.features.iloc[15:]["signal"].isna().all()
    assert "has_clinical" not in table.features
    assert table.branch_of["has_radiomics"] == table.branch_of["signal"] == "radiomics"


def test_equal_names_get_their_branch_in_front() -> None:
    joined, branch_of = join_branches(
        {"a": pd.DataFrame({"x": [1.0]}, index=["p"]), "b": pd.DataFrame({"x": [2.0], "z": [3.0]}, index=["p"])}, ["p"]
    )
    assert joined.iloc[0].to_dict() == {"a_x": 1.0, "b_x": 2.0, "z": 3.0}
    assert branch_of == {"a_x": "a", "b_x": "b", "z": "b"}


def test_everything_left_out_is_counted() -> None:
    features, cohort = made_up(20)
    cohort.loc[["case-000", "case-001"], "idh"] = np.nan
    features = {name: table.drop(index="case-002") for name, table in features.items()}
    features["clinical"].loc["stranger"] = 1.0
    table = fusion_table(features, cohort, "idh")
    assert len(table.y) == 17
    told = " ".join(table.notes)
    assert "17 cases with features and a known idh label" in told
    assert "2 case(s) left out: idh is unknown" in told
    assert "1 case(s) of the cohort left out: no features" in told
    assert "1 case(s) of the feature tables left out" in told


def test_the_label_itself_cannot_sneak_in() -> None:
    features, cohort = made_up(20)
    features["radiomics"]["tumour_kind"] = np.where(cohort["idh"] == 1, 7.0, 3.0)
    table = fusion_table(features, cohort, "idh")
    assert "tumour_kind" not in table.features
    assert any("copy of the label: tumour_kind" in note for note in table.notes)


def test_row_order_does_not_matter() -> None:
    features, cohort = made_up(20)
    one = fusion_table(features, cohort, "idh")
    other = fusion_table({name: table[::-1] for name, table in features.items()}, cohort[::-1], "idh")
    pd.testing.assert_frame_equal(one.features, other.features)
    assert one.y.tolist() == other.y.tolist()


def test_strata_hold_known_facts_but_not_the_target() -> None:
    features, cohort = made_up(20)
    assert fusion_table(features, cohort, "idh").cohort.columns.tolist() == ["patient", "site", "grade", "mgmt", "sex"]
    assert fusion_table(features, cohort, "grade").cohort.columns.tolist() == ["patient", "site", "idh", "mgmt", "sex"]


def test_cohort_without_patients_and_sites() -> None:
    features, cohort = made_up(20)
    table = fusion_table(features, cohort.drop(columns=["patient", "site"]), "idh")
    assert table.cohort["patient"].tolist() == table.cohort.index.tolist()
    assert set(table.cohort["site"]) == {"unknown"}


def test_problems_are_told_with_examples() -> None:
    features, cohort = made_up(20)
    with pytest.raises(InputError, match="more than one row"):
        fusion_table({"a": pd.concat([features["clinical"], features["clinical"].iloc[:1]])}, cohort, "idh")
    with pytest.raises(InputError, match=r"No case is in both.*case-000"):
        fusion_table({"a": features["clinical"].add_prefix("x").set_axis([f"q{i}" for i in range(20)])}, cohort, "idh")
    with pytest.raises(InputError, match="None of the 20 cases with features has a known codeletion label"):
        fusion_table(features, cohort, "codeletion")
    with pytest.raises(InputError, match="No column"):
        fusion_table({"a": pd.DataFrame({"IDH": 1.0}, index=cohort.index)}, cohort, "idh")
