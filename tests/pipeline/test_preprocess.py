"""Raw cases whose sequences were moved by known transforms come out on one grid; what is wrong is said; masks find their way back."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.masks import region_masks, region_volumes_ml
from radiogen.cohort.nifti import read_labels
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort, write_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.preprocess import PreprocessSettings
from radiogen.config.study import StudySettings
from radiogen.errors import CaseError, ConfigError
from radiogen.pipeline.native import run_native
from radiogen.pipeline.preprocess import PreprocessOutcome, run_preprocess
from radiogen.pipeline.raw_cases import find_raw_cases
from radiogen.pipeline.study import run_study
from radiogen.preprocess.poses import pose, rigid
from radiogen.preprocess.register import normalised_mutual_information
from radiogen.stats.overlap import dice

SETTINGS = PreprocessSettings(spacing_mm=3.0)
MOVED = rigid((6.0, -4.0, 9.0), (8.0, -5.0, 6.0))


def move(path: Path, matrix: np.ndarray) -> None:
    """Put the file's voxels elsewhere in the world."""
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), matrix @ image.affine), path)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cases: t2f of the first moved against its t1c; the second without t1c and t1n; the third is no image."""
    folder = tmp_path_factory.mktemp("raw")
    made = write_phantom_cohort(folder, 3, seed=3, settings=PhantomSettings(spacing_mm=3.0), jobs=1, progress=False)
    table = read_cohort(made)
    first, second, third = table.index
    table.loc[first, "mask"] = str(folder / "truth" / f"{first}.nii.gz")
    move(Path(table.loc[first, "t2f"]), MOVED)
    table.loc[first, ["t1n", "t2w"]] = None
    table.loc[second, ["t1n", "t1c"]] = None
    table.loc[third, ["t1n", "t2w", "t2f"]] = None
    Path(table.loc[third, "t1c"]).write_bytes(b"no image")
    write_cohort(table, folder / "cohort.csv")
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def study(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreprocessOutcome]:
    folder = tmp_path_factory.mktemp("study")
    return folder, run_preprocess(find_raw_cases(cohort), folder, SETTINGS)


def test_every_case_is_on_one_grid_and_its_sequences_overlap(study: tuple[Path, PreprocessOutcome]) -> None:
    folder, outcome = study
    table = read_cohort(folder / "cohort.csv")
    assert list(table.index) == list(outcome.cohort.index)
    assert len(table) == 2
    first = read_case(table.iloc[0])
    assert list(first.images) == ["t1c", "t2f"]
    assert first.grid.voxel_size_mm == (3.0, 3.0, 3.0)
    brain = read_labels(folder / "preprocessed" / str(table.index[0]) / "brain.nii.gz")[0] > 0
    together = normalised_mutual_information(first.images["t1c"], first.images["t2f"], brain)
    apart = normalised_mutual_information(first.images["t1c"], np.roll(first.images["t2f"], 2, axis=1), brain)
    assert together > apart + 0.02
    assert list(read_case(table.iloc[1]).images) == ["t2w", "t2f"]


def test_the_known_move_between_two_sequences_is_found(study: tuple[Path, PreprocessOutcome]) -> None:
    folder, outcome = study
    path = folder / "preprocessed" / str(outcome.cohort.index[0]) / "transforms.json"
    sequences = json.loads(path.read_text())["sequences"]
    reference, other = (np.array(sequences[name]["matrix_output_to_native_mm"]) for name in ("t1c", "t2f"))
    rotation_deg, shift_mm = pose(np.linalg.inv(MOVED) @ other @ np.linalg.inv(reference))
    assert rotation_deg < 1.0
    assert shift_mm < 1.0


def test_the_mask_moves_with_its_sequence_and_back(
    cohort: Path, study: tuple[Path, PreprocessOutcome], tmp_path: Path
) -> None:
    folder, _ = study
    row = read_cohort(folder / "cohort.csv").iloc[0]
    case = read_case(row)
    before, grid = read_labels(read_cohort(cohort).iloc[0]["mask"])
    moved = read_case_mask(row, case.grid)
    was_ml, is_ml = region_volumes_ml(before, grid), region_volumes_ml(moved, case.grid)
    assert is_ml["wt_ml"] == pytest.approx(was_ml["wt_ml"], rel=0.05)
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / f"{row.name}.nii.gz").write_bytes(Path(row["mask"]).read_bytes())
    volumes, failures = run_native(folder, tmp_path / "back", masks=masks)
    assert not failures
    back, back_grid = read_labels(tmp_path / "back" / "masks" / f"{row.name}.nii.gz")
    assert back_grid.same_space(grid)
    assert dice(region_masks(back)["wt"], region_masks(before)["wt"]) > 0.85
    assert volumes["wt_ml_native"].iloc[0] == pytest.approx(was_ml["wt_ml"], rel=0.1)


def test_what_cannot_be_read_is_quarantined_with_its_reason(study: tuple[Path, PreprocessOutcome]) -> None:
    folder, outcome = study
    failed = pd.read_csv(folder / "failed.csv")
    assert len(failed) == len(outcome.failures) == 1
    assert "t1c" in failed["cause"][0]
    assert failed["fix"][0]
    assert not (folder / "preprocessed" / failed["case"][0]).exists()


def test_missing_sequences_are_flagged_and_pictures_are_there(study: tuple[Path, PreprocessOutcome]) -> None:
    folder, outcome = study
    quality = pd.read_csv(folder / "quality.csv", index_col="case")
    assert "t1n" in quality["flags"].iloc[1]
    assert bool(quality["flagged"].iloc[1])
    for case in outcome.cohort.index:
        assert (folder / "qc" / "preprocess" / f"{case}.png").stat().st_size > 10_000
    page = (folder / "preprocess.html").read_text()
    assert all(case in page for case in [*outcome.cohort.index, outcome.failures[0].case])


def test_a_second_run_does_nothing_again_and_a_new_setting_does(
    cohort: Path, study: tuple[Path, PreprocessOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, outcome = study
    files = [path for path in (folder / "preprocessed").rglob("*") if path.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    raw = find_raw_cases(cohort)
    run_preprocess(raw, folder, SETTINGS)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files} == before

    def refuse(*_: object, **__: object) -> None:
        raise CaseError("worked on again")

    monkeypatch.setattr("radiogen.pipeline.preprocess.preprocess_images", refuse)
    assert len(run_preprocess(raw, folder, SETTINGS).cohort) == len(outcome.cohort)
    with pytest.raises(CaseError, match=r"failed\.csv"):
        run_preprocess(raw, folder, SETTINGS.model_copy(update={"intensity": "zscore"}))
    assert (pd.read_csv(folder / "failed.csv")["cause"] == "worked on again").sum() == len(outcome.cohort)


def test_an_unknown_method_is_refused_before_any_case(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="surface"):
        run_preprocess(find_raw_cases(cohort), tmp_path, SETTINGS.model_copy(update={"brain": "surfce"}))


def test_a_whole_study_starts_from_raw_scans_where_it_is_asked_to(cohort: Path, tmp_path: Path) -> None:
    settings = StudySettings.parse(
        {
            "preprocess": True, "preprocessing": SETTINGS.model_dump(), "segment": {"weights": ["radiogen-compact"]},
            "branches": ["clinical"], "targets": [], "survival_groups": [],
        }
    )  # fmt: skip
    outcome = run_study(read_cohort(cohort), tmp_path, settings)
    table = read_cohort(tmp_path / "cohort.csv")
    assert len(table) == 2
    assert [failure.case for failure in outcome.failures] == ["phantom-003"]
    for case, row in table.iterrows():
        assert read_case_mask(row, read_case(row).grid).any()
        assert (tmp_path / "qc" / f"{case}.png").is_file()
        assert (tmp_path / "qc" / "preprocess" / f"{case}.png").is_file()
