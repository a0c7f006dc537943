"""3D EfficientNet: the published layers, sizes from B0 to B7, and its two arithmetics."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import EfficientNetBN
from torch import nn

from radiogen.branches.embedding.efficientnet import MODELS, EfficientNet3D
from radiogen.branches.embedding.names import EMBEDDING_NETWORKS
from radiogen.errors import ConfigError

# Operator's expansion, kernel, channels, layers, stride. Tan & Le 2019 (arXiv:1905.11946), table 1: the stages that the MGMT chapter lists
# without strides; the strides follow from the table's resolutions.
B0_STAGES = [
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
]
# Vector length: 1280 x the width coefficient of arXiv:1905.11946 (as in its code: 1.0, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0), to a multiple of 8.
DIMENSIONS = [1280, 1280, 1408, 1536, 1792, 2048, 2304, 2560]


def on_meta(model: str, **arguments: object) -> EfficientNet3D:
    with torch.device("meta"):
        return EfficientNet3D(model, **arguments)


def test_b0_has_the_stages_of_the_paper() -> None:
    network = on_meta("efficientnet-b0").network
    stem = network._conv_stem
    assert (stem.out_channels, stem.kernel_size, stem.stride) == (32, (3, 3, 3), (2, 2, 2))
    found = []
    for stack in network._blocks:
        first = stack[0]
        kernel, stride = first._depthwise_conv.kernel_size, first._depthwise_conv.stride
        assert len(set(kernel)) == len(set(stride)) == 1
        assert all(block._depthwise_conv.groups == block._depthwise_conv.in_channels for block in stack)
        assert all(block._depthwise_conv.stride == (1, 1, 1) for block in list(stack)[1:])
        found.append((first.expand_ratio, kernel[0], first._project_conv.out_channels, len(stack), stride[0]))
    assert found == B0_STAGES
    assert (network._conv_head.out_channels, network._conv_head.kernel_size) == (1280, (1, 1, 1))
    assert sum(isinstance(part, nn.Conv2d) for part in network.modules()) == 0


def test_b0_has_all_parameters_of_monais_network_but_the_classifiers() -> None:
    with torch.device("meta"):
        whole = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1, num_classes=1)
    count = sum(weight.numel() for weight in on_meta("efficientnet-b0").parameters())
    assert count == sum(weight.numel() for weight in whole.parameters()) - (1280 + 1)
    assert count == 4_688_380


@pytest.mark.parametrize(("model", "dimension"), list(zip(MODELS, DIMENSIONS, strict=True)))
def test_vectors_are_as_long_as_the_width_coefficient_says(model: str, dimension: int) -> None:
    network = on_meta(model, channels=4)
    assert network.dimension == dimension
    with torch.device("meta"):
        assert network.eval()(torch.zeros(1, 4, 64, 64, 32)).shape == (1, dimension)


def test_frozen_random_weights_give_vectors_that_half_precision_can_hold() -> None:
    torch.manual_seed(0)
    network = EfficientNet3D("efficientnet-b0").eval()
    weight = network.network._blocks[5][0]._depthwise_conv.weight
    # Variance 2 / 125 over 672 x 125 numbers: known to about 0.5 %.
    assert float(weight.detach().std()) == pytest.approx((2 / 125) ** 0.5, rel=0.02)
    with torch.no_grad():
        assert float(network(torch.randn(1, 1, 48, 48, 48)).std()) > 1e-8


def test_maps_equal_monais_up_to_rounding() -> None:
    torch.manual_seed(0)
    ours = EfficientNet3D("efficientnet-b0").eval()
    theirs = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1, num_classes=1).eval()
    theirs.load_state_dict(ours.network.state_dict(), strict=False)
    theirs._fc = nn.Identity()
    volumes = torch.randn(2, 1, 48, 40, 33)
    with torch.no_grad():
        expected = theirs(volumes)
        torch.testing.assert_close(ours(volumes), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("model", "eps"), [("efficientnet-b4", 1e-5), ("efficientnet-b5", 1e-3)])
def test_torchvisions_arithmetic_pads_evenly_and_has_its_eps(model: str, eps: float) -> None:
    network = on_meta(model, arithmetic="torchvision").network
    assert {part.eps for part in network.modules() if isinstance(part, nn.BatchNorm3d)} == {eps}
    for stack in network._blocks:
        for block in stack:
            half = block._depthwise_conv.kernel_size[0] // 2
            assert tuple(block._depthwise_conv_padding.padding) == (half,) * 6
    monai = on_meta(model).network
    assert tuple(monai._conv_stem_padding.padding) == (0, 1, 0, 1, 0, 1)
    assert {part.eps for part in monai.modules() if isinstance(part, nn.BatchNorm3d)} == {1e-3}


@pytest.mark.parametrize("arithmetic", ["monai", "torchvision"])
def test_replicated_depth_keeps_a_constant_volume_constant(arithmetic: str) -> None:
    torch.manual_seed(0)
    network = EfficientNet3D("efficientnet-b0", 1, arithmetic, "replicate").eval()
    volumes = torch.randn(1, 1, 40, 40, 1).expand(-1, -1, -1, -1, 70).contiguous()
    with torch.no_grad():
        maps = network.feature_maps(volumes)
    size = float(maps.std())
    assert maps.shape[-1] > 1
    assert float((maps - maps[..., :1]).abs().max()) < 1e-4 * size
    zeros = EfficientNet3D("efficientnet-b0", 1, arithmetic).eval()
    zeros.load_state_dict(network.state_dict())
    with torch.no_grad():
        ends = zeros.feature_maps(volumes)
    assert float((ends - ends[..., :1]).abs().max()) > 0.1 * size


def test_bad_arguments_are_named_all_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)model is 'b0'.*arithmetic is 'keras'.*depth_padding is 'wrap'"):
        EfficientNet3D("b0", 1, "keras", "wrap")


def test_every_size_is_registered() -> None:
    with torch.device("meta"):
        built = [EMBEDDING_NETWORKS.load(f"efficientnet3d-b{number}")(channels=2) for number in range(8)]
    assert [network.model for network in built] == list(MODELS)
    assert {network.channels for network in built} == {2}
