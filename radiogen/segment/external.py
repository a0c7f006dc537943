"""Published weights by name: pinned in a lockfile, fetched only when asked, checked, and turned into radiogen's own format."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file

from radiogen.config.base import StageSettings
from radiogen.errors import ConfigError, InputError
from radiogen.registry import did_you_mean
from radiogen.resources import cache_folder
from radiogen.run.atomic import writing
from radiogen.segment.networks import build_network
from radiogen.segment.weights import WeightsCard, save_weights

_WRAPPERS = ("model", "state_dict", "network_weights")
_TIMEOUT_S = 60


class Pinned(StageSettings):
    """Published weights as the lockfile knows them."""

    title: str
    """What they are, in one line."""

    url: str
    """Where the file is fetched from."""

    by_hand: str
    """What to download by other means where the address cannot be reached."""

    sha256: str = ""
    """Of the published file."""

    md5: str = ""
    """Of the published file, where its publisher gives no stronger hash."""

    card: dict[str, Any] = Field(default_factory=dict)
    """The card of the imported weights."""

    @model_validator(mode="after")
    def _is_pinned(self) -> Pinned:
        if not self.sha256 and not self.md5:
            raise ValueError("published weights need a sha256, or the publisher's md5")
        return self


def published_weights() -> dict[str, Pinned]:
    """Return name -> published weights of the lockfile.

    Example:
        >>> published_weights()["monai-brats"].card["network"]
        'segresnet'
    """
    text = files("radiogen.segment").joinpath("lockfile.yaml").read_text(encoding="utf-8")
    return {name: Pinned.parse(entry) for name, entry in yaml.safe_load(text).items()}


def find_published(name: str) -> Pinned:
    """Return the lockfile's entry of a name.

    Raises:
        ConfigError: the lockfile has no such name.
    """
    known = published_weights()
    if name not in known:
        raise ConfigError(
            f"'{name}' is not among the published weights: {', '.join(known)}.", hint=did_you_mean(name, list(known))
        )
    return known[name]


def fetch_weights(name: str) -> Path:
    """Download published weights, check their hash, and import them into the cache folder.

    Args:
        name: name in the lockfile.

    Returns:
        The imported safetensors file.

    Raises:
        ConfigError: the name is not known.
        InputError: the address cannot be reached, or gave another file than the pinned one.
    """
    entry = find_published(name)
    file = cache_folder() / "downloads" / f"{name}.pt"
    try:
        with urllib.request.urlopen(entry.url, timeout=_TIMEOUT_S) as answer, writing(file) as beside:
            with open(beside, "wb") as out:
                shutil.copyfileobj(answer, out)
            _check_hash(beside, name, entry)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise InputError(
            f"{name} could not be fetched from {entry.url}: {error}",
            hint=f"Download {entry.by_hand}; then: radiogen weights import FILE --name {name}",
        ) from error
    return import_published(file, name)


def import_published(file: str | Path, name: str) -> Path:
    """Turn a published file into radiogen's format, in the cache folder; works offline.

    Args:
        file: the file as published: a PyTorch state dict (read without running code from it) or safetensors.
        name: name in the lockfile.

    Returns:
        The imported safetensors file; its card holds its sha256.

    Raises:
        ConfigError: the name is not known.
        InputError: the file is not the pinned one, or its tensors do not fit the network.
    """
    entry = find_published(name)
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path} is not a file.", hint=f"Give {entry.by_hand}.")
    _check_hash(path, name, entry)
    card = WeightsCard.parse(entry.card)
    network = build_network(card.network, len(card.sequences), len(card.outputs), dict(card.arguments))
    try:
        network.load_state_dict(read_state(path))
    except RuntimeError as error:
        raise InputError(
            f"The tensors of {path.name} do not fit the network '{card.network}':",
            problems=[line.strip() for line in str(error).splitlines()[1:4]],
        ) from error
    target = cache_folder() / "weights" / f"{card.name}.safetensors"
    save_weights(target, network, card)
    return target


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict, whatever it is wrapped in; no code in the file is run.

    Args:
        path: `.safetensors`, or a file that `torch.save` wrote.

    Raises:
        InputError: the file holds something other than named tensors.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise InputError(
            f"{path.name} cannot be read as tensors: {str(error).splitlines()[0]}",
            hint="Give a state dict (.pt, .pth) or safetensors; TorchScript and whole pickled models hold code and are refused.",
        ) from error
    while isinstance(found, dict) and (
        inner := next((key for key in _WRAPPERS if isinstance(found.get(key), dict)), None)
    ):
        found = found[inner]
    if not isinstance(found, dict) or not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InputError(f"{path.name} holds no table of tensors.", hint="Give the network's state dict.")
    return found


def _check_hash(path: Path, name: str, entry: Pinned) -> None:
    kind, pinned = ("sha256", entry.sha256) if entry.sha256 else ("md5", entry.md5)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, kind).hexdigest()
    if digest != pinned:
        raise InputError(
            f"{path.name} is not the published file of '{name}': {kind} {digest[:12]}..., pinned is {pinned[:12]}...",
            hint=f"Download {entry.by_hand} again.",
        )
