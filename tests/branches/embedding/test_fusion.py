"""Late fusion: vectors side by side, a missing sequence as zeros that nobody learns from."""

from __future__ import annotations

import pytest
import torch

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.cnn3d import CNN3D
from radiogen.branches.embedding.fusion import LateFusion, build, present
from radiogen.errors import ConfigError


def fused(*names: str) -> LateFusion:
    torch.manual_seed(0)
    return LateFusion({name: CNN3D(widths=(3, 4 + position)) for position, name in enumerate(names)})


def test_each_part_is_what_its_own_backbone_says() -> None:
    network = fused("t1c", "t2f").eval()
    volumes = torch.randn(3, 2, 8, 8, 8)
    with torch.no_grad():
        vectors, maps = network(volumes), network.feature_maps(volumes)
        for start, end, position, name in ((0, 4, 0, "t1c"), (4, 9, 1, "t2f")):
            backbone = network.backbones[name]
            torch.testing.assert_close(vectors[:, start:end], backbone(volumes[:, position : position + 1]))
            own = backbone.feature_maps(volumes[:, position : position + 1])  # type: ignore[operator]
            torch.testing.assert_close(maps[:, start:end], own)
    assert network.dimension == vectors.shape[1] == 9


def test_a_missing_sequence_is_zeros_and_said_and_the_others_do_not_change() -> None:
    network = fused("t1c", "t2f").eval()
    volumes = torch.randn(3, 2, 8, 8, 8)
    with torch.no_grad():
        whole = network(volumes)
        volumes[1, 1] = 0
        found, maps = network(volumes), network.feature_maps(volumes)
    assert network.missing(volumes) == [[], ["t2f"], []]
    assert torch.equal(present(volumes), torch.tensor([[True, True], [True, False], [True, True]]))
    assert torch.equal(found[1, 4:], torch.zeros(5))
    assert torch.equal(maps[1, 4:], torch.zeros(5, 2, 2, 2))
    there = torch.ones(3, 9, dtype=torch.bool)
    there[1, 4:] = False
    torch.testing.assert_close(found[there], whole[there])


def test_a_sequence_that_nobody_has_leaves_its_backbone_as_it_was() -> None:
    network = fused("t1c", "t2f").train()
    before = {name: tensor.clone() for name, tensor in network.backbones["t2f"].state_dict().items()}
    volumes = torch.randn(2, 2, 8, 8, 8)
    volumes[:, 1] = 0
    vectors, maps = network(volumes), network.feature_maps(volumes)
    vectors.square().sum().backward()
    assert torch.equal(vectors[:, 4:], torch.zeros(2, 5))
    assert maps.shape == (2, 9, 2, 2, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.backbones["t2f"].state_dict().items())
    assert all(weight.grad is None for weight in network.backbones["t2f"].parameters())
    assert all(weight.grad is not None for weight in network.backbones["t1c"].parameters())
    assert network.backbones["t2f"].training


def test_items_without_a_sequence_do_not_reach_its_statistics() -> None:
    alone, together = fused("t1c").train(), fused("t1c").train()
    volumes = torch.randn(3, 1, 8, 8, 8)
    alone(volumes[:2])
    volumes[2] = 0
    together(volumes)
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, together.state_dict()[name]), name


def test_what_cannot_be_fused_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one sequence"):
        LateFusion({})
    other = InputSpec("brain", (1.0, 1.0, 1.0), (8, 8, 8), "zscore")
    bad = {"t1n": CNN3D(), "t1c": CNN3D(channels=2), "t2f": CNN3D(input_spec={"centre": other.centre})}
    with pytest.raises(ConfigError, match=r"(?s)t1c takes 2 channels.*t2f wants another input"):
        LateFusion(bad)
    with pytest.raises(ConfigError, match="Late fusion of 3 sequences"):
        build(3, "cnn3d", ["t1c", "t2f"])


def test_built_by_name_with_the_first_sequences() -> None:
    network = build(2, "cnn3d", arguments={"widths": [2, 3]})
    assert isinstance(network, LateFusion)
    assert list(network.backbones) == ["t1n", "t1c"]
    assert network.dimension == 6
