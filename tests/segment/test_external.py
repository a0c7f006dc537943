"""Published weights: pinned, fetched, imported; a bundle's state dict gives the same numbers here as in MONAI."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler
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
    install_weights,
    published_weights,
    read_state,
)
from radiogen.segment.weights import find_weights, load_network
from tests.segment.data import tiny_weights

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
    changed = {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "md5": "", "bytes": file.stat().st_size,
        "url": file.as_uri(), "mirrors": (),
    }  # fmt: skip
    entry = real.model_copy(update=changed)
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


def change(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    changed = external.published_weights()["monai-brats"].model_copy(update=changes)
    monkeypatch.setattr(external, "published_weights", lambda: {"monai-brats": changed})


def test_without_a_network_the_message_says_what_to_download(
    published: tuple[Path, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, url="http://127.0.0.1:9/none.pt", mirrors=("http://127.0.0.1:9/other.pt",))
    with pytest.raises(InputError, match="radiogen weights import FILE --name monai-brats") as caught:
        fetch_weights("monai-brats")
    assert "none.pt" in str(caught.value)
    assert "other.pt" in str(caught.value)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


class _BreaksOff(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"half")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def serve() -> Iterator[object]:
    servers: list[HTTPServer] = []

    def start(handler: object) -> str:
        servers.append(HTTPServer(("127.0.0.1", 0), handler))  # type: ignore[arg-type]
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_next_address_is_tried_after_a_missing_and_a_broken_one(
    published: tuple[Path, torch.nn.Module], monkeypatch: pytest.MonkeyPatch, serve: object, tmp_path: Path
) -> None:
    file, _ = published
    whole = serve(partial(_Quiet, directory=str(file.parent)))  # type: ignore[operator]
    broken = serve(_BreaksOff)  # type: ignore[operator]
    change(monkeypatch, url=f"{whole}/absent.pt", mirrors=(f"{broken}/model.pt", f"{whole}/model.pt"))
    assert fetch_weights("monai-brats").is_file()
    assert not list((tmp_path / "cache" / "downloads").iterdir())  # the imported file is enough
    change(monkeypatch, url=f"{whole}/absent.pt", mirrors=(f"{broken}/model.pt",))
    with pytest.raises(InputError, match="404"):
        fetch_weights("monai-brats")


@pytest.mark.parametrize("packed", [False, True])
def test_the_publishers_bundle_is_taken_as_a_folder_or_zip(
    published: tuple[Path, torch.nn.Module], packed: bool
) -> None:
    file, _ = published
    bundle = file.parent / "brats_mri_segmentation"
    if packed:
        bundle = bundle.with_suffix(".zip")
        with zipfile.ZipFile(bundle, "w") as archive:
            archive.write(file, "brats_mri_segmentation/models/model.pt")
            archive.writestr("brats_mri_segmentation/configs/inference.json", "{}")
    else:
        (bundle / "models").mkdir(parents=True)
        (bundle / "models" / "model.pt").write_bytes(file.read_bytes())
    card = load_network(import_published(bundle, "monai-brats"))[1]
    assert hashlib.sha256(file.read_bytes()).hexdigest() in card.source


def test_bundles_without_the_file_are_refused(published: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("models/other.pt", "")
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    for name, said in (
        ("empty", "has no"),
        ("empty.zip", "has no"),
        ("broken.zip", "not a sound"),
        ("gone.pt", "not a file"),
    ):
        with pytest.raises(InputError, match=said):
            import_published(tmp_path / name, "monai-brats")


def test_weights_of_ones_own_are_copied_with_their_card(
    published: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    assert install_weights(tiny_weights(tmp_path)) == find_weights("tiny")
    with pytest.raises(InputError, match="--name"):
        install_weights(published[0])


def test_torchscript_is_refused_because_it_holds_code(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.ts", "w") as archive:
        archive.writestr("model/version", "3\n")
        archive.writestr("model/constants.pkl", b"\x80\x02).")
        archive.writestr("model/data.pkl", b"\x80\x02).")
        archive.writestr("model/code/__torch__.py", "")
    with pytest.raises(InputError, match="hold code"):
        read_state(tmp_path / "model.ts")


def test_a_file_pinned_by_md5_alone_is_said_to_be_trusted_on_first_use(
    published: tuple[Path, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = published
    change(monkeypatch, sha256="", bytes=0, md5=hashlib.md5(file.read_bytes()).hexdigest())
    assert import_published(file, "monai-brats").is_file()
    assert "Trust on first use" in find_published("monai-brats").trust
    change(monkeypatch, md5="0" * 32)
    with pytest.raises(InputError, match="md5"):
        import_published(file, "monai-brats")


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
    assert all(entry.bytes for entry in published_weights().values())
    with pytest.raises(ValueError, match="md5"):
        Pinned(title="a", url="b", by_hand="c", hashes_from="d")
    with pytest.raises(ConfigError, match="sha256"):
        Pinned.parse({"title": "a", "url": "b", "by_hand": "c", "hashes_from": "d", "sha256": "short"})
