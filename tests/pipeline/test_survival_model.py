from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from tests.fusion.test_survival import patients

N = 120


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features that set the hazard beside age, which sets some of it too."""
    folder = tmp_path_factory.mktemp("survival-model")
    X, days, died = patients(N, columns=6, seed=1)
    X.rename_axis("case").to_csv(folder / "radiomics.csv")
    age = 55 + 10 * (X["x0"] * 0.4 + np.random.default_rng(2).normal(size=N))
    pd.DataFrame({"case": X.index, "os_days": days, "os_event": died.astype(int), "age": age.round(1)}).to_csv(
        folder / "labels.csv", index=False
    )
    (folder / "settings.yaml").write_text("risk: {n_bootstrap: 100, folds: 3, repeats: 1, inner_folds: 2}\n")
    return folder


def run(study: Path, out: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        app,
        ["survival", str(study / "labels.csv"), "--features", str(study / "radiomics.csv"), "-o", str(out),
         "--config", str(study / "settings.yaml"), "--risk-model", "boosted-cox", *more],
    )  # fmt: skip
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def out(study: Path) -> Path:
    code, output = run(study, study / "out")
    assert code == 0, output
    assert "orders patients better beside them" in output
    return study / "out"


def test_what_is_written_and_that_the_image_is_shown_to_add(out: Path) -> None:
    metrics = json.loads((out / "survival.json").read_text())
    judged = metrics["risk_model"]
    models = {row["model"]: row for row in judged["models"]}
    assert set(models) == {"image", "clinical", "clinical+image", "everybody alike"}
    assert models["image"]["c_index"] > models["clinical"]["c_index"]
    assert models["image"]["integrated_brier"] < models["everybody alike"]["integrated_brier"]
    assert judged["image_adds"]["c_index_change_ci"][0] > 0
    assert judged["image_adds"]["likelihood_ratio_p"] < 1e-4
    assert judged["split"] == "grouped-kfold"
    assert [group["name"] for group in metrics["groups"]] == ["low risk", "high risk"]
    notes = [note for note in metrics["notes"] if note.startswith("Follow-up: column 'os_days'")]
    assert len(notes) == 1
    assert metrics["input"]["n_rows"] == N
    risks = pd.read_csv(out / "risk_predictions.csv", dtype={"case": str})
    assert len(risks) == N * 4
    assert risks.groupby(["model", "repeat"])["case"].nunique().eq(N).all()
    for name in (
        "report.html",
        "kaplan_meier.png",
        "kaplan_meier.svg",
        "risk_model.png",
        "at_risk.csv",
        "model/card.md",
    ):
        assert (out / name).stat().st_size > 200
    assert "What the risk model is worth" in (out / "report.html").read_text()


def test_the_kept_model_is_applied_to_new_cases_by_predict(study: Path, out: Path, tmp_path: Path) -> None:
    new = pd.read_csv(study / "radiomics.csv", index_col="case").iloc[:20].drop(columns="x5")
    new.index = [*new.index[:2], *(f"new{i}" for i in range(18))]
    new.rename_axis("case").to_csv(tmp_path / "radiomics.csv")
    result = CliRunner().invoke(
        app, ["predict", str(out / "model"), "--features", str(tmp_path / "radiomics.csv"), "-o", str(tmp_path / "p")]
    )
    assert result.exit_code == 0, result.output
    assert "risk of death, survival at 12, 24" in result.output
    assert "2 of 20 case(s) were in the training" in result.output
    assert "20 of 20 case(s) lack features" in result.output
    found = pd.read_csv(tmp_path / "p/predictions.csv").set_index("case")
    assert set(found["risk_group"]) == {"low risk", "high risk"}
    assert found["survival_365d"].between(0, 1).all()
    assert np.corrcoef(found["risk"], new["x0"].loc[found.index])[0, 1] > 0.4


def test_a_second_run_changes_nothing(study: Path, out: Path) -> None:
    before = (out / "report.html").stat().st_mtime_ns
    assert run(study, out)[0] == 0
    assert (out / "report.html").stat().st_mtime_ns == before


def test_late_entries_are_refused_with_the_reason(study: Path, tmp_path: Path) -> None:
    table = pd.read_csv(study / "labels.csv", dtype={"case": str}).assign(entry_days=1.0)
    table[table["os_days"] > 2].to_csv(tmp_path / "labels.csv", index=False)
    result = CliRunner().invoke(
        app, ["survival", str(tmp_path / "labels.csv"), "-f", str(study / "radiomics.csv"), "-o", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert "patient(s) enter late ('entry_days')" in result.output
    assert not (tmp_path / "out").exists()


def test_bad_usage_is_one_line(study: Path, tmp_path: Path) -> None:
    assert run(study, tmp_path, "--risk-model", "oracle")[0] == 2
    code, output = run(study, tmp_path, "--group-by", "age")
    assert code == 2
    assert "come from the model" in output
    alone = CliRunner().invoke(
        app, ["survival", str(study / "labels.csv"), "-o", str(tmp_path), "--risk-model", "cox-forest"]
    )
    assert alone.exit_code == 2
    assert "--features" in alone.output
