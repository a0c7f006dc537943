"""The location branch over cohorts: how cases reach the template, what is blank and why, cache and provenance."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sklearn.base import clone

from radiogen.branches.location import LocationBranch
from radiogen.branches.names import BRANCHES
from radiogen.cohort.nifti import Image
from radiogen.config.location import LocationSettings
from radiogen.preprocess import template_space
from radiogen.preprocess.register import Registration, rigid
from radiogen.preprocess.template import bridge, load_template
from radiogen.preprocess.template_space import SRI24_GRID, SRI24_TO_MNI152
from tests.branches.location_cases import AFFINE, cohort, moved_template, sphere, write_mask

CENTRE = (-30.0, 35.0, 20.0)
XYZ = [f"location_wt_centroid_{axis}_mm" for axis in "xyz"]


def branch(**settings: object) -> LocationBranch:
    return LocationBranch(LocationSettings.parse(settings))


def test_a_case_on_the_template_is_placed_without_a_sequence(tmp_path: Path) -> None:
    extraction = branch().extract(cohort(tmp_path, {"a": sphere(CENTRE, 12.0)}))
    assert extraction.features.loc["a", XYZ].tolist() == pytest.approx(CENTRE, abs=1e-6)
    assert extraction.features.loc["a"].notna().all()
    assert not extraction.notes


def test_columns_follow_from_the_settings(tmp_path: Path) -> None:
    worker = clone(branch(regions=("wt", "ed")))
    found = worker.fit_transform(cohort(tmp_path, {"a": sphere(CENTRE, 8.0)}))
    assert found.columns.tolist() == worker.get_feature_names_out().tolist()
    assert len(found.columns) == 2 * 13 + 9
    assert all(name.startswith("location_") for name in found.columns)
    assert BRANCHES.load("location") is LocationBranch


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_permuted_and_flipped_files_give_the_same(tmp_path: Path, axes: tuple[int, int, int]) -> None:
    labels = sphere(CENTRE, 9.0)
    image = nib.Nifti1Image(labels, AFFINE).as_reoriented(np.array([[axis, -1 if axis == 1 else 1] for axis in axes]))
    table = cohort(tmp_path, {"a": labels})
    expected = branch().transform(table)
    write_mask(tmp_path / "a" / "mask.nii.gz", np.asarray(image.dataobj), image.affine)
    assert np.allclose(branch().transform(table), expected, rtol=0, atol=1e-9)


def test_an_empty_region_is_blank_and_noted(tmp_path: Path) -> None:
    labels = np.where(sphere(CENTRE, 8.0) == 3, 2, sphere(CENTRE, 8.0)).astype(np.uint8)
    extraction = branch().extract(cohort(tmp_path, {"a": labels}, mask_labels="brats2023"))
    found = extraction.features.loc["a"]
    assert (
        found.filter(like="location_et_")
        .drop(["location_et_focus_count", "location_et_wt_volume_ratio", "location_et_tc_volume_ratio"])
        .isna()
        .all()
    )
    assert (found["location_et_focus_count"], found["location_et_wt_volume_ratio"]) == (0.0, 0.0)
    assert found.filter(like="location_tc_").notna().all()
    assert extraction.notes["a"] == ["et: the mask has no such voxel"]


def test_a_whole_tumour_mask_leaves_parts_and_ratios_blank(tmp_path: Path) -> None:
    extraction = branch().extract(cohort(tmp_path, {"a": (sphere(CENTRE, 8.0) > 0).astype(np.uint8)}))
    found = extraction.features.loc["a"]
    assert found.filter(like="ratio").isna().all()
    assert found.filter(regex="location_(tc|et)_").isna().all()
    assert found.filter(like="location_wt_").notna().all()
    assert "whole tumour only" in extraction.notes["a"][0]


def test_a_case_on_another_grid_without_a_sequence_has_no_place_but_a_composition(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[0, 3] += 4
    extraction = branch().extract(cohort(tmp_path, {"a": sphere(CENTRE, 8.0)}, affine))
    found = extraction.features.loc["a"]
    assert found[XYZ].isna().all()
    assert found.filter(like="ratio").notna().all()
    assert extraction.notes["a"] == ["place: blank, the case has no sequence to register and its grid is no template's"]
    never = branch(registration="never").extract(cohort(tmp_path, {"a": sphere(CENTRE, 8.0)}, affine))
    assert "set to never" in never.notes["a"][0]


def test_a_moved_head_is_registered_and_its_lesion_found_where_it_was(tmp_path: Path) -> None:
    image, affine = moved_template((14.0, -9.0, 21.0))
    labels = sphere(CENTRE, 12.0)[::2, ::2, ::2]
    image[labels > 0] = 1500  # bright: the lesion must not pull the registration
    table = cohort(tmp_path, {"a": labels}, affine, t2f="a/t2f.nii.gz")
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "a" / "t2f.nii.gz")
    extraction = branch().extract(table)
    assert extraction.features.loc["a", XYZ].tolist() == pytest.approx(CENTRE, abs=1.5)
    assert "t2f was registered to MNI152 (similarity 1." in extraction.notes["a"][0]


def test_a_registration_that_went_wrong_leaves_the_place_blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, affine = moved_template((14.0, 0.0, 0.0), 4.0)
    table = cohort(tmp_path, {"a": sphere(CENTRE, 12.0)[::4, ::4, ::4]}, affine, t1n="a/t1n.nii.gz")
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "a" / "t1n.nii.gz")
    bad = Registration(np.eye(4), "affine", 1.0, 1.0, ("The overlap is small: 3 %.",))
    monkeypatch.setattr(template_space, "register", lambda *args, **options: bad)
    extraction = branch().extract(table)
    assert extraction.features.loc["a", XYZ].isna().all()
    assert "t1n could not be registered to MNI152. t1n: The overlap is small" in extraction.notes["a"][0]
    off = Registration(rigid((0.0, 0.0, 0.0), (300.0, 0.0, 0.0)), "affine", 1.0, 1.2, ())
    monkeypatch.setattr(template_space, "register", lambda *args, **options: off)
    extraction = branch().extract(table)
    assert extraction.features.loc["a", XYZ].isna().all()
    assert "100% of the tumour lie outside the template's brain, so the place is blank" in extraction.notes["a"][1]


def test_where_the_first_sequence_fails_the_most_similar_other_one_places_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, affine = moved_template((14.0, 0.0, 0.0), 4.0)
    files = {name: f"a/{name}.nii.gz" for name in ("t1n", "t1c", "t2w", "t2f")}
    table = cohort(tmp_path, {"a": sphere(CENTRE, 12.0)[::4, ::4, ::4]}, affine, **files)
    for number, name in enumerate(files):
        nib.save(nib.Nifti1Image(image + np.float32(number), affine), tmp_path / "a" / f"{name}.nii.gz")
    moved = rigid((0.0, 0.0, 0.0), (14.0, 0.0, 0.0))
    answers = {
        0: Registration(np.eye(4), "affine", 1.0, 1.3, ("The pose found is not plausible.",)),
        1: Registration(np.eye(4), "affine", 1.0, 1.03, ()),
        2: Registration(moved, "affine", 1.0, 1.05, ()),
        3: Registration(np.eye(4), "affine", 1.0, 1.04, ()),
    }
    asked = []

    def answer(fixed: object, moving: Image, **options: object) -> Registration:
        asked.append(round(float(moving.data.min())))
        return answers[asked[-1]]

    monkeypatch.setattr(template_space, "register", answer)
    extraction = branch().extract(table)
    assert asked == [0, 1, 2, 3]
    assert extraction.features.loc["a", XYZ].tolist() == pytest.approx(CENTRE, abs=1.5)
    assert extraction.notes["a"][0].endswith(
        "t2w was registered to MNI152 (similarity 1.050 of 1 to 2); t1n could not be"
    )
    # A first sequence that fits is enough.
    answers[0] = Registration(moved, "affine", 1.0, 1.03, ())
    asked.clear()
    branch().extract(table)
    assert asked == [0]


@pytest.mark.parametrize("where", ["beside", "study"])
def test_transforms_of_preprocessing_bring_a_native_mask_to_the_template(tmp_path: Path, where: str) -> None:
    _, affine = moved_template((14.0, -9.0, 21.0))
    labels = sphere(CENTRE, 12.0)[::2, ::2, ::2]
    folder = tmp_path / "a" if where == "beside" else tmp_path / "study" / "preprocessed" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "matrix_output_to_native_mm": rigid((0.0, 0.0, 0.0), (14.0, -9.0, 21.0)).tolist(),
        "native": {"shape": list(labels.shape), "affine": affine.tolist()},
    }
    output = {"shape": [99, 117, 95], "affine": (AFFINE @ np.diag([2.0, 2, 2, 1])).tolist()}
    (folder / "transforms.json").write_text(
        json.dumps({"output": output, "sequences": {"t1c": facts}}), encoding="utf-8"
    )
    (folder / "brain.json").write_text(json.dumps({"settings": {"template": "mni152"}}), encoding="utf-8")
    table = cohort(tmp_path, {"a": labels}, affine, t1c="a/t1c.nii.gz")
    worker = branch(
        registration="where-needed", **({} if where == "beside" else {"preprocessed": str(tmp_path / "study")})
    )
    extraction = worker.extract(table)
    assert extraction.features.loc["a", XYZ].tolist() == pytest.approx(CENTRE, abs=0.1)
    assert not extraction.notes
    before = worker.provenance_inputs(table)
    (folder / "brain.json").write_text("{}", encoding="utf-8")
    assert worker.provenance_inputs(table) != before


def test_a_mask_that_is_missing_or_damaged_quarantines_its_case(tmp_path: Path) -> None:
    table = cohort(tmp_path, {"a": sphere(CENTRE, 8.0), "b": sphere(CENTRE, 8.0), "c": sphere(CENTRE, 8.0)})
    table.loc["a", "mask"] = None
    Path(table.loc["b", "mask"]).write_bytes(b"")
    extraction = branch().extract(table)
    assert extraction.features.index.tolist() == ["c"]
    assert [failure.case for failure in extraction.failures] == ["a", "b"]


def test_the_cache_is_used_and_a_changed_mask_is_measured_again(tmp_path: Path) -> None:
    table = cohort(tmp_path, {"a": sphere(CENTRE, 8.0)})
    worker = LocationBranch(LocationSettings(), cache_folder=tmp_path / "cache")
    first = worker.transform(table)
    (entry,) = (tmp_path / "cache").glob("*.json")
    stored = json.loads(entry.read_text(encoding="utf-8"))
    stored["values"][XYZ[0]] = 1234.5
    entry.write_text(json.dumps(stored), encoding="utf-8")
    assert worker.transform(table).loc["a", XYZ[0]] == 1234.5
    entry.write_text("{", encoding="utf-8")  # damaged: made again
    assert worker.transform(table).equals(first)
    write_mask(Path(table.loc["a", "mask"]), sphere((30.0, 35.0, 20.0), 8.0))
    assert worker.transform(table).loc["a", XYZ[0]] == pytest.approx(30.0)


@pytest.mark.real_data
def test_the_stored_way_from_sri24_is_what_registration_finds(shared_data: Path) -> None:
    sri24 = load_template(shared_data / "atlas" / "sri24_t1_1mm_skull_stripped.nii.gz")
    assert sri24.image.grid.same_space(SRI24_GRID)
    assert np.allclose(bridge(sri24, load_template()), SRI24_TO_MNI152, atol=[0.01, 0.01, 0.01, 1.0])


@pytest.mark.real_data
def test_a_brats_case_lies_in_the_left_frontal_lobe(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mri" / "BraTS-GLI-00000-000"
    (tmp_path / "cohort").mkdir()
    table = cohort(tmp_path / "cohort", {"a": sphere(CENTRE, 4.0)})
    table.loc["a", "mask"] = str(folder / "BraTS-GLI-00000-000-seg.nii.gz")
    found = branch().transform(table).loc["a"]
    # Seen on the picture of the mask on the template.
    assert found["location_wt_laterality_index"] > 0.95
    assert found[XYZ].tolist() == pytest.approx([-22, 31, -8], abs=3)


@pytest.mark.real_data
def test_an_lgg_case_is_registered_into_the_cerebellum(shared_data: Path, tmp_path: Path) -> None:
    case = "TCGA_HT_7680_19970202"
    folder = shared_data / "mri" / "lgg" / case
    table = cohort(tmp_path, {case: sphere(CENTRE, 4.0)})
    table.loc[case, ["t1n", "mask"]] = [str(folder / f"{case}_{name}.nii.gz") for name in ("t1n", "mask")]
    found = branch().transform(table).loc[case]
    # Seen on the picture of the mask on the template: in the vermis and the right hemisphere of the cerebellum, behind the fourth ventricle.
    assert found[XYZ].tolist() == pytest.approx([4, -60, -26], abs=5)
    assert found["location_wt_ventricle_distance_mm"] < 3
