"""A real case as DICOM - shuffled names, wrong numbers, a slice twice, personal data in every text - comes through, and nothing personal with it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.cohort.case import read_case
from radiogen.cohort.nifti import Image, read_image, read_labels
from radiogen.cohort.table import read_cohort
from radiogen.pipeline.raw_cases import find_raw_cases
from tests.cohort.dicom_data import FOUR, PHI, Study, write_series

pytestmark = pytest.mark.real_data

FILES = {"t1n": "t1", "t1c": "t1c", "t2w": "t2", "t2f": "fla"}
CASE = "patient-7"


@pytest.fixture(scope="module")
def tree(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw TCGA case as a clinic exports it: a folder per series whose name says nothing."""
    root = tmp_path_factory.mktemp("clinic")
    study = Study()
    for number, (name, kind) in enumerate(FOUR.items()):
        source = nib.load(shared_data / "mri" / "TCGA-FG-6692_raw" / f"{FILES[name]}.nii.gz")
        data = np.asarray(source.dataobj, dtype=np.float32)
        stored = np.round(data / data.max() * 4000).astype(np.uint16)
        write_series(
            root / CASE / f"S{number}", stored, source.affine, kind, study=study, time=f"10{10 + number}00", seed=number, duplicate=3
        )  # fmt: skip
    return root


def test_sequences_and_world_are_right(tree: Path, shared_data: Path) -> None:
    case = find_raw_cases(tree).cases[CASE]
    assert case.sequences == ["t1n", "t1c", "t2w", "t2f"]
    for name in case.sequences:
        found, source = case.read(name), read_image(shared_data / "mri" / "TCGA-FG-6692_raw" / f"{FILES[name]}.nii.gz")
        assert found.grid.corner_distance_mm(source.grid) < 0.1
        assert correlation(found, source) > 0.999


def test_the_study_holds_nothing_personal_and_a_segmentation_goes_back(tree: Path, tmp_path: Path) -> None:
    study, back = tmp_path / "study", tmp_path / "back"
    runner = CliRunner()
    made = runner.invoke(app, ["preprocess", str(tree), "-o", str(study), "--verbose"])
    assert made.exit_code == 0, made.output
    assert list(read_case(read_cohort(study / "cohort.csv").iloc[0]).images) == ["t1n", "t1c", "t2w", "t2f"]
    written = [path for path in study.rglob("*") if path.is_file()]
    assert {"radiogen.log", "preprocess.html", "cohort.csv", "brain.json"} <= {path.name for path in written}
    for path in written:
        assert not personal(text_in(path)), path.name
        assert not personal(str(path.relative_to(study)))
    assert not personal(made.output)

    segmented = runner.invoke(app, ["segment", str(study / "cohort.csv"), "-o", str(study), "--quiet"])
    assert segmented.exit_code == 0, segmented.output
    returned = runner.invoke(app, ["native", str(study), "-o", str(back), "--scans", str(tree)])
    assert returned.exit_code == 0, returned.output
    labels, grid = read_labels(back / "masks" / f"{CASE}.nii.gz")
    assert labels.any()
    assert grid.same_space(find_raw_cases(tree).cases[CASE].read("t1c").grid)
    assert (back / "dicom" / f"{CASE}.dcm").stat().st_size > 1000


def text_in(path: Path) -> str:
    """Return everything in a file that can be text: of images what is not voxels or pixels, where three letters turn up by chance."""
    if path.name.endswith(".nii.gz"):
        raw = path.read_bytes()
        header = gzip.decompress(raw)[:1024]  # the header, and where an extension would stand
        return (raw[:64] + header).decode("latin-1")
    if path.suffix == ".png":
        with PIL.Image.open(path) as picture:
            return str(picture.info)
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", path.read_text(encoding="utf-8"))


def personal(text: str) -> list[str]:
    """Return the personal words that a text holds."""
    words = [word for word in PHI if not word.isdigit() or len(word) > 4]
    return [word for word in words if re.search(rf"(?<![0-9A-Za-z]){re.escape(word)}", text)]


def correlation(a: Image, b: Image) -> float:
    return float(np.corrcoef(a.data.ravel(), b.data.ravel())[0, 1])
