"""Smooth random fields: unit variance everywhere, as smooth as asked for."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.cohort.phantom_fields import smooth_field


def test_every_voxel_has_mean_zero_and_variance_one() -> None:
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_field(rng, (6, 7, 8), 2.0, 9.0) for _ in range(3000)])

    assert fields.dtype == np.float32
    assert np.abs(fields.mean(axis=0)).max() < 0.1
    np.testing.assert_allclose(fields.var(axis=0), 1, atol=0.15)


def test_axes_keep_their_order() -> None:
    assert smooth_field(np.random.default_rng(0), (4, 9, 13), 1.0, 5.0).shape == (4, 9, 13)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_larger_scale_is_smoother_along_every_axis(axis: int) -> None:
    rough, smooth = (smooth_field(np.random.default_rng(1), (40, 40, 40), 1.0, scale) for scale in (4.0, 16.0))

    assert np.abs(np.diff(smooth, axis=axis)).mean() < 0.5 * np.abs(np.diff(rough, axis=axis)).mean()
