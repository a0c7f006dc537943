"""Published weights by name: pinned in a lockfile, fetched only when asked, checked, and turned into radiogen's own format."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
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
from radiogen.resources import cache_folder, download
from radiogen.run.atomic import writing
from radiogen.segment.networks import build_network
from radiogen.segment.weights import WeightsCard, card_path, save_weights, verify_weights

_WRAPPERS = ("model", "state_dict", "network_weights")


class Pinned(StageSettings):
    """Published weights as the lockfile knows them."""

    title: str
    """What they are, in one line."""

    url: str
    """Where the file is fetched from."""

    mirrors: tuple[str, ...] = ()
    """Where else the same file is."""

    by_hand: str
    """What to download by other means where no address can be reached."""

    member: str = ""
    """Where the file is within the publisher's bundle (a folder or .zip)."""

    bytes: int = Field(default=0, ge=0)
    """Size of the published file; 0: unknown."""

    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    """Of the published file."""

    md5: str = Field(default="", pattern="^([0-9a-f]{32})?$")
    """Of the published file; checked where there is no sha256."""

    hashes_from: str
    """Who states the hashes."""

    card: dict[str, Any] = Field(default_factory=dict)
    """The card of the imported weights."""

    @model_validator(mode="after")
    def _is_pinned(self) -> Pinned:
        if not self.sha256 and not self.md5:
            raise ValueError("published weights need a sha256, or the publisher's md5")
        return self

    @property
    def trust(self) -> str:
        """Return in one sentence what vouches for the file."""
        if self.sha256:
            return f"Pinned by sha256 {self.sha256[:12]}... ({self.hashes_from})."
        return (
            f"Trust on first use: pinned by md5 alone ({self.hashes_from}), which a forger could match; "
            "the sha256 of the file that is imported first is recorded in its card."
        )


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
        InputError: no address can be reached, or gave the pinned file.
    """
    entry = find_published(name)
    file = cache_folder() / "downloads" / f"{name}.pt"
    problems = download((entry.url, *entry.mirrors), file, lambda beside: _check_file(beside, name, entry))
    if problems:
        raise InputError(
            f"{name} could not be fetched:",
            problems=problems,
            hint=f"Download {entry.by_hand}; then: radiogen weights import FILE --name {name}",
        )
    imported = import_published(file, name)
    file.unlink()
    return imported


def import_published(file: str | Path, name: str) -> Path:
    """Turn a published file into radiogen's format, in the cache folder; works offline.

    Args:
        file: the file as published, a PyTorch state dict (read without running code from it) or safetensors; or the publisher's bundle that holds
            it, as a folder or .zip.
        name: name in the lockfile.

    Returns:
        The imported safetensors file; its card holds its sha256.

    Raises:
        ConfigError: the name is not known.
        InputError: the file is not the pinned one, or its tensors do not fit the network.
    """
    entry = find_published(name)
    with _published_file(Path(file), entry) as path:
        _check_file(path, name, entry)
        card = WeightsCard.parse(entry.card)
        network = build_network(card.network, len(card.sequences), len(card.outputs), dict(card.arguments))
        load_state(network, read_state(path), f"network '{card.network}'")
        with open(path, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    target = cache_folder() / "weights" / f"{card.name}.safetensors"
    save_weights(target, network, card.model_copy(update={"source": f"{card.source}; file of sha256 {digest}"}))
    return target


def install_weights(weights: str | Path) -> Path:
    """Verify a safetensors file with its card and copy both into the cache folder.

    Returns:
        The installed safetensors file.

    Raises:
        InputError: the weights cannot be used.
        ConfigError: the card is not accepted.
    """
    path = Path(weights)
    if path.is_dir() or path.suffix in (".pt", ".pth", ".ts", ".zip"):
        raise InputError(
            f"{path.name} is no safetensors file with a card.",
            hint=f"For a published file give --name ({', '.join(published_weights())}); for nnU-Net v2 the folder with plans.json.",
        )
    card = verify_weights(path)
    target = cache_folder() / "weights" / f"{card.name}.safetensors"
    for source, final in ((path, target), (card_path(path), card_path(target))):
        with writing(final) as beside:
            shutil.copyfile(source, beside)
    return target


@contextmanager
def _published_file(path: Path, entry: Pinned) -> Iterator[Path]:
    """Yield the published file itself: taken out of the bundle's folder or .zip where that is what was given."""
    inside = f"{path.name} has no {entry.member}."
    if path.is_dir() and entry.member:
        if not (path / entry.member).is_file():
            raise InputError(inside, hint=f"Give {entry.by_hand}.")
        yield path / entry.member
    elif not path.is_file():
        raise InputError(f"{path} is not a file.", hint=f"Give {entry.by_hand}.")
    elif path.suffix.lower() == ".zip" and entry.member:
        with tempfile.TemporaryDirectory() as folder:
            taken = Path(folder) / Path(entry.member).name
            try:
                with zipfile.ZipFile(path) as bundle:
                    names = [item for item in bundle.namelist() if f"/{item}".endswith(f"/{entry.member}")]
                    if len(names) != 1:
                        raise InputError(inside, hint=f"Give {entry.by_hand}.")
                    with bundle.open(names[0]) as packed, open(taken, "wb") as out:
                        shutil.copyfileobj(packed, out)
            except zipfile.BadZipFile as error:
                raise InputError(f"{path.name} is not a sound .zip: {error}", hint="Download it again.") from error
            yield taken
    else:
        yield path


def load_state(network: torch.nn.Module, state: dict[str, torch.Tensor], what: str) -> None:
    """Load tensors into a network; every name and shape must fit.

    Raises:
        InputError: they do not fit; the message says which.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"The tensors do not fit the {what}:", problems=[line.strip() for line in str(error).splitlines()[1:4]]
        ) from error


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch announces TorchScript before it refuses it
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


def _check_file(path: Path, name: str, entry: Pinned) -> None:
    """Raise InputError unless size and hash of the file are the pinned ones."""
    size = path.stat().st_size
    if entry.bytes and size != entry.bytes:
        raise _not_published(name, entry, f"{size} bytes, pinned are {entry.bytes}")
    kind, pinned = ("sha256", entry.sha256) if entry.sha256 else ("md5", entry.md5)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, kind).hexdigest()
    if digest != pinned:
        raise _not_published(name, entry, f"{kind} {digest[:12]}..., pinned is {pinned[:12]}...")


def _not_published(name: str, entry: Pinned, difference: str) -> InputError:
    return InputError(
        f"This is not the published file of '{name}': {difference}.",
        hint=f"Download {entry.by_hand} again.",
    )
