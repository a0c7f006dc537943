from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from radiogen.cli.main import app
from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.table import read_cohort
from tests.conftest import save_nifti

SHAPE = (12, 14, 10)


def write_case(
    folder: Path, names: tuple[str, ...] = ("t1", "t1ce", "t2", "flair"), *, prefix: str = "", mask: bool = True
) -> Path:
    rng = np.random.default_rng(len(folder.name))
    for name in names:
        save_nifti(folder / f"{prefix}{name}.nii.gz", rng.normal(100, 20, size=SHAPE).astype(np.float32))
    if mask:
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[4:8, 4:8, 4:8] = 2
        labels[5:7, 5:7, 5:7] = 4
        save_nifti(folder / f"{prefix}seg.nii.gz", labels)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cohort", *map(str, arguments)])


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    for number in ("00001", "00002"):
        case = f"BraTS2021_{number}"
        write_case(folder / case, prefix=f"{case}_")
    write_case(folder / "007", ("gad", "fla"), mask=False)
    return folder


def test_folder_and_labels_to_a_cohort_table(tmp_path, images):
    labels = tmp_path / "labels.csv"
    labels.write_text("BraTS21ID,MGMT_value,Age at MRI,Sex\n00001,1,60,M\n00002,-1,,female\n")
    out = tmp_path / "study" / "cohort.csv"
    result = run(images, "--labels", labels, "-o", out)
    assert result.exit_code == 0, result.output
    assert "3 case(s) of 3 patient(s)" in result.output
    assert "1 methylated, 0 unmethylated" in result.output
    assert "no row for 1 case(s): 007" in result.output
    table = read_cohort(out)
    assert list(table.index) == ["007", "BraTS2021_00001", "BraTS2021_00002"]
    assert table["sex"].tolist() == [None, "M", "F"]
    case = read_case(table.loc["BraTS2021_00001"])
    assert list(case.images) == ["t1n", "t1c", "t2w", "t2f"]
    assert set(np.unique(read_case_mask(table.loc["BraTS2021_00001"], case.grid))) == {0, 2, 3}
    assert read_case(table.loc["007"]).missing == ["t1n", "t2w"]
    page = out.with_suffix(".html").read_text()
    assert "Contact sheet" in page
    assert "BraTS2021_00001" in page or "data:image/png" in page
    assert not (out.parent / "failed.csv").exists()


def test_the_same_command_gives_the_same_bytes(tmp_path, images):
    first, second = tmp_path / "a" / "cohort.csv", tmp_path / "b" / "cohort.csv"
    for out in (first, second):
        assert run(images, "-o", out).exit_code == 0
    for suffix in (".csv", ".html", ".json"):
        assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()


def test_bad_cases_are_left_out_with_reasons_and_exit_code_1(tmp_path, images):
    (images / "text").mkdir()
    (images / "text" / "t1.nii.gz").write_text("not an image")
    save_nifti(images / "zero" / "t1.nii.gz", np.zeros(SHAPE, dtype=np.float32))
    moved = np.eye(4)
    moved[2, 3] = 5
    save_nifti(
        write_case(images / "moved", ("t1ce",), mask=False) / "flair.nii.gz",
        np.random.default_rng(0).normal(size=SHAPE).astype(np.float32),
        moved,
    )
    cut = write_case(images / "cut", ("t1",), mask=False) / "t1.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-300])
    out = tmp_path / "cohort.csv"
    result = run(images, "-o", out)
    assert result.exit_code == 1, result.output
    assert list(read_cohort(out).index) == ["007", "BraTS2021_00001", "BraTS2021_00002"]
    failed = pd.read_csv(tmp_path / "failed.csv", index_col="case")
    assert list(failed.index) == ["cut", "moved", "text", "zero"]
    for case, cause in {
        "cut": "cut short",
        "moved": "do not share",
        "text": "cannot be read",
        "zero": "is empty",
    }.items():
        assert cause in failed.at[case, "cause"]
        assert failed.at[case, "fix"]
        assert f"{case}: " in result.output
    assert "4 case(s) failed" in result.output


def test_failures_go_away_when_the_files_are_mended(tmp_path, images):
    save_nifti(images / "zero" / "t1.nii.gz", np.zeros(SHAPE, dtype=np.float32))
    out = tmp_path / "cohort.csv"
    assert run(images, "-o", out).exit_code == 1
    write_case(images / "zero", ("t1",), mask=False)
    assert run(images, "-o", out).exit_code == 0
    assert not (tmp_path / "failed.csv").exists()
    assert "zero" in read_cohort(out).index


