"""Weights of embedding networks: seeds, one's own files, publishers' layouts, the lockfile, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from radiogen.branches.embedding import published
from radiogen.branches.embedding.efficientnet import EfficientNet3D
from radiogen.branches.embedding.inflate import inflated
from radiogen.branches.embedding.names import EMBEDDING_LOADERS, EMBEDDING_NETWORKS
from radiogen.branches.embedding.published import (
    PublishedBackbone,
    fetch_backbone,
    import_backbone,
    installed_folder,
    published_backbones,
    verify_backbone,
)
from radiogen.branches.embedding.weights import describe_weights, find_backbone_weights, load_backbone, save_backbone
from radiogen.errors import ConfigError, InputError

TINY: dict[str, Any] = {"widths": (2, 4)}


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    """A file in the layout that MedicalNet publishes."""
    torch.manual_seed(5)
    network = load_backbone("medicalnet-resnet10", weights=None, seed=5)
    state = {f"module.{name.removeprefix('network.')}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "resnet_10_23dataset.pth")
    return tmp_path / "resnet_10_23dataset.pth"


@pytest.fixture
def known(resnet: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedBackbone:
    """The lockfile with that file in place of the published one, and an empty cache."""
    monkeypatch.setenv("RADIOGEN_CACHE", str(resnet.parent / "cache"))
    entry = published_backbones()["medicalnet-resnet10"].model_copy(
        update={
            "url": resnet.as_uri(), "bytes": resnet.stat().st_size,
            "sha256_prefix": hashlib.sha256(resnet.read_bytes()).hexdigest()[:8],
        }
    )  # fmt: skip
    monkeypatch.setattr(published, "published_backbones", lambda: {"medicalnet-resnet10": entry})
    return entry


def test_random_weights_follow_the_seed_and_leave_torchs_own_numbers_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    first, again, other = (load_backbone("cnn3d", weights=None, seed=seed, **TINY) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert same(first, again)
    assert not same(first, other)
    assert not first.training


def test_unknown_names_and_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'cnn3d'"):
        load_backbone("cnn3", weights=None, seed=0)
    with pytest.raises(ConfigError, match=r"does not take width; it takes .*widths"):
        load_backbone("cnn3d", weights=None, seed=0, width=3)
    with pytest.raises(ConfigError, match="no weights were given"):
        load_backbone("efficientnet3d-b0", weights=None, seed=0, inflation="mean")


def test_ones_own_file_is_loaded_strictly(tmp_path: Path) -> None:
    network = load_backbone("cnn3d", weights=None, seed=1, **TINY)
    digest = save_backbone(tmp_path / "own.safetensors", network)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "own.pth")
    for file in ("own.safetensors", "own.pth"):
        assert same(load_backbone("cnn3d", weights=tmp_path / file, seed=2, **TINY), network)
    facts = describe_weights(tmp_path / "own.safetensors", 0)
    assert facts == {"weights": "own.safetensors", "weights_file_sha256": digest}
    with pytest.raises(InputError, match="do not fit the network 'cnn3d'"):
        load_backbone("cnn3d", weights=tmp_path / "own.pth", seed=2, widths=(2, 6))
    with pytest.raises(InputError, match="missing"):
        load_backbone("cnn3d", weights=tmp_path / "own.pth", seed=2, widths=(2, 4, 8))


def test_2d_weights_are_inflated_with_their_own_arithmetic(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = models.efficientnet_b0(weights=None).state_dict()
    torch.save(state, tmp_path / "b0.pth")
    network = load_backbone("efficientnet3d-b0", weights=tmp_path / "b0.pth", seed=0)
    assert isinstance(network, EfficientNet3D)
    assert network.arithmetic == "torchvision"
    assert same(network, inflated("efficientnet-b0", state))
    centre = load_backbone("efficientnet3d-b0", weights=tmp_path / "b0.pth", seed=0, inflation="centre", channels=4)
    assert same(centre, inflated("efficientnet-b0", state, channels=4, how="centre"))
    with pytest.raises(ConfigError, match="arithmetic='monai'"):
        load_backbone("efficientnet3d-b0", weights=tmp_path / "b0.pth", seed=0, arithmetic="monai")


def test_files_that_hold_code_or_nothing_are_refused(tmp_path: Path) -> None:
    torch.save(load_backbone("cnn3d", weights=None, seed=1, **TINY), tmp_path / "whole.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name in ("whole.pth", "text.pth", "text.safetensors"):
        with pytest.raises(InputError, match="cannot be read as tensors"):
            load_backbone("cnn3d", weights=tmp_path / name, seed=0, **TINY)
    with pytest.raises(InputError, match="radiogen weights fetch c3d-sports1m"):
        find_backbone_weights("c3d-sports1m")
    with pytest.raises(InputError, match="Did you mean 'c3d-sports1m'"):
        find_backbone_weights("c3d-sports")


def test_a_published_file_is_fetched_checked_and_used_by_name(known: PublishedBackbone, resnet: Path) -> None:
    target = fetch_backbone("medicalnet-resnet10")
    assert target == installed_folder() / "medicalnet-resnet10.safetensors"
    network = load_backbone("medicalnet-resnet10", weights="medicalnet-resnet10", seed=1)
    assert same(network, load_backbone("medicalnet-resnet10", weights=None, seed=5))
    facts = describe_weights("medicalnet-resnet10", 0)
    assert facts["published_sha256"] == hashlib.sha256(resnet.read_bytes()).hexdigest()
    assert facts["weights_file_sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert facts["licence"] == known.licence
    assert verify_backbone("medicalnet-resnet10").training_data == known.training_data
    target.write_bytes(target.read_bytes()[:-1])
    with pytest.raises(InputError, match="not the file its card describes"):
        verify_backbone("medicalnet-resnet10")


def test_another_file_than_the_published_one_is_refused(known: PublishedBackbone, tmp_path: Path) -> None:
    assert known.bytes > 0
    other = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(1)}, other)
    with pytest.raises(InputError) as raised:
        import_backbone(other, "medicalnet-resnet10")
    assert "the lockfile knows" in raised.value.problems[0]
    assert len(raised.value.problems) == 2
    assert not (installed_folder() / "medicalnet-resnet10.safetensors").exists()


def test_without_a_stated_hash_the_user_states_one(
    known: PublishedBackbone, resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = known.model_copy(update={"sha256_prefix": "", "hashes_from": ""})
    monkeypatch.setattr(published, "published_backbones", lambda: {"medicalnet-resnet10": entry})
    digest = hashlib.sha256(resnet.read_bytes()).hexdigest()
    for step in (fetch_backbone, lambda name, *sha256: import_backbone(resnet, name, *sha256)):
        with pytest.raises(InputError, match="Give --sha256"):
            step("medicalnet-resnet10")
    with pytest.raises(ConfigError, match="64 hexadecimal"):
        import_backbone(resnet, "medicalnet-resnet10", digest[:8])
    with pytest.raises(InputError, match="you state"):
        import_backbone(resnet, "medicalnet-resnet10", "0" * 64)
    card = json.loads(import_backbone(resnet, "medicalnet-resnet10", digest).with_suffix(".json").read_text())
    assert card["published_sha256"] == digest


def test_the_lockfile_states_what_torchvision_states() -> None:
    entries = published_backbones()
    for name, entry in entries.items():
        assert entry.licence
        assert entry.training_data
        assert all(network in EMBEDDING_NETWORKS and network in EMBEDDING_LOADERS for network in entry.networks)
        if name.startswith("torchvision-"):
            offered = models.get_model_weights(name.removeprefix("torchvision-").replace("-", "_"))
            assert entry.url in [weights.url for weights in offered]
            assert f"-{entry.sha256_prefix}.pth" in entry.url
    takers = {network for entry in entries.values() for network in entry.networks}
    assert takers == set(EMBEDDING_LOADERS.names())
