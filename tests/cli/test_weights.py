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
    assert "not installed" not in listed
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
