from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from radiogen.cli import classify
from radiogen.config.evaluate import EvaluateSettings
from radiogen.pipeline import classify_images
from tests.branches.embedding.planted import planted_cohort, tiny_model


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    classify.register(app)
    app.command("other")(lambda: None)  # so that the command keeps its name
    result = CliRunner().invoke(app, ["classify", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_recipe_of_ones_own_is_trained_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = partial(EvaluateSettings, bootstrap_resamples=100, permutations=99)
    monkeypatch.setattr(classify_images, "EvaluateSettings", quick)
    planted_cohort(tmp_path / "images", 20).to_csv(tmp_path / "cohort.csv")
    recipe = {
        "name": "tiny", "title": "Tiny", "kind": "classification", "method_entry": "none", "paper": {"title": "none"}, "differs": ["all"],
        "target": "mgmt", "settings": tiny_model(epochs=3).model_dump(mode="json", exclude_unset=True),
    }  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    code, output = run(
        "--target", "mgmt", "--recipe", str(tmp_path / "tiny.yaml"), str(tmp_path / "cohort.csv"), "-o", str(tmp_path / "out"), "--quiet",
        "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["verdict_text"] in output
    assert (metrics["n"], metrics["split"]) == (20, "site-held-out")


def test_a_recipe_needs_images(tmp_path: Path) -> None:
    code, output = run("--target", "mgmt", "--recipe", "c3d-lc", "-o", str(tmp_path))
    assert code == 2
    assert "give a cohort.csv" in output
