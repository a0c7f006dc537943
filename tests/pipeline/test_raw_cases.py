"""What a run starts from: tables, NIfTI folders, DICOM folders, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogen.errors import CohortError, ImageError
from radiogen.pipeline.raw_cases import find_raw_cases
from tests.cohort.dicom_data import FOUR, Study, tilted, volume, write_series
from tests.conftest import save_nifti


def clinic(root: Path, case: str, **changes: dict[str, object]) -> None:
    study = Study()
    for number, (name, kind) in enumerate(FOUR.items()):
        write_series(
            root / case / f"S{number}", volume(seed=number), tilted(), kind, study=study, time=f"10{10 + number}00", **changes.get(name, {})
        )  # type: ignore[arg-type]  # fmt: skip


def test_dicom_and_nifti_cases_stand_side_by_side(tmp_path: Path) -> None:
    clinic(tmp_path, "a")
    clinic(tmp_path, "b")
    for name in ("t1c", "t2f"):
        save_nifti(tmp_path / "c" / f"c_{name}.nii.gz", np.random.default_rng(0).random((8, 8, 8), dtype=np.float32))
    found = find_raw_cases(tmp_path)
    assert not found.failures
    assert {case: one.sequences for case, one in found.cases.items()} == {
        "a": ["t1n", "t1c", "t2w", "t2f"], "b": ["t1n", "t1c", "t2w", "t2f"], "c": ["t1c", "t2f"],
    }  # fmt: skip
    assert all(one.confidence > 0.9 for one in found.cases["a"].choices.values())
    assert not found.cases["c"].choices


def test_an_override_says_which_series_is_which(tmp_path: Path) -> None:
    clinic(tmp_path, "a")
    clinic(tmp_path, "b")
    first = find_raw_cases(tmp_path).cases["a"]
    swapped = {"a": {"t1n": first.series["t1c"].key, "t1c": first.series["t1n"].key}}
    second = find_raw_cases(tmp_path, swapped).cases["a"]
    assert second.series["t1n"].key == first.series["t1c"].key
    assert second.choices["t1n"].confidence == 1.0


def test_a_series_that_cannot_be_used_is_missing_and_said(tmp_path: Path) -> None:
    clinic(tmp_path, "a", t2w={"leave_out": (3, 4)})
    clinic(tmp_path, "b")
    case = find_raw_cases(tmp_path).cases["a"]
    assert case.sequences == ["t1n", "t1c", "t2f"]
    assert "uneven slice spacing" in " ".join(case.passed_over.values())
    images, problems = case.read_all()
    assert list(images) == case.sequences
    assert not problems


def test_a_table_may_name_folders_of_one_series(tmp_path: Path) -> None:
    clinic(tmp_path, "a")
    table = tmp_path / "cohort.csv"
    table.write_text("case,t1c,t2f\nx,a/S1,a/S3\ny,a,\n")
    found = find_raw_cases(table)
    assert found.cases["x"].sequences == ["t1c", "t2f"]
    assert found.cases["x"].read("t1c").data.shape == (20, 16, 9)
    assert [failure.case for failure in found.failures] == ["y"]
    assert "holds 4 usable DICOM series" in found.failures[0].cause


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(CohortError, match="No case was found"):
        find_raw_cases(tmp_path)


def test_a_case_of_other_series_only_is_quarantined(tmp_path: Path) -> None:
    clinic(tmp_path, "b")
    perfusion = FOUR["t1n"].__class__("ep2d_diff_ADC", 90.0, 4000.0, None, ("EP",))
    write_series(tmp_path / "a" / "S0", volume(), tilted(), perfusion)
    found = find_raw_cases(tmp_path)
    assert list(found.cases) == ["b"]
    assert found.failures[0].case == "a"
    assert "is one of t1n, t1c, t2w, t2f" in found.failures[0].cause


def test_when_no_sequence_can_be_read_every_reason_is_said(tmp_path: Path) -> None:
    clinic(tmp_path, "a")
    (case,) = find_raw_cases(tmp_path).cases.values()
    for path in (tmp_path / "a").rglob("*.dcm"):
        path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ImageError, match="No sequence can be used") as caught:
        case.read_all()
    assert all(name in str(caught.value) for name in FOUR)
