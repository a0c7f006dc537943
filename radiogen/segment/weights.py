"""Weights of segmentation networks: a safetensors file and the card beside it that says what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from radiogen.config.base import StageSettings
from radiogen.errors import ConfigError, InputError
from radiogen.resources import cache_folder, sha256_file
from radiogen.run.atomic import write_json, writing
from radiogen.segment.inputs import NORMALISATIONS
from radiogen.segment.networks import build_network
from radiogen.segment.quality import QualityCalibration
from radiogen.types import REGIONS, SEQUENCES

CLASSES = ("background", "ncr", "ed", "et", "rc")
"""Output channels of a network with softmax; `rc` may be absent."""

DEFAULT_WEIGHTS = "radiogen-compact"
"""The weights that `radiogen segment` uses by itself where they are installed."""

SHIPPED = Path(__file__).parent / "shipped"


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
    """What each output channel is: regions (`wt tc et`, and `rc`) with `sigmoid`, classes (`background ncr ed et`, and `rc`) with `softmax`."""

    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    """What turns the outputs into probabilities."""

    dimension: Literal[2, 3] = 3
    """Axes the network sees."""

    planes: Literal["volume", "axial", "coronal", "sagittal"] = "volume"
    """`volume`: 3D; a plane: the network is 2D and sees the slices of that plane one by one."""

    needs_brain: bool = True
    """The network knows brains only: where the skull is on, the brain is estimated and the rest set to 0."""

    normalisation: str = "zscore"
    """How intensities inside the brain were normalised in training; a name in `radiogen.segment.inputs.NORMALISATIONS`."""

    ensemble_weight: float = Field(default=1.0, gt=0)
    """Weight of this network in a weighted mean with others, such as its Dice in cross-validation."""

    leave_out: tuple[tuple[str, ...], ...] = ()
    """Sequences that are left out in turn; the answers with and without them are averaged. For networks that were trained with missing sequences."""

    calibration: QualityCalibration | None = None
    """How agreement between passes translates into expected Dice; made and validated by `radiogen.segment.quality`."""

    thresholds: dict[str, float] = Field(default_factory=dict)
    """Region -> probability above which a voxel belongs to it; 0.5 where absent."""

    spacing_mm: float = Field(default=1.0, gt=0)
    """Isotropic voxel size the network was trained at, mm."""

    multiple: int = Field(default=16, ge=1)
    """Every input axis is padded to a multiple of this many voxels."""

    window: tuple[int, int, int] | None = None
    """Input size of networks that take only one, voxels."""

    grid_voxels: tuple[int, int, int] | None = None
    """Volume that the publisher runs the network on in one piece, voxels: its group normalisation counts all of that volume's background, and a crop
    is corrected to it. None: the statistics of what the network is given."""

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
        known = CLASSES if self.activation == "softmax" else (*REGIONS, "rc")
        left_out = [name for names in self.leave_out for name in names if name not in self.sequences]
        unknown = [*left_out, *(name for name in self.sequences if name not in SEQUENCES)] + [
            name for name in self.outputs if name not in known
        ]
        if unknown:
            raise ValueError(f"unknown sequence or region: {', '.join(unknown)}")
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation is '{self.normalisation}'; {', '.join(NORMALISATIONS)} are accepted")
        if self.activation == "softmax" and not set(CLASSES[:4]) <= set(self.outputs):
            raise ValueError(
                f"softmax needs the outputs {', '.join(CLASSES[:4])}; the card has {', '.join(self.outputs)}"
            )
        if (self.dimension == 2) != (self.planes != "volume"):
            raise ValueError("a 2D network needs a plane, a 3D network the planes 'volume'")
        return self


def find_weights(name_or_path: str | Path) -> Path:
    """Return the safetensors file of weights: shipped with radiogen, in the cache folder, or a file of one's own.

    Args:
        name_or_path: a name such as `radiogen-compact`, or a path.

    Raises:
        InputError: there are no such weights; the message lists those that are installed.
    """
    name = str(name_or_path)
    for folder in _folders():
        if (folder / f"{name}.safetensors").is_file() and Path(name).name == name:
            return folder / f"{name}.safetensors"
    path = Path(name_or_path)
    if path.exists():
        return path
    raise InputError(
        f"The weights '{name}' were not found: no installed weights have this name and there is no such file.",
        hint=f"Installed: {', '.join(installed_weights()) or 'none'}. Give one of them or a .safetensors file with its card.",
    )


def installed_weights() -> list[str]:
    """Return the names of the weights that come with radiogen or stand in the cache folder."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.safetensors")})


def default_weights() -> Path | None:
    """Return the weights that `radiogen segment` uses by itself, None where they are not installed."""
    path = SHIPPED / f"{DEFAULT_WEIGHTS}.safetensors"
    return path if path.is_file() else None


def _folders() -> tuple[Path, Path]:
    return SHIPPED, cache_folder() / "weights"


def card_path(weights: str | Path) -> Path:
    """Return where the card of a weights file stands: the same name with `.json`."""
    return Path(weights).with_suffix(".json")


def save_weights(path: str | Path, network: torch.nn.Module, card: WeightsCard, *, half: bool = False) -> WeightsCard:
    """Write a network's state as safetensors, and its card beside it.

    Args:
        path: `.safetensors` file.
        network: built by `build_network(card.network, ...)`.
        card: what it is; its `sha256` is filled in.
        half: store floating-point numbers in 16 bits: half the size, for weights that are handed on and not trained further.

    Returns:
        The card as written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    with writing(path) as beside:
        beside.write_bytes(save(state))  # `save_file` would make it readable by its owner alone
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
