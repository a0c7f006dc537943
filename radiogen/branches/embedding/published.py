"""Published weights of embedding networks: known by name, fetched only when asked, checked, and kept with a card in the cache folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field
from safetensors.torch import save

from radiogen.config.base import StageSettings
from radiogen.errors import ConfigError, InputError
from radiogen.registry import did_you_mean
from radiogen.resources import cache_folder, download, sha256_file
from radiogen.run.atomic import write_json, writing


class PublishedBackbone(StageSettings):
    """Published weights as the lockfile knows them."""

    title: str
    """What they are, in one line."""

    url: str
    """Where the file is."""

    sha256_prefix: str = Field(default="", pattern="^([0-9a-f]{8,64})?$")
    """As much of the file's sha256 as is stated by others; empty: nothing."""

    hashes_from: str = ""
    """Who states it."""

    bytes: int = Field(default=0, ge=0)
    """Size of the file; 0: unknown."""

    networks: tuple[str, ...] = Field(min_length=1)
    """The networks that take them; the first one is used to check them."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Constructor arguments for the check."""

    licence: str
    """Licence of the weights."""

    training_data: str
    """What they were trained on."""

    source: str
    """Paper and publisher."""

    @property
    def trust(self) -> str:
        """Return in one sentence what vouches for the file.

        Example:
            >>> published_backbones()["medicalnet-resnet50"].trust
            'Nobody states its hash: give --sha256.'
        """
        if not self.sha256_prefix:
            return "Nobody states its hash: give --sha256."
        digits = len(self.sha256_prefix)
        stated = f"sha256 {self.sha256_prefix[:12]}..." if digits == 64 else f"{digits} digits of its sha256"
        return f"Pinned by {stated} ({self.hashes_from})."


class BackboneCard(StageSettings):
    """What installed weights of an embedding network are."""

    name: str
    """Name in the lockfile."""

    networks: tuple[str, ...]
    """The networks that take them."""

    licence: str
    """Licence of the weights."""

    training_data: str
    """What they were trained on."""

    source: str
    """Paper and publisher."""

    published_sha256: str
    """Of the file as published."""

    sha256: str
    """Of the safetensors file."""


@lru_cache(maxsize=1)
def published_backbones() -> Mapping[str, PublishedBackbone]:
    """Return name -> published weights of the lockfile.

    Example:
        >>> published_backbones()["torchvision-efficientnet-b0"].sha256_prefix
        '7f5810bc'
    """
    text = files("radiogen.branches.embedding").joinpath("lockfile.yaml").read_text(encoding="utf-8")
    return {name: PublishedBackbone.parse(entry) for name, entry in yaml.safe_load(text).items()}


def installed_folder() -> Path:
    """Return where installed weights of embedding networks stand."""
    return cache_folder() / "weights" / "embedding"


def find_published_backbone(name: str) -> PublishedBackbone:
    """Return the lockfile's entry of a name.

    Raises:
        ConfigError: the lockfile has no such name.
    """
    known = published_backbones()
    if name not in known:
        raise ConfigError(
            f"'{name}' is not among the published embedding weights: {', '.join(known)}.",
            hint=did_you_mean(name, list(known)),
        )
    return known[name]


def fetch_backbone(name: str, sha256: str = "") -> Path:
    """Download published weights, check them, and import them into the cache folder.

    Args:
        name: name in the lockfile.
        sha256: of the file, where the lockfile does not know it.

    Returns:
        The imported safetensors file.

    Raises:
        ConfigError: the name is not known.
        InputError: the address cannot be reached, its file is not the one known, or nobody states a hash.
    """
    entry = find_published_backbone(name)
    _check_stated(name, entry, sha256)
    file = cache_folder() / "downloads" / f"{name}.pth"
    problems = download([entry.url], file, lambda beside: _check_file(beside, name, entry, sha256))
    if problems:
        raise InputError(
            f"{name} could not be fetched:",
            problems=problems,
            hint=f"Download {entry.url} by other means; then: radiogen weights import FILE --name {name}",
        )
    imported = import_backbone(file, name, sha256)
    file.unlink()
    return imported


