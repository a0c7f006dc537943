"""Clinical facts from anybody's columns, joined on anybody's ids."""

from __future__ import annotations

import pandas as pd
import pytest

from radiogen.errors import CohortError
from radiogen.evaluate.clinical import clinical_table, join_on_id, stratum_column, tidy_clinical


def cases(ids: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"patient": ids, "site": "unknown"}, index=pd.Index(ids, name="case"))


def test_public_spellings() -> None:
    table = pd.DataFrame(
        {
            "Age at MRI": [61, 40],
            "Sex": ["M", "F"],
            "WHO CNS Grade": ["IV", 2],
            "IDH": ["wildtype", "IDH1 p.R132H"],
            "MGMT status": ["positive", "negative"],
            "1p/19q": ["intact", "co-deletion"],
            "IDH_prob": [0.3, 0.7],
            "wt_ml": ["12.5", "-3"],
        }
    )
    found = tidy_clinical(table)
    assert found.iloc[0].to_dict() == {
        "age": 61.0, "sex_male": 1.0, "wt_ml": 12.5, "grade": 4.0, "idh": 0.0, "mgmt": 1.0, "codeletion_1p19q": 0.0,
    }  # fmt: skip
    assert found.loc[1, "idh"] == 1.0
    assert pd.isna(found.loc[1, "wt_ml"])


def test_the_target_is_never_a_fact_about_itself() -> None:
    table = pd.DataFrame({"case": ["a", "b"], "idh": [0, 1], "grade": [4, 2]})
    assert list(clinical_table(cases(["a", "b"]), table, "idh")[0]) == ["grade"]
    assert list(clinical_table(cases(["a", "b"]), table, "grade")[0]) == ["idh"]
    assert list(clinical_table(cases(["a", "b"]), table, "mgmt")[0]) == ["grade", "idh"]


def test_given_table_wins_and_the_predictions_own_columns_fill() -> None:
    own = cases(["a", "b", "c"]).assign(age=[50, 60, 70])
    facts, notes = clinical_table(own, pd.DataFrame({"patient": ["a", "b"], "age": [51, None]}), "idh")
    assert facts["age"].tolist() == [51.0, 60.0, 70.0]
    assert notes == ["1 of 3 cases have no row in the clinical table."]


def test_constant_facts_are_no_facts() -> None:
    assert clinical_table(cases(["a", "b"]).assign(grade=4, age=50), None, "idh")[0].empty


def test_ids_are_matched_whatever_their_spelling() -> None:
    table = pd.DataFrame({"ID": ["UCSF-PDGM-004", "UCSF-PDGM-0021"], "age": [40, 50]})
    joined, matched = join_on_id(cases(["UCSF-PDGM-0021_nifti", "UCSF-PDGM-0004"]), table)
    assert matched == 2
    assert joined["age"].tolist() == [50, 40]


def test_scans_of_one_patient_share_the_patients_row() -> None:
    scans = cases(["s1", "s2"]).assign(patient="p")
    assert join_on_id(scans, pd.DataFrame({"patient": ["p"], "age": [44]}))[0]["age"].tolist() == [44, 44]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"age": [1]}), "has no id column; found age"),
        (pd.DataFrame({"case": ["x"], "age": [1]}), "No id of the clinical table .* 'x' against 'a'"),
        (pd.DataFrame({"case": ["a", "a"], "age": [1, 2]}), "several rows for one id"),
    ],
)
def test_tables_that_cannot_be_joined(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        join_on_id(cases(["a"]), table)


def test_extra_strata_come_from_either_table() -> None:
    own = cases(["a", "b"]).assign(Scanner=["x", "y"])
    table = pd.DataFrame({"case": ["a", "b"], "Field strength": ["3T", "1.5T"]})
    assert stratum_column("field_strength", own, table).tolist() == ["3T", "1.5T"]
    assert stratum_column("scanner", own, None).tolist() == ["x", "y"]
    with pytest.raises(CohortError, match="No column 'coil' for strata; found"):
        stratum_column("coil", own, table)
