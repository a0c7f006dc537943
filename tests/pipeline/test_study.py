from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.config.phantoms import PhantomSettings
from tests.cli.test_report import names_of_this_machine

N = 15
SETTINGS = """
targets: [idh]
radiomics: {image_types: {Original: {}}}
classify: {classifiers: [elastic-net]}
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "settings.yaml").write_text(SETTINGS)
    return write_phantom_cohort(folder, N, seed=3, settings=PhantomSettings(spacing_mm=4.0), jobs=2, progress=False)


def command(cohort: Path, study: Path) -> list[str]:
    return ["run", str(cohort), "-o", str(study), "--config", str(cohort.parent / "settings.yaml"), "--quiet"]


@pytest.fixture(scope="module")
def undisturbed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("undisturbed") / "study"
    result = CliRunner().invoke(app, command(cohort, study))
    assert result.exit_code == 0, result.output
    return study


def contents(study: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(study)): path.read_bytes()
        for path in sorted(study.rglob("*"))
        if path.is_file() and path.parent.name != "logs"
    }


def test_everything_the_design_promises_is_there(undisturbed: Path) -> None:
    made = contents(undisturbed)
    for name in ("cohort.csv", "volumes.csv", "report.html", "features/radiomics.parquet", "features/clinical.csv"):
        assert made[name]
    for name in ("predictions.csv", "metrics.json", "report.html"):
        assert made[f"classify/idh/{name}"]
    assert "failed.csv" not in made
    volumes = pd.read_csv(undisturbed / "volumes.csv", dtype={"case": str}).set_index("case")
    assert len(volumes) == N
    assert (volumes["wt_ml"] > 0).all()


def test_no_output_names_the_machine(undisturbed: Path) -> None:
    written = contents(undisturbed)
    for here in names_of_this_machine(undisturbed):
        assert [name for name, data in written.items() if re.search(here.encode(), data)] == [], here


def test_methods_and_forms_tell_what_was_run_and_their_links_resolve(undisturbed: Path) -> None:
    methods = (undisturbed / "methods.md").read_text()
    assert f"{N} cases of {N} patients" in methods
    assert "Classifiers were elastic-net logistic regression [" in methods  # the settings name no other
    assert "Image types: original." in methods
    assert "N4" not in methods  # nothing was preprocessed
    pages = [
        undisturbed / "report.html",
        undisturbed / "classify/idh/report.html",
        *undisturbed.rglob("reporting/*.md"),
    ]
    assert len(pages) >= 8
    for page in pages:
        text = page.read_text()
        links = re.findall(r'<a href="([^"#]+)"' if page.suffix == ".html" else r"\]\(<([^>]+)>\)", text)
        assert links or "survival" in page.parts  # of survival alone a form may know nothing
        assert [link for link in links if not (page.parent / link).is_file()] == []
    assert "Classifiers were elastic-net logistic regression [" in pages[0].read_text()


def test_a_second_run_changes_nothing_and_is_quick(cohort: Path, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("masks/*")}
    assert CliRunner().invoke(app, command(cohort, undisturbed)).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in undisturbed.glob("masks/*")} == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("targets: [idhh]", "Did you mean 'idh'"),
        ("branches: [radiomix]", "Did you mean 'radiomics'"),
        ("survival_groups: [moon]", "no column moon"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(cohort: Path, tmp_path: Path, settings: str, said: str) -> None:
    (tmp_path / "settings.yaml").write_text(settings)
    arguments = [
        "run",
        str(cohort),
        "-o",
        str(tmp_path / "study"),
        "--config",
        str(tmp_path / "settings.yaml"),
        "--quiet",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "study" / "masks").exists()


def test_killed_at_any_moment_and_started_again_it_ends_with_the_same_bytes(
    cohort: Path, undisturbed: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    moments = random.Random(0)
    kills = 0
    for wait in (9, *(moments.uniform(5, 16) for _ in range(2))):
        process = subprocess.Popen(
            [sys.executable, "-m", "radiogen", *command(cohort, study)], stderr=subprocess.DEVNULL
        )
        time.sleep(wait)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 1
    subprocess.run([sys.executable, "-m", "radiogen", *command(cohort, study)], check=True)
    expected, found = contents(undisturbed), contents(study)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
