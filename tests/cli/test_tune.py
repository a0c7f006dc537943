from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner

from radiogen.cli import tune
from radiogen.config.postprocess import PostprocessSettings
from tests.pipeline.test_tune import write_cases


def program() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    tune.register(app)
    return app


def run(*arguments: object) -> tuple[int, str]:
    return call("masks", *arguments)


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(program(), ["tune", *[str(argument) for argument in arguments]])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_tunes_and_tells_the_score_on_cases_not_tuned_on(tmp_path: Path) -> None:
    cohort = write_cases(tmp_path)
    options = ("--method", "grid", "--tune", "thresholds, components", "--folds", 2, "--quiet")
    code, output = run(tmp_path, cohort, "-o", tmp_path / "out", *options)
    assert code == 0
    assert "wt: n=4  untuned" in output
    assert "on cases not tuned on" in output
    rules = PostprocessSettings.read(tmp_path / "out" / "postprocess.json")
    again = run(tmp_path, cohort, "-o", tmp_path / "next", *options, "--start", tmp_path / "out" / "postprocess.json")
    assert again[0] == 0
    assert "does not help" in again[1]
    assert PostprocessSettings.read(tmp_path / "next" / "postprocess.json") == rules
    code, output = call(
        "apply", tmp_path, cohort, "--rules", tmp_path / "out" / "postprocess.json", "-o", tmp_path / "study"
    )
    assert code == 0
    assert "4 mask(s)" in output
    assert len(list((tmp_path / "study" / "masks").glob("*.nii.gz"))) == 4


def test_bad_use_is_one_message_and_exit_code_two(tmp_path: Path) -> None:
    cohort = write_cases(tmp_path, 2)
    for options, words in (
        (("--method", "guess"), "'method' is 'guess'"),
        (("--tune", "threshold"), "'tune.0' is 'threshold'"),
        (("--folds", 5), "2 patients cannot make 5 folds"),
        (("--start", tmp_path / "none.json"), "cannot be read"),
    ):
        code, output = run(tmp_path, cohort, "-o", tmp_path / "out", *options)
        assert code == 2
        assert words in output
