from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.masks import region_masks
from radiogen.cohort.table import read_cohort
from radiogen.config.train import DataSettings
from radiogen.errors import InputError
from radiogen.segment.inputs import prepare_channels
from radiogen.segment.train_cases import largest_shape, prepare_cases, resample_labels
from tests.conftest import save_nifti
from tests.segment.training_data import SPACING_MM, phantom_cohort

DATA = DataSettings(spacing_mm=SPACING_MM)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_cohort(phantom_cohort(tmp_path_factory.mktemp("cohort"), 2))


def test_the_image_is_what_the_network_method_sees(cohort: pd.DataFrame, tmp_path: Path) -> None:
    cases = prepare_cases(cohort, tmp_path, DATA)
    for name, row in cohort.iterrows():
        seen = prepare_channels(read_case(row), DATA.sequences, SPACING_MM)
        kept = load_file(cases[str(name)].path)
        assert kept["image"].dtype == np.float16
        assert np.abs(kept["image"].astype(np.float32) - seen.channels.numpy()).max() < 0.01
        truth = read_case_mask(row, read_case(row).grid)[seen.box]
        assert np.array_equal(kept["labels"], truth)
        assert cases[str(name)].wt_ml == pytest.approx(region_masks(truth)["wt"].sum() * SPACING_MM**3 / 1000)
        points = kept["points"]
        assert len(points)
        assert (kept["labels"][tuple(points.T)] > 0).all()


def test_a_missing_sequence_stays_empty(cohort: pd.DataFrame, tmp_path: Path) -> None:
    table = cohort.assign(t1n=None)
    path = next(iter(prepare_cases(table, tmp_path, DATA).values())).path
    assert load_file(path)["image"].any(axis=(1, 2, 3)).tolist() == [False, True, True, True]


def test_what_stands_is_kept_and_what_changed_is_made_anew(cohort: pd.DataFrame, tmp_path: Path) -> None:
    first = prepare_cases(cohort, tmp_path, DATA)
    path = Path(next(iter(first.values())).path)
    time = path.stat().st_mtime_ns
    assert prepare_cases(cohort, tmp_path, DATA) == first
    assert path.stat().st_mtime_ns == time
    coarser = prepare_cases(cohort, tmp_path, DATA.model_copy(update={"spacing_mm": 9.0}))
    assert path.stat().st_mtime_ns != time
    assert next(iter(coarser.values())).fingerprint != next(iter(first.values())).fingerprint


def test_rows_without_a_mask_are_refused_all_at_once(cohort: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 of 2 cases have no mask") as caught:
        prepare_cases(cohort.assign(mask=None), tmp_path, DATA)
    assert caught.value.problems == ["phantom-001", "phantom-002"]


def test_masks_that_teach_nothing_are_refused_with_their_case(cohort: pd.DataFrame, tmp_path: Path) -> None:
    row = cohort.loc["phantom-001"]
    grid = read_case(row).grid
    whole = np.zeros(grid.shape, dtype=np.uint8)
    whole[10:14, 10:14, 10:14] = 1
    table = cohort.copy()
    table.loc["phantom-001", "mask"] = str(save_nifti(tmp_path / "whole.nii.gz", whole, grid.affine))
    with pytest.raises(InputError, match="1 of 2 cases cannot be used") as caught:
        prepare_cases(table, tmp_path / "cache", DATA)
    assert "phantom-001: The mask marks the whole tumour only" in caught.value.problems[0]
    wt_only = DATA.model_copy(update={"regions": ("wt",)})
    assert len(prepare_cases(table, tmp_path / "wt", wt_only)) == 2


def test_the_largest_shape_holds_every_case(cohort: pd.DataFrame, tmp_path: Path) -> None:
    cases = list(prepare_cases(cohort, tmp_path, DATA).values())
    shape = largest_shape(cases, 16)
    assert all(side % 16 == 0 for side in shape)
    assert all(n <= side < n + 16 + 16 for case in cases for n, side in zip(case.shape, shape, strict=True))


LABELS = arrays(np.uint8, (6, 5, 4), elements=st.integers(0, 4))


@given(labels=LABELS)
def test_finer_labels_shrunk_again_are_the_same(labels: np.ndarray) -> None:
    fine = labels.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    once = resample_labels(labels, (3.0, 3.0, 3.0), (18, 15, 12))
    assert once.shape == fine.shape
    assert np.array_equal(resample_labels(labels, (1.0, 1.0, 1.0), (6, 5, 4)), labels)
    assert set(np.unique(once)) <= {0, 1, 2, 3, 4}


@given(labels=LABELS, axis=st.integers(0, 2))
def test_mirrored_labels_give_mirrored_labels(labels: np.ndarray, axis: int) -> None:
    there = resample_labels(labels, (2.0, 2.0, 2.0), (3, 3, 2))
    mirrored = resample_labels(np.ascontiguousarray(np.flip(labels, axis)), (2.0, 2.0, 2.0), (3, 3, 2))
    assert np.array_equal(np.flip(there, axis), mirrored)


def test_a_thin_rim_of_two_labels_is_still_tumour() -> None:
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[::2], labels[1::2] = 2, 3
    assert (resample_labels(labels, (1.0, 1.0, 1.0), (2, 2, 2)) > 0).all()
