"""Which file is which sequence: proposals with reasons, and what the user may make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radiogen.app.files import Upload, receive
from radiogen.app.identify import MASK, NOT_USED, Item, choose, find_items
from radiogen.config.app import AppSettings
from radiogen.errors import InputError
from radiogen.types import SEQUENCES
from tests.app.data import nifti_bytes, phantom, phantom_files, uploads
from tests.cohort.dicom_data import FOUR, PHI, T1N, Study, from_grid, tilted, volume, write_enhanced, write_series


def items_of(files: list[Upload], folder: Path, settings: AppSettings | None = None) -> list[Item]:
    limits = settings or AppSettings()
    return find_items(receive(files, folder, limits), folder, limits)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return items_of(uploads(), tmp_path_factory.mktemp("four"))


def test_names_are_believed_and_the_image_is_heard(four: list[Item]) -> None:
    assert {item.name: item.role for item in four} == {f"x_{name}.nii.gz": name for name in SEQUENCES}
    for item in four:
        assert item.reasons[0] == f"its name says {item.role}"
        assert item.reasons[1].startswith("the image looks like")
        assert "4 x 4 x 4 mm" in item.geometry
    assert set(choose(four, [item.role for item in four])) == set(SEQUENCES)


def test_without_names_the_image_decides_and_each_role_is_proposed_once(tmp_path: Path) -> None:
    files = [Upload("a.nii.gz", phantom_files()["t2f"]), Upload("b.nii.gz", phantom_files()["t2f"])]
    items = items_of(files, tmp_path)
    assert [item.role for item in items].count(items[0].role) == 1
    assert items[0].reasons[0] == "its name says nothing"
    assert "fits" in items[1].reasons[-1]


def test_a_mask_is_offered_and_not_taken(tmp_path: Path) -> None:
    items = items_of([*uploads("t2f"), Upload("x_seg.nii.gz", nifti_bytes(phantom().labels))], tmp_path)
    assert items[1].role == NOT_USED
    assert "choose 'mask'" in items[1].reasons[0]
    assert set(choose(items, ["t2f", MASK])) == {"t2f", MASK}


def test_corrections_are_checked(four: list[Item]) -> None:
    with pytest.raises(InputError, match="t1c is given to 2 images"):
        choose(four, ["t1c", "t1c", "t2w", "t2f"])
    with pytest.raises(InputError, match="no image is t1n, t1c, t2w, t2f"):
        choose(four, [NOT_USED] * 4)
    unusable = [replace(four[0], problem="its modality is CT, MR is accepted"), *four[1:]]
    with pytest.raises(InputError, match="cannot be t1n: its modality is CT"):
        choose(unusable, list(SEQUENCES))
    with pytest.raises(InputError, match="another part of the body"):
        choose([replace(item, shows_brain=False) for item in four], list(SEQUENCES))


def test_a_file_that_shows_no_brain_is_said_to(tmp_path: Path) -> None:
    knee = np.zeros((30, 30, 30), np.float32)
    knee[10:20, 10:20] = np.random.default_rng(0).random((10, 10, 30))
    (item,) = items_of([Upload("knee_t1.nii.gz", nifti_bytes(knee))], tmp_path)
    assert "does not look like a brain" in item.reasons[-1]
    with pytest.raises(InputError, match="looks like a brain MRI"):
        choose([item], ["t1n"])


def test_images_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="million voxels; up to 1 million"):
        items_of(
            [Upload("a_t1.nii.gz", nifti_bytes(np.zeros((101, 100, 100))))], tmp_path, AppSettings(max_million_voxels=1)
        )
    flat = Upload("b_t1.nii.gz", nifti_bytes(np.ones((4, 4, 4))))
    with pytest.raises(InputError, match="the value 1 in every voxel") as caught:
        items_of([flat], tmp_path / "b")
    assert "00001" not in str(caught.value)


def dicom_uploads(folder: Path) -> list[Upload]:
    return [Upload(path.relative_to(folder).as_posix(), path.read_bytes()) for path in sorted(folder.rglob("*.dcm"))]


def test_dicom_series_single_and_enhanced(tmp_path: Path) -> None:
    study, made = Study(), phantom()
    for number, name in enumerate(("t2f", "t1n", "t1c")):
        data, affine = from_grid(made.images[name], made.grid)
        write_series(
            tmp_path / "in" / f"S{number}", data, affine, FOUR[name], study=study, time=f"10{number}500", seed=number
        )
    data, affine = from_grid(made.images["t2w"], made.grid)
    write_enhanced(tmp_path / "in" / "S9" / "e.dcm", data, affine, FOUR["t2w"], study=study)
    items = items_of(dicom_uploads(tmp_path / "in"), tmp_path / "out")
    assert {item.role for item in items} == set(SEQUENCES)
    for item in items:
        assert item.name.startswith("DICOM series")
        assert item.reasons
        assert not any(mark in " ".join([item.name, *item.reasons, item.geometry]) for mark in PHI)
    chosen = choose(items, [item.role for item in items])
    assert np.allclose(chosen["t2w"].read().data, np.clip(made.images["t2w"], 0, None).astype(np.uint16))


def test_a_ct_and_a_second_visit_are_refused(tmp_path: Path) -> None:
    def to_ct(dataset: object) -> None:
        dataset.Modality = "CT"  # type: ignore[attr-defined]

    write_series(tmp_path / "ct", volume(), tilted(), T1N, change=to_ct)
    with pytest.raises(InputError, match="its modality is CT, MR is accepted"):
        items_of(dicom_uploads(tmp_path / "ct"), tmp_path / "a")
    for visit in "12":
        write_series(tmp_path / "two" / visit, volume(), tilted(), T1N)
    with pytest.raises(InputError, match="2 visits or patients; one is accepted"):
        items_of(dicom_uploads(tmp_path / "two"), tmp_path / "b")
    with pytest.raises(InputError, match="hold no image that can be read"):
        items_of([Upload("a.dcm", bytes(128) + b"DICM")], tmp_path / "c")
