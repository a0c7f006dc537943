"""Weights of segmentation networks: a safetensors file and the card beside it that says what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from radiogen.config.base import StageSettings
from radiogen.errors import ConfigError, InputError
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_json, writing
from radiogen.segment.networks import build_network
from radiogen.types import REGIONS, SEQUENCES


class WeightsCard(StageSettings):
    """What a weights file is: enough to rebuild the network, feed it as it was trained, and cite it.

    Example:
        >>> WeightsCard(name="tiny", network="segresnet", sequences=("t1c", "t2f"), licence="CC0", training_data="none").outputs
        ('wt', 'tc', 'et')
    """

    name: str
    """Name of the weights."""

    network: str
    """Registered network."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Constructor arguments that differ from the registered defaults."""

    sequences: tuple[str, ...]
    """Sequences in the order of the input channels."""

    outputs: tuple[str, ...] = ("wt", "tc", "et")
    """Region of each output channel (sigmoid)."""

    thresholds: dict[str, float] = Field(default_factory=dict)
    """Region -> probability above which a voxel belongs to it; 0.5 where absent."""

    spacing_mm: float = Field(default=1.0, gt=0)
    """Isotropic voxel size the network was trained at, mm."""

    multiple: int = Field(default=16, ge=1)
    """Every input axis is padded to a multiple of this many voxels."""

    window: tuple[int, int, int] | None = None
    """Input size of networks that take only one, voxels."""

    licence: str
    """Licence of the weights, as an SPDX name where there is one."""

    training_data: str
    """What it was trained on."""

    source: str = ""
    """Paper or address."""

    measured: dict[str, Any] = Field(default_factory=dict)
    """What it scored, on what."""

    sha256: str = ""
    """Of the safetensors file; filled in by `save_weights`."""

    @model_validator(mode="after")
    def _names_are_known(self) -> WeightsCard:
        unknown = [name for name in self.sequences if name not in SEQUENCES] + [
            name for name in self.outputs if name not in REGIONS
        ]
        if unknown:
            raise ValueError(f"unknown sequence or region: {', '.join(unknown)}")
        return self


def card_path(weights: str | Path) -> Path:
    """Return where the card of a weights file stands: the same name with `.json`."""
    return Path(weights).with_suffix(".json")


def save_weights(path: str | Path, network: torch.nn.Module, card: WeightsCard) -> WeightsCard:
    """Write a network's state as safetensors, and its card beside it.

    Args:
        path: `.safetensors` file.
        network: built by `build_network(card.network, ...)`.
        card: what it is; its `sha256` is filled in.

    Returns:
        The card as written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with writing(path) as beside:
        save_file(state, beside)
    complete = card.model_copy(update={"sha256": sha256_file(path)})
    write_json(card_path(path), complete.model_dump(mode="json"))
    return complete


def read_card(path: str | Path) -> WeightsCard:
    """Read and check the card of a weights file, and that the file is the one the card describes.

    Raises:
        InputError: weights or card are missing, the card is not JSON, or the file's hash is another.
        ConfigError: the card holds unknown keys or values.
    """
    weights, card_file = Path(path), card_path(path)
    missing = [item.name for item in (weights, card_file) if not item.is_file()]
    if missing:
        raise InputError(
            f"{', '.join(missing)} not found beside each other in {weights.parent}.",
            hint="Give the .safetensors file; its card <name>.json must stand beside it.",
        )
    try:
        card = WeightsCard.parse(json.loads(card_file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise InputError(f"The card {card_file.name} is not JSON: {error}") from error
    digest = sha256_file(weights)
    if digest != card.sha256:
        raise InputError(
            f"{weights.name} is not the file its card describes: sha256 {digest[:12]}..., the card says {card.sha256[:12] or 'nothing'}.",
            hint="Copy both files again.",
        )
    return card


def load_network(path: str | Path) -> tuple[torch.nn.Module, WeightsCard]:
    """Return the network of a weights file, in evaluation mode on the CPU, and its card.

    Raises:
        InputError: the file cannot be used, or its tensors do not fit the network that the card names.
    """
    card = read_card(path)
    network = build_network(card.network, len(card.sequences), len(card.outputs), dict(card.arguments))
    try:
        network.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise InputError(f"{Path(path).name} is not a safetensors file: {error}") from error
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise InputError(
            f"The tensors of {Path(path).name} do not fit the network '{card.network}':",
            problems=[line.strip() for line in lines[1:4]],
        ) from error
    return network, card


def verify_weights(path: str | Path) -> WeightsCard:
    """Check that weights load into their network and that their card is complete; return the card.

    Raises:
        InputError: they do not.
        ConfigError: the card is not accepted.
    """
    card = load_network(path)[1]
    if not card.licence or not card.training_data:
        raise ConfigError(f"The card of {Path(path).name} states no licence or training data.")
    return card
