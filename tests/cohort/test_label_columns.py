from __future__ import annotations

import pandas as pd
import pytest

from radiogen.cohort.label_columns import header_coding, recognise_columns

HEADERS = {
    "idh": ["IDH", "IDH.status", "IDH_status", "IDH1", "IDH_mutated", "idh mutation status"],
    "mgmt": ["MGMT status", "MGMT_value", "MGMT.promoter.status", "MGMT", "MGMTmethylation_methylated1_unmethylated0"],
    "codeletion_1p19q": ["1p/19q", "X1p.19q.codeletion", "1p19q_codeleted", "1p/19q codeletion", "codeletion_1p19q"],
    "grade": ["Grade", "WHO CNS Grade", "who_grade"],
    "age": ["Age", "Age at MRI", "Age..years.at.diagnosis.", "age_years", "Age_at_scan_years"],
    "sex": ["Sex", "Gender", "sex_male0_female1"],
    "kps": ["KPS", "Karnofsky.Performance.Score"],
    "eor": ["EOR", "ResectionStatus", "Extent_of_Resection"],
    "os_days": [
        "OS",
        "Survival",
        "Survival_days",
        "Survival..months.",
        "OS_months",
        "Survival_from_surgery_days_UPDATED",
    ],
    "os_event": ["1-dead 0-alive", "Vital.status..1.dead.", "os_event", "Survival_Status"],
    "site": ["site", "Tissue.source.site", "Center"],
}


@pytest.mark.parametrize(
    ("column", "header"), [(column, header) for column, headers in HEADERS.items() for header in headers]
)
def test_headers_of_public_tables(column, header):
    columns = recognise_columns(pd.DataFrame({"ID": ["a"], header: ["1"]}))
    assert columns.sources[column].header == header
    assert set(columns.sources) == {column}
    assert columns.problems == []


@pytest.mark.parametrize(
    "header",
    [
        "Prediction_score_IDH_mutated", "MGMT index", "IDH.codel.subtype", "IDH.specific.RNA.Expression.Cluster", "KPS_less70-0_more70-1",
        "cHsp70_low0_high1", "tumor_progression_yes1_no0", "PFS_months", "Image", "Data_collection", "ESTIMATE.stromal.score",
            "surgery_biopsy0_resection1",
    ],
)  # fmt: skip
def test_headers_that_only_look_alike_are_left_alone(header):
    columns = recognise_columns(pd.DataFrame({"ID": ["a"], header: ["1"]}))
    assert columns.sources == {}
    assert columns.problems == []


@pytest.mark.parametrize("header", ["survived_yes1_no0", "Survival_Censor", "alive", "censored", "survivor"])
def test_an_inverted_event_is_refused_and_said(header):
    columns = recognise_columns(pd.DataFrame({"ID": ["a"], header: ["1"]}))
    assert "os_event" not in columns.sources
    (problem,) = columns.problems
    assert header in problem
    assert "opposite" in problem


@pytest.mark.parametrize(
    "header",
    [
        "case",
        "Patient",
        "patient",
        "ID",
        "BraTS21ID",
        "BraTS21 ID",
        "SubjectID",
        "BraTS19ID",
        "Brats20ID",
        "Brats17ID",
        "TCIA_Subject_ID",
        "BraTS_2020_ID",
        "TCGA_TCIA_subject_ID",
        "BraTS_2019_subject_ID",
    ],
)
def test_id_headers(header):
    assert recognise_columns(pd.DataFrame({header: ["x"], "age": ["1"]})).ids == [header]


def test_ids_are_known_by_their_values_too():
    table = pd.DataFrame({"Unnamed": ["TCGA-02-0001", "TCGA-02-0003"], "b": ["BraTS2021_00001", ""], "c": ["x", "y"]})
    assert recognise_columns(table).ids == ["Unnamed"]


def test_units_and_codings():
    columns = recognise_columns(pd.DataFrame(columns=["ID", "OS_months", "sex_male0_female1", "1-dead 0-alive"]))
    assert columns.sources["os_days"].unit == "months"
    assert columns.sources["sex"].coding == {"0": "male", "1": "female"}
    assert columns.sources["os_event"].coding == {"1": "dead", "0": "alive"}


def test_a_second_column_for_the_same_thing_is_noted():
    columns = recognise_columns(pd.DataFrame(columns=["ID", "MGMT_value", "MGMT status", "OS", "survival_days"]))
    assert columns.sources["mgmt"].header == "MGMT status"
    assert columns.sources["os_days"].header == "survival_days"
    assert len(columns.notes) == 2


def test_coding_needs_both_meanings():
    assert header_coding("KPS_less70-0_more70-1") == {}
    assert header_coding("codeletion_1p19q") == {}
