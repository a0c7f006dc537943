from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.cohort.masks import SCHEMES, detect_scheme, read_mask, region_masks, region_volumes_ml, translate_labels
from radiogen.cohort.nifti import Grid
from radiogen.errors import ImageError
from tests.conftest import save_nifti


def labels_of(*values: int) -> np.ndarray:
    return np.array([[list(values)]], dtype=np.uint8)


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        ((0, 1, 2, 3), "brats2023"),
        ((0, 2, 3), "brats2023"),
        ((0, 3), "brats2023"),
        ((0, 1, 2, 4), "brats2021"),
        ((0, 4), "brats2021"),
        ((0, 1, 2), "brats2021"),
        ((0, 1), "whole-tumour"),
    ],
)
def test_scheme_is_told_from_the_labels_present(values, scheme):
    assert detect_scheme(labels_of(*values)) == scheme


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 3, 4), "mean differently"),
        ((0, 1, 2, 3, 4), "mean differently"),
        ((0,), "empty"),
        ((0, 5), r"labels \[5\]"),
        ((1, 255), "255"),
    ],
)
def test_maps_that_say_nothing_clear_are_refused(values, message):
    with pytest.raises(ImageError, match=message):
        detect_scheme(labels_of(*values))


@pytest.mark.parametrize(
    ("scheme", "stored", "own"),
    [
        ("brats2023", (0, 1, 2, 3, 4), (0, 1, 2, 3, 4)),
        ("brats2021", (0, 1, 2, 4, 4), (0, 1, 2, 3, 3)),
        ("brats2013", (0, 1, 2, 3, 4), (0, 1, 2, 1, 3)),  # 3 is non-enhancing core there
        ("whole-tumour", (0, 1, 1, 0, 1), (0, 2, 2, 0, 2)),
    ],
)
def test_translation(scheme, stored, own):
    np.testing.assert_array_equal(translate_labels(labels_of(*stored), scheme), labels_of(*own))


def test_labels_a_scheme_does_not_have_are_refused():
    with pytest.raises(ImageError, match=r"\[3\].*brats2021"):
        translate_labels(labels_of(0, 3), "brats2021")


def test_an_unknown_scheme_gets_a_suggestion():
    with pytest.raises(ImageError, match="brats2021") as caught:
        translate_labels(labels_of(0, 1), "brats2012")
    assert "Did you mean" in caught.value.hint


@settings(max_examples=40, deadline=None)
@given(scheme=st.sampled_from(sorted(SCHEMES)), seed=st.integers(0, 999))
def test_regions_are_nested_and_volumes_count_voxels(scheme, seed):
    rng = np.random.default_rng(seed)
    stored = rng.choice([0, *SCHEMES[scheme]], size=(4, 5, 6)).astype(np.uint8)
    own = translate_labels(stored, scheme)
    np.testing.assert_array_equal(own == 0, stored == 0)
    regions = region_masks(own)
    assert (regions["et"] <= regions["tc"]).all()
    assert (regions["tc"] <= regions["wt"]).all()
    volumes = region_volumes_ml(own, Grid((4, 5, 6), np.diag([2.0, 2.0, 5.0, 1.0])))
    assert volumes["wt_ml"] == pytest.approx(((own > 0) & (own < 4)).sum() * 0.02)


def test_file_name_stands_in_the_error(tmp_path):
    path = save_nifti(tmp_path / "empty-mask.nii.gz", np.zeros((3, 3, 3), dtype=np.uint8))
    with pytest.raises(ImageError, match=r"empty-mask\.nii\.gz: The mask is empty"):
        read_mask(path)
