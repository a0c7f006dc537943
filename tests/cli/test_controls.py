"""`radiogen controls` on feature tables, and its messages."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from radiogen.cli.main import app
from tests.fusion.data import made_up


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["controls", *map(str, arguments)])


def test_controls_of_feature_tables(tmp_path: Path) -> None:
    features, cohort = made_up(n=30, noise=3, sites="AB")
    features["radiomics"].rename_axis("case").to_csv(tmp_path / "radiomics.csv")
    cohort.to_csv(tmp_path / "labels.csv")
    (tmp_path / "c.yaml").write_text(
        "shuffles: 5\nbootstrap_resamples: 100\npermutations: 99\n"
        "classify: {classifiers: [elastic-net], folds: 3, repeats: 1, inner_folds: 2}\n"
    )
    arguments = ["--features", tmp_path / "radiomics.csv", "--labels", tmp_path / "labels.csv", "-t", "idh"]
    arguments += ["-c", tmp_path / "c.yaml", "-o", tmp_path / "out", "--branches", "radiomics"]
    result = run(*arguments, "--only", "shuffled-labels,blanked")
    assert result.exit_code == 0, result.output
    assert "shuffled-labels: passed: Random labels are not predicted" in result.output
    assert "blanked: not done: It needs images" in result.output
    written = json.loads((tmp_path / "out/controls.json").read_text())
    assert [row["name"] for row in written["controls"]] == ["model", "shuffled-labels", "blanked"]
    assert len(written["controls"][1]["facts"]["aucs"]) == 5
    for name in ("controls.csv", "controls.html"):
        assert (tmp_path / "out" / name).is_file()


def test_bad_usage_is_said(tmp_path: Path) -> None:
    for arguments, words in (
        (["-t", "idh", "-o", tmp_path], "Nothing to control"),
        (["-t", "ihd", "-o", tmp_path], "is not a target"),
        (["-t", "idh", "-o", tmp_path, "--only", "shuffled"], "controls"),
        (["-t", "idh", "-o", tmp_path, "--features", tmp_path / "f.csv"], "--features needs labels"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert words in result.stderr
    assert "Example: radiogen controls cohort.csv" in run("--help").output
