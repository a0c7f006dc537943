"""2D to 3D: every tensor finds its place, and the inflated network says of a volume what the 2D network says of its slice."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import EfficientNetBN
from torch import Tensor, nn
from torchvision import models

from radiogen.branches.embedding.efficientnet import MODELS, EfficientNet3D
from radiogen.branches.embedding.inflate import inflate, inflated, torchvision_names
from radiogen.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def network_2d() -> nn.Module:
    """Torchvision's B0 with statistics and scales as training would leave them: nothing is 0 or 1."""
    torch.manual_seed(1)
    network = models.efficientnet_b0(weights=None).eval()
    shake_norms(network)
    return network


def shake_norms(network: nn.Module) -> None:
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0.0, 0.1)
            # Some are small, so that eps matters.
            part.running_var.uniform_(0.001, 2.0)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0.0, 0.1)


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-4 of what there is to see."""
    scale = float(expected.std())
    assert scale > 1e-3
    assert float((found - expected).abs().max()) < 1e-4 * scale


@pytest.mark.parametrize("how", ["mean", "centre"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_volume_constant_along_depth_is_seen_as_its_slice(network_2d: nn.Module, how: str, channels: int) -> None:
    network = inflated("efficientnet-b0", network_2d.state_dict(), channels, how).eval()
    torch.manual_seed(2)
    # Odd and even sizes: the paddings at stride 2 differ.
    pictures = torch.randn(1, channels, 64, 75)
    volumes = pictures[..., None].expand(-1, -1, -1, -1, 40).contiguous()
    with torch.no_grad():
        expected = network_2d.features(pictures.expand(-1, 3, -1, -1))  # type: ignore[operator]
        maps = network.feature_maps(volumes)
        vectors = network(volumes)
    assert maps.shape == (1, 1280, 2, 3, 2)
    assert_near(maps, expected[..., None].expand_as(maps))
    assert_near(vectors, expected.mean(dim=(2, 3)))


def test_mean_inflation_with_zeros_beyond_the_ends_is_not_exact(network_2d: nn.Module) -> None:
    network = EfficientNet3D("efficientnet-b0", 3, "torchvision")
    inflate(network_2d.state_dict(), network, "mean")
    pictures = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found = network.eval().feature_maps(pictures[..., None].expand(-1, -1, -1, -1, 40).contiguous())
        expected = network_2d.features(pictures)  # type: ignore[operator]
    assert float((found - expected[..., None]).abs().max()) > 0.01 * float(expected.std())


def test_with_monais_arithmetic_torchvisions_weights_would_see_something_else(network_2d: nn.Module) -> None:
    exact = inflated("efficientnet-b0", network_2d.state_dict(), 3, "centre").eval()
    wrong = EfficientNet3D("efficientnet-b0", 3).eval()
    wrong.load_state_dict(exact.state_dict())
    volumes = torch.randn(1, 3, 64, 64, 1).expand(-1, -1, -1, -1, 33).contiguous()
    with torch.no_grad():
        assert float((exact(volumes) - wrong(volumes)).abs().max()) > 1e-2 * float(exact(volumes).std())


def test_the_layout_shared_by_monai_and_efficientnet_pytorch_inflates_too() -> None:
    torch.manual_seed(3)
    network_2d = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=3).eval()
    shake_norms(network_2d)
    network = inflated("efficientnet-b0", network_2d.state_dict(), 1, "mean").eval()
    network_2d._fc = nn.Identity()
    pictures = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = network_2d(pictures.expand(-1, 3, -1, -1))
        assert_near(network(pictures[..., None].expand(-1, -1, -1, -1, 36).contiguous()), expected)


@pytest.mark.parametrize("number", range(8))
def test_every_tensor_of_every_size_has_a_2d_one_of_its_own(number: int) -> None:
    with torch.device("meta"):
        state = getattr(models, f"efficientnet_b{number}")(weights=None).state_dict()
        network = EfficientNet3D(MODELS[number], 3, "torchvision")
    names = torchvision_names(network)
    wanted = network.network.state_dict()
    assert set(names) == set(wanted)
    assert sorted(names.values()) == sorted(name for name in state if not name.startswith("classifier."))
    for name, tensor in wanted.items():
        assert state[names[name]].shape == (tensor.shape[:-1] if tensor.ndim == 5 else tensor.shape), name


@pytest.mark.parametrize("number", range(8))
def test_normalisation_and_eps_are_those_of_torchvision(number: int) -> None:
    with torch.device("meta"):
        theirs = getattr(models, f"efficientnet_b{number}")(weights=None)
        ours = EfficientNet3D(MODELS[number], 3, "torchvision")
    expected = {(part.eps, part.momentum) for part in theirs.modules() if isinstance(part, nn.BatchNorm2d)}
    assert {(part.eps, part.momentum) for part in ours.modules() if isinstance(part, nn.BatchNorm3d)} == expected


def test_kernels_sum_along_depth_to_the_2d_ones(network_2d: nn.Module) -> None:
    state = network_2d.state_dict()
    for how in ("mean", "centre"):
        network = inflated("efficientnet-b0", state, 3, how)
        for name, tensor in network.network.state_dict().items():
            if tensor.ndim == 5:
                theirs = state[torchvision_names(network)[name]]
                torch.testing.assert_close(tensor.sum(dim=-1), theirs)
                planes = int((tensor.abs().sum(dim=(0, 1, 2, 3)) > 0).sum())
                assert planes == (tensor.shape[-1] if how == "mean" else 1)


def test_what_does_not_fit_is_refused(network_2d: nn.Module) -> None:
    state = network_2d.state_dict()
    with pytest.raises(ConfigError, match="layout of torchvision"):
        inflate(state, EfficientNet3D("efficientnet-b0"))
    network = EfficientNet3D("efficientnet-b0", 1, "torchvision")
    with pytest.raises(ConfigError, match="how is 'max'"):
        inflate(state, network, "max")
    less = {name: tensor for name, tensor in state.items() if name != "features.8.0.weight"}
    with pytest.raises(InputError, match=r"missing: features\.8\.0\.weight"):
        inflate(less, network)
    with pytest.raises(InputError, match=r"not known: features\.9\.weight"):
        inflate({**state, "features.9.weight": torch.zeros(1)}, network)
    with pytest.raises(InputError, match=r"features.8.0.weight is \(2, 2, 1, 1\)"):
        inflate({**state, "features.8.0.weight": torch.zeros(2, 2, 1, 1)}, network)
    with pytest.raises(InputError, match=r"features.8.1.bias is \(2,\)"):
        inflate({**state, "features.8.1.bias": torch.zeros(2)}, network)
    with pytest.raises(InputError, match="no weights of a 2D EfficientNet"):
        inflate({"layer.weight": torch.zeros(1)}, network)


def test_refused_weights_leave_the_network_as_it_was(network_2d: nn.Module) -> None:
    network = EfficientNet3D("efficientnet-b0", 1, "torchvision")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InputError):
        inflate({**network_2d.state_dict(), "features.8.1.bias": torch.zeros(2)}, network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