def test_a_quick_check_reads_headers_and_a_full_one_every_voxel(tmp_path, images):
    cut = write_case(images / "cut", ("t1",), mask=False) / "t1.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-300])
    assert run(images, "--pictures", 0, "-o", tmp_path / "quick.csv").exit_code == 0
    assert run(images, "--pictures", 0, "--check", "full", "-o", tmp_path / "full.csv").exit_code == 1
    assert "data:image" not in (tmp_path / "quick.html").read_text()


def test_unregistered_cases_can_be_kept(tmp_path):
    folder = tmp_path / "images" / "raw"
    save_nifti(folder / "t1.nii.gz", np.random.default_rng(0).random((9, 8, 7), dtype=np.float32))
    save_nifti(folder / "flair.nii.gz", np.random.default_rng(1).random((6, 8, 5), dtype=np.float32))
    refused = run(folder, "-o", tmp_path / "cohort.csv")
    assert refused.exit_code == 2
    assert not (tmp_path / "cohort.csv").exists()
    kept = run(folder, "--keep-unregistered", "-o", tmp_path / "cohort.csv")
    assert kept.exit_code == 0, kept.output
    assert "do not share their voxels" in kept.output
    assert list(read_cohort(tmp_path / "cohort.csv").index) == ["raw"]


def test_crosswalk_and_second_table(tmp_path):
    images = tmp_path / "images"
    write_case(images / "BraTS2021_00097", prefix="BraTS2021_00097_")
    write_case(images / "UCSF-PDGM-0004_nifti", ("T1", "T1c", "T2", "FLAIR"), prefix="UCSF-PDGM-0004_", mask=False)
    (tmp_path / "walk.csv").write_text("ID,BraTS21 ID\nUCSF-PDGM-004,BraTS2021_00097\nUCSF-PDGM-005,BraTS2021_00098\n")
    (tmp_path / "one.csv").write_text("ID,IDH\nUCSF-PDGM-004,wildtype\n")
    (tmp_path / "two.csv").write_text("BraTS21ID,IDH\n00097,Mutant\n")
    result = run(
        images,
        "--labels",
        tmp_path / "one.csv",
        "--labels",
        tmp_path / "two.csv",
        "--crosswalk",
        tmp_path / "walk.csv",
        "-o",
        tmp_path / "cohort.csv",
    )
    assert result.exit_code == 0, result.output
    table = read_cohort(tmp_path / "cohort.csv")
    assert table["patient"].nunique() == 1
    assert table["idh"].tolist() == [0, 0]
    assert "BraTS-GLI and UCSF-PDGM: 2 (2 pairs of ids)" in result.output
    assert "idh: 1 patient(s), one.csv against two.csv" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "-o", "c.csv"], "does not exist"),
        (["images", "-o", "folder"], "not a CSV file name"),
        (["images", "--layout", "brats21", "-o", "c.csv"], "Did you mean 'brats2021'"),
        (["images", "--check", "deep", "-o", "c.csv"], "'check' is 'deep'"),
        (["images", "--labels", "strangers.csv", "-o", "c.csv"], "no id matches a case"),
        (["images", "--labels", "absent.csv", "-o", "c.csv"], "absent.csv cannot be read"),
        (["empty", "-o", "c.csv"], "No NIfTI file"),
        (["images", "-o", "strangers.csv/c.csv"], "Cannot write"),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_code_2(tmp_path, images, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "strangers.csv").write_text("ID,idh\nx,1\n")
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert not (tmp_path / "c.csv").exists()
    assert not list(tmp_path.rglob(".partial.*"))


def test_quiet_prints_nothing(tmp_path, images):
    result = run(images, "--quiet", "-o", tmp_path / "cohort.csv")
    assert result.exit_code == 0
    assert result.stdout == ""


@pytest.mark.real_data
def test_real_lgg_folder_with_its_labels(tmp_path, shared_data):
    lgg = shared_data / "mri" / "lgg"
    result = run(lgg, "--labels", lgg / "labels.csv", "--pictures", 2, "-o", tmp_path / "cohort.csv")
    assert result.exit_code == 0, result.output
    table = read_cohort(tmp_path / "cohort.csv")
    assert len(table) == table["patient"].nunique() == 26
    assert table["t2w"].isna().all()
    assert table[["t1n", "t1c", "t2f", "mask"]].notna().all(axis=None)
    assert table["idh"].value_counts().to_dict() == {1: 17, 0: 9}
    assert table["os_event"].sum() == 4
    assert table["site"].value_counts().to_dict() == {
        "TCGA-CS": 10,
        "TCGA-HT": 8,
        "TCGA-DU": 6,
        "TCGA-EZ": 1,
        "TCGA-FG": 1,
    }
    assert table.at["TCGA_CS_4941_19960909", "os_days"] == pytest.approx(234, abs=1)


