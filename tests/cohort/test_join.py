from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.build import cohort_table
from radiogen.cohort.identifiers import identify
from radiogen.cohort.join import join_labels
from radiogen.cohort.labels import normalise_labels
from radiogen.cohort.layouts import Found, FoundCase
from radiogen.cohort.overlaps import Link
from radiogen.errors import CohortError


def cohort_of(*cases: str) -> pd.DataFrame:
    return cohort_table(Found([FoundCase(case, "plain", {}) for case in cases], {}))


def labels_of(name: str = "t.csv", **columns: list[str]):
    return normalise_labels(pd.DataFrame(columns), name=name)


def joined(cases: tuple[str, ...], header: str, ids: list[str], values: list[str]) -> dict[str, float | None]:
    table, _ = join_labels(cohort_of(*cases), [labels_of(**{header: ids, "idh": values})])
    return {case: None if np.isnan(value) else value for case, value in table["idh"].items()}


@pytest.mark.parametrize(
    ("case", "header", "row", "level"),
    [
        ("a1", "Patient", "a1", "exact"),
        ("A1", "Patient", "a1", "exact"),
        ("UCSF-PDGM-0004", "ID", "UCSF-PDGM-004", "scan"),
        ("UCSF-PDGM-0429_FU003d", "ID", "UCSF-PDGM-429", "patient"),
        ("BraTS2021_00097", "BraTS21ID", "00097", "scan"),
        ("BraTS-GLI-00097-000", "BraTS21ID", "00097", "scan"),
        ("BraTS-GLI-00097-101", "BraTS21ID", "00097", "patient"),
        ("00097", "BraTS21ID", "00097", "exact"),
        ("TCGA_CS_4941_19960909", "Patient", "TCGA-CS-4941", "patient"),
        ("TCGA-FG-6692_raw", "patient", "tcga-fg-6692", "patient"),
        ("Brats18_TCIA08_167_1", "Brats17ID", "Brats17_TCIA_167_1", "scan"),
        ("7", "ID", "007", "scan"),
    ],
)
def test_ids_match_whatever_their_spelling(case, header, row, level):
    labels = labels_of(**{header: ["zzz", row], "idh": ["0", "1"]})
    table, report = join_labels(cohort_of(case, "stranger"), [labels])
    assert table.at[case, "idh"] == 1
    assert report.matches[["case", "row", "level"]].to_numpy().tolist() == [[case, row, level]]
    assert report.unmatched == {"t.csv": ["stranger"]}
    assert report.unused_rows == {"t.csv": 1}


def test_leading_zeros_that_tell_cases_apart_are_respected():
    assert joined(("007", "7"), "ID", ["7"], ["1"]) == {"007": None, "7": 1}
    assert joined(("07",), "ID", ["7", "007", "x", "07"], ["0", "0", "0", "1"]) == {"07": 1}


def test_an_id_that_could_be_two_rows_matches_none():
    with pytest.raises(CohortError, match="cannot be joined"):
        joined(("07",), "ID", ["7", "007"], ["0", "1"])


def test_each_scan_takes_its_own_row():
    cases = ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21", "UPENN-GBM-00001_31")
    table, _ = join_labels(
        cohort_of(*cases), [labels_of(ID=["UPENN-GBM-00001_11", "UPENN-GBM-00001_21"], age=["60", "61"])]
    )
    assert table["age"].tolist() == [60, 61, 60]


def test_the_first_table_that_knows_gives_the_value_and_contradictions_are_reported():
    first = labels_of("first.csv", ID=["a", "b"], idh=["1", ""], age=["60", "50"])
    second = labels_of("second.csv", ID=["a", "b"], idh=["0", "0"], age=["60.4", "58"])
    table, report = join_labels(cohort_of("a", "b"), [first, second])
    assert table["idh"].tolist() == [1, 0]
    assert table["age"].tolist() == [60, 50]
    conflicts = report.conflicts[["column", "case_1", "source_1", "value_1", "source_2", "value_2"]].to_numpy().tolist()
    assert conflicts == [
        ["idh", "a", "first.csv", 1.0, "second.csv", 0.0],
        ["age", "b", "first.csv", 50.0, "second.csv", 58.0],
    ]


def test_a_table_about_one_collection_labels_cases_of_another():
    link = Link(identify("UCSF-PDGM-0057"), identify("BraTS2021_00000"), "crosswalk.csv")
    labels = labels_of(ID=["UCSF-PDGM-057"], idh=["0"])
    table, report = join_labels(cohort_of("BraTS-GLI-00000-000"), [labels], [link])
    assert table.at["BraTS-GLI-00000-000", "idh"] == 0
    assert report.matches["level"].tolist() == ["linked"]


def test_patient_and_site_columns_are_taken_where_the_name_tells_nothing():
    labels = labels_of(
        case=["scan1", "scan2", "TCGA-02-0001"], patient=["P1", "P1", "TCGA-02-0001"], site=["Bonn", "Bonn", "Duke"]
    )
    table, _ = join_labels(cohort_of("scan1", "scan2", "TCGA-02-0001"), [labels])
    assert table["patient"].tolist() == ["P1", "P1", "TCGA-02-0001"]
    assert table["site"].tolist() == ["Bonn", "Bonn", "Duke"]


def test_a_table_without_any_matching_id_shows_both_sides():
    with pytest.raises(CohortError) as caught:
        join_labels(cohort_of("a", "b"), [labels_of("one.csv", ID=["x1"], idh=["1"]), labels_of("two.csv", idh=["1"])])
    assert caught.value.exit_code == 2
    one, two = caught.value.problems
    assert "'x1'" in one
    assert "'a', 'b'" in one
    assert "two.csv has no id column" in two


def test_joining_changes_nothing_but_the_label_columns():
    cohort = cohort_of("a", "b")
    table, _ = join_labels(cohort, [labels_of(ID=["a"], idh=["1"])])
    pd.testing.assert_frame_equal(table.drop(columns="idh"), cohort.drop(columns="idh"))
    assert cohort["idh"].isna().all()
