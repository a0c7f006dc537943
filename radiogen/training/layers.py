"""Layers with weights in the order in which a network uses them: which are drawn anew, which are frozen."""

from __future__ import annotations

import copy

import torch
from torch import nn

from radiogen.errors import ConfigError


def layers_in_order(network: nn.Module, example: torch.Tensor) -> list[str]:
    """Return the names of the layers with a weight, in the order in which one pass uses them.

    Args:
        network: any network; it is not changed.
        example: an input it accepts; on torch's `meta` device no arithmetic is done.

    Example:
        >>> layers_in_order(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), torch.zeros(1, 2))
        ['0', '2']
    """
    trial = copy.deepcopy(network).train().to(example.device)
    used: dict[str, None] = {}
    for name, module in trial.named_modules():
        if isinstance(getattr(module, "weight", None), nn.Parameter):
            module.register_forward_hook(lambda *_, name=name: used.setdefault(name))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        trial(example)
    return list(used)


def freeze_but_last(network: nn.Module, names: list[str], count: int) -> None:
    """Freeze every parameter but those of the last `count` layers.

    Args:
        network: changed in place.
        names: as `layers_in_order` returns them.
        count: layers that learn.
    """
    network.requires_grad_(False)
    for name in names[-count:]:
        network.get_submodule(name).requires_grad_(True)


def reinitialise_last(network: nn.Module, names: list[str], count: int) -> None:
    """Draw the last `count` layers anew, from torch's own random numbers.

    Args:
        network: changed in place.
        names: as `layers_in_order` returns them.
        count: layers.

    Raises:
        ConfigError: a layer does not know how to draw its weights.

    Source: re-initialised decoder layers before fine-tuning, methods part 2, A5.
    """
    for name in names[-count:]:
        layer = network.get_submodule(name)
        draw = getattr(layer, "reset_parameters", None)
        if not callable(draw):
            raise ConfigError(f"The layer '{name}' cannot be drawn anew.", hint="Lower reinitialise.")
        draw()
