"""What is done to volumes before and in training: bias field, contrast, and the random changes that settings ask for."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.branches.embedding.augment import affine
from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.training_items import changed, prepare_images
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.config.embedding_model import AugmentationSettings

SHAPE = (18, 18, 14)
SPEC = InputSpec("volume", (8.0, 8.0, 8.0), SHAPE, "raw")


def shaded_ball() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A ball of two tissues, the same under a smooth field of known shape, and where the ball is."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.9
    tissue = np.where(np.sin(6 * x) * np.sin(6 * y) * np.sin(6 * z) > 0, 130, 100)
    true = np.where(inside, tissue, 0).astype(np.float32)
    return true, (true * np.exp(0.35 * x - 0.2 * y)).astype(np.float32), inside


def test_n4_takes_a_known_field_out_and_only_where_it_is_asked_for() -> None:
    true, shaded, inside = shaded_ball()
    case = CaseImages("007", {"t1c": shaded}, Grid(SHAPE, np.diag([8.0, 8.0, 8.0, 1.0])))
    left = {}
    for correct in ((), ("n4",)):
        found = prepare_images(case, None, ("t1c", "t2f"), SPEC, correct)
        left[correct] = float(np.log(found[0][inside] / true[inside]).std())
        assert not found[1].any()  # a missing sequence stays zeros
    assert left[()] == pytest.approx(float(np.log(shaded[inside] / true[inside]).std()), rel=1e-4)
    assert left["n4",] < 0.3 * left[()]


def test_clahe_changes_prepared_volumes_and_not_the_background() -> None:
    _, shaded, inside = shaded_ball()
    case = CaseImages("007", {"t1c": shaded}, Grid(SHAPE, np.eye(4)))
    plain, equal = (prepare_images(case, None, ("t1c",), SPEC, correct)[0] for correct in ((), ("clahe",)))
    assert not np.allclose(plain[inside], equal[inside], rtol=0.01)
    assert not equal[~inside].any()


def test_scaling_and_shearing_are_done_together_with_the_rotation() -> None:
    volumes = np.zeros((2, 16, 16, 12), np.float32)
    volumes[0, 4:12, 4:12, 3:9] = np.random.default_rng(0).uniform(1, 2, (8, 8, 6))
    settings = AugmentationSettings(rotation_degrees=9.0, scaling=0.1, shearing=0.2)
    found = changed(volumes, settings, np.random.default_rng(5))
    np.testing.assert_array_equal(found, affine(volumes, np.random.default_rng(5), 9.0, 0.1, 0.2))
    assert not np.allclose(found, volumes)
    assert not found[1].any()
    assert not np.array_equal(
        found, changed(volumes, AugmentationSettings(rotation_degrees=9.0), np.random.default_rng(5))
    )
