"""`radiogen diagnose` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner, Result

from radiogen.cli.main import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["diagnose", *map(str, arguments)])


def table(path: Path, target: str, chances: dict[str, float]) -> Path:
    rows = [(case, target, chance, repeat) for case, chance in chances.items() for repeat in (0, 1)]
    pd.DataFrame(rows, columns=["case", "target", "y_prob", "repeat"]).to_csv(path, index=False)
    return path


def test_markers_become_diagnoses(tmp_path: Path) -> None:
    idh = table(tmp_path / "idh.csv", "idh", {"a": 0.02, "b": 0.97, "c": 0.6})
    codeletion = table(tmp_path / "codeletion.csv", "codeletion", {"a": 0.0, "b": 0.9})
    grade = table(tmp_path / "grade.csv", "grade", {"a": 0.99, "b": 0.1, "c": 0.5, "d": 0.5})
    (tmp_path / "ages.csv").write_text("case,age\na,71\nb,40\nc,50\n")
    out = tmp_path / "out"
    result = run(idh, codeletion, grade, "--clinical", tmp_path / "ages.csv", "-o", out)
    assert result.exit_code == 0, result.output
    assert "1 case(s): most probably glioblastoma, IDH-wildtype" in result.output
    found = pd.read_csv(out / "diagnosis.csv", index_col="case")
    assert found.index.tolist() == ["a", "b", "c"]
    assert found.loc["b", "diagnosis"].startswith("oligodendroglioma")
    assert (
        found.loc["c", "p_oligodendroglioma"] == found.loc["c", "p_astrocytoma"] == 0.3
    )  # 1p/19q unknown: half and half
    assert "sequencing" not in found.loc["a", "tests_needed"]
    assert "1 case(s) have no probability of an IDH mutation" in (out / "diagnosis.json").read_text()


def test_bad_input_is_one_message_and_two(tmp_path: Path) -> None:
    grade = table(tmp_path / "grade.csv", "grade", {"a": 0.5})
    result = run(grade, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "No case has a probability of an IDH mutation" in result.output
    (tmp_path / "no.csv").write_text("case,score\na,1\n")
    result = run(tmp_path / "no.csv", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "no column target, y_prob" in result.output
    assert not (tmp_path / "out").exists()


def test_help_has_an_example() -> None:
    assert "Example: radiogen diagnose" in run("--help").output