@pytest.mark.real_data
def test_real_brats_case_takes_its_labels_from_ucsf(tmp_path, shared_data):
    table = shared_data / "tables" / "ucsf-pdgm" / "UCSF-PDGM-metadata_v2.csv"
    folders = [shared_data / "mri" / name for name in ("BraTS-GLI-00000-000", "BraTS-GLI-00001-000")]
    result = run(*folders, "--labels", table, "--pictures", 0, "-o", tmp_path / "cohort.csv")
    assert result.exit_code == 0, result.output
    cohort = read_cohort(tmp_path / "cohort.csv")
    assert cohort["idh"].tolist() == [0, 0]
    assert cohort["mgmt"].tolist() == [1, 0]


def test_a_data_set_by_name_brings_layout_masks_and_warnings(tmp_path, images):
    out = tmp_path / "cohort.csv"
    result = run(images, "--dataset", "brats-2021", "-o", out)
    assert result.exit_code == 0, result.output
    table = read_cohort(out)
    assert list(table.index) == ["BraTS2021_00001", "BraTS2021_00002"]
    assert table["dataset"].tolist() == ["brats-2021", "brats-2021"]
    assert set(table["mask_labels"]) == {"brats2021"}
    assert "Licence: CC BY 4.0" in result.output
    assert "None of them is an external test" in result.output
    assert "leading zeros" not in result.output
    unknown = run(images, "--dataset", "brats21", "-o", tmp_path / "other.csv")
    assert unknown.exit_code == 2
    assert "Did you mean" in unknown.output


@pytest.mark.real_data
def test_real_folders_of_two_data_sets_warn_of_shared_patients(tmp_path, shared_data):
    mri, tables = shared_data / "mri", shared_data / "tables"
    result = run(
        mri / "BraTS-GLI-00000-000",
        mri / "lgg",
        *("--dataset", "brats-2023-gli", "--dataset", "lgg-segmentation"),
        *("--labels", tables / "ucsf-pdgm" / "UCSF-PDGM-metadata_v2.csv", "--labels", mri / "lgg" / "labels.csv"),
        *("--pictures", 0, "-o", tmp_path / "cohort.csv"),
    )
    assert result.exit_code == 0, result.output
    table = read_cohort(tmp_path / "cohort.csv")
    assert table["dataset"].value_counts().to_dict() == {"lgg-segmentation": 26, "brats-2023-gli": 1}
    assert set(table["mask_labels"]) == {"whole-tumour", "brats2023"}
    assert table["idh"].value_counts().to_dict() == {1: 17, 0: 10}
    assert table.at["BraTS-GLI-00000-000", "site"] == "UCSF-PDGM"
    assert table.at["TCGA_CS_4941_19960909", "os_days"] == pytest.approx(234, abs=1)
    assert "brats-2023-gli and lgg-segmentation share patients" in result.output
    assert "Voxel spacing is nominal" in result.output


def test_a_bids_tree_with_its_participants(tmp_path):
    tree = tmp_path / "bids"
    for session in ("1", "2"):
        prefix = f"sub-01_ses-{session}_"
        write_case(
            tree / "sub-01" / f"ses-{session}" / "anat",
            ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR"),
            prefix=prefix,
            mask=False,
        )
    write_case(tree / "sub-02" / "anat", ("T1w", "FLAIR"), prefix="sub-02_", mask=False)
    (tree / "participants.tsv").write_text(
        "participant_id\tage\tsex\tidh\nsub-01\t60\tM\tmutant\nsub-02\tn/a\tF\tn/a\n"
    )
    out = tmp_path / "cohort.csv"
    result = run(tree, "-o", out)
    assert result.exit_code == 0, result.output
    table = read_cohort(out)
    assert list(table.index) == ["sub-01_ses-1", "sub-01_ses-2", "sub-02"]
    assert table["patient"].tolist() == ["sub-01", "sub-01", "sub-02"]
    assert table["sex"].tolist() == ["M", "M", "F"]
    assert table["idh"].tolist()[:2] == [1, 1]
    assert table.loc["sub-01_ses-1", ["t1n", "t1c", "t2w", "t2f"]].notna().all()