def import_backbone(file: str | Path, name: str, sha256: str = "") -> Path:
    """Check a published file, see that it fits its network, and keep its tensors in the cache folder; works offline.

    Args:
        file: as published: a PyTorch state dict (no code in it is run), or safetensors.
        name: name in the lockfile.
        sha256: of the file, where the lockfile does not know it.

    Returns:
        The imported safetensors file; its card beside it holds the sha256 of both.

    Raises:
        ConfigError: the name is not known.
        InputError: the file is not the one known, nobody states a hash, or its tensors do not fit.
    """
    from radiogen.branches.embedding.weights import load_backbone
    from radiogen.segment.external import read_state

    entry, path = find_published_backbone(name), Path(file)
    if not path.is_file():
        raise InputError(f"{path} is not a file.", hint=f"Give the download of {entry.url}.")
    _check_stated(name, entry, sha256)
    digest = _check_file(path, name, entry, sha256)
    load_backbone(entry.networks[0], weights=path, seed=0, **entry.arguments)
    target = installed_folder() / f"{name}.safetensors"
    with writing(target) as beside:
        beside.write_bytes(save({key: tensor.clone().contiguous() for key, tensor in read_state(path).items()}))
    card = BackboneCard(
        name=name,
        networks=entry.networks,
        licence=entry.licence,
        training_data=entry.training_data,
        source=entry.source,
        published_sha256=digest,
        sha256=sha256_file(target),
    )
    write_json(target.with_suffix(".json"), card.model_dump(mode="json"))
    return target


def read_card(path: Path) -> BackboneCard:
    """Return the card of installed weights.

    Raises:
        InputError: the card is missing or no JSON, or the file is not the one it describes.
        ConfigError: the card holds unknown keys.
    """
    try:
        card = BackboneCard.parse(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(
            f"The card of {path.name} cannot be read: {error}", hint="Import the published file again."
        ) from error
    digest = sha256_file(path)
    if digest != card.sha256:
        raise InputError(
            f"{path.name} is not the file its card describes: sha256 {digest[:12]}..., the card says {card.sha256[:12]}...",
            hint="Import the published file again.",
        )
    return card


def verify_backbone(name: str) -> BackboneCard:
    """Check that installed weights are what their card says and fit their network; return the card.

    Raises:
        InputError: they are not, or do not.
    """
    from radiogen.branches.embedding.weights import find_backbone_weights, load_backbone

    card = read_card(find_backbone_weights(name))
    arguments = published_backbones()[name].arguments if name in published_backbones() else {}
    load_backbone(card.networks[0], weights=name, seed=0, **arguments)
    return card


def _check_stated(name: str, entry: PublishedBackbone, sha256: str) -> None:
    """Raise unless somebody states what the file's hash has to be, in full where it is the user."""
    if not entry.sha256_prefix and not sha256:
        raise InputError(
            f"Nobody states the hash of '{name}', so that a wrong file could not be told from the right one.",
            hint="Give --sha256 with the hash of the file that you trust (sha256sum FILE shows it).",
        )
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"--sha256 is '{sha256}', it has to be 64 hexadecimal digits.")


def _check_file(path: Path, name: str, entry: PublishedBackbone, sha256: str) -> str:
    """Return the sha256 of a file; raise InputError unless it is the file known."""
    digest, size = sha256_file(path), path.stat().st_size
    problems = [
        f"sha256 {digest[: max(12, len(stated))]}, {by} {stated}"
        for stated, by in ((entry.sha256_prefix, "the lockfile knows"), (sha256.lower(), "you state"))
        if not digest.startswith(stated)
    ]
    if entry.bytes and size != entry.bytes:
        problems.append(f"{size} bytes, the lockfile knows {entry.bytes}")
    if problems:
        raise InputError(
            f"This is not the published file of '{name}':", problems=problems, hint=f"Download {entry.url} again."
        )
    return digest
