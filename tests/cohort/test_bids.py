from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.bids import bids_label, name_problems, write_bids_derivatives
from radiogen.cohort.bids_layout import BidsLayout
from radiogen.cohort.build import cohort_table
from radiogen.cohort.layouts import Candidate, find_cases
from radiogen.cohort.masks import read_mask
from radiogen.cohort.nifti import read_image
from radiogen.errors import CohortError
from tests.conftest import save_nifti

SHAPE = (8, 9, 7)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("sub-01_T1w", "t1n"),
        ("sub-01_ce-gadolinium_T1w", "t1c"),
        ("sub-01_acq-postcontrast_T1w", "t1c"),
        ("sub-01_ses-pre_run-2_T2w", "t2w"),
        ("sub-01_FLAIR", "t2f"),
        ("sub-01_space-MNI152NLin2009aSym_desc-preproc_FLAIR", "t2f"),
        ("sub-01_label-lesion_mask", "mask"),
        ("sub-01_space-orig_desc-tumor_dseg", "mask"),
        ("sub-01_label-lesion_roi", "mask"),
    ],
)
def test_names_of_the_specification(name, role):
    outcome = BidsLayout().match(Path(f"{name}.nii.gz"))
    assert isinstance(outcome, Candidate)
    assert (outcome.role, outcome.patient) == (role, "sub-01")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-01_task-rest_bold", "'bold' is not a sequence"),
        ("sub-01_desc-brain_mask", "a brain mask"),
        ("sub-01_dseg", "does not say that it is of a tumour"),
        ("sub-01_desc-aseg_dseg", "does not say that it is of a tumour"),
        ("sub-01_part-phase_T1w", "phase"),
    ],
)
def test_what_is_not_used_says_why(name, reason):
    outcome = BidsLayout().match(Path(f"{name}.nii.gz"))
    assert isinstance(outcome, str)
    assert reason in outcome


@pytest.mark.parametrize("name", ["t1", "BraTS2021_00000_t1", "subject-01_T1w", "sub-01"])
def test_other_names_are_left_to_other_layouts(name):
    assert BidsLayout().match(Path(f"{name}.nii.gz")) is None


def test_raw_images_and_first_runs_go_before_derivatives(tmp_path):
    for name in (
        "sub-01/anat/sub-01_run-2_T1w",
        "sub-01/anat/sub-01_run-1_T1w",
        "derivatives/x/sub-01/anat/sub-01_space-MNI152Lin_desc-preproc_T1w",
    ):
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (case,) = find_cases([tmp_path]).cases
    assert case.files["t1n"].name == "sub-01_run-1_T1w.nii.gz"
    assert [path.name for path in case.passed_over["t1n"]][-1].startswith("sub-01_space-MNI152Lin")


@pytest.fixture
def study(tmp_path) -> tuple[Path, pd.DataFrame]:
    """A study of three preprocessed cases, two of them of one patient."""
    folder = tmp_path / "study"
    rng = np.random.default_rng(0)
    brain = np.zeros(SHAPE, np.uint8)
    brain[2:6, 2:7, 1:6] = 1
    rows = []
    for case, patient in (("P-1_a", "P-1"), ("P-1_b", "P-1"), ("P-2", "P-2")):
        here = folder / "preprocessed" / case
        row: dict[str, object] = {"case": case, "patient": patient, "site": None, "t2w": None, "mask": None}
        for name in ("t1n", "t1c", "t2f"):
            data = rng.uniform(1, 9, SHAPE).astype(np.float32)
            row[name] = str(save_nifti(here / f"{name}.nii.gz", data * brain if case != "P-2" else data, AFFINE))
        save_nifti(here / "brain.nii.gz", brain, AFFINE)
        rows.append(row | {"idh": 1.0 if patient == "P-1" else np.nan, "age": 50.0, "sex": "F"})
    labels = np.zeros(SHAPE, np.uint8)
    labels[3, 3, 2:5] = (1, 2, 4)
    rows[0]["mask"] = str(save_nifti(folder / "masks" / "P-1_a.nii.gz", labels, AFFINE))
    rows[0]["mask_labels"] = "brats2021"
    return folder, pd.DataFrame(rows).set_index("case")


