"""Labels matched across splits, k-means on many voxels, references without structure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.habitats.clustering import (
    SHALLOW_VALLEY,
    check_clusters,
    filled_valley,
    fit_centres,
    matched_mismatch,
    nearest,
    stability_loss,
    structureless,
)
from radiogen.branches.habitats.voxels import sample_rows, within_quantiles


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_a_permutation_of_labels_is_no_mismatch(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    labels, other = rng.integers(0, k, (2, 60))
    assert matched_mismatch(labels, rng.permutation(k)[labels], k) == 0
    assert 0 <= matched_mismatch(labels, other, k) <= 1 - 1 / k
    assert matched_mismatch(labels, other, k) == pytest.approx(matched_mismatch(other, labels, k))


def test_many_voxels_take_the_mini_batches_and_the_same_bytes_come_out() -> None:
    rng = np.random.default_rng(0)
    rows = (np.repeat([[0.0, 0.0], [1.0, 1.0]], 30_000, 0) + rng.normal(0, 0.05, (60_000, 2))).astype(np.float32)
    one, again = fit_centres(rows, 2, 3), fit_centres(rows, 2, 3)
    assert one.tobytes() == again.tobytes()
    assert sorted(one[:, 0].round(1).tolist()) == [0.0, 1.0]
    assert (nearest(rows, one)[:30_000] == nearest(rows, one)[0]).all()


def test_parts_of_patients_are_stable_and_a_single_cloud_is_not() -> None:
    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(8), 100)
    cloud = rng.normal(0, 0.3, (800, 3)).astype(np.float32)
    parted = cloud * np.float32(0.2) + np.repeat(np.tile([-0.5, 0.5], 8), 50).astype(np.float32)[:, None]
    options = {"splits": 3, "share": 0.7, "seed": 0}
    assert stability_loss(parted, who, 2, **options) < 0.01
    assert stability_loss(cloud, who, 2, **options) > 0.05


def test_a_reference_keeps_each_patient_and_loses_the_parts() -> None:
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(3), 4000)
    rows = np.clip(0.1 * who[:, None] + np.where(rng.random((12_000, 2)) < 0.5, -0.4, 0.4), -1, 1).astype(np.float32)
    made = structureless(rows, who, 0)
    for patient in range(3):
        assert made[who == patient].mean(0) == pytest.approx(rows[who == patient].mean(0), abs=0.03)
    assert (np.abs(made[who == 0]) < 0.1).mean() > 0.1  # where no voxel of the data lies


def test_every_patient_has_the_same_quota_and_gamma_cuts_both_ends() -> None:
    cases = {name: np.full((size, 2), size, np.float32) for name, size in (("a", 500), ("b", 90), ("c", 400))}
    rows, who = sample_rows(cases, {"a": "p", "b": "q", "c": "p"}, 200, seed=0)
    assert np.bincount(who).tolist() == [100, 90]
    assert rows.dtype == np.float32
    line = np.arange(1000, dtype=np.float32)[:, None]
    kept = line[within_quantiles(line, 0.1)]
    assert (kept.min(), kept.max(), len(kept)) == (50, 949, 900)


def test_a_valley_lies_between_parts_and_not_in_an_even_cloud() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 3000)
    corners = np.array([[-0.6, -0.6], [0.6, -0.6], [0.0, 0.6]])
    parted = (corners[labels] + rng.normal(0, 0.15, (3000, 2))).astype(np.float32)
    assert filled_valley(parted, labels, 3) < 0.2
    split = np.where(labels == 2, np.where(parted[:, 0] > 0, 3, 2), labels)  # one part cut in two
    assert filled_valley(parted, split, 4) > SHALLOW_VALLEY
    even = rng.uniform(-1, 1, (3000, 2)).astype(np.float32)
    assert filled_valley(even, nearest(even, fit_centres(even, 4, 0)), 4) > SHALLOW_VALLEY
    assert filled_valley(even, np.zeros(3000, dtype=np.int64), 2) == 1


def test_references_are_not_clustered_again_where_a_number_falls_without_them() -> None:
    rng = np.random.default_rng(4)
    cloud, who = rng.normal(0, 0.3, (800, 2)).astype(np.float32), np.repeat(np.arange(8), 100)
    check = check_clusters(cloud, who, 3, lambda rows: rows, splits=2, share=0.7, n_references=3, seed=0)
    assert check.reference_stability == ()
    assert len(check.reference_dispersion) == 3
    assert any("two are no two" in reason for reason in check.reasons)
