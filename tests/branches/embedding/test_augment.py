"""Random changes: seeded, alike for all sequences, and what each promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.embedding.augment import (
    AUGMENTATIONS,
    FILMS,
    augmented,
    brightness,
    centre_crop,
    equalise,
    random_crop,
    rotate,
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
@given(st.integers(0, 10_000), st.sampled_from(["flip", "quarter-turns", "rotate", "elastic"]))
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
