"""Classifiers on images as a user has them: classify, predict, explain."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel as nib
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.config.evaluate import EvaluateSettings
from radiogen.pipeline import classify, classify_images, classify_stacked
from tests.branches.embedding.planted import planted_cohort, tiny_model


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--quiet")])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a cohort, a recipe of one's own, and what `classify` made of them."""
    folder = tmp_path_factory.mktemp("study")
    planted_cohort(folder / "images", 16).to_csv(folder / "cohort.csv")
    recipe = {
        "name": "tiny", "title": "Tiny", "kind": "classification", "method_entry": "none", "paper": {"title": "none"}, "differs": ["all"],
        "target": "mgmt", "settings": tiny_model(epochs=2, arguments={"widths": [4]}).model_dump(mode="json", exclude_unset=True),
    }  # fmt: skip
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(EvaluateSettings, bootstrap_resamples=100, permutations=99)
        for module in (classify_images, classify_stacked, classify):
            patch.setattr(module, "EvaluateSettings", quick)
        patch.setattr(classify, "write_classification_report", lambda path, *_, **__: path.write_text("page"))
        patch.setenv("RADIOGEN_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    code, output = run(
        "classify", "--target", "mgmt", "--recipe", folder / "tiny.yaml", folder / "cohort.csv", "-o", folder / "out", "--device", "cpu"
    )  # fmt: skip
    assert code == 0, output
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["verdict_text"] in output
    assert (metrics["n"], metrics["split"]) == (16, "site-held-out")
    return folder / "out" / "model"


def test_the_model_predicts_and_says_who_was_in_training(model: Path, folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(folder / "cohort.csv", dtype=str).iloc[:2]
    table.loc[0, ["case", "patient"]] = "new"
    table.to_csv(tmp_path / "new.csv", index=False)
    code, output = run("predict", model, tmp_path / "new.csv", "-o", tmp_path / "out", "--device", "cpu")
    assert code == 0, output
    assert "2 case(s): probability of MGMT promoter methylated" in output
    assert "1 of 2 case(s) were in the training of this model; their probabilities prove nothing: case001" in output
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert found["in_training"].tolist() == [False, True]
    assert found["y_true"].tolist() == [0, 1]
    code, output = run("predict", model, "-f", folder / "cohort.csv", "-o", tmp_path / "out")
    assert code == 2
    assert "looks at images" in output


def test_maps_of_a_model(model: Path, folder: Path, tmp_path: Path) -> None:
    code, output = run(
        "explain", model, folder / "cohort.csv", "-o", tmp_path, "--cases", "case001, case002", "--device", "cpu"
    )
    assert code == 0, output
    assert "2 map(s) of 2 case(s) by integrated-gradients" in output
    assert "rank correlation with the map after forgetting: head" in output
    assert "Research use only" in output
    assert json.loads((tmp_path / "explanations.json").read_text())["sanity"][0] in output
    table = pd.read_csv(tmp_path / "explanations.csv")
    assert table["in_training"].all()
    assert table["network"].tolist() == ["t2f", "t2f"]
    for name in table["map"]:
        assert nib.load(tmp_path / name).shape == (20, 20, 20)
        assert (tmp_path / name.replace(".nii.gz", ".png")).is_file()


def test_maps_of_a_recipe_that_is_trained_first(folder: Path, tmp_path: Path) -> None:
    arguments = (
        "explain",
        folder / "tiny.yaml",
        folder / "cohort.csv",
        "-o",
        tmp_path,
        "--cases",
        "case003",
        "-m",
        "grad-cam",
        "--shuffled-labels",
    )
    code, output = run(*arguments)
    assert code == 0, output
    assert "not tried" not in output
    made = (tmp_path / "model" / "network-0.safetensors").stat().st_mtime_ns
    assert "not evaluated" in (tmp_path / "model" / "card.md").read_text()
    assert run(*arguments)[0] == 0
    assert (tmp_path / "model" / "network-0.safetensors").stat().st_mtime_ns == made


def test_images_beside_a_branch(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text("inner_folds: 2\nclassifiers: [elastic-net]\n")
    cases = pd.read_csv(folder / "cohort.csv")["case"]
    pd.DataFrame({"case": cases, "fold": cases.index // 8}).to_csv(tmp_path / "folds.csv", index=False)
    given = (
        "--recipe",
        folder / "tiny.yaml",
        folder / "cohort.csv",
        "--config",
        tmp_path / "quick.yaml",
        "--device",
        "cpu",
    )
    more = ("-b", "clinical", "--splits", tmp_path / "folds.csv", "-o", tmp_path / "out")
    code, output = run("classify", "-t", "mgmt", *given, *more)
    assert code == 0, output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["branches"], metrics["split"]) == (["clinical", "images"], "grouped-kfold")
    tested = pd.read_csv(tmp_path / "out" / "predictions.csv").set_index("case")["split"]
    assert tested[cases[:8]].nunique() == 1 == tested[cases[8:]].nunique()
    model = tmp_path / "out" / "model"
    code, output = run("predict", model, folder / "cohort.csv", "-o", tmp_path / "new", "--device", "cpu")
    assert code == 0, output
    assert "16 of 16 case(s) were in the training" in output
    assert "lack features" not in output
    code, output = run("explain", model, folder / "cohort.csv", "-o", tmp_path / "maps", "--cases", "case003")
    assert code == 0, output


def test_bad_usage(model: Path, folder: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (("classify", "--target", "mgmt", "--recipe", "c3d-lc"), "give a cohort.csv"),
        (("explain", model, folder / "cohort.csv", "-m", "grad-cma"), "way of explaining"),
        (("explain", model, folder / "cohort.csv", "--cases", "nobody"), "no case nobody"),
        (("explain", tmp_path / "empty", folder / "cohort.csv"), "no model that looks at images"),
        (("explain", "c3d-lv", folder / "cohort.csv"), "c3d-lc"),
    ):
        code, output = run(*arguments, *out)
        assert code == 2, output
        assert words in output
    (model / "network-0.safetensors").write_bytes(b"changed")
    code, output = run("predict", model, folder / "cohort.csv", *out)
    assert code == 2
    assert "is not the file that the card describes" in output


def test_help_has_an_example() -> None:
    assert "Example: radiogen explain" in CliRunner().invoke(app, ["explain", "--help"]).output
