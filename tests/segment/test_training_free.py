from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from radiogen.cohort.case import CaseImages, read_case
from radiogen.cohort.masks import read_mask, region_masks
from radiogen.cohort.nifti import Grid
from radiogen.cohort.phantoms import Phantom, make_phantom
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.segment import SegmentSettings
from radiogen.errors import CaseError
from radiogen.segment.training_free import FlairThreshold


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(PhantomSettings(spacing_mm=3.0), seed=5, idh=0, mgmt=0, grade=4, volume_ml=80.0)


def segment(images: dict[str, np.ndarray], grid: Grid) -> tuple[np.ndarray, list[str], str]:
    result = FlairThreshold(SegmentSettings())(CaseImages("made-up", images, grid))
    return result.labels, result.sequences_used, " ".join(result.notes)


def only(phantom: Phantom, *names: str) -> dict[str, np.ndarray]:
    return {name: image for name, image in phantom.images.items() if name in names}


def test_a_made_up_tumour_is_found_with_its_parts(phantom: Phantom) -> None:
    labels, used, _ = segment(dict(phantom.images), phantom.grid)
    found, truth = region_masks(labels), region_masks(phantom.labels)
    assert dice(found["wt"], truth["wt"]) > 0.7
    assert dice(found["et"], truth["et"]) > 0.4
    assert set(used) == {"t1n", "t1c", "t2f"}


def test_without_contrast_core_and_enhancement_are_unknown(phantom: Phantom) -> None:
    labels, used, notes = segment(only(phantom, "t2f"), phantom.grid)
    assert used == ["t2f"]
    assert set(np.unique(labels)) == {0, 2}
    assert "unknown, not absent" in notes
    assert dice(labels > 0, region_masks(phantom.labels)["wt"]) > 0.6


def test_without_flair_t2_stands_in_and_the_notes_say_so(phantom: Phantom) -> None:
    labels, used, notes = segment(only(phantom, "t1n", "t1c", "t2w"), phantom.grid)
    assert "t2w" in used
    assert "No FLAIR" in notes
    assert labels.any()


def test_with_contrast_t1_alone_the_notes_say_that_oedema_cannot_be_seen(phantom: Phantom) -> None:
    labels, used, notes = segment(only(phantom, "t1c"), phantom.grid)
    assert used == ["t1c"]
    assert "oedema" in notes
    assert labels.any()


def test_t1_alone_is_refused(phantom: Phantom) -> None:
    with pytest.raises(CaseError, match="t1n only"):
        segment(only(phantom, "t1n"), phantom.grid)


def test_the_same_image_twice_is_noticed(phantom: Phantom) -> None:
    images = only(phantom, "t1n", "t1c", "t2f")
    images["t1c"] = images["t1n"]
    labels, _, notes = segment(images, phantom.grid)
    assert "same image" in notes
    assert set(np.unique(labels)) == {0, 2}


def test_the_unit_of_the_images_does_not_matter(phantom: Phantom) -> None:
    plain, _, _ = segment(dict(phantom.images), phantom.grid)
    scaled = {name: (image * 0.004 - 2).astype(np.float32) for name, image in phantom.images.items()}
    assert dice(segment(scaled, phantom.grid)[0] > 0, plain > 0) > 0.99


def test_the_same_case_gives_the_same_bytes(phantom: Phantom) -> None:
    first, again = (segment(dict(phantom.images), phantom.grid)[0] for _ in range(2))
    assert first.tobytes() == again.tobytes()


def reoriented(path: Path, to: Path, axes: str) -> None:
    """Write the same world with the voxels stored in another order."""
    image = nib.load(path)
    change = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
    nib.save(image.as_reoriented(change), to)


def on_grid(row: pd.Series) -> tuple[np.ndarray, CaseImages]:
    case = read_case(row)
    return case.grid.from_canonical(FlairThreshold(SegmentSettings())(case).labels), case


@pytest.mark.real_data
def test_a_mirrored_and_permuted_real_case_gives_the_mirrored_and_permuted_mask(
    shared_data: Path, tmp_path: Path
) -> None:
    name = "TCGA_CS_6667_20011105"
    folder = shared_data / "mri" / "lgg" / name
    paths = {sequence: folder / f"{name}_{sequence}.nii.gz" for sequence in ("t1n", "t1c", "t2f")}
    mask, case = on_grid(pd.Series({key: str(path) for key, path in paths.items()}, name="as-stored"))
    for sequence, path in paths.items():
        reoriented(path, tmp_path / f"{sequence}.nii.gz", "SAR")
    turned, other = on_grid(pd.Series({key: str(tmp_path / f"{key}.nii.gz") for key in paths}, name="turned"))
    assert turned.shape != mask.shape
    undone = nib.Nifti1Image(turned, other.grid.affine)
    back = ornt_transform(io_orientation(other.grid.affine), io_orientation(case.grid.affine))
    assert dice(np.asarray(undone.as_reoriented(back).dataobj) > 0, mask > 0) >= 0.999
    reference, _ = read_mask(folder / f"{name}_mask.nii.gz")
    assert dice(case.grid.to_canonical(mask) > 0, reference > 0) > 0.8
