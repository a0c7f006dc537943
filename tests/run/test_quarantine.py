from __future__ import annotations

from pathlib import Path

from radiogen.errors import ImageError
from radiogen.run.quarantine import Failure, read_failures, write_failures


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
