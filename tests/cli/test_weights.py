from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.segment import external
from radiogen.segment.networks import build_network
from tests.segment.data import TINY, tiny_weights


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path / "cache"))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["weights", *[str(argument) for argument in arguments]])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny state dict under the name of the published one."""
    file = folder / "model.pt"
    torch.save(build_network("segresnet", 4, 3, TINY).state_dict(), file)
    real = external.published_weights()["monai-brats"]
    changed = {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size, "url": file.as_uri(),
        "mirrors": (), "card": {**real.card, "arguments": TINY},
    }  # fmt: skip
    monkeypatch.setattr(external, "published_weights", lambda: {"monai-brats": real.model_copy(update=changed)})
    return file


def test_the_list_names_published_weights_and_what_vouches_for_them() -> None:
    code, output = run("list")
    assert code == 0
    assert "radiogen weights fetch monai-brats" in output
    assert "Pinned by sha256 860ccb3f1c21" in output


def test_published_weights_are_fetched_listed_and_verified_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    code, output = run("fetch", "monai-brats")
    assert (code, "use it with --weights monai-brats" in output) == (0, True)
    listed = run("list")[1]
    assert "monai-brats: segresnet, t1c+t1n+t2w+t2f" in listed
    assert "radiogen weights fetch monai-brats" not in listed
    code, output = run("verify", "monai-brats")
    assert code == 0
    assert "monai-brats: sound" in output
    assert "Pinned by sha256" in output


def test_a_published_file_is_imported_offline_and_another_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish(tmp_path, monkeypatch)
    assert run("import", file, "--name", "monai-brats")[0] == 0
    file.write_bytes(file.read_bytes() + b"x")
    code, output = run("import", file, "--name", "monai-brats")
    assert code == 2
    assert "not the published file" in output
    assert run("fetch", "monai-brat")[0] == 2


def test_ones_own_weights_are_imported_and_a_changed_file_does_not_verify(tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path)
    code, output = run("import", weights)
    assert (code, "tiny: imported to" in output) == (0, True)
    assert run("verify", "tiny")[0] == 0
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, output = run("verify", weights)
    assert code == 2
    assert "not the file its card describes" in output
    assert run("verify", "no-such-weights")[0] == 2


def test_an_nnunet_folder_is_recognised(tmp_path: Path) -> None:
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    folder.mkdir()
    for name in ("plans.json", "dataset.json"):
        (folder / name).write_text(json.dumps({}))
    code, output = run("import", folder)
    assert code == 2
    assert "checkpoint_final.pth" in output


def publish_backbone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up file with MedicalNet's layout under the name of the published one, whose hash nobody states."""
    from radiogen.branches.embedding import published
    from radiogen.branches.embedding.weights import load_backbone

    file = folder / "resnet_34_23dataset.pth"
    network = load_backbone("medicalnet-resnet10", weights=None, seed=1)
    torch.save({f"module.{name[8:]}": tensor for name, tensor in network.state_dict().items()}, file)
    entry = published.published_backbones()["medicalnet-resnet50"]
    known = {"medicalnet-resnet50": entry.model_copy(update={"networks": ("medicalnet-resnet10",)})}
    monkeypatch.setattr(published, "published_backbones", lambda: known)
    return file


def test_weights_of_embedding_networks_are_imported_listed_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish_backbone(tmp_path, monkeypatch)
    assert "medicalnet-resnet50: for features embedding" in run("list")[1]
    code, output = run("import", file, "--name", "medicalnet-resnet50")
    assert code == 2
    assert "Give --sha256" in output
    assert run("fetch", "medicalnet-resnet50")[0] == 2
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    code, output = run("import", file, "--name", "medicalnet-resnet50", "--sha256", digest)
    assert code == 0
    assert "--network medicalnet-resnet10 --weights medicalnet-resnet50" in output
    code, output = run("verify", "medicalnet-resnet50")
    assert code == 0
    assert "sound" in output
    assert digest in output
    assert "not installed: radiogen weights fetch medicalnet-resnet50" not in run("list")[1]


def test_a_hash_is_not_taken_where_it_would_not_be_looked_at(tmp_path: Path) -> None:
    for command in (("fetch", "monai-brats"), ("import", tmp_path / "a.pt", "--name", "monai-brats")):
        code, output = run(*command, "--sha256", "0" * 64)
        assert code == 2
        assert "--sha256 is for weights of embedding networks" in output
