"""Random changes: seeded, alike for all sequences, and what each promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.embedding.augment import (
    AUGMENTATIONS,
    FILMS,
    affine,
    augmented,
    brightness,
    centre_crop,
    equalise,
    random_crop,
    rotate,
    scale,
    shear,
)
from radiogen.errors import ConfigError


def stack(seed: int = 0, shape: tuple[int, int, int] = (12, 12, 7)) -> np.ndarray:
    found = np.zeros((2, *shape), np.float32)
    found[:, 2:-2, 2:-2, 1:-1] = np.random.default_rng(seed).uniform(
        50, 200, (2, shape[0] - 4, shape[1] - 4, shape[2] - 2)
    )
    return found


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(name: str) -> None:
    first, again = (augmented(stack(), [name], np.random.default_rng(3)) for _ in range(2))
    assert first.dtype == np.float32
    assert first.tobytes() == again.tobytes()
    others = [augmented(stack(), [name], np.random.default_rng(seed)).tobytes() for seed in range(8)]
    assert len(set(others)) > 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["flip", "quarter-turns", "rotate", "scale", "shear", "elastic"]))
def test_all_sequences_are_moved_alike(seed: int, name: str) -> None:
    volumes = stack()
    volumes[1] = 2 * volumes[0]
    found = augmented(volumes, [name], np.random.default_rng(seed))
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(12, 12, 7), (12, 10, 7)]))
def test_flips_and_quarter_turns_only_move_voxels_within_slices(seed: int, shape: tuple[int, int, int]) -> None:
    volumes = stack(shape=shape)
    found = augmented(volumes, ["flip", "quarter-turns"], np.random.default_rng(seed))
    assert found.shape == volumes.shape
    for k in range(shape[2]):
        np.testing.assert_array_equal(np.sort(found[0, :, :, k].ravel()), np.sort(volumes[0, :, :, k].ravel()))


def test_a_turn_by_nothing_changes_nothing_and_a_turn_keeps_the_middle() -> None:
    volumes = stack(shape=(13, 13, 7))
    np.testing.assert_allclose(rotate(volumes, np.random.default_rng(0), degrees=0.0), volumes, rtol=1e-6)
    turned = rotate(volumes, np.random.default_rng(0), degrees=20.0)
    assert turned[0, 6, 6, 3] == pytest.approx(float(volumes[0, 6, 6, 3]), rel=1e-5)
    assert not np.allclose(turned, volumes)


def spread(volumes: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Mass, centre and covariance of one volume's values, in voxels."""
    at = np.indices(volumes.shape[1:]).reshape(3, -1)
    weights = volumes[0].ravel().astype(np.float64)
    return float(weights.sum()), np.average(at, axis=1, weights=weights), np.cov(at, aweights=weights, bias=True)


def blob(side: int = 41) -> np.ndarray:
    """A Gaussian with a standard deviation of 4 voxels along each axis, in the middle."""
    squares = ((np.indices((side,) * 3) - (side - 1) / 2) ** 2).sum(axis=0)
    return np.exp(-squares / 32)[None].astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_scaling_is_one_factor_for_all_axes_and_within_its_bounds(seed: int) -> None:
    mass, middle, before = spread(blob())
    more, centre, after = spread(scale(blob(), np.random.default_rng(seed), share=0.2))
    # Linear interpolation widens by up to a sixth of a squared voxel, 1 % of the variance of 16.
    factors = np.sqrt(np.diag(after) / np.diag(before))
    np.testing.assert_allclose(factors, factors[0], rtol=1e-3)
    assert 0.79 < factors[0] < 1.21
    assert abs(factors[0] - 1) > 0.02
    assert more / mass == pytest.approx(factors[0] ** 3, rel=0.02)
    np.testing.assert_allclose(centre, middle, atol=1e-3)


def test_shearing_keeps_volume_and_middle_and_slants_by_no_more_than_asked() -> None:
    mass, middle, before = spread(blob())
    more, centre, after = spread(shear(blob(), np.random.default_rng(0), slope=0.2))
    assert more == pytest.approx(mass, rel=1e-3)
    np.testing.assert_allclose(centre, middle, atol=1e-3)
    # The covariance of slanted coordinates: the slope, times the variance of 16.
    slopes = (after / before[0, 0])[np.triu_indices(3, 1)]
    assert 0.02 < np.abs(slopes).max() < 0.2 * 1.1 + 0.04


def test_single_slices_can_be_scaled_and_sheared() -> None:
    picture = stack(shape=(24, 24, 5))[..., 2:3]
    found = affine(picture, np.random.default_rng(1), scaling=0.1, shearing=0.1)
    assert found.shape == picture.shape
    assert 0.7 < found.sum() / picture.sum() < 1.3


def test_turning_alone_is_what_it_was_without_scaling_and_shearing() -> None:
    turned = rotate(stack(), np.random.default_rng(4), degrees=15.0)
    assert turned.tobytes() == affine(stack(), np.random.default_rng(4), degrees=15.0).tobytes()


def test_brightness_leaves_the_background() -> None:
    volumes = stack()
    found = brightness(volumes, np.random.default_rng(0))
    assert ((found != 0) == (volumes != 0)).all()
    assert not np.allclose(found, volumes)
    assert np.corrcoef(found[0][volumes[0] != 0], volumes[0][volumes[0] != 0])[0, 1] == pytest.approx(1, abs=1e-6)


def test_published_noise_has_a_deviation_of_five() -> None:
    volumes = np.zeros((1, 40, 40, 20), np.float32)
    found = augmented(volumes, ["noise"], np.random.default_rng(0))
    # 32,000 values: the standard error of their deviation is 0.02.
    assert found.std() == pytest.approx(5.0, abs=0.1)
    assert found.mean() == pytest.approx(0.0, abs=0.15)
    assert FILMS == ("flip", "quarter-turns", "noise")


def test_crops_lie_within_and_reach_both_ends() -> None:
    volumes = np.arange(10, dtype=np.float32).reshape(1, 10, 1, 1)
    firsts = {float(random_crop(volumes, np.random.default_rng(seed), (7, 1, 1))[0, 0, 0, 0]) for seed in range(60)}
    assert firsts == {0.0, 1.0, 2.0, 3.0}
    assert centre_crop(volumes, (4, 1, 1)).ravel().tolist() == [3, 4, 5, 6]
    with pytest.raises(ConfigError, match=r"\(11, 1, 1\)"):
        centre_crop(volumes, (11, 1, 1))


def test_equalising_raises_contrast_where_it_is_low_and_keeps_the_background() -> None:
    i = np.indices((24, 24, 16))[0]
    volume = np.where(i < 12, 100 + i % 2, 200 + 20 * (i % 2)).astype(np.float32)
    volume[:, :3] = 0
    found = equalise(volume[None])[0]
    assert ((found != 0) == (volume != 0)).mean() > 0.99
    dark = (i > 2) & (i < 9) & (volume > 0)
    assert found[dark].std() > 3 * volume[dark].std()
    assert found.min() >= 0
    assert found.max() <= volume.max()


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'flip'"):
        augmented(stack(), ["flips"], np.random.default_rng(0))
