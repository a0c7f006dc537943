"""Trees of DICOM folders and the cases they must give."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogen.cohort.dicom_layouts import find_dicom_cases
from radiogen.cohort.sequence_identity import identify
from radiogen.errors import CohortError
from tests.cohort.dicom_data import FOUR, T1C, T1N, T2F, Study, tilted, volume, write_case, write_series

SMALL = volume((8, 8, 10))
WIPED = type(T1N)("", 10.0, 500.0)
RSNA = {"FLAIR": "t2f", "T1w": "t1n", "T1wCE": "t1c", "T2w": "t2w"}


def small_case(folder: Path) -> Study:
    return write_case(folder, {role: (SMALL, tilted()) for role in FOUR})


def ids(*folders: Path) -> list[str]:
    return [case.case for case in find_dicom_cases(folders)]


def test_rsna_miccai_layout(tmp_path: Path) -> None:
    for case in ("00000", "00002", "00109"):
        for name in RSNA:
            write_series(tmp_path / "train" / case / name, SMALL, tilted(), WIPED, study=Study())
    cases = find_dicom_cases([tmp_path / "train"])
    assert [case.case for case in cases] == ["00000", "00002", "00109"]
    assert [bool(case.problems) for case in cases] == [False, False, True]
    for case in cases:
        assert case.layout == "rsna-miccai-2021"
        found = identify(case.series, case.folder_role)
        folder_of = {item.key: item.files[0].parent.name for item in case.series}
        assert {folder_of[choice.key]: role for role, choice in found.chosen.items()} == RSNA
    assert ids(tmp_path / "train" / "00002") == ["00002"]


def test_a_folder_per_patient(tmp_path: Path) -> None:
    small_case(tmp_path / "p10")
    small_case(tmp_path / "p2" / "deep" / "below")
    (tmp_path / "empty").mkdir()
    assert ids(tmp_path) == ["p2", "p10"]
    for case in find_dicom_cases([tmp_path]):
        assert set(identify(case.series, case.folder_role).chosen) == set(FOUR)


def test_a_folder_per_series_is_one_case(tmp_path: Path) -> None:
    small_case(tmp_path / "patient")
    assert ids(tmp_path / "patient") == ["patient"]


def test_files_directly_in_the_folder_are_one_case(tmp_path: Path) -> None:
    study = Study()
    write_series(tmp_path / "patient", SMALL, tilted(), study=study)
    write_series(tmp_path / "patient" / "more", SMALL, tilted(), T2F, study=study)
    assert ids(tmp_path / "patient") == ["patient"]


def test_one_patient_in_a_cohort_folder_keeps_its_name(tmp_path: Path) -> None:
    small_case(tmp_path / "cohort" / "patient")
    small_case(tmp_path / "other" / "DICOM")
    assert ids(tmp_path / "cohort") == ["patient"]
    assert ids(tmp_path / "other") == ["other"]


def test_two_studies_become_two_cases_in_order_of_time(tmp_path: Path) -> None:
    late, early = Study(date="20200202"), Study(date="20190101")
    for name, study in (("a", late), ("b", early)):
        for number, kind in enumerate((T1N, T1C)):
            write_series(tmp_path / "x" / "p1" / f"{name}{number}", SMALL, tilted(), kind, study=study)
    small_case(tmp_path / "x" / "p2")
    cases = find_dicom_cases([tmp_path / "x"])
    assert [case.case for case in cases] == ["p1_1", "p1_2", "p2"]
    assert {file.parent.name[0] for item in cases[0].series for file in item.files} == {"b"}
    assert "2 studies" in cases[0].problems[0]
    assert "2019" not in repr([case.problems for case in cases])


def test_the_same_study_under_two_names_is_said(tmp_path: Path) -> None:
    study = Study()
    for name in ("p1", "p2"):
        write_series(tmp_path / name / "s", SMALL, tilted(), study=study)
        write_series(tmp_path / name / "t", SMALL, tilted(), T2F, study=study)
    for name in ("p3", "p4", "p5"):
        small_case(tmp_path / name)
    cases = find_dicom_cases([tmp_path])
    assert [case.case for case in cases] == ["p1", "p2", "p3", "p4", "p5"]
    assert "same study as p2" in cases[0].problems[0]


def test_equal_names_below_two_folders_are_told_apart(tmp_path: Path) -> None:
    for site in ("siteA", "siteB"):
        small_case(tmp_path / site / "p1")
        small_case(tmp_path / site / "p2")
    assert ids(tmp_path / "siteA", tmp_path / "siteB") == ["siteA_p1", "siteA_p2", "siteB_p1", "siteB_p2"]


def test_plain_folder_names_help_but_a_plain_t1_does_not(tmp_path: Path) -> None:
    study = Study()
    for name in ("T1", "T1_Gd", "FLAIR"):
        write_series(tmp_path / "p" / name, SMALL, tilted(), WIPED, study=study)
    case = find_dicom_cases([tmp_path / "p"])[0]
    assert sorted(case.folder_role.values()) == ["t1c", "t2f"]


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(CohortError, match="No DICOM image"):
        find_dicom_cases([tmp_path])
    with pytest.raises(CohortError, match="Not a folder"):
        find_dicom_cases([tmp_path / "absent"])
