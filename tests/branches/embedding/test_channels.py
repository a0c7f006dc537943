"""First kernels for another number of channels, grey volumes as colours, and inputs changed by a recipe."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.channels import IMAGENET_MEAN, IMAGENET_SD, Colours, kernels_for_channels, with_input
from radiogen.errors import ConfigError

SPEC = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore")


@given(channels=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_same_picture_in_every_channel_gives_what_it_gave_as_grey(channels: int, seed: int) -> None:
    made = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 3, 3, 3, 3, generator=made)
    picture = torch.randn(1, 1, 5, 5, 5, generator=made)
    expected = functional.conv3d(picture.expand(-1, 3, -1, -1, -1), weight)
    found = functional.conv3d(picture.expand(-1, channels, -1, -1, -1), kernels_for_channels(weight, channels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_one_channel_is_the_sum_and_three_stay() -> None:
    weight = torch.randn(2, 3, 3, 3)
    assert torch.equal(kernels_for_channels(weight, 1), weight.sum(dim=1, keepdim=True))
    assert kernels_for_channels(weight, 3) is weight


def test_a_grey_volume_becomes_torchvisions_picture() -> None:
    values = torch.tensor([0.0, 51.0, 255.0]).reshape(1, 1, 3, 1, 1)
    found = Colours(1, IMAGENET_MEAN, IMAGENET_SD)(values)
    for channel in range(3):
        expected = (torch.tensor([0.0, 0.2, 1.0]) - IMAGENET_MEAN[channel]) / IMAGENET_SD[channel]
        torch.testing.assert_close(found[0, channel].flatten(), expected)


def test_four_sequences_stay_four() -> None:
    colours = Colours(4, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    found = colours(torch.full((2, 4, 1, 1, 1), 255.0))
    torch.testing.assert_close(found, torch.full((2, 4, 1, 1, 1), 1.6))
    assert not colours.state_dict()


def test_inputs_are_changed_by_name() -> None:
    assert with_input(SPEC, None) == SPEC
    changed = with_input(SPEC, {"centre": "brain", "voxel_size_mm": [2, 2, 2], "shape": [64, 64, 32]})
    assert changed == InputSpec("brain", (2.0, 2.0, 2.0), (64, 64, 32), "zscore")


def test_every_bad_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r"(?s)unknown field 'shap'. Did you mean 'shape'.*voxel_size_mm.*centre"):
        with_input(SPEC, {"shap": [1, 1, 1], "voxel_size_mm": [1, 0, 1], "centre": "head"})
    with pytest.raises(ConfigError, match="shape has to be three numbers"):
        with_input(SPEC, {"shape": 64})
