from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.errors import ConfigError
from radiogen.segment.uncertainty import binary_entropy, dropout_on, predictive_entropy, region_confidence
from radiogen.stats.overlap import dice
from tests.segment.data import ball

SHAPE = (16, 16, 16)


def test_answers_that_are_the_same_agree_wholly() -> None:
    mask = ball(SHAPE, (8, 8, 8), 4)
    found = region_confidence([mask] * 3, np.where(mask, 0.99, 0.01), 0.5)
    assert found.agreement == pytest.approx(1.0)
    assert found.volume_variation == pytest.approx(0.0)
    assert found.entropy == pytest.approx(0.0808, abs=1e-4)  # -0.99 log2 0.99 - 0.01 log2 0.01


def test_no_answer_finds_anything() -> None:
    nothing = np.zeros(SHAPE, dtype=bool)
    found = region_confidence([nothing, nothing], np.zeros(SHAPE), 0.5)
    assert found.agreement == 1.0
    assert np.isnan(found.volume_variation)
    assert np.isnan(found.entropy)


def test_one_answer_has_no_agreement() -> None:
    with pytest.raises(ValueError, match="two answers"):
        region_confidence([np.ones(SHAPE, dtype=bool)], np.ones(SHAPE), 0.5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=2, max_size=5))
def test_agreement_is_the_mean_dice_of_all_pairs(radii: list[int]) -> None:
    masks = [ball(SHAPE, (8, 8, 8), radius) if radius else np.zeros(SHAPE, dtype=bool) for radius in radii]
    pairs = [dice(a, b) for i, a in enumerate(masks) for b in masks[i + 1 :]]
    found = region_confidence(masks, np.mean(masks, axis=0), 0.5)
    assert found.agreement == pytest.approx(np.mean(pairs))
    volumes = np.array([mask.sum() for mask in masks])
    if volumes.any():
        assert found.volume_variation == pytest.approx(volumes.std() / volumes.mean())


@given(st.floats(0, 1))
def test_entropy_is_symmetric_and_largest_at_a_half(p: float) -> None:
    entropy = binary_entropy(np.array([p, 1 - p, 0.5]))
    assert entropy[0] == pytest.approx(entropy[1], abs=1e-6)
    assert 0 <= entropy[0] <= entropy[2] == pytest.approx(1.0)


def test_the_map_holds_the_least_sure_region() -> None:
    sure, unsure = np.full((1, 1, 2), 0.999), np.array([[[0.5, 0.0]]])
    assert predictive_entropy({"wt": sure, "et": unsure})[0, 0] == pytest.approx([1.0, 0.0114], abs=1e-4)


def test_only_dropout_wakes_up_and_it_sleeps_again_after_an_error() -> None:
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1), torch.nn.BatchNorm3d(2), torch.nn.Dropout3d(0.5)).eval()
    before = torch.get_rng_state()

    def use() -> None:
        with dropout_on(network, 7):
            assert [module.training for module in network] == [False, False, True]
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        use()
    assert not any(module.training for module in network.modules())
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_that_drops_nothing_is_none() -> None:
    with pytest.raises(ConfigError, match="no dropout"), dropout_on(torch.nn.Dropout(0.0).eval(), 0):
        pass
