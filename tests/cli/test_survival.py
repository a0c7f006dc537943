"""`radiogen survival` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from tests.evaluate.test_survival import patients, predictions

OUTPUTS = {
    "survival.json", "survival.provenance.json", "km_table.csv", "at_risk.csv", "report.html",
    "kaplan_meier.png", "kaplan_meier.svg", "forest.png", "forest.svg", "methods.md", "references.bib", "reporting",
}  # fmt: skip


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["survival", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("survival") / "cohort.csv"
    patients(120).to_csv(path)
    return path


def test_everything_is_written_and_the_result_is_said(cohort: Path, tmp_path: Path) -> None:
    code, output = run(cohort, "--group-by", "idh", "-o", tmp_path / "out")
    assert code == 0, output
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS
    metrics = json.loads((tmp_path / "out/survival.json").read_text())
    assert metrics["summary"] in output
    assert metrics["n"] == 120
    assert "note: Follow-up: column 'os_days', in days" in output


def test_same_bytes_again_and_nothing_is_redone(cohort: Path, tmp_path: Path) -> None:
    def files(folder: Path) -> list[Path]:
        return sorted(path for path in folder.rglob("*") if path.is_file())

    for name in ("a", "b"):
        assert run(cohort, "--group-by", "idh", "-o", tmp_path / name, "--quiet")[0] == 0
    first, second = files(tmp_path / "a"), files(tmp_path / "b")
    assert [path.relative_to(tmp_path / "a") for path in first] == [path.relative_to(tmp_path / "b") for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    results = [path for path in first if path.suffix != ".md" and path.parent.name == "a"]  # texts are written anew
    before = {path: path.stat().st_mtime_ns for path in results if path.suffix != ".bib"}
    assert run(cohort, "--group-by", "idh", "-o", tmp_path / "a", "--quiet")[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_late_entry_strata_and_clusters_from_the_command_line(cohort: Path, tmp_path: Path) -> None:
    table = pd.read_csv(cohort).assign(
        scan_days=lambda t: (t["os_days"] // 3).where(t.index % 2 == 0), site=list("ABCDEF") * 20
    )
    table.head(60).to_csv(tmp_path / "cohort.csv", index=False)
    options = ["--group-by", "idh", "--entry", "scan_days", "--cox-strata", "site", "--cluster", "patient"]
    code, output = run(tmp_path / "cohort.csv", *options, "--covariates", "age", "-o", tmp_path / "out")
    assert code == 0, output
    assert "(stratified by site, robust errors by patient)" in output
    assert "30 of 60 patients came under observation after time zero" in output
    page = (tmp_path / "out/report.html").read_text()
    assert "entered late" in page
    assert "stratified by site, robust errors by patient" in page


def test_a_figure_that_is_no_longer_true_goes_away(cohort: Path, tmp_path: Path) -> None:
    assert run(cohort, "--group-by", "idh", "-o", tmp_path, "--quiet")[0] == 0
    config = tmp_path / "settings.yaml"
    config.write_text("covariates: []\n")
    assert run(cohort, "--config", config, "-o", tmp_path, "--quiet")[0] == 0
    assert not (tmp_path / "forest.png").exists()
    assert (tmp_path / "kaplan_meier.png").exists()


def test_model_groups_from_predictions(cohort: Path, tmp_path: Path) -> None:
    predictions(patients(120)).to_csv(tmp_path / "predictions.csv", index=False)
    code, output = run(cohort, "--predictions", tmp_path / "predictions.csv", "-o", tmp_path / "out")
    assert code == 0, output
    assert "high IDH score" in output


def test_labels_are_joined(cohort: Path, tmp_path: Path) -> None:
    table = pd.read_csv(cohort)
    table.drop(columns=["idh", "mgmt"]).to_csv(tmp_path / "cohort.csv", index=False)
    table[["case", "idh"]].to_csv(tmp_path / "labels.csv", index=False)
    code, output = run(
        tmp_path / "cohort.csv", "-g", "idh", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "out"
    )
    assert code == 0, output
    assert "IDH wild-type" in output
    (tmp_path / "others.csv").write_text("case,idh\nzz1,1\nzz2,0\n")
    code, output = run(
        tmp_path / "cohort.csv", "-g", "idh", "--labels", tmp_path / "others.csv", "-o", tmp_path / "out"
    )
    assert code == 2
    assert "No case id of others.csv matches" in output


def test_inverted_coding_stops_with_the_fix_and_leaves_nothing(tmp_path: Path) -> None:
    table = tmp_path / "gbm.csv"
    table.write_text(
        "age_years,OS_months,survived_yes1_no0\n" + "".join(f"{50 + i},{i + 1},{i % 2}\n" for i in range(20))
    )
    code, output = run(table, "-o", tmp_path / "out")
    assert code == 2
    assert "--died-value 0" in output
    assert not (tmp_path / "out").exists()
    code, output = run(table, "--died-value", "0", "--group-by", "age", "--cut", "60", "-o", tmp_path / "out")
    assert code == 0, output
    assert "20 patients, 10 deaths" in output
    assert "where 0 means died, as the user stated" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group-by", "gender"], "There is no column 'gender'"),
        (["--group-by", "age"], "Give --cut VALUE"),
        (["--group-by", "age", "--cut", "half"], "'cut' is 'half'"),
        (["--group-by", "model"], "Give --predictions"),
        (["--time-column", "os"], "no column 'os' (--time-column)"),
        (["--time-unit", "weeks"], "'time_unit' is 'weeks'"),
        (["--where", "idh=7"], "No row has idh = 7"),
        (["--covariates", "age,weight"], "There is no column 'weight' (--covariates)"),
    ],
)
def test_bad_usage_is_one_clear_error(cohort: Path, tmp_path: Path, options: list[str], message: str) -> None:
    code, output = run(cohort, *options, "-o", tmp_path / "out")
    assert code == 2
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "out").exists()


def test_missing_table(tmp_path: Path) -> None:
    code, output = run(tmp_path / "none.csv", "-o", tmp_path / "out")
    assert code == 2
    assert "none.csv" in output
