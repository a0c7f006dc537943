"""Headers that say two things at once."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from radiogen.cohort.nifti_header import orientation_problem
from radiogen.errors import ImageError


def write(path: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int] = (1, 1)) -> Path:
    """Write a small file with both orientations."""
    image = nib.Nifti1Image(np.zeros((5, 6, 7), np.float32), sform)
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    nib.save(image, path)
    return path


def test_agreeing_or_single_orientations_are_no_problem(tmp_path: Path) -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    flipped = np.diag([-1.0, 2.0, 3.0, 1.0])
    assert orientation_problem(write(tmp_path / "a.nii", affine, affine)) is None
    assert orientation_problem(write(tmp_path / "b.nii", affine, flipped, (1, 0))) is None


def test_swapped_sides_and_other_places_are_told(tmp_path: Path) -> None:
    affine, moved = np.diag([1.0, 2.0, 3.0, 1.0]), np.diag([1.0, 2.0, 3.0, 1.0])
    moved[0, 3] = 12
    assert "opposite sides" in str(
        orientation_problem(write(tmp_path / "a.nii", affine, np.diag([-1.0, 2.0, 3.0, 1.0])))
    )
    assert "12.0 mm apart" in str(orientation_problem(write(tmp_path / "b.nii", affine, moved)))


def test_a_file_that_is_not_nifti_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nii"
    path.write_text("nothing")
    with pytest.raises(ImageError, match="cannot be read"):
        orientation_problem(path)
