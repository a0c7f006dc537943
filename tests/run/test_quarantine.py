from __future__ import annotations

from pathlib import Path

import pytest

from radiogen.errors import ImageError
from radiogen.run.quarantine import Failure, read_failures, without_folders, write_failures


def test_rows_of_other_stages_stay_and_rows_of_this_stage_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "failed.csv"
    write_failures(path, [Failure("007", "segment", "empty", "check"), Failure("b", "features", "tiny", "check")])
    write_failures(path, [Failure("c", "segment", "NaN", "check")], stages=["segment"])
    table = read_failures(path)
    assert table[["case", "stage"]].values.tolist() == [["b", "features"], ["c", "segment"]]


def test_case_ids_stay_strings(tmp_path: Path) -> None:
    write_failures(tmp_path / "failed.csv", [Failure("007", "segment", "NA", "x")])
    assert read_failures(tmp_path / "failed.csv").loc[0, ["case", "cause"]].tolist() == ["007", "NA"]


def test_the_file_goes_when_nothing_fails_any_more(tmp_path: Path) -> None:
    path = tmp_path / "failed.csv"
    write_failures(path, [Failure("a", "segment", "empty", "check")])
    write_failures(path, [], stages=["segment"])
    assert not path.exists()


def test_a_failure_is_one_line_and_keeps_its_trace() -> None:
    try:
        raise ImageError("two files:", problems=["a.nii", "b.nii"], hint="mend\nthem")
    except ImageError as error:
        failure = Failure.from_exception("x", "segment", error)
    assert failure.cause == "two files: a.nii b.nii"
    assert failure.fix == "mend them"
    assert "Traceback" in failure.trace


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("t1c.nii.gz does not exist (looked in /home/me/data).", "t1c.nii.gz does not exist (looked in data)."),
        ("/mnt/x/7_t1.nii.gz: damaged, '/a/b/c.csv' too", "7_t1.nii.gz: damaged, 'c.csv' too"),
        ("C:\\scans\\case 7\\t1.nii is bad", "case 7\\t1.nii is bad"),
        ("12 ml/kg and t1c/t2f and and/or", "12 ml/kg and t1c/t2f and and/or"),
        ("1p/19q", "1p/19q"),
    ],
)
def test_folders_of_the_machine_do_not_travel(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_failed_csv_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    write_failures(
        tmp_path / "failed.csv",
        [Failure("7", "segment", "File /home/me/t1.nii.gz is not a gzip file.", "See /home/me/logs.")],
    )
    row = read_failures(tmp_path / "failed.csv").iloc[0]
    assert (row["cause"], row["fix"]) == ("File t1.nii.gz is not a gzip file.", "See logs.")
