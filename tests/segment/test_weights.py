from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.errors import ConfigError, InputError
from radiogen.segment import weights as weights_module
from radiogen.segment.networks import build_network
from radiogen.segment.weights import (
    card_path,
    default_weights,
    find_weights,
    installed_weights,
    load_network,
    read_card,
    save_weights,
    verify_weights,
)
from tests.segment.data import TINY, tiny_weights


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(0)
    expected = build_network("segresnet", 4, 3, TINY).state_dict()
    network, card = load_network(tiny_weights(tmp_path))
    assert card.name == "tiny"
    assert len(card.sha256) == 64
    found = network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert not network.training


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="not the file its card describes"):
        read_card(path)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path)
    card_path(path).unlink()
    with pytest.raises(InputError, match=r"tiny\.json not found"):
        read_card(path)


def test_a_typo_in_the_card_is_named(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path)
    values = json.loads(card_path(path).read_text())
    values["spacing"] = values.pop("spacing_mm")
    card_path(path).write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="did you mean 'spacing_mm'"):
        read_card(path)


def test_tensors_that_do_not_fit_the_network_are_listed(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path)
    card = read_card(path).model_copy(update={"arguments": {**TINY, "init_filters": 16}})
    save_weights(tmp_path / "other.safetensors", build_network("segresnet", 4, 3, TINY), card)
    with pytest.raises(InputError, match="do not fit the network 'segresnet'") as caught:
        load_network(tmp_path / "other.safetensors")
    assert "size mismatch" in str(caught.value)


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path)
    torch.save({"x": torch.zeros(1)}, path)
    card = json.loads(card_path(path).read_text())
    from radiogen.resources import sha256_file

    card_path(path).write_text(json.dumps({**card, "sha256": sha256_file(path)}))
    with pytest.raises(InputError, match="not a safetensors file"):
        verify_weights(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"sequences": ("flair",)}, "unknown sequence"), ({"network": "unet3d"}, "not one of the networks")],
)
def test_cards_name_registered_parts(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        verify_weights(tiny_weights(tmp_path, **changes))


def test_import_list_and_verify_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("radiogen.segment.weights.SHIPPED", tmp_path / "nothing-shipped")
    run = CliRunner().invoke
    assert "No weights are installed" in run(app, ["weights", "list"]).output
    path = tiny_weights(tmp_path)
    assert run(app, ["weights", "verify", str(path)]).exit_code == 0
    assert run(app, ["weights", "import", str(path)]).exit_code == 0
    assert "tiny: segresnet, t1n+t1c+t2w+t2f, CC0-1.0" in run(app, ["weights", "list"]).output
    card_path(path).unlink()
    result = run(app, ["weights", "verify", str(path)])
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activation": "softmax"}, "unknown sequence or region: wt, tc"),
        ({"activation": "softmax", "outputs": ("background", "et")}, "softmax needs the outputs"),
        ({"planes": "axial"}, "a 2D network needs a plane"),
        ({"normalisation": "z-score"}, "zscore, unit-range are accepted"),
    ],
)
def test_cards_that_contradict_themselves_are_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tiny_weights(tmp_path, **changes)


def test_weights_are_found_by_name_shipped_first_then_in_the_cache_then_as_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights_module, "SHIPPED", tmp_path / "shipped")
    with pytest.raises(InputError, match="no installed weights have this name"):
        find_weights("tiny")
    own, cached, shipped = (tmp_path / name for name in ("own", "cache/weights", "shipped"))
    for folder in (own, cached, shipped):
        folder.mkdir(parents=True)
    path = tiny_weights(own)
    assert find_weights(path) == path
    tiny_weights(cached)
    assert find_weights("tiny") == cached / "tiny.safetensors"
    tiny_weights(shipped)
    assert find_weights("tiny") == shipped / "tiny.safetensors"
    assert find_weights(str(path)) == path
    assert installed_weights() == ["tiny"]
    assert default_weights() is None
    (shipped / "radiogen-compact.safetensors").touch()
    assert default_weights() == shipped / "radiogen-compact.safetensors"
