"""Twins: the same brain is found again after what happens to files, and different ones are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import affine_transform, binary_erosion, gaussian_filter
from scipy.spatial.transform import Rotation

from radiogen.cohort.splits import grouped_folds
from radiogen.cohort.twins import TWIN_DISTANCE, distance, find_twins, fingerprint, join_twins
from radiogen.errors import CohortError, ImageError
from radiogen.types import Mask, Volume

SHAPE = (80, 100, 80)


def brain_of(seed: int) -> tuple[Volume, Mask]:
    """Return a made-up brain of 2 mm voxels blown up in its cells: what matters here is texture of a few centimetres."""
    rng = np.random.default_rng(seed)
    axes = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
    brain = ((axes / np.array([36, 46, 36]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 1
    own = gaussian_filter(rng.normal(size=SHAPE), 6)
    image = 100 + 15 * own / own.std() + 0.5 * np.abs(axes[0])
    return np.where(brain, image, 0).astype(np.float32), brain


def moved(image: Volume, brain: Mask, degrees: float, shift: float) -> tuple[Volume, Mask]:
    """Return both turned about an oblique axis and shifted."""
    matrix = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.6, 0.64, 0.48])).as_matrix()
    centre = (np.array(SHAPE) - 1) / 2
    offset = centre - matrix @ centre + shift / np.sqrt(3)
    turned = affine_transform(image, matrix, offset, order=1)
    return turned.astype(np.float32), affine_transform(brain.astype(np.float32), matrix, offset, order=1) > 0.5


def test_the_same_brain_is_found_again_after_what_happens_to_files() -> None:
    image, brain = brain_of(0)
    own = fingerprint(image, brain)
    rng = np.random.default_rng(1)
    copies = {
        "gain and offset": (3 * image + 7, brain),
        "another curve": (np.sqrt(image), brain),
        "whole numbers": (np.rint(image).astype(np.float32), brain),
        "noise": ((image + rng.normal(0, 5, SHAPE)).astype(np.float32), brain),
        "tighter brain": (image, binary_erosion(brain, iterations=2)),
        "moved": moved(image, brain, 3.0, 2.0),
    }
    assert {name: distance(own, fingerprint(*copy)) < TWIN_DISTANCE for name, copy in copies.items()} == dict.fromkeys(
        copies, True
    )


def test_different_brains_are_far_apart() -> None:
    codes = [fingerprint(*brain_of(seed)) for seed in range(5)]
    apart = [distance(a, b) for i, a in enumerate(codes) for b in codes[i + 1 :]]
    assert min(apart) > TWIN_DISTANCE + 0.2


def test_fingerprints_are_the_same_each_time_and_differ_when_mirrored() -> None:
    image, brain = brain_of(2)
    assert fingerprint(image, brain) == fingerprint(image.copy(), brain.copy())
    assert distance(fingerprint(image, brain), fingerprint(image[::-1].copy(), brain[::-1].copy())) > TWIN_DISTANCE


def test_pairs_are_found_with_what_the_table_knew() -> None:
    image, brain = brain_of(3)
    codes = pd.Series(
        {
            "a": fingerprint(image, brain),
            "b": fingerprint(2 * image, brain),
            "c": fingerprint(*moved(image, brain, 2, 1)),
            "d": fingerprint(*brain_of(4)),
            "e": None,
        }
    )
    patient = pd.Series({"a": "P1", "b": "P2", "c": "P1", "d": "P4", "e": "P5"})
    found = find_twins(codes, patient)
    assert [(row.case_a, row.case_b, row.same_patient) for row in found.itertuples()] == [
        ("a", "b", False),
        ("a", "c", True),
        ("b", "c", False),
    ]
    assert found["distance"].is_monotonic_increasing
    assert found["distance"].iloc[0] == 0


def test_no_twins_give_an_empty_table_with_its_columns() -> None:
    found = find_twins(pd.Series({"a": fingerprint(*brain_of(5))}), pd.Series({"a": "P"}))
    assert found.empty
    assert found.columns.tolist() == ["case_a", "case_b", "distance", "same_patient"]


def test_joined_twins_never_straddle_a_split() -> None:
    cohort = pd.DataFrame({"patient": [f"P{i}" for i in range(20)]}, index=[f"c{i}" for i in range(20)])
    twins = pd.DataFrame(
        [("c3", "c17", 0.1, False), ("c17", "c9", 0.2, False)], columns=["case_a", "case_b", "distance", "same_patient"]
    )
    joined = join_twins(cohort, twins)
    assert joined.loc[["c3", "c9", "c17"], "patient"].tolist() == ["P3"] * 3
    assert joined["patient"].nunique() == 18
    assert cohort.at["c17", "patient"] == "P17"
    y = np.array([0, 1] * 10)
    for seed in range(5):
        for rows in grouped_folds(joined["patient"].to_numpy(), y, 4, seed):
            assert len({3, 9, 17} & set(rows.tolist())) in (0, 3)


def test_what_cannot_be_used_is_refused() -> None:
    image, brain = brain_of(6)
    with pytest.raises(ImageError, match="empty"):
        fingerprint(image, brain & False)
    with pytest.raises(ImageError, match="at least 100"):
        fingerprint(image[:20, :20, :20].copy(), np.ones((20, 20, 20), bool))
    with pytest.raises(CohortError, match="not a fingerprint"):
        distance("zz", fingerprint(image, brain))
    with pytest.raises(CohortError, match="not in the cohort"):
        join_twins(
            pd.DataFrame({"patient": ["P"]}, index=["a"]),
            pd.DataFrame([("a", "x", 0.1, False)], columns=["case_a", "case_b", "distance", "same_patient"]),
        )
