"""What every registered network of volumes promises: shapes, seeds, gradients, half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision import models

from radiogen.branches.embedding.base import Backbone
from radiogen.branches.embedding.names import EMBEDDING_LOADERS, EMBEDDING_NETWORKS

# Name -> arguments that keep it small, length of the vector, size to try.
SMALL: dict[str, tuple[dict[str, Any], int, tuple[int, int, int]]] = {
    "efficientnet3d-b0": ({}, 1280, (48, 40, 33)),
    "densenet121-3d": ({}, 1024, (40, 40, 36)),
    "cnn3d": ({"widths": [4, 8, 8, 16]}, 16, (32, 32, 17)),
    "medicalnet-resnet10": ({}, 512, (40, 40, 36)),
    "medicalnet-resnet18": ({}, 512, (40, 40, 36)),
    "r3d-18": ({}, 512, (32, 32, 10)),
    "mc3-18": ({}, 512, (32, 32, 4)),
    "r2plus1d-18": ({}, 512, (32, 32, 10)),
    "swin3d-t": ({}, 768, (40, 40, 6)),
    "multiscale-efficientnet-b7": ({"model": "efficientnet_b0", "slices": 2}, 1344, (48, 40, 6)),
    "late-fusion": ({"network": "cnn3d", "arguments": {"widths": [4, 8]}}, 8, (16, 16, 16)),
}


def basic_resnet(*blocks: int) -> int:
    """Parameters of a 3D ResNet with shortcut A (none) and one input channel, counted from He et al. 2016, table 1, kernels 3 x 3 x 3."""
    return _resnet(blocks, lambda before, width: (27 * before * width + 27 * width**2 + 4 * width, width))


def bottleneck_resnet(*blocks: int) -> int:
    """Parameters of a 3D bottleneck ResNet with one input channel, without its shortcuts' (added by `_resnet`)."""

    def block(before: int, width: int) -> tuple[int, int]:
        return before * width + 27 * width**2 + 4 * width**2 + 4 * width + 8 * width, 4 * width

    # Shortcut B: a 1 x 1 x 1 convolution and its normalisation at the head of each stage.
    shortcuts = sum(before * after + 2 * after for before, after in ((64, 256), (256, 512), (512, 1024), (1024, 2048)))
    return _resnet(blocks, block) + shortcuts


def _resnet(blocks: tuple[int, ...], block: Callable[[int, int], tuple[int, int]]) -> int:
    total, before = 343 * 64 + 128, 64
    for count, width in zip(blocks, (64, 128, 256, 512), strict=True):
        for _ in range(count):
            more, before = block(before, width)
            total += more
    return total


# Parameters at one channel, without a classifier, and length of the vector.
LARGE = {
    "efficientnet3d-b7": (68_758_992, 2560),
    "densenet121-3d": (11_242_624, 1024),
    "medicalnet-resnet34": (basic_resnet(3, 4, 6, 3), 512),
    "medicalnet-resnet50": (bottleneck_resnet(3, 4, 6, 3), 2048),
    "multiscale-efficientnet-b7": (63_806_352, 2624),
}


def made(name: str, channels: int = 1, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    network: Backbone = EMBEDDING_NETWORKS.load(name)(channels=channels, **SMALL[name][0])
    return network


def volumes_for(name: str, channels: int = 1, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, channels, *SMALL[name][2], generator=torch.Generator().manual_seed(5)) * 255


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", SMALL)
def test_shapes(name: str, channels: int) -> None:
    network = made(name, channels).eval()
    parts = channels if name == "late-fusion" else 1
    with torch.no_grad():
        maps = network.feature_maps(volumes_for(name, channels))
        vectors = network(volumes_for(name, channels))
    assert network.channels == channels
    assert network.dimension == parts * SMALL[name][1]
    assert vectors.shape == (1, network.dimension)
    assert maps.shape[:2] == (1, network.dimension)
    torch.testing.assert_close(vectors, maps.mean(dim=(2, 3, 4)))
    assert bool(torch.isfinite(vectors).all())
    assert float(vectors.std()) > 0


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    first, again, other = (made(name, seed=seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(tensor, again[key]) for key, tensor in first.items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in first.items())


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_learns(name: str) -> None:
    network = made(name).train()
    before = volumes_for(name, batch=2).requires_grad_()
    # Not the sum: what normalisation lets through of it is 0.
    vectors = network(before)
    (vectors * torch.linspace(-1, 1, vectors.numel()).reshape(vectors.shape)).sum().backward()
    assert before.grad is not None
    assert float(before.grad.abs().max()) > 0
    silent = [key for key, weight in network.named_parameters() if weight.grad is None]
    assert not silent


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_with_channels_last_is_near(name: str) -> None:
    network = made(name).eval()
    volumes = volumes_for(name)
    with torch.no_grad():
        expected = network(volumes)
        for part in network.modules():
            if isinstance(part, torch.nn.Conv3d):  # a network of slices has kernels that this layout does not know
                part.to(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(volumes.contiguous(memory_format=torch.channels_last_3d)).float()
    assert float(torch.cosine_similarity(found, expected)) > 0.999


@pytest.mark.parametrize("name", LARGE)
def test_sizes_of_the_large_ones_by_shape_alone(name: str) -> None:
    with torch.device("meta"):
        network = EMBEDDING_NETWORKS.load(name)(channels=1).eval()
        vectors = network(torch.zeros(1, 1, *network.spec.shape))
    assert (sum(weight.numel() for weight in network.parameters()), network.dimension) == LARGE[name]
    assert vectors.shape == (1, network.dimension)


def test_every_network_of_volumes_is_tried_here_or_elsewhere() -> None:
    elsewhere = {f"efficientnet3d-b{number}" for number in range(1, 8)} | {"medicalnet-resnet34", "medicalnet-resnet50"}
    assert {*SMALL, *elsewhere} <= set(EMBEDDING_NETWORKS)


# Name -> arguments, and a state dict in the publisher's layout.
PUBLISHED: dict[str, tuple[dict[str, Any], Callable[[], dict[str, torch.Tensor]]]] = {
    "efficientnet3d-b0": ({"arithmetic": "torchvision"}, lambda: models.efficientnet_b0(weights=None).state_dict()),
    "medicalnet-resnet10": (
        {},
        lambda: {f"module.{name}": value for name, value in made("medicalnet-resnet10").network.state_dict().items()},  # type: ignore[union-attr]
    ),
    "mc3-18": ({}, lambda: models.video.mc3_18(weights=None).state_dict()),
    "multiscale-efficientnet-b7": (
        {"model": "efficientnet_b0"},
        lambda: models.efficientnet_b0(weights=None).state_dict(),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_decide_the_vector_whatever_the_seed_was(name: str) -> None:
    arguments, state = PUBLISHED[name]
    published = state()
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = EMBEDDING_NETWORKS.load(name)(**arguments).eval()
        EMBEDDING_LOADERS.load(name)(published, network)
        with torch.no_grad():
            found.append(network(volumes_for(name)))
    same = (
        1280 if name == "multiscale-efficientnet-b7" else network.dimension
    )  # its second path has no published weights
    assert torch.equal(found[0][:, :same], found[1][:, :same])


def test_every_loader_belongs_to_a_network() -> None:
    assert set(EMBEDDING_LOADERS) < set(EMBEDDING_NETWORKS)
    assert all(callable(EMBEDDING_LOADERS.load(name)) for name in EMBEDDING_LOADERS)
