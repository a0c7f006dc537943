"""The multi-scale EfficientNet: which slices, both paths side by side, ImageNet weights in the first."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torchvision import models

from radiogen.branches.embedding.multiscale import MultiScaleEfficientNet, load_imagenet, slice_indices
from radiogen.errors import ConfigError, InputError


@given(length=st.integers(1, 300), slices=st.integers(1, 60))
def test_slices_are_spread_evenly_and_symmetrically(length: int, slices: int) -> None:
    found = slice_indices(length, slices)
    assert len(found) == min(length, slices)
    assert found == sorted(set(found))
    assert 0 <= found[0] <= found[-1] < length
    gaps = {after - before for before, after in pairwise(found)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert abs(found[0] - (length - 1 - found[-1])) <= 1


def test_both_paths_are_those_of_the_slices() -> None:
    torch.manual_seed(0)
    theirs = models.efficientnet_b0(weights=None).eval()
    network = MultiScaleEfficientNet(model="efficientnet_b0", slices=2).eval()
    load_imagenet(theirs.state_dict(), network)
    volumes = torch.rand(2, 1, 64, 96, 5) * 255
    pictures = volumes[..., 3].expand(-1, 3, -1, -1) / 255
    mean, sd = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    pictures = (pictures - mean[:, None, None]) / sd[:, None, None]
    with torch.no_grad():
        maps = network.feature_maps(volumes)
        assert slice_indices(5, 2) == [1, 3]
        assert maps.shape == (2, 1280 + 64, 2, 3, 2)
        torch.testing.assert_close(maps[:, :1280, ..., 1], theirs.features(pictures), rtol=1e-4, atol=1e-6)
        first, second = network.coarse[1], network.coarse[4]
        low = functional.relu(first(functional.max_pool2d(pictures, 2)))
        low = functional.relu(second(functional.max_pool2d(low, 2)))
        torch.testing.assert_close(maps[:, 1280:, ..., 1], functional.avg_pool2d(low, 8), rtol=1e-4, atol=1e-6)


def test_fewer_slices_than_asked_are_all_seen() -> None:
    with torch.device("meta"):
        network = MultiScaleEfficientNet(model="efficientnet_b0", slices=8).eval()
        assert network.feature_maps(torch.zeros(1, 1, 64, 64, 3)).shape == (1, 1344, 2, 2, 3)


def test_four_sequences_take_adapted_kernels() -> None:
    theirs = models.efficientnet_b0(weights=None)
    network = MultiScaleEfficientNet(4, "efficientnet_b0", 1)
    load_imagenet(theirs.state_dict(), network)
    expected = theirs.features[0][0].weight.sum(dim=1) / 4
    for channel in range(4):
        torch.testing.assert_close(network.fine[0][0].weight[:, channel], expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"(?s)model is 'b7'.*slices is 0.*widths is \[1\]"):
        MultiScaleEfficientNet(model="b7", slices=0, widths=[1])
    with pytest.raises(InputError, match="do not fit torchvision's efficientnet_b0"):
        load_imagenet({"features.0.0.weight": torch.zeros(1)}, MultiScaleEfficientNet(model="efficientnet_b0"))
