from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from tests.conftest import save_nifti
from tests.stats.test_overlap import box


def labels(shift: int = 0) -> np.ndarray:
    """Oedema around a core around enhancement, in the labels of BraTS 2023."""
    out = np.zeros((40, 40, 40), dtype=np.uint8)
    for value, start, size in ((2, 4, 16), (1, 7, 9), (3, 9, 5)):
        out[box((start + shift, start, start), (size, size, size))] = value
    return out


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["evaluate", "masks", *[str(argument) for argument in arguments]])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_folders_are_paired_by_case_and_old_labels_are_translated(tmp_path: Path) -> None:
    old = np.where(labels() == 3, 4, labels()).astype(np.uint8)
    save_nifti(tmp_path / "pred" / "007.nii.gz", labels())
    save_nifti(tmp_path / "pred" / "b.nii.gz", labels(shift=1))
    save_nifti(tmp_path / "ref" / "007" / "007_seg.nii.gz", old)
    save_nifti(tmp_path / "ref" / "b" / "b-seg.nii.gz", old)
    code, output = run(tmp_path / "pred", tmp_path / "ref", "-o", tmp_path / "out", "--quiet")
    assert code == 0
    cases = pd.read_csv(tmp_path / "out" / "cases.csv", dtype={"case": str}).set_index(["case", "region"])
    assert cases.loc[("007", "et"), "dice"] == 1
    assert cases.loc[("007", "et"), "hd95_mm"] == 0
    assert cases.loc[("b", "wt"), "dice"] == pytest.approx(15 / 16)
    assert cases.loc[("b", "et"), "dice"] == pytest.approx(4 / 5)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["regions"]["wt"]["dice"]["mean"] == pytest.approx((1 + 15 / 16) / 2)
    assert "wt: n=2" in output


def test_a_whole_tumour_reference_is_scored_on_the_whole_tumour_only(tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii.gz", labels())
    save_nifti(tmp_path / "b.nii.gz", (labels() > 0).astype(np.uint8))
    assert run(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "-o", tmp_path / "out", "--quiet")[0] == 0
    assert pd.read_csv(tmp_path / "out" / "cases.csv")["region"].tolist() == ["wt"]


def test_a_cohort_table_names_the_references_and_their_labels(tmp_path: Path) -> None:
    old = np.where(labels() == 3, 4, labels()).astype(np.uint8)
    old[0, 0, 0] = 3  # with both 3 and 4 the scheme cannot be guessed
    save_nifti(tmp_path / "pred" / "x.nii.gz", labels())
    save_nifti(tmp_path / "any name.nii.gz", old)
    (tmp_path / "cohort.csv").write_text("case,mask,mask_labels\nx,any name.nii.gz,brats2013\n")
    assert run(tmp_path / "pred", tmp_path / "cohort.csv", "-o", tmp_path / "out", "--quiet")[0] == 0
    cases = pd.read_csv(tmp_path / "out" / "cases.csv").set_index("region")
    assert cases.loc["et", "dice"] == 1
    assert cases.loc["tc", "dice"] < 1


def test_different_grids_are_refused_with_the_numbers(tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii.gz", labels())
    save_nifti(tmp_path / "b.nii.gz", labels(), np.diag([1.0, 1.0, 2.0, 1.0]))
    code, output = run(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "-o", tmp_path / "out", "--quiet")
    assert code == 2
    assert "do not share their voxels" in output
    assert "1 x 1 x 2 mm" in output
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_one_bad_case_is_quarantined(tmp_path: Path) -> None:
    for case in ("a", "b"):
        save_nifti(tmp_path / "pred" / f"{case}.nii.gz", labels())
        save_nifti(tmp_path / "ref" / f"{case}.nii.gz", labels())
    (tmp_path / "ref" / "b.nii.gz").write_text("not an image")
    code, _output = run(tmp_path / "pred", tmp_path / "ref", "-o", tmp_path / "out", "--quiet")
    assert code == 1
    assert pd.read_csv(tmp_path / "out" / "failed.csv")["case"].tolist() == ["b"]


def test_names_that_do_not_match_show_both_sides(tmp_path: Path) -> None:
    save_nifti(tmp_path / "pred" / "a.nii.gz", labels())
    save_nifti(tmp_path / "ref" / "b.nii.gz", labels())
    code, output = run(tmp_path / "pred", tmp_path / "ref", "-o", tmp_path / "out", "--quiet")
    assert code == 2
    assert "(1: a)" in output
    assert "(1: b)" in output


def test_an_empty_prediction_is_scored_and_not_refused(tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii.gz", np.zeros((40, 40, 40), dtype=np.uint8))
    save_nifti(tmp_path / "b.nii.gz", labels())
    assert run(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "-o", tmp_path / "out", "--quiet")[0] == 0
    cases = pd.read_csv(tmp_path / "out" / "cases.csv")
    assert cases["dice"].tolist() == [0, 0, 0]
    assert cases["hd95_mm"].tolist() == [374, 374, 374]
