"""Embedding networks with their weights: random ones from a seed, one's own, or published ones in their publisher's layout."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from radiogen.branches.embedding.base import Backbone
from radiogen.branches.embedding.names import EMBEDDING_LOADERS, EMBEDDING_NETWORKS
from radiogen.branches.embedding.published import installed_folder, published_backbones, read_card
from radiogen.errors import ConfigError, InputError
from radiogen.registry import did_you_mean
from radiogen.resources import sha256_file
from radiogen.run.atomic import writing
from radiogen.segment.external import read_state

INFLATED = "efficientnet3d-"
"""What the names of networks begin with that take 2D weights, inflated."""


def load_backbone(
    network: str, /, *, weights: str | Path | None, seed: int, channels: int = 1, **arguments: Any
) -> Backbone:
    """Return an embedding network with weights, in evaluation mode; the same arguments give the same numbers.

    Args:
        network: registered name.
        weights: name of installed weights, or a file (.safetensors, .pt, .pth) with either the network's own tensors or its publisher's. None: random
            numbers from the seed.
        seed: of random weights, and of what a file does not hold; torch's own random numbers are left as they were.
        channels: input channels.
        arguments: constructor arguments of the network. A 3D EfficientNet whose file holds 2D weights is built with the arithmetic they were trained
            with, and takes `inflation` (`mean` or `centre`) as well; see `radiogen.branches.embedding.inflate`.

    Raises:
        ConfigError: the network or an argument is not known.
        InputError: the weights are not there, cannot be read or do not fit.

    Example:
        >>> load_backbone("cnn3d", weights=None, seed=1, widths=(2, 4)).dimension
        4
    """
    EMBEDDING_NETWORKS.load(network)
    how = arguments.pop("inflation", None) if network.startswith(INFLATED) else None
    if weights is None:
        if how is not None:
            raise ConfigError("inflation is for 2D weights, and no weights were given.")
        return _built(network, seed, channels, arguments)
    path = find_backbone_weights(weights)
    state = read_state(path)
    if network.startswith(INFLATED) and _is_2d(state):
        arguments = _as_trained(state, how or "mean", arguments)
    backbone = _built(network, seed, channels, arguments)
    put_weights(state, backbone, network, how or "mean", path.name)
    return backbone


def arguments_as_built(network: str, weights: str | Path | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments that give the architecture of `load_backbone` without the file of weights.

    Args:
        network: registered name.
        weights: as for `load_backbone`.
        arguments: as for `load_backbone`.

    Raises:
        InputError: the weights are not there or cannot be read.

    Example:
        >>> arguments_as_built("cnn3d", None, {"widths": (2, 4)})
        {'widths': (2, 4)}
    """
    given = dict(arguments)
    how = given.pop("inflation", None) if network.startswith(INFLATED) else None
    if weights is None or not network.startswith(INFLATED):
        return given
    state = read_state(find_backbone_weights(weights))
    return _as_trained(state, how or "mean", given) if _is_2d(state) else given


def put_weights(state: Mapping[str, Tensor], backbone: Backbone, network: str, how: str, what: str) -> None:
    """Put a file's tensors into a network: its own by name, otherwise its publisher's.

    Args:
        state: name -> tensor.
        backbone: changed in place.
        network: registered name.
        how: of 2D weights in a 3D EfficientNet: `mean` or `centre`.
        what: name of the file, for messages.

    Raises:
        ConfigError: `how` or the network's arithmetic does not go with the weights.
        InputError: the tensors do not fit.
    """
    own = backbone.state_dict()
    if set(state) == set(own):
        problems = [
            f"{name} is {tuple(tensor.shape)}, it has to be {tuple(own[name].shape)}"
            for name, tensor in state.items()
            if tensor.shape != own[name].shape
        ]
        if problems:
            raise InputError(f"The tensors of {what} do not fit the network '{network}':", problems=problems[:5])
        backbone.load_state_dict(dict(state))
    elif network not in EMBEDDING_LOADERS:
        missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
        problems = [f"missing: {name}" for name in missing[:3]] + [f"not known: {name}" for name in extra[:3]]
        raise InputError(
            f"The tensors of {what} do not fit the network '{network}' ({len(missing)} missing, {len(extra)} left over):",
            problems=problems,
            hint="Give weights that radiogen saved for this network; there are no published ones that it knows.",
        )
    elif network.startswith(INFLATED):
        EMBEDDING_LOADERS.load(network)(state, backbone, how)
    else:
        EMBEDDING_LOADERS.load(network)(state, backbone)


