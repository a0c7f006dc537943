from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.case import read_case, read_case_mask
from radiogen.errors import GeometryError, ImageError
from tests.conftest import save_nifti

SHAPE = (6, 5, 4)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def row_of(**paths: object) -> pd.Series:
    blank = dict.fromkeys(["t1n", "t1c", "t2w", "t2f", "mask"])
    return pd.Series({**blank, **{name: str(path) for name, path in paths.items()}}, name="case1", dtype=object)


def test_sequences_stored_along_other_axes_are_brought_together(tmp_path):
    data = image(0)
    t1c = save_nifti(tmp_path / "t1c.nii.gz", data)
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = SHAPE[0] - 1
    t2f = save_nifti(tmp_path / "t2f.nii.gz", data[::-1], flipped)
    case = read_case(row_of(t2f=t2f, t1c=t1c))
    assert list(case.images) == ["t1c", "t2f"]
    assert case.missing == ["t1n", "t2w"]
    np.testing.assert_array_equal(case.images["t1c"], case.images["t2f"])


def test_outputs_go_onto_the_grid_of_the_contrast_sequence(tmp_path):
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = SHAPE[0] - 1
    paths = {"t1n": save_nifti(tmp_path / "a.nii", image(0)), "t1c": save_nifti(tmp_path / "b.nii", image(1), flipped)}
    np.testing.assert_array_equal(read_case(row_of(**paths)).grid.affine, flipped)


def test_no_sequence(tmp_path):
    with pytest.raises(ImageError, match="no sequence"):
        read_case(row_of())


def test_every_unusable_file_is_listed(tmp_path):
    (tmp_path / "t1c.nii.gz").write_text("text")
    good = save_nifti(tmp_path / "t1n.nii.gz", image(0))
    with pytest.raises(ImageError) as caught:
        read_case(row_of(t1n=good, t1c=tmp_path / "t1c.nii.gz", t2f=tmp_path / "absent.nii.gz"))
    assert len(caught.value.problems) == 2
    assert "t1c.nii.gz" in str(caught.value)
    assert "absent.nii.gz" in str(caught.value)


def test_grids_that_disagree_are_refused_with_numbers(tmp_path):
    moved = np.eye(4)
    moved[2, 3] = 2.5
    paths = {"t1c": save_nifti(tmp_path / "a.nii", image(0)), "t2f": save_nifti(tmp_path / "b.nii", image(1), moved)}
    with pytest.raises(GeometryError, match=r"2\.50"):
        read_case(row_of(**paths))


def test_mask_on_another_grid_is_refused(tmp_path):
    t1c = save_nifti(tmp_path / "a.nii", image(0))
    mask = save_nifti(tmp_path / "m.nii", np.ones((6, 5, 5), dtype=np.uint8))
    row = row_of(t1c=t1c, mask=mask)
    with pytest.raises(GeometryError, match="mask"):
        read_case_mask(row, read_case(row).grid)


def test_the_column_mask_labels_names_the_scheme(tmp_path):
    t1c = save_nifti(tmp_path / "a.nii", image(0))
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[0, 0] = 3
    labels[1, 1] = 4
    row = row_of(t1c=t1c, mask=save_nifti(tmp_path / "m.nii", labels))
    grid = read_case(row).grid
    with pytest.raises(ImageError, match="mean differently"):
        read_case_mask(row, grid)
    row["mask_labels"] = "brats2013"
    assert sorted(np.unique(read_case_mask(row, grid))) == [0, 1, 3]


def test_without_a_mask(tmp_path):
    row = row_of(t1c=save_nifti(tmp_path / "a.nii", image(0)))
    with pytest.raises(ImageError, match="no mask"):
        read_case_mask(row, read_case(row).grid)
