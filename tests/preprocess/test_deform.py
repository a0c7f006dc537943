from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from radiogen.cohort.nifti import Grid, Image
from radiogen.errors import GeometryError
from radiogen.preprocess.deform import Deformation, deform
from radiogen.preprocess.poses import rigid
from radiogen.preprocess.template import load_template
from tests.preprocess.test_register import coarse


def warped() -> tuple[Image, Image, Deformation]:
    """The template at 3 mm, and what a known smooth deformation makes of it."""
    fixed = coarse(load_template().image, 3.0)
    rng = np.random.default_rng(0)
    field = np.stack([gaussian_filter(rng.normal(size=fixed.data.shape), 8) for _ in range(3)], axis=-1)
    field = (field / np.abs(field).max() * 6).astype(np.float32)
    known = Deformation(field, fixed.grid, np.eye(4))
    return fixed, Image(known.apply(fixed), fixed.grid), known


def test_a_known_deformation_is_found_and_does_not_fold() -> None:
    fixed, moving, _ = warped()
    found = deform(fixed, moving, start=np.eye(4))
    inside = fixed.data > 0
    before = np.abs(moving.data - fixed.data)[inside].mean()
    after = np.abs(found.apply(moving) - fixed.data)[inside].mean()
    assert after < 0.75 * before
    assert found.jacobian().min() > 0
    assert deform(fixed, moving, start=np.eye(4)).displacement.tobytes() == found.displacement.tobytes()


def test_the_way_back_undoes_the_way_there() -> None:
    fixed, _, known = warped()
    start = rigid((5.0, 0.0, 3.0), (4.0, -3.0, 2.0))
    there = Deformation(known.displacement, fixed.grid, start)
    back = there.inverse(fixed.grid)
    again = Deformation(back.displacement, back.grid, back.start).inverse(fixed.grid)
    inner = np.s_[15:-15, 15:-15, 15:-15]
    np.testing.assert_allclose(again.displacement[inner], known.displacement[inner], atol=0.1)


def test_a_lesion_does_not_pull() -> None:
    fixed, _, _ = warped()
    data = fixed.data.copy()
    lesion = np.zeros(data.shape, bool)
    lesion[18:26, 30:38, 30:38] = True
    data[lesion] = 0
    moving = Image(data, fixed.grid)
    with_mask = deform(fixed, moving, start=np.eye(4), lesion=lesion).displacement
    without = deform(fixed, moving, start=np.eye(4)).displacement
    assert np.abs(with_mask).max() < 0.5 * np.abs(without).max()
    with pytest.raises(GeometryError):
        deform(fixed, moving, start=np.eye(4), lesion=lesion[1:])


def test_the_identity_changes_nothing() -> None:
    image = Image(np.random.default_rng(0).random((6, 7, 8)).astype(np.float32), Grid((6, 7, 8), np.eye(4)))
    still = Deformation(np.zeros((6, 7, 8, 3), np.float32), image.grid, np.eye(4))
    np.testing.assert_allclose(still.apply(image), image.data, atol=1e-6)
    np.testing.assert_allclose(still.jacobian(), 1)
