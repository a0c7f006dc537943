"""A fast network gives the numbers of the one it was made from."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import EfficientNetBN
from torch import nn
from torch.nn import functional

from radiogen.branches.embedding.base import Backbone, InputSpec
from radiogen.branches.embedding.fast import Embedder, FastEfficientNet


class Whole(Backbone):
    """MONAI's network as it is, without its classifier."""

    def __init__(self, name: str = "efficientnet-b0", channels: int = 1) -> None:
        super().__init__(channels, 1280, InputSpec("tumour", (1.0, 1.0, 1.0), (32, 32, 32), "zscore"))
        self.network = settled(EfficientNetBN(name, pretrained=False, spatial_dims=3, in_channels=channels))

    def feature_maps(self, volumes: torch.Tensor) -> torch.Tensor:
        net = self.network
        x = net._blocks(net._swish(net._bn0(net._conv_stem(net._conv_stem_padding(volumes)))))
        return net._swish(net._bn1(net._conv_head(net._conv_head_padding(x))))


def settled(network: nn.Module) -> nn.Module:
    """Give random weights the statistics that training would: without them the signal dies, and everything is similar to everything."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.momentum = None  # the mean over all it sees
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
    with torch.no_grad():
        network.train()(torch.randn(4, network.in_channels, 64, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def whole() -> Whole:
    torch.manual_seed(0)
    return Whole().eval()


@pytest.mark.parametrize("shape", [(64, 64, 64), (48, 40, 56), (33, 47, 64)])
def test_float32_differs_by_rounding_alone_whatever_the_shape(whole: Whole, shape: tuple[int, int, int]) -> None:
    volume = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = whole(volume)
    torch.testing.assert_close(FastEfficientNet(whole.network)(volume), expected, atol=1e-4, rtol=1e-3)


def test_maps_are_those_of_the_network(whole: Whole) -> None:
    volume = torch.randn(1, 1, 48, 48, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = whole.feature_maps(volume)
    torch.testing.assert_close(
        FastEfficientNet(whole.network).maps(volume).permute(0, 4, 1, 2, 3), expected, atol=1e-3, rtol=1e-3
    )


def test_paddings_of_the_larger_networks_are_followed() -> None:
    torch.manual_seed(0)
    whole = Whole("efficientnet-b1", channels=2).eval()  # made for 240 voxels: stages of odd size, with other paddings
    volume = torch.randn(1, 2, 64, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(FastEfficientNet(whole.network)(volume), whole(volume), atol=1e-4, rtol=1e-3)


def test_bfloat16_keeps_the_direction(whole: Whole) -> None:
    volume = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = whole(volume)
    found = Embedder(whole, "cpu", "bfloat16")(volume)
    assert found.dtype == torch.float32
    assert float(functional.cosine_similarity(found, expected)) >= 0.999


def test_a_vector_does_not_depend_on_its_batch(whole: Whole) -> None:
    volumes = torch.randn(3, 1, 40, 40, 40, generator=torch.Generator().manual_seed(4))
    embedder = Embedder(whole, "cpu", "float32")
    assert torch.equal(embedder(volumes)[1:2], embedder(volumes[1:2]))


class Tiny(Backbone):
    """A network that is no EfficientNet."""

    def __init__(self) -> None:
        super().__init__(1, 4, InputSpec("tumour", (1.0, 1.0, 1.0), (8, 8, 8), "zscore"))
        self.layers = nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.Dropout(0.5))

    def feature_maps(self, volumes: torch.Tensor) -> torch.Tensor:
        return self.layers(volumes)


def test_other_networks_run_as_they_are_and_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    tiny = Tiny().train()
    volumes = torch.randn(2, 1, 8, 8, 8)
    embedder = Embedder(tiny, "cpu", "float32")
    found = embedder(volumes)
    assert embedder.arithmetic == "float32 on cpu"
    with torch.inference_mode():
        torch.testing.assert_close(found, tiny.eval()(volumes))