def find_backbone_weights(name_or_path: str | Path) -> Path:
    """Return the file of weights: installed ones by name, or a file.

    Raises:
        InputError: there are no such weights; the message lists those that are installed.
    """
    name = str(name_or_path)
    installed = installed_folder() / f"{name}.safetensors"
    if Path(name).name == name and installed.is_file():
        return installed
    path = Path(name_or_path)
    if path.is_file():
        return path
    if name in published_backbones():
        raise InputError(
            f"The weights '{name}' are not installed.",
            hint=f"Run radiogen weights fetch {name}, or download the file and run radiogen weights import FILE --name {name}.",
        )
    known = [*installed_backbones(), *published_backbones()]
    raise InputError(
        f"The weights '{name}' were not found: no embedding weights have this name and there is no such file.",
        hint=f"Installed: {', '.join(installed_backbones()) or 'none'}. {did_you_mean(name, known)}".strip(),
    )


def installed_backbones() -> list[str]:
    """Return the names of the embedding weights in the cache folder."""
    return sorted(path.stem for path in installed_folder().glob("*.safetensors"))


def describe_weights(weights: str | Path | None, seed: int) -> dict[str, Any]:
    """Return for provenance what a network's numbers are: the file's sha256 and, of installed weights, licence and training data.

    Args:
        weights: as for `load_backbone`.
        seed: of random weights.

    Raises:
        InputError: there are no such weights, or they are not what their card describes.

    Example:
        >>> describe_weights(None, 3)
        {'weights': 'none: random numbers from the seed 3', 'seed': 3}
    """
    if weights is None:
        return {"weights": f"none: random numbers from the seed {seed}", "seed": seed}
    path = find_backbone_weights(weights)
    if path.parent != installed_folder():
        return {"weights": path.name, "weights_file_sha256": sha256_file(path)}
    card = read_card(path)
    return {
        "weights": card.name,
        "weights_file_sha256": card.sha256,
        "published_sha256": card.published_sha256,
        "licence": card.licence,
        "training_data": card.training_data,
    }


def save_backbone(path: str | Path, backbone: Backbone) -> str:
    """Write a network's own tensors as safetensors, to be loaded by `load_backbone`; return the file's sha256.

    Example:
        >>> import tempfile
        >>> network = load_backbone("cnn3d", weights=None, seed=1, widths=(2, 4))
        >>> file = Path(tempfile.mkdtemp()) / "mine.safetensors"
        >>> len(save_backbone(file, network))
        64
        >>> again = load_backbone("cnn3d", weights=file, seed=2, widths=(2, 4))
        >>> all(torch.equal(mine, its) for mine, its in zip(network.parameters(), again.parameters()))
        True
    """
    with writing(path) as beside:
        beside.write_bytes(
            save({name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()})
        )
    return sha256_file(path)


def _built(network: str, seed: int, channels: int, arguments: Mapping[str, Any]) -> Backbone:
    build = EMBEDDING_NETWORKS.load(network)
    accepted = inspect.signature(build).parameters
    unknown = [name for name in arguments if name not in accepted]
    if unknown:
        raise ConfigError(
            f"The network '{network}' does not take {', '.join(unknown)}; it takes {', '.join(accepted)}.",
            hint=did_you_mean(unknown[0], list(accepted)),
        )
    # The random numbers of whoever calls are left as they were.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone: Backbone = build(channels=channels, **arguments)
    return backbone.eval()


def _is_2d(state: Mapping[str, Tensor]) -> bool:
    return any(name in state and state[name].ndim == 4 for name in ("features.0.0.weight", "_conv_stem.weight"))


def _as_trained(state: Mapping[str, Tensor], how: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the arithmetic of 2D weights and the padding that keeps them exact, unless others were asked for."""
    from radiogen.branches.embedding.inflate import layout_of

    padding = "replicate" if how == "mean" else "zeros"
    return {"arithmetic": layout_of(state), "depth_padding": padding, **arguments}
