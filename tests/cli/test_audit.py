"""`radiogen audit` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import InputError
from radiogen.pipeline.audit import run_audit

RUNNER = CliRunner()


def made(path: Path, n: int = 60) -> Path:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    table = pd.DataFrame({"Subject": [f"s{i:02d}" for i in range(n)], "Truth": np.where(y == 1, "mutated", "wildtype"),
                          "Score": 2 * y + rng.normal(size=n), "Hospital": np.where(np.arange(n) < 30, "N", "S")})  # fmt: skip
    table.to_csv(path, index=False)
    pd.DataFrame(
        {"ID": table["Subject"], "Age": 60 - 5 * y + rng.normal(0, 10, n), "Sex": ["F", "M", "M"] * (n // 3)}
    ).to_csv(path.with_name("clinical.csv"), index=False)
    return path


def quick(folder: Path) -> Path:
    path = folder / "settings.yaml"
    path.write_text("bootstrap_resamples: 200\npermutations: 199\ncrossfit_repeats: 1\n")
    return path


def test_somebodys_table(tmp_path: Path) -> None:
    predictions = made(tmp_path / "theirs.csv")
    out = tmp_path / "audit"
    result = RUNNER.invoke(
        app,
        ["audit", str(predictions), "--target", "idh", "--clinical", str(tmp_path / "clinical.csv"), "--strata", "sex, age",
         "-o", str(out), "-c", str(quick(tmp_path))],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["target"] == "idh"
    assert metrics["verdict"] in result.output
    assert metrics["verdict_text"] in result.output
    assert [row["name"] for row in metrics["baselines"]] == ["age", "sex", "age+sex", "site", "all together"]
    assert [row["stratum"] for row in metrics["strata"]] == ["site"] * 2 + ["age"] * 2 + ["sex"] * 2
    scores = pd.read_csv(out / "scores.csv", index_col="case")
    assert len(scores) == 60
    assert "baseline:age+sex" in scores.columns
    report = (out / "report.html").read_text()
    assert metrics["verdict_text"][:40] in report
    sidecar = json.loads((out / "metrics.provenance.json").read_text())
    assert set(sidecar["inputs"]) == {"predictions", "clinical"}


def test_same_input_same_bytes(tmp_path: Path) -> None:
    predictions = made(tmp_path / "theirs.csv")
    for name in ("a", "b"):
        args = ["audit", str(predictions), "-o", str(tmp_path / name), "-c", str(quick(tmp_path)), "-q"]
        result = RUNNER.invoke(app, args)
        assert (result.exit_code, result.stdout) == (0, "")
    for name in ("metrics.json", "scores.csv", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_second_run_keeps_what_is_still_true(tmp_path: Path) -> None:
    predictions = made(tmp_path / "theirs.csv")
    settings = EvaluateSettings(bootstrap_resamples=200, permutations=199, crossfit_repeats=1)
    first = run_audit(predictions, tmp_path / "out", settings)
    written = (tmp_path / "out" / "report.html").stat().st_mtime_ns
    assert run_audit(predictions, tmp_path / "out", settings) == first
    assert (tmp_path / "out" / "report.html").stat().st_mtime_ns == written
    (tmp_path / "out" / "report.html").unlink()
    other = run_audit(predictions, tmp_path / "out", settings.model_copy(update={"seed": 1}))
    assert (tmp_path / "out" / "report.html").is_file()
    assert other["auc_ci"] != first["auc_ci"]


def test_columns_named_on_the_command_line(tmp_path: Path) -> None:
    table = pd.read_csv(made(tmp_path / "theirs.csv"))
    table.columns = ["k", "t", "s", "w"]
    table.to_csv(tmp_path / "odd.csv", index=False)
    named = ["--label-column", "t", "--score-column", "s", "--id-column", "k", "--site-column", "w"]
    result = RUNNER.invoke(
        app, ["audit", str(tmp_path / "odd.csv"), *named, "-o", str(tmp_path / "out"), "-c", str(quick(tmp_path))]
    )
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["n_sites"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("a,b\n1,2\n", "no label column"),
        ("id,label,score\na,1,0.5\nb,1,0.7\n", "one class only"),
        ("id,label,score\na,1,0.5\nb,0,x\nc,perhaps,0.1\n", "2 problem(s)"),
        ("id,label,score,target\na,1,0.5,idh\nb,0,0.7,mgmt\n", "several targets: idh, mgmt"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_written(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "p.csv").write_text(content)
    result = RUNNER.invoke(app, ["audit", str(tmp_path / "p.csv"), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_unknown_setting_and_strata(tmp_path: Path) -> None:
    predictions = made(tmp_path / "theirs.csv")
    (tmp_path / "bad.yaml").write_text("bootstrap_resample: 5\n")
    result = RUNNER.invoke(
        app, ["audit", str(predictions), "-o", str(tmp_path / "o"), "-c", str(tmp_path / "bad.yaml")]
    )
    assert result.exit_code == 2
    assert "did you mean 'bootstrap_resamples'" in result.output
    result = RUNNER.invoke(app, ["audit", str(predictions), "-o", str(tmp_path / "o"), "--strata", "coil"])
    assert result.exit_code == 2
    assert "No column 'coil'" in result.output


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    predictions = made(tmp_path / "scores.csv")
    before = predictions.read_bytes()
    with pytest.raises(InputError, match="would be overwritten"):
        run_audit(predictions, tmp_path, EvaluateSettings())
    assert predictions.read_bytes() == before


@pytest.mark.real_data
def test_ps_net_from_the_shell(tmp_path: Path, shared_data: Path) -> None:
    table = shared_data / "tables" / "ps-net" / "test_predictions.csv"
    command = [sys.executable, "-m", "radiogen", "audit", str(table), "--target", "idh", "-o", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "verdict: no-better-than-baselines" in result.stdout
    assert "0.886" in result.stdout
    assert "0.752" in result.stdout


def test_held_out_sites_are_shown_inside_splits(tmp_path: Path) -> None:
    table = pd.read_csv(made(tmp_path / "theirs.csv"))
    table.assign(split="site=" + table["Hospital"]).to_csv(tmp_path / "folds.csv", index=False)
    args = ["audit", str(tmp_path / "folds.csv"), "-o", str(tmp_path / "out"), "-c", str(quick(tmp_path))]
    result = RUNNER.invoke(app, args)
    assert result.exit_code == 0, result.output
    assert "model, inside test splits" in result.output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["verdict_auc"], metrics["within_split"]["n_splits"]) == ("within-split", 2)
    assert "between cases of the same test split" in metrics["verdict_text"]
