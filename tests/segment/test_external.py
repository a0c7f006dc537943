"""Published weights: pinned, fetched, imported; a bundle's state dict gives the same numbers here as in MONAI."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from monai.networks.nets import SegResNet

from radiogen.errors import ConfigError, InputError
from radiogen.segment import external
from radiogen.segment.external import (
    Pinned,
    fetch_weights,
    find_published,
    import_published,
    published_weights,
    read_state,
)
from radiogen.segment.weights import find_weights, load_network

BUNDLE = {
    "blocks_down": [1, 2, 2, 4],
    "blocks_up": [1, 1, 1],
    "init_filters": 16,
    "in_channels": 4,
    "out_channels": 3,
    "dropout_prob": 0.2,
}
"""The network of `configs/inference.json` of the bundle brats_mri_segmentation."""


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, torch.nn.Module]:
    """A file saved as the bundle saves its own, pinned in the lockfile's stead."""
    monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path / "cache"))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = SegResNet(3, **BUNDLE).eval()
    file = tmp_path / "model.pt"
    torch.save(network.state_dict(), file)
    real = published_weights()["monai-brats"]
    entry = real.model_copy(update={"md5": hashlib.md5(file.read_bytes()).hexdigest(), "url": file.as_uri()})
    monkeypatch.setattr(external, "published_weights", lambda: {"monai-brats": entry})
    return file, network


def test_the_bundle_gives_the_same_numbers_in_both_houses(published: tuple[Path, torch.nn.Module]) -> None:
    file, theirs = published
    ours, card = load_network(import_published(file, "monai-brats"))
    image = torch.randn(1, 4, 32, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(ours(image), theirs(image), atol=1e-6)
    # Order of channels and maps as the bundle's own README has them: T1c, T1, T2, FLAIR in; TC, WT, ET out.
    assert card.sequences == ("t1c", "t1n", "t2w", "t2f")
    assert card.outputs == ("tc", "wt", "et")


def test_fetched_weights_are_installed_by_name(published: tuple[Path, torch.nn.Module]) -> None:
    path = fetch_weights("monai-brats")
    assert find_weights("monai-brats") == path
    assert len(load_network(path)[1].sha256) == 64


def test_another_file_than_the_pinned_one_is_refused_and_nothing_is_left(
    published: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    file, _ = published
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InputError, match="not the published file"):
        import_published(file, "monai-brats")
    with pytest.raises(InputError, match="not the published file"):
        fetch_weights("monai-brats")
    assert not list((tmp_path / "cache").rglob("*.pt"))
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_without_a_network_the_message_says_what_to_download(
    published: tuple[Path, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = external.published_weights()["monai-brats"].model_copy(update={"url": "http://127.0.0.1:9/none.pt"})
    monkeypatch.setattr(external, "published_weights", lambda: {"monai-brats": gone})
    with pytest.raises(InputError, match="radiogen weights import FILE --name monai-brats"):
        fetch_weights("monai-brats")


def test_unknown_names_and_files_that_hold_no_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="monai-brats"):
        find_published("monai-brat")
    torch.save({"a": 1}, tmp_path / "numbers.pt")
    with pytest.raises(InputError, match="no table of tensors"):
        read_state(tmp_path / "numbers.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pickled.pt")
    with pytest.raises(InputError, match="hold code"):
        read_state(tmp_path / "pickled.pt")


def test_wrapped_state_dicts_are_unwrapped(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.ones(2)}}, tmp_path / "wrapped.pt")
    assert set(read_state(tmp_path / "wrapped.pt")) == {"weight"}


def test_every_published_entry_is_pinned_and_names_its_terms() -> None:
    for entry in published_weights().values():
        assert len(entry.sha256) == 64 or len(entry.md5) == 32
        assert entry.card["licence"]
        assert entry.card["training_data"]
    with pytest.raises(ValueError, match="md5"):
        Pinned(title="a", url="b", by_hand="c")
