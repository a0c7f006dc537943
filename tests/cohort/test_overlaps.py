from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.cohort.build import cohort_table
from radiogen.cohort.identifiers import identify
from radiogen.cohort.labels import normalise_labels, read_labels_file
from radiogen.cohort.layouts import Found, FoundCase
from radiogen.cohort.overlaps import Link, Patients, differ, find_links, label_conflicts, overlap_counts, unify_patients


def labels_of(name: str, **columns: list[str]):
    return normalise_labels(pd.DataFrame(columns), name=name)


def cohort_of(*cases: str) -> pd.DataFrame:
    return cohort_table(Found([FoundCase(case, "plain", {}) for case in cases], {}))


UCSF = labels_of(
    "ucsf.csv",
    ID=["UCSF-PDGM-004", "UCSF-PDGM-005"],
    **{"BraTS21 ID": ["BraTS2021_00097", ""], "MGMT status": ["negative", "positive"]},
)
RSNA = labels_of("rsna.csv", BraTS21ID=["00097", "00098"], MGMT_value=["1", "1"])


def test_a_row_with_two_ids_links_them():
    (link,) = find_links([UCSF, RSNA])
    assert {link.first.patient, link.second.patient} == {"UCSF-PDGM-0004", "BraTS2021_00097"}
    assert link.table == "ucsf.csv"
    counts = overlap_counts([link]).to_numpy().tolist()
    assert counts == [["BraTS-GLI", "UCSF-PDGM", 1, 1]]


def test_bare_numbers_link_nobody():
    assert find_links([labels_of("a.csv", ID=["1", "2"], Patient=["2", "3"])]) == []


def test_cases_of_linked_patients_become_one_patient():
    cohort = cohort_of("BraTS-GLI-00097-000", "BraTS-GLI-00098-000", "UCSF-PDGM-0004", "UCSF-PDGM-0005")
    unified, notes = unify_patients(cohort, find_links([UCSF]))
    assert unified["patient"].tolist() == ["BraTS-GLI-00097", "BraTS-GLI-00098", "BraTS-GLI-00097", "UCSF-PDGM-0005"]
    assert len(notes) == 1
    assert "BraTS-GLI-00097-000, UCSF-PDGM-0004 are one patient" in notes[0]
    assert "ucsf.csv" in notes[0]


def test_one_number_in_two_years_is_one_patient_without_any_table():
    unified, notes = unify_patients(cohort_of("BraTS2021_00097", "BraTS-GLI-00097-000"), [])
    assert unified["patient"].nunique() == 1
    assert len(notes) == 1


def test_unrelated_cases_stay_apart():
    cohort = cohort_of("a", "b", "TCGA-02-0001", "TCGA-02-0002")
    unified, notes = unify_patients(cohort, find_links([UCSF]))
    pd.testing.assert_frame_equal(unified, cohort)
    assert notes == []


def test_contradictions_are_found_across_ids():
    conflicts = label_conflicts([UCSF, RSNA], find_links([UCSF, RSNA]))
    assert len(conflicts) == 1
    row = conflicts.iloc[0]
    assert (row["column"], row["value_1"], row["value_2"], row["case_1"], row["case_2"]) == (
        "mgmt",
        0.0,
        1.0,
        "UCSF-PDGM-004",
        "00097",
    )


@pytest.mark.parametrize(
    ("column", "one", "two", "expected"),
    [("idh", 1.0, 0.0, True), ("idh", 1.0, float("nan"), False), ("sex", "F", "M", True), ("sex", None, "M", False), ("age",
        60.0, 61.0, False), ("age", 60.0, 62.0, True), ("os_days", 300.0, 320.0, False), ("os_days", 300.0, 400.0, True)],
)  # fmt: skip
def test_differ(column, one, two, expected):
    assert differ(column, one, two) is expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=20))
def test_groups_are_the_connected_components(pairs):
    names = {number: identify(f"TCGA-02-{number:04d}") for number in range(1, 13)}
    patients = Patients([Link(names[a], names[b], "t") for a, b in pairs])
    groups = {number: {number} for number in names}
    for a, b in pairs:  # the slow way
        merged = groups[a] | groups[b]
        for member in merged:
            groups[member] = merged
    for a in names:
        for b in names:
            assert (patients.of(names[a].key) == patients.of(names[b].key)) == (b in groups[a])


@pytest.mark.real_data
def test_real_overlaps_and_contradictions(shared_data):
    tables = shared_data / "tables"
    ucsf = read_labels_file(tables / "ucsf-pdgm/UCSF-PDGM-metadata_v2.csv")
    rsna = read_labels_file(tables / "brats/train_labels_MGMT_oyesaurav.csv")
    mapping = read_labels_file(tables / "brats/name_mapping_BraTS17-18-19_TCGA_nivuTransBTS.csv")
    idh = read_labels_file(tables / "brats/IDH_train_data.csv")
    counts = overlap_counts(find_links([ucsf, rsna, mapping, idh])).set_index(["collection_1", "collection_2"])
    assert counts.loc[("BraTS-GLI", "UCSF-PDGM"), "links"] == 298
    assert (
        counts.loc[("BraTS-GLI", "UCSF-PDGM"), "patients"] == 296
    )  # two patients' follow-up scans are BraTS cases too
    assert counts.loc[("UCSF-PDGM", "UCSF-PDGM"), "patients"] == 6
    assert counts.loc[("BraTS", "TCGA"), "patients"] == 167
    assert counts.loc[("BraTS20", "TCGA"), "patients"] == 167
    conflicts = label_conflicts([ucsf, rsna], find_links([ucsf, rsna]))
    assert len(conflicts) == 27
    assert set(conflicts["column"]) == {"mgmt"}
