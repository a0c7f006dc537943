"""The network a training starts from: random weights or given ones, all layers or the last ones."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from radiogen.config.train import TrainSettings
from radiogen.errors import ConfigError
from radiogen.segment.networks import build_network
from radiogen.segment.train_targets import output_names
from radiogen.segment.weights import find_weights, load_network
from radiogen.training.layers import freeze_but_last, layers_in_order, reinitialise_last

log = logging.getLogger(__name__)

_INPUT_SIZE = {"unetr": "img_size", "segresnetvae": "input_image_size"}
"""Networks that take inputs of one size only in training, and the argument that sets it."""


def network_arguments(settings: TrainSettings, patch: tuple[int, ...]) -> dict[str, Any]:
    """Return the constructor arguments of the network, with what patch and loss imply filled in.

    Args:
        settings: network and loss.
        patch: voxels of a patch, as many axes as the network has.
    """
    arguments = dict(settings.network.arguments)
    if settings.network.name in _INPUT_SIZE:
        arguments.setdefault(_INPUT_SIZE[settings.network.name], list(patch))
    if settings.loss.deep_supervision:
        arguments.setdefault("deep_supervision", True)
    return arguments


def takes_one_size(settings: TrainSettings) -> bool:
    """Return whether the network takes inputs of the patch's size only, in prediction too."""
    return settings.network.name == "unetr"


def starting_network(settings: TrainSettings, patch: tuple[int, ...]) -> nn.Module:
    """Return the network before its first step; the same settings give the same weights.

    Args:
        settings: network, where it starts from, which layers learn.
        patch: voxels of a patch, as many axes as the network has.

    Raises:
        ConfigError: the network cannot be built, or the weights to start from are another network's.
        InputError: the weights cannot be read.
    """
    chosen, data = settings.network, settings.data
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build_network(
            chosen.name, len(data.sequences), len(output_names(data)), network_arguments(settings, patch)
        )
        if chosen.start_from is not None:
            _load_start(network, settings)
        if chosen.reinitialise or chosen.tune == "last-layers":
            names = layers_in_order(network, torch.zeros(1, len(data.sequences), *patch, device="meta"))
            reinitialise_last(network, names, chosen.reinitialise) if chosen.reinitialise else None
            if chosen.tune == "last-layers":
                freeze_but_last(network, names, chosen.last_layers)
    return network


def _load_start(network: nn.Module, settings: TrainSettings) -> None:
    given, card = load_network(find_weights(str(settings.network.start_from)))
    problems = []
    if card.network != settings.network.name:
        problems.append(f"the weights are of the network '{card.network}', the settings name '{settings.network.name}'")
    if tuple(card.sequences) != tuple(settings.data.sequences):
        problems.append(
            f"the weights take {', '.join(card.sequences)}, the settings name {', '.join(settings.data.sequences)}"
        )
    if tuple(card.outputs) != output_names(settings.data):
        problems.append(
            f"the weights put out {', '.join(card.outputs)}, the settings ask for {', '.join(output_names(settings.data))}"
        )
    if not problems:
        try:
            network.load_state_dict(given.state_dict())
        except RuntimeError as error:
            problems = [line.strip() for line in str(error).splitlines()[1:4]]
    if problems:
        raise ConfigError(
            f"Training cannot start from {settings.network.start_from}:",
            problems=problems,
            hint="Use the network and arguments of its card.",
        )
    if card.spacing_mm != settings.data.spacing_mm:
        log.warning("The weights were trained at %g mm; now it is %g mm.", card.spacing_mm, settings.data.spacing_mm)
