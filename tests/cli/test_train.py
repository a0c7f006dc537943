from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from radiogen.cli.train import register
from tests.segment.training_data import TINY_UNET, phantom_cohort

NETWORK = f"network={{name: unet, arguments: {json.dumps(TINY_UNET)}}}"
QUICK = ("--set", NETWORK, "--set", "data.spacing_mm=6", "--set", "data.patch_size=null", "--set", "steps_per_epoch=2")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_cohort(tmp_path_factory.mktemp("cohort"), 3)


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["train", "segmentation", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_cohort_gives_weights_and_a_line(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    options = ("--epochs", 1, "--fold", 2, "--set", "n_folds=3", "--device", "cpu", "--licence", "CC0-1.0")
    code, output = run(cohort, "-o", out, *QUICK, *options, "--quiet")
    assert code == 0
    assert "2 cases of 2 patients" in output
    assert "Dice on 1 held-out case(s): wt " in output
    card = json.loads((out / "weights.json").read_text())
    assert (card["name"], card["licence"]) == ("mine", "CC0-1.0")
    assert json.loads((out / "settings.json").read_text())["settings"]["fold"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "epochs"), "is not a setting"),
        (("--set", "data.spacing=2"), "did you mean 'spacing_mm'"),
        (("--fold", "last"), "--fold is 'last'"),
        (("--recipe", "resnet"), "Did you mean 'resunet'"),
        (("--set", "loss.name=dice-cee"), "Did you mean 'dice-ce'"),
        (("--set", "network.name=unett"), "Did you mean"),
    ],
)
def test_bad_settings_are_named(cohort: Path, tmp_path: Path, options: tuple[str, str], message: str) -> None:
    code, output = run(cohort, "-o", tmp_path / "out", *QUICK, *options, "--quiet")
    assert code == 2
    assert message in " ".join(output.split())


def test_a_cohort_is_asked_for(tmp_path: Path) -> None:
    code, output = run("-o", tmp_path / "out", "--quiet")
    assert code == 2
    assert "A cohort table is needed" in output
