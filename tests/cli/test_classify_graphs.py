"""Classifiers on brain networks as a user has them: recipes, classify, predict."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from radiogen.branches.network.template import save_template
from radiogen.cli.main import app
from radiogen.config.evaluate import EvaluateSettings
from radiogen.pipeline import classify_graphs, stacking
from tests.branches.network.tract_phantoms import AFFINE, SHAPE, phantoms, tract_template
from tests.conftest import save_nifti

BESIDE = {
    "brain.json": {"settings": {"template": "mni152"}},
    "transforms.json": {"output": {"shape": SHAPE, "affine": AFFINE.tolist()}, "sequences": {}},
}
NETWORK = {"epochs": 3, "embedding": 3}
TABLES = (
    "predictions.csv",
    "training.csv",
    "connections.csv",
    "metrics.json",
    "report.html",
    "model/graph-network.safetensors",
)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--quiet")])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a cohort of two sites whose last case has no mask, a template, and two recipes of one's own."""
    folder = tmp_path_factory.mktemp("graphs")
    template = tract_template()
    save_template(folder / "template.npz", template)
    rows = []
    for image, mask, label in zip(*phantoms(template, 16, 0), strict=True):
        place = folder / image.case
        save_nifti(place / "t1c.nii.gz", image.images["t1c"], AFFINE)
        save_nifti(place / "mask.nii.gz", mask, AFFINE)
        for name, values in BESIDE.items():
            (place / name).write_text(json.dumps(values))
        files = {"t1c": f"{image.case}/t1c.nii.gz", "mask": f"{image.case}/mask.nii.gz"}
        site = "AB"[len(rows) // 8]
        rows.append(
            {"case": image.case, "patient": image.case, "site": site, **files, "idh": label, "age": 40 + len(rows)}
        )
    rows.append({**rows[0], "case": "bare", "patient": "bare", "mask": None})
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    for values in ("voxels", "destroyed"):
        settings = {
            "values": values, "graphs": {"template": str(folder / "template.npz")}, "network": NETWORK,
            "explanation": {"most_cases": 2, "path_steps": 4},
            "autoencoder": {"latents": 3, "epochs": 2, "most_rows": 100},
        }  # fmt: skip
        recipe = {
            "name": values, "title": "Tiny", "kind": "graph-classification", "method_entry": "none", "paper": {"title": "none"}, "differs": ["all"],
            "target": "idh", "settings": settings,
        }  # fmt: skip
        (folder / f"{values}.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(EvaluateSettings, bootstrap_resamples=100, permutations=99)
        for module in (classify_graphs, stacking):
            patch.setattr(module, "EvaluateSettings", quick)
        patch.setenv("RADIOGEN_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def study(folder: Path) -> Path:
    out = folder / "out"
    code, output = run(
        "classify", "--target", "idh", "--recipe", folder / "voxels.yaml", folder / "cohort.csv", "-o", out
    )
    assert code == 1, output  # the case without a mask
    assert json.loads((out / "metrics.json").read_text())["verdict_text"] in output
    return out


def test_outputs_of_a_study(study: Path) -> None:
    metrics = json.loads((study / "metrics.json").read_text())
    assert (metrics["n"], metrics["split"], metrics["n_sites"]) == (16, "site-held-out", 2)
    assert metrics["template"] == {"name": "tracts", "nodes": 16, "connections": 28}
    assert any("volume" in baseline["name"] for baseline in metrics["baselines"])
    failed = pd.read_csv(study / "failed.csv")
    assert failed[["case", "stage"]].to_numpy().tolist() == [["bare", "prepare-graphs"]]
    assert sorted(pd.read_csv(study / "predictions.csv")["split"].unique()) == ["site=A", "site=B"]
    named = pd.read_csv(study / "connections.csv")
    assert {"connection", "side", "volume_ml", "importance", "label"} <= set(named.columns)
    assert named.groupby("label")["importance"].max().tolist() == [1.0, 1.0]
    assert set(named["side"]) <= {"left", "right", "between"}
    for label in (0, 1):
        image = nib.load(study / f"tracts_{label}.nii.gz")
        assert image.shape == SHAPE
        assert image.get_fdata().max() > 0
    page = (study / "report.html").read_text()
    assert metrics["explanation"]["text"] in page
    assert "Do not report these connections as a finding" in page  # 16 cases show nothing
    assert -1 <= metrics["explanation"]["shuffled_labels"] <= 1
    assert -1 <= metrics["explanation"]["random_weights"] <= 1
    assert "Connections it weighs in IDH-mutated cases" in page
    for label in (0, 1):
        assert "<svg" in (study / f"connections_{label}.svg").read_text()
        assert (study / f"tracts_{label}.png").read_bytes().startswith(b"\x89PNG")


def test_no_path_of_the_machine_is_in_a_model(study: Path, folder: Path) -> None:
    for file in (study / "model").iterdir():
        texts = [file.read_bytes()]
        if file.suffix == ".npz":
            texts = [np.load(file)[name].tobytes() for name in np.load(file).files]
        for text in texts:
            assert str(folder).encode() not in text, file.name
            assert b"cache" not in text, file.name


def test_a_killed_study_goes_on_and_ends_with_the_same_bytes(study: Path, folder: Path) -> None:
    before = {name: (study / name).read_bytes() for name in TABLES}
    kept = (study / "folds" / "fold00.safetensors").stat().st_mtime_ns
    (study / "metrics.json").unlink()
    (study / "folds" / "fold01.safetensors").unlink()
    run("classify", "--target", "idh", "--recipe", folder / "voxels.yaml", folder / "cohort.csv", "-o", study)
    assert {name: (study / name).read_bytes() for name in TABLES} == before
    assert (study / "folds" / "fold00.safetensors").stat().st_mtime_ns == kept


def test_the_model_predicts_and_says_who_was_in_training(study: Path, folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(folder / "cohort.csv", dtype=str).iloc[:2]
    table.loc[0, ["case", "patient"]] = "new"
    for name in ("t1c", "mask"):
        table[name] = [str(folder / path) for path in table[name]]
    table.to_csv(tmp_path / "new.csv", index=False)
    code, output = run("predict", study / "model", tmp_path / "new.csv", "-o", tmp_path / "out")
    assert code == 0, output
    assert "2 case(s): probability of IDH mutated" in output
    assert "1 of 2 case(s) were in the training of this model" in output
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert found["in_training"].tolist() == [False, True]
    assert found["y_prob"].between(0, 1).all()
    code, output = run("predict", study / "model", "-f", folder / "cohort.csv", "-o", tmp_path / "out")
    assert code == 2
    assert "looks at brain networks" in output


def test_scores_of_a_graph_network_beside_a_table(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, output = run(
        "classify", "--target", "idh", "--recipe", folder / "destroyed.yaml", folder / "cohort.csv", "-o", out,
        "-b", "clinical", "--classifiers", "elastic-net", "--sites", "ignore", "--folds", "2", "--repeats", "1",
    )  # fmt: skip
    assert code == 1, output  # the case without a mask
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["branches"] == ["clinical", "graphs"]
    assert metrics["split"] == "grouped-kfold"
    assert "graph_score: log-odds by the networks of recipe destroyed" in " ".join(metrics["notes"])
    assert "graph_score" in pd.read_csv(out / "importance.csv")["feature"].tolist()
    assert json.loads((out / "graphs" / "metrics.json").read_text())["n"] == 16
    # 2 folds, each with 4 inner ones, and 5 inner ones of all cases.
    assert len(list((out / "folds").glob("*.safetensors"))) == 15
    kept = (out / "model" / "graphs" / "graph-network.safetensors").stat().st_mtime_ns
    code, output = run("predict", out / "model", folder / "cohort.csv", "-o", tmp_path / "predicted")
    assert code == 1, output
    found = pd.read_csv(tmp_path / "predicted" / "predictions.csv", index_col="case")
    assert found["y_prob"].between(0, 1).all()
    assert found["in_training"].all()
    assert "prepare-graphs" in (tmp_path / "predicted" / "failed.csv").read_text()
    assert (out / "model" / "graphs" / "graph-network.safetensors").stat().st_mtime_ns == kept


def test_recipes_are_listed_and_shown() -> None:
    code, output = run_plain("recipes", "list", "--kind", "graph-classification")
    assert code == 0
    assert [line.partition(":")[0] for line in output.splitlines()] == ["idh-network-gnn", "network-gnn-statistics"]
    code, output = run_plain("recipes", "show", "idh-network-gnn")
    assert code == 0
    assert "accuracy 0.866, sensitivity 0.877, specificity 0.863" in output
    code, output = run_plain("recipes", "show", "idh-network-gnn", "--yaml")
    assert yaml.safe_load(output)["settings"]["autoencoder"] == {"latents": 12, "l2": 0.001}


def test_options_that_do_not_go_together(folder: Path, tmp_path: Path) -> None:
    arguments = ["classify", "--target", "idh", "--recipe", "idh-network-gnn", folder / "cohort.csv", "-o", tmp_path]
    code, output = run(*arguments, "--weights", "mine")
    assert code == 2
    assert "A recipe of brain networks takes no --weights" in output
    code, output = run(*arguments, "--branches", "clinical", "--permute", "9")
    assert code == 2
    assert "Labels cannot be permuted" in output


def run_plain(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output
