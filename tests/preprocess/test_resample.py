from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.preprocess.resample import resample, resized_shape


def ramp(shape: tuple[int, int, int], step_mm: tuple[float, float, float]) -> np.ndarray:
    """A linear function of the distance to the centre of the box, mm."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, step_mm, strict=True)]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    return (2 * i - j + 0.5 * k).astype(np.float32)


@pytest.mark.parametrize("new", [(2.0, 2.0, 2.0), (1.0, 1.0, 1.0), (1.3, 0.7, 3.0)])
def test_a_linear_image_stays_linear_away_from_the_edges(new: tuple[float, float, float]) -> None:
    old, shape = (1.0, 1.5, 5.0), (40, 30, 12)
    to = resized_shape(shape, old, new)
    found = resample(ramp(shape, old), old, new, to)
    expected = ramp(to, new)
    # Two wide voxels in from the edge, where the kernel sees both sides.
    cut = tuple(
        slice(int(np.ceil(2 * max(o, n) / n)), -int(np.ceil(2 * max(o, n) / n))) for o, n in zip(old, new, strict=True)
    )
    np.testing.assert_allclose(found[cut], expected[cut], atol=0.35)


def test_finer_voxels_of_an_aligned_grid_interpolate_exactly() -> None:
    shape = (9, 9, 9)
    found = resample(ramp(shape, (1.0, 1.0, 1.0)), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (17, 17, 17))
    np.testing.assert_allclose(found, ramp((17, 17, 17), (0.5, 0.5, 0.5)), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    new=st.tuples(*[st.floats(0.4, 6.0)] * 3),
    axis=st.integers(0, 2),
)
def test_a_mirrored_volume_gives_the_mirrored_result(
    seed: int, shape: tuple[int, int, int], new: tuple[float, float, float], axis: int
) -> None:
    data = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    to = resized_shape(shape, (1.0, 1.0, 1.0), new)
    straight = resample(data, (1.0, 1.0, 1.0), new, to)
    mirrored = resample(np.ascontiguousarray(np.flip(data, axis)), (1.0, 1.0, 1.0), new, to)
    np.testing.assert_allclose(np.flip(mirrored, axis), straight, atol=1e-5)
    assert straight.min() >= data.min() - 1e-5
    assert straight.max() <= data.max() + 1e-5