def test_derivatives_are_named_described_and_read_again(tmp_path, study):
    folder, cohort = study
    output = tmp_path / "bids"
    written = write_bids_derivatives(folder, cohort, output)
    names = {path.relative_to(output).as_posix() for path in written}
    assert len(written) == 3 * 4 + 1
    assert "sub-P1/ses-a/anat/sub-P1_ses-a_ce-gadolinium_space-MNI152NLin2009aSym_desc-preproc_T1w.nii.gz" in names
    assert "sub-P2/anat/sub-P2_space-MNI152NLin2009aSym_desc-brain_mask.nii.gz" in names
    assert all(name_problems(Path(name)) == [] for name in names)
    for path in written:
        assert path.with_name(path.name.replace(".nii.gz", ".json")).is_file()
    about = json.loads((output / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    assert about["GeneratedBy"][0]["Name"] == "radiogen"
    stripped = {
        path.name.split("_")[0]: json.loads(path.read_text())["SkullStripped"] for path in output.rglob("*T1w.json")
    }
    assert stripped == {"sub-P1": True, "sub-P2": False}
    found = find_cases([output])
    again = cohort_table(found)
    assert list(again.index) == ["sub-P1_ses-a", "sub-P1_ses-b", "sub-P2"]
    assert again["patient"].tolist() == ["sub-P1", "sub-P1", "sub-P2"]
    image = read_image(again.at["sub-P1_ses-a", "t1c"])
    before = read_image(cohort.at["P-1_a", "t1c"])
    assert np.array_equal(image.data, before.data)
    assert image.grid.same_space(before.grid)
    labels, _ = read_mask(again.at["sub-P1_ses-a", "mask"], again.at["sub-P1_ses-a", "mask_labels"])
    assert sorted(labels[labels > 0].tolist()) == [1, 2, 3]
    participants = pd.read_csv(output / "participants.tsv", sep="\t", index_col=0)
    assert participants["idh"].tolist()[0] == 1
    assert participants["idh"].isna().tolist() == [False, True]


def test_labels_that_would_fall_together_are_refused(tmp_path, study):
    folder, cohort = study
    with pytest.raises(CohortError, match="letters and digits"):
        write_bids_derivatives(folder, cohort.assign(patient=["P-1", "P1", "P-2"]), tmp_path / "bids")
    assert not (tmp_path / "bids").exists()


def test_cases_without_a_brain_and_unknown_spaces_are_refused(tmp_path, study):
    folder, cohort = study
    with pytest.raises(CohortError, match="no brain mask"):
        write_bids_derivatives(tmp_path, cohort, tmp_path / "bids")
    with pytest.raises(CohortError, match="SRI24"):
        write_bids_derivatives(folder, cohort, tmp_path / "bids", space="SRI24")
    written = write_bids_derivatives(
        folder, cohort, tmp_path / "bids", space="SRI24", space_reference="https://www.nitrc.org/projects/sri24/"
    )
    about = json.loads(written[0].with_name(written[0].name.replace(".nii.gz", ".json")).read_text())
    assert about["SpatialReference"].endswith("sri24/")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("sub-1/anat/sub-1_space-X_ce-gadolinium_desc-preproc_T1w.nii.gz", "order"),
        ("sub-1/anat/sub-1_run-1_T1w.nii.gz", "not used here"),
        ("anat/sub-1_T1w.nii.gz", "it lies in anat"),
        ("sub-1/anat/sub-a-b_T1w.nii.gz", "letters and digits"),
        ("sub-1/anat/sub-1_t1.nii.gz", "suffix"),
    ],
)
def test_bad_names_are_found(path, problem):
    assert any(problem in line for line in name_problems(Path(path)))


def test_labels_hold_letters_and_digits():
    assert bids_label("TCGA-FG-6692_raw") == "TCGAFG6692raw"
