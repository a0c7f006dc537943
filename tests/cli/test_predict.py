"""`radiogen predict` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from radiogen.cli.main import app
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.phantoms import PhantomSettings
from radiogen.pipeline.classify import run_classify
from tests.fusion.data import FAST, made_up


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classify")
    features, cohort = made_up(40, noise=4, strength=3.0)
    quick = EvaluateSettings(bootstrap_resamples=100, permutations=99)
    run_classify(
        {"mine": features["radiomics"], "clinical": features["clinical"]}, cohort, "idh", out, FAST, evaluate=quick
    )
    return out / "model"


@pytest.fixture(scope="module")
def clinical_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clinical")
    features, cohort = made_up(40)
    quick = EvaluateSettings(bootstrap_resamples=100, permutations=99)
    run_classify({"clinical": features["clinical"]}, cohort, "idh", out, FAST, evaluate=quick)
    return out / "model"


def test_new_cases_get_probabilities_and_warnings(model: Path, tmp_path: Path) -> None:
    features, _ = made_up(10, noise=4, seed=3)
    features["radiomics"].iloc[0] = 1e6
    features["radiomics"].set_axis([f"new-{i}" for i in range(9)] + ["case-001"]).rename_axis("ID").to_csv(
        tmp_path / "new.csv"
    )
    result = run(model, "--features", tmp_path / "new.csv", "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.output
    assert "10 case(s): probability of IDH mutated" in result.output
    assert "Research use only" in result.output
    assert "1 of 10 case(s) were in the training" in result.output
    assert "unlike every training case" in result.output
    assert "10 of 10 case(s) lack features (up to 2 of 7)" in result.output
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["y_prob"].between(0, 1).all()
    assert table["target"].unique().tolist() == ["idh"]


def test_labels_bring_age_and_truth(model: Path, tmp_path: Path) -> None:
    features, cohort = made_up(10, noise=4, seed=3)
    features["radiomics"].rename_axis("case").to_csv(tmp_path / "new.csv")
    cohort[["idh", "age", "sex"]].to_csv(tmp_path / "labels.csv")
    result = run(model, "-f", tmp_path / "new.csv", "-l", tmp_path / "labels.csv", "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.output
    assert "lack features" not in result.output
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["y_true"].tolist() == cohort["idh"].astype(int).tolist()


def test_a_cohort_runs_the_models_own_branches(clinical_model: Path, tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("case,age,sex\nnew-1,30,F\nnew-2,70,M\n")
    result = run(clinical_model, tmp_path / "cohort.csv", "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "features" / "clinical.csv").is_file()
    assert pd.read_csv(tmp_path / "out" / "predictions.csv")["missing_features"].tolist() == [0, 0]


def test_cases_with_images_get_a_page_each(clinical_model: Path, tmp_path: Path) -> None:
    table = write_phantom_cohort(tmp_path / "made", 2, settings=PhantomSettings(spacing_mm=4.0))
    rows = pd.read_csv(table, dtype=str)
    rows["mask"] = [f"truth/{case}.nii.gz" for case in rows["case"]]
    rows["case"] = rows["patient"] = ["new-1", "case-001"]
    rows.to_csv(table, index=False)
    result = run(clinical_model, table, "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.output
    pages = {case: (tmp_path / "out" / "cases" / f"{case}.html").read_text() for case in ("new-1", "case-001")}
    assert "which was not trained on this patient" in pages["new-1"]
    assert "in the training of the model: its answer proves nothing" in pages["case-001"]
    assert all("Volumes of the tumour" in page and "viewer-data" in page for page in pages.values())
    index = (tmp_path / "out" / "cases" / "index.html").read_text()
    assert "new-1.html" in index
    assert "report.html" not in index
    again = run(clinical_model, table, "-o", tmp_path / "bare", "--quiet", "--no-case-pages")
    assert again.exit_code == 0, again.output
    assert not (tmp_path / "bare" / "cases").exists()


def test_files_of_the_training_are_given_by_a_config(clinical_model: Path, tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("case,age,sex\na,30,M\n")
    (tmp_path / "files.yaml").write_text("clinical: {volumes: false}\n")
    result = run(
        clinical_model, tmp_path / "cohort.csv", "--config", tmp_path / "files.yaml", "-o", tmp_path / "out", "--quiet"
    )
    assert result.exit_code == 2
    assert "'volumes' of clinical is not the path of a file or folder" in result.output


def test_bad_usage(model: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out", "--quiet")
    (tmp_path / "cohort.csv").write_text("case,age\na,30\n")
    (tmp_path / "other.csv").write_text("case,unheard\na,30\n")
    for arguments, words in (
        ((tmp_path, "-f", "x.csv"), "is not a model of radiogen"),
        ((model,), "No cases"),
        ((model, tmp_path / "cohort.csv"), "feature tables that radiogen did not make (mine)"),
        ((model, "-f", tmp_path / "other.csv"), "None of the model's 7 features"),
    ):
        result = run(*arguments, *out)
        assert result.exit_code == 2, result.output
        assert words in result.output
    assert not (tmp_path / "out").exists()


def test_help_has_an_example() -> None:
    assert "Example: radiogen predict" in run("--help").output
