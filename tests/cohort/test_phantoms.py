"""Made-up patients: what the truth says is what the images show, and the same seed gives the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import aff2axcodes
from scipy.ndimage import binary_erosion

from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.masks import region_masks
from radiogen.cohort.phantom_anatomy import grid_affine
from radiogen.cohort.phantom_contrast import SCANNERS
from radiogen.cohort.phantoms import Phantom, case_seed, make_phantom, stored_grid, write_phantom_cohort
from radiogen.cohort.table import SURVIVAL_COLUMNS, read_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.errors import ConfigError, IncompleteError
from radiogen.types import ED, ET, NCR, SEQUENCES

QUICK = PhantomSettings(spacing_mm=4.0)


@pytest.fixture(scope="module")
def wild_type() -> Phantom:
    return make_phantom(QUICK, seed=1, idh=0, mgmt=0, grade=4, volume_ml=80.0)


@pytest.fixture(scope="module")
def mutated() -> Phantom:
    return make_phantom(QUICK, seed=1, idh=1, mgmt=0, grade=2, volume_ml=80.0)


def tissues(phantom: Phantom) -> dict[str, np.ndarray]:
    """Fluid and white matter of the healthy brain, told apart by T1n alone."""
    t1n = phantom.images["t1n"]
    healthy = (t1n > 0) & (phantom.labels == 0)
    low, high = np.percentile(t1n[healthy], [8, 70])
    middle = np.percentile(t1n[healthy], [30, 45])
    return {
        "fluid": healthy & (t1n <= low),
        "grey": healthy & (t1n > middle[0]) & (t1n < middle[1]),
        "white": healthy & (t1n > high),
    }


def test_contrast_of_healthy_tissue_is_physically_ordered(wild_type: Phantom) -> None:
    mean = {
        sequence: {tissue: float(image[where].mean()) for tissue, where in tissues(wild_type).items()}
        for sequence, image in wild_type.images.items()
    }

    assert mean["t2w"]["fluid"] > mean["t2w"]["grey"] > mean["t2w"]["white"]
    assert mean["t2f"]["grey"] > mean["t2f"]["white"] > mean["t2f"]["fluid"]
    assert mean["t1c"]["white"] > mean["t1c"]["grey"] > mean["t1c"]["fluid"]


def test_enhancing_label_is_where_contrast_agent_is(wild_type: Phantom) -> None:
    uptake = wild_type.images["t1c"] - wild_type.images["t1n"]
    white = tissues(wild_type)["white"]

    enhancing = float(uptake[wild_type.labels == ET].mean())

    assert wild_type.truth["enhancement"] == "ring"
    assert enhancing > 0.3 * wild_type.images["t1n"][white].mean()
    for other in (wild_type.labels == ED, wild_type.labels == NCR, white):
        assert enhancing > 3 * abs(float(uptake[other].mean()))


def test_oedema_is_bright_on_flair_and_t2_and_dark_on_t1(wild_type: Phantom) -> None:
    white, oedema = tissues(wild_type)["white"], wild_type.labels == ED
    ratio = {name: image[oedema].mean() / image[white].mean() for name, image in wild_type.images.items()}

    assert ratio["t2f"] > 1.5
    assert ratio["t2w"] > 1.4
    assert ratio["t1n"] < 0.95


def test_same_seed_same_bytes_and_other_seed_other_patient(wild_type: Phantom) -> None:
    again = make_phantom(QUICK, seed=1, idh=0, mgmt=0, grade=4, volume_ml=80.0)
    other = make_phantom(QUICK, seed=2, idh=0, mgmt=0, grade=4, volume_ml=80.0)

    for name in SEQUENCES:
        assert again.images[name].tobytes() == wild_type.images[name].tobytes()
        assert other.images[name].tobytes() != wild_type.images[name].tobytes()
    assert again.labels.tobytes() == wild_type.labels.tobytes()
    assert again.truth == wild_type.truth


def test_mgmt_is_nowhere_in_the_images(wild_type: Phantom) -> None:
    methylated = make_phantom(QUICK, seed=1, idh=0, mgmt=1, grade=4, volume_ml=80.0)

    assert all(methylated.images[name].tobytes() == wild_type.images[name].tobytes() for name in SEQUENCES)
    assert (methylated.truth["mgmt"], wild_type.truth["mgmt"]) == (1, 0)


def test_idh_changes_the_tumour_and_not_the_rest_of_the_brain(wild_type: Phantom, mutated: Phantom) -> None:
    far = (wild_type.labels == 0) & (mutated.labels == 0) & (wild_type.images["t1n"] > 0) & (mutated.images["t1n"] > 0)
    there = (wild_type.labels > 0) & (mutated.labels > 0)

    assert mutated.truth["centre_mm"] == wild_type.truth["centre_mm"]
    assert there.sum() > 0.3 * (wild_type.labels > 0).sum()
    assert np.corrcoef(wild_type.images["t1n"][far], mutated.images["t1n"][far])[0, 1] > 0.8
    assert mutated.truth["mutant_like"] > wild_type.truth["mutant_like"]


def test_without_planted_effect_idh_is_nowhere_in_the_images() -> None:
    blind = PhantomSettings(spacing_mm=5.0, idh_effect=0.0)
    one, other = (make_phantom(blind, seed=3, idh=idh, mgmt=0, volume_ml=50.0) for idh in (0, 1))

    assert all(one.images[name].tobytes() == other.images[name].tobytes() for name in SEQUENCES)


@pytest.mark.parametrize("seed", range(6))
def test_tumour_lies_inside_the_brain_with_the_volume_asked_for(seed: int) -> None:
    phantom = make_phantom(QUICK, seed=seed, idh=seed % 2, mgmt=0, volume_ml=60.0)
    regions = region_masks(phantom.labels)
    brain = phantom.images["t1n"] > 0

    assert phantom.truth["wt_ml"] == pytest.approx(60.0, rel=0.15)
    assert (brain[regions["wt"]]).all()
    assert 0.1 < regions["tc"].sum() / regions["wt"].sum() < 0.8
    assert set(np.unique(phantom.labels)) <= {0, NCR, ED, ET}
    for name, mask in regions.items():
        assert phantom.truth[f"{name}_ml"] == pytest.approx(mask.sum() * 0.064)


def test_images_are_finite_brain_extracted_and_of_one_shape(wild_type: Phantom) -> None:
    background = {name: image == 0 for name, image in wild_type.images.items()}

    for name, image in wild_type.images.items():
        assert image.dtype == np.float32
        assert image.shape == wild_type.labels.shape == wild_type.grid.canonical_shape
        assert np.isfinite(image).all()
        assert image.min() == 0
        np.testing.assert_array_equal(background[name], background["t1n"])
    # 1 to 1.9 litres of brain and fluid
    assert 1000 < (~background["t1n"]).sum() * 0.064 < 2200


def test_skull_adds_a_bright_scalp_and_leaves_the_brain_alone() -> None:
    bare = make_phantom(QUICK, seed=4, idh=0, mgmt=0)
    whole = make_phantom(QUICK.model_copy(update={"skull": True}), seed=4, idh=0, mgmt=0)
    brain, head = bare.images["t1n"] > 0, whole.images["t1n"] > 0
    inside = binary_erosion(brain, iterations=3)

    assert (head & brain).sum() == brain.sum()
    assert head.sum() > 1.2 * brain.sum()
    assert np.percentile(whole.images["t1n"][head & ~brain], 95) > np.percentile(whole.images["t1n"][inside], 95)
    np.testing.assert_array_equal(whole.labels, bare.labels)


def test_finer_grid_shows_the_same_patient() -> None:
    coarse = make_phantom(PhantomSettings(spacing_mm=4.0), seed=5, idh=0, mgmt=0, volume_ml=70.0)
    fine = make_phantom(PhantomSettings(spacing_mm=3.0), seed=5, idh=0, mgmt=0, volume_ml=70.0)

    for name in ("enhancement", "mutant_like", "n_foci"):
        assert coarse.truth[name] == fine.truth[name]
    assert coarse.truth["wt_ml"] == pytest.approx(fine.truth["wt_ml"], rel=0.1)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAS"])
def test_stored_grid_covers_the_same_world_in_the_orientation_of_the_site(orientation: str) -> None:
    grid = stored_grid(4.0, orientation)

    assert "".join(aff2axcodes(grid.affine)) == orientation
    np.testing.assert_allclose(grid.canonical_affine, grid_affine(4.0))
    assert grid.voxel_size_mm == (4.0, 4.0, 4.0)


def test_impossible_patients_are_refused_with_every_reason() -> None:
    with pytest.raises(ConfigError) as refused:
        make_phantom(QUICK, seed=0, idh=2, mgmt=-1, grade=1)

    assert len(refused.value.problems) == 3


@pytest.fixture(scope="module")
def cohort_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantom_cohort(folder, 12, seed=7, settings=QUICK)
    return folder


def test_cohort_is_a_valid_table_without_masks(cohort_folder: Path) -> None:
    table = read_cohort(cohort_folder / "cohort.csv")

    assert list(table.index[:2]) == ["phantom-001", "phantom-002"]
    assert table["mask"].isna().all()
    assert table[["idh", "mgmt", "grade", "age", "sex", "kps", "eor", *SURVIVAL_COLUMNS]].notna().all(axis=None)
    assert set(table["site"]) == {"site-A", "site-B", "site-C"}
    assert "no patient" in (cohort_folder / "README.txt").read_text(encoding="utf-8").lower()
    text = (cohort_folder / "cohort.csv").read_text(encoding="utf-8")
    assert str(cohort_folder) not in text


def test_cohort_files_read_back_as_the_phantom_made(cohort_folder: Path) -> None:
    table = read_cohort(cohort_folder / "cohort.csv")
    truth = pd.read_csv(cohort_folder / "truth" / "truth.csv", index_col="case")
    position = next(i for i, site in enumerate(table["site"]) if site == "site-B")
    row = table.iloc[position].copy()
    case = read_case(row)
    row["mask"] = str(cohort_folder / "truth" / f"{row.name}.nii.gz")
    row["mask_labels"] = "brats2023"
    labels = read_case_mask(row, case.grid)

    phantom = make_phantom(
        QUICK,
        seed=case_seed(7, position),
        idh=int(row["idh"]),
        mgmt=int(row["mgmt"]),
        grade=int(row["grade"]),
        volume_ml=float(truth.loc[str(row.name), "volume_ml"]),
        scanner=SCANNERS[1],
    )

    assert "".join(aff2axcodes(case.grid.affine)) == "LPS"
    np.testing.assert_array_equal(labels, phantom.labels)
    for name in SEQUENCES:
        np.testing.assert_array_equal(case.images[name], phantom.images[name])


def test_cohort_bytes_do_not_depend_on_size_or_jobs_and_resume_keeps_files(cohort_folder: Path, tmp_path: Path) -> None:
    write_phantom_cohort(tmp_path, 3, seed=7, settings=QUICK, jobs=2)
    before = {path: (path.stat().st_mtime_ns, digest(path)) for path in sorted(tmp_path.rglob("*.nii.gz"))}
    write_phantom_cohort(tmp_path, 4, seed=7, settings=QUICK)

    assert len(before) == 3 * 5
    for path, (time, bytes_before) in before.items():
        assert path.stat().st_mtime_ns == time
        assert bytes_before == digest(cohort_folder / path.relative_to(tmp_path))
    assert (tmp_path / "truth" / "phantom-004.nii.gz").is_file()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("n_cases", "seed"), [(0, 0), (3, -1)])
def test_cohort_refuses_impossible_requests(tmp_path: Path, n_cases: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="accepted"):
        write_phantom_cohort(tmp_path, n_cases, seed=seed)


def test_cohort_that_cannot_be_made_whole_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Phantom:
        raise ValueError("no brain")

    monkeypatch.setattr("radiogen.cohort.phantoms.make_phantom", broken)

    with pytest.raises(IncompleteError, match=r"2 of 2 phantoms.*no brain"):
        write_phantom_cohort(tmp_path, 2, settings=QUICK)
    assert not (tmp_path / "cohort.csv").exists()
