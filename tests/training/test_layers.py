from __future__ import annotations

import pytest
import torch
from torch import nn

from radiogen.errors import ConfigError
from radiogen.training.layers import freeze_but_last, layers_in_order, reinitialise_last


class _Crossed(nn.Module):
    """Registers its layers in another order than it uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first, self.unused = nn.Linear(3, 1), nn.Linear(2, 3), nn.Linear(1, 1)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)))


def test_layers_come_in_the_order_of_use_and_the_network_stays_as_it_was() -> None:
    network = _Crossed().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert layers_in_order(network, torch.randn(4, 2)) == ["first", "norm", "last"]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.training


def test_all_but_the_last_layers_are_frozen() -> None:
    network = _Crossed()
    freeze_but_last(network, ["first", "norm", "last"], 2)
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == {"last.weight", "last.bias", "norm.weight", "norm.bias"}


def test_the_last_layers_are_drawn_anew() -> None:
    torch.manual_seed(0)
    network = _Crossed()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    reinitialise_last(network, ["first", "norm", "last"], 1)
    after = network.state_dict()
    assert not torch.equal(after["last.weight"], before["last.weight"])
    assert torch.equal(after["first.weight"], before["first.weight"])


def test_a_layer_that_cannot_be_drawn_anew_is_named() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

    network = nn.Sequential(Own())
    with pytest.raises(ConfigError, match="'0' cannot be drawn anew"):
        reinitialise_last(network, ["0"], 1)
