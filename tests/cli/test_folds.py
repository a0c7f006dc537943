from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner

from radiogen.cli import folds
from tests.branches.cases import write_case, write_cohort_csv


def program() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    folds.register(app)
    return app


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(program(), ["folds", *[str(argument) for argument in arguments]])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_writes_folds_and_its_exit_code_tells_of_failures(tmp_path: Path) -> None:
    without = ("t1n", "t2w", "t2f")
    rows = [write_case(tmp_path, f"case{seed}", seed=seed, without=without) for seed in range(4)]
    cohort = write_cohort_csv(tmp_path, rows)
    (tmp_path / "settings.yaml").write_text("sequences: [t1c]\n")
    config = ("--config", tmp_path / "settings.yaml", "--quiet")
    code, output = run(cohort, "-o", tmp_path / "out", "--folds", 2, *config)
    assert code == 0
    assert "cases per fold: 2, 2" in output
    for name in ("folds.csv", "folds.json", "splits_final.json", "folds.png", "cohort.csv"):
        assert (tmp_path / "out" / name).is_file()
    code, output = run(cohort, "-o", tmp_path / "out", "--folds", 9, *config)
    assert code == 2
    assert "4 patients cannot make 9 folds" in output
    rows.append(write_case(tmp_path, "bare", seed=5, without=(*without, "mask")))
    code, output = run(write_cohort_csv(tmp_path, rows), "-o", tmp_path / "out", "--folds", 2, *config)
    assert code == 1
    assert "1 case(s) failed" in output
