"""`radiogen lint` on each kind of input, with its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from radiogen.cli.main import app
from radiogen.fusion.bundle import training_hashes
from tests.evaluate import leaky_pipeline
from tests.evaluate.test_lint_tables import honest, predictions


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["lint", *map(str, arguments)])


def test_the_leaky_pipeline_is_named_by_line_and_by_what_it_does(tmp_path: Path) -> None:
    settings = tmp_path / "lint.yaml"
    settings.write_text("noise_draws: 2\nnoise_features: 500\n")
    result = run(f"{leaky_pipeline.__file__}:out_of_fold", "--config", settings, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "LEAK leaky_pipeline.py:13 [selection-outside-fold]" in result.output
    assert "[noise-is-predicted]" in result.output
    report = json.loads((tmp_path / "out/lint.json").read_text())
    assert report["verdict"] == "leak"
    checks = sorted(one["check"] for one in report["findings"])
    assert checks == ["no-groups", "noise-is-predicted", "selection-outside-fold"]
    assert (tmp_path / "out/lint.txt").read_text() == result.output


def test_code_is_read_without_being_run(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("raise SystemExit(9)\nX = PCA().fit_transform(X)\ntrain_test_split(X)\n")
    assert run(tmp_path / "a.py").exit_code == 1
    (tmp_path / "a.py").write_text("cross_val_score(make_pipeline(PCA(), SVC()), X, y)\n")
    assert run(tmp_path / "a.py").exit_code == 0


def test_features_with_labels_beside_them(tmp_path: Path) -> None:
    table = honest()
    table.drop(columns=["idh", "site"]).to_csv(tmp_path / "features.csv", index=False)
    table[["case", "idh"]].to_csv(tmp_path / "labels.csv", index=False)
    clean = run(tmp_path / "features.csv", "--labels", tmp_path / "labels.csv")
    assert clean.exit_code == 0
    assert "against idh (30 of 60 positive)" in clean.output
    table.assign(IDH1_status=1 - table["idh"]).drop(columns=["idh"]).to_csv(tmp_path / "features.csv", index=False)
    leaky = run(tmp_path / "features.csv", "--labels", tmp_path / "labels.csv", "--target", "idh")
    assert leaky.exit_code == 1
    assert "column 'IDH1_status'" in leaky.output
    named = run(tmp_path / "features.csv", "--label-column", "IDH1_status")
    assert named.exit_code == 0


def test_a_study_folder_takes_labels_and_folds_from_its_predictions(tmp_path: Path) -> None:
    table = predictions()
    features = honest(40).drop(columns=["idh", "site"]).assign(case=[f"c{i}" for i in range(40)])
    (tmp_path / "features").mkdir()
    features.to_csv(tmp_path / "features/radiomics.csv", index=False)
    table.assign(target="idh").to_csv(tmp_path / "predictions.csv", index=False)
    (tmp_path / "metrics.json").write_text(json.dumps({"auc": 0.6, "notes": []}))
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["c0", "c1"], "val": ["c2"]}]))
    # Where labels belong, they are no leak: the cohort, the truth of phantoms, and what the report's curves are drawn from.
    once = table.drop_duplicates("case")
    once.rename(columns={"y_true": "idh"})[["case", "idh"]].to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "truth").mkdir()
    once.rename(columns={"y_true": "idh"})[["case", "idh"]].to_csv(tmp_path / "truth/truth.csv", index=False)
    once[["case", "y_true", "y_prob"]].to_csv(tmp_path / "scores.csv", index=False)
    clean = run(tmp_path)
    assert clean.exit_code == 0, clean.output
    assert "scores.csv" not in clean.output
    for name in ("features/radiomics.csv: 40 rows", "80 predictions of idh", "metrics.json", "splits_final.json"):
        assert name in clean.output
    label = table.drop_duplicates("case").set_index("case")["y_true"]
    features["texture_3"] = np.where(features["case"].map(label) == 1, 2.0, 5.0)
    features.to_csv(tmp_path / "features/radiomics.csv", index=False)
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["c0", "c1"], "val": ["c1"]}]))
    leaky = run(tmp_path)
    assert leaky.exit_code == 1
    assert "LEAK features/radiomics.csv: column 'texture_3' [label-in-features]" in leaky.output
    assert "LEAK splits_final.json" in leaky.output


def test_cases_of_a_models_training_are_recognised(tmp_path: Path) -> None:
    predictions().to_csv(tmp_path / "p.csv", index=False)
    (tmp_path / "model").mkdir()
    for cases, code in ((["c1", "x"], 1), (["x"], 0)):
        card = {"salt": "s", "training_ids": training_hashes(cases, [], "s")}
        (tmp_path / "model/card.json").write_text(json.dumps(card))
        result = run(tmp_path / "p.csv", "--model", tmp_path / "model")
        assert result.exit_code == code
        assert ("1 of 40 cases were in the training of the model: c1" in result.output) == bool(code)


def test_bad_input_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "card.json").write_text("{}")
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "t.csv", index=False)
    for arguments, words in (
        ([tmp_path / "empty"], "nothing that can be looked at"),
        ([tmp_path / "none.csv"], "does not exist"),
        (["no_such_module:thing"], "cannot be imported"),
        ([tmp_path / "t.csv", "--target", "ihd"], "is not a target"),
        ([tmp_path / "t.csv", "--model", tmp_path / "card.json"], "no training ids"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert words in result.stderr
    assert "Example: radiogen lint features.csv" in run("--help").output


@pytest.mark.real_data
def test_no_published_table_is_called_a_leak(shared_data: Path) -> None:
    tables = shared_data / "tables"
    metadata = tables / "ucsf-pdgm/UCSF-PDGM-metadata_v2.csv"
    for arguments in (
        [tables / "ps-net/test_predictions.csv"],
        [tables / "ucsf-pdgm/radiomic_features_T1gad_bias.csv", "--labels", metadata, "--target", "idh"],
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
