"""`radiogen report` as a user meets it, on a small study of made-up patients."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.cli.main import app
from radiogen.cohort.nifti import Grid, read_labels, write_image, write_labels
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort, write_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.segment import SegmentSettings
from radiogen.config.study import StudySettings
from radiogen.pipeline.segment import run_segment
from radiogen.pipeline.study import StudyOutcome
from radiogen.report import pdf
from radiogen.run.atomic import write_csv, write_json
from tests.report.html_check import Page
from tests.report.made_up import made_up_metrics

CASES = ["phantom-001", "phantom-002"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two segmented cases and one classifier."""
    folder = tmp_path_factory.mktemp("made") / "study"
    table = write_phantom_cohort(folder / "cohort", 2, seed=1, settings=PhantomSettings(spacing_mm=5.0), progress=False)
    outcome = run_segment(read_cohort(table), folder, SegmentSettings(method="flair-threshold", given_masks="ignore"))
    write_cohort(outcome.cohort, folder / "cohort.csv")
    write_json(folder / "classify/idh/metrics.json", made_up_metrics(synthetic=True))
    predictions = outcome.cohort.reset_index()[["case", "patient"]].assign(
        y_true=[1, 0], y_prob=[0.9, 0.4], repeat=0, prediction_set=["positive", "both"], out_of_distribution=0
    )
    write_csv(folder / "classify/idh/predictions.csv", predictions, index=False)
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    return result.exit_code, result.output


def test_every_case_has_a_page_and_the_report_leads_there(study: Path) -> None:
    code, output = run(study, "--quiet")
    assert code == 0, output
    assert "2 case page(s)" in output
    for case in CASES:
        page = Page((study / f"cases/{case}.html").read_text(), scripts=True)
        assert page.problems == []
        assert f"Case {case}" in page.words
        assert "SYNTHETIC DATA" in page.words
        assert "flair-threshold" in page.words
    assert "no call (both classes are plausible)" in page.words
    assert (study / f"cases/{CASES[0]}.html").stat().st_size < 3_000_000
    report = (study / "report.html").read_text()
    assert f'href="cases/{CASES[0]}.html"' in report
    assert 'href="cases/index.html"' in report
    assert f'href="{CASES[1]}.html"' in (study / "cases/index.html").read_text()


def test_again_nothing_is_redone_and_elsewhere_the_bytes_are_the_same(study: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(study, tmp_path / "other"))
    assert run(study, "--quiet")[0] == 0
    times = {path: path.stat().st_mtime_ns for path in study.glob("cases/phantom*")}
    assert run(study, "--quiet")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in study.glob("cases/phantom*")} == times
    assert run(other, "--quiet")[0] == 0
    for path in [*study.glob("cases/*"), study / "report.html", study / "report.json"]:
        assert (other / path.relative_to(study)).read_bytes() == path.read_bytes(), path.name
    first, second = (study / f"cases/{case}.html" for case in CASES)
    before = second.stat().st_mtime_ns
    sidecar = study / f"masks/{CASES[0]}.json"
    values = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**values, "flagged": True, "flag_reason": "changed by hand"}))
    assert run(study, "--quiet")[0] == 0
    assert "changed by hand" in first.read_text()  # what has changed is made anew, and nothing else
    assert second.stat().st_mtime_ns == before


def test_only_the_chosen_cases_or_none(study: Path) -> None:
    assert run(study, "--cases", "none", "--quiet")[0] == 0
    assert not (study / "cases").exists()
    assert 'href="qc/phantom-001.png"' in (study / "report.html").read_text()
    assert run(study, "--cases", CASES[1], "--quiet")[0] == 0
    assert sorted(path.name for path in study.glob("cases/*.html")) == ["index.html", f"{CASES[1]}.html"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cases", "phantom-1,phantom-002"], "Did you mean 'phantom-001'"),
        (["--cases", ","], "Give case ids"),
        (["-o", "elsewhere"], "Add --pdf"),
    ],
)
def test_wrong_use_is_said_before_any_work(study: Path, arguments: list[str], said: str) -> None:
    code, output = run(study, "--quiet", *arguments)
    assert code == 2
    assert said in output
    assert not (study / "cases").exists()


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "absent", "There is no folder"), (tmp_path, "There is no cohort.csv")):
        code, output = run(folder, "--quiet")
        assert code == 2
        assert said in output


def test_without_a_browser_pdf_is_refused_before_the_work(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(pdf, "_USUAL_PLACES", ())
    code, output = run(study, "--pdf", "--quiet")
    assert code == 2
    assert "print it to a PDF" in output
    assert not (study / "cases").exists()


def test_pdf_files_lie_where_they_are_wanted(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "find_browser", lambda: tmp_path)
    monkeypatch.setattr("radiogen.pipeline.report.find_browser", lambda: tmp_path)
    monkeypatch.setattr(pdf, "_printed", lambda *_: b"%PDF-made up")
    assert run(study, "--pdf", "--cases", CASES[0], "-o", tmp_path / "out", "--quiet")[0] == 0
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.pdf"))
    assert found == [f"cases/{CASES[0]}.pdf", "report.pdf"]


def test_a_case_that_cannot_be_read_does_not_stop_the_others(study: Path) -> None:
    broken = next((study / "cohort/images" / CASES[0]).glob("*t1c*"))
    broken.write_bytes(b"not an image")
    code, output = run(study, "--quiet")
    assert code == 1
    assert "1 case(s) failed" in output
    assert CASES[0] in (study / "failed.csv").read_text()
    assert (study / f"cases/{CASES[1]}.html").is_file()


def names_of_this_machine(folder: Path) -> list[str]:
    """What must not travel: where the study lay, who made it, on which machine."""
    names = [str(folder), str(folder.parent), str(Path.home()), os.getcwd()]
    words = [getpass.getuser(), socket.gethostname()]
    return [*(re.escape(name) for name in names), *(rf"\b{re.escape(word)}\b" for word in words if len(word) > 4)]


def test_nothing_written_names_the_machine(study: Path) -> None:
    assert run(study, "--quiet")[0] == 0
    texts = [
        path for path in study.rglob("*") if path.suffix in {".html", ".json", ".csv", ".md", ".txt", ".bib", ".yaml"}
    ]
    assert len(texts) > 8
    for path in texts:
        text = path.read_text(encoding="utf-8")
        for name in names_of_this_machine(study):
            assert not re.search(name, text), f"{path.relative_to(study)} holds {name}"


def test_every_map_of_a_case_lies_over_its_slices(study: Path) -> None:
    case = CASES[0]
    labels, grid = read_labels(study / f"masks/{case}.nii.gz")
    for folder in ("habitats/maps", "explain", "features/graphs", "uncertainty"):
        (study / folder).mkdir(parents=True)
    write_labels(study / f"habitats/maps/{case}.nii.gz", (labels > 0).astype(np.uint8), grid)
    write_json(study / "habitats/habitats.json", {"summary": "One habitat stands."})
    write_image(study / f"explain/{case}_t1c.nii.gz", labels.astype(np.float32), grid)
    write_csv(
        study / "explain/explanations.csv",
        pd.DataFrame([{"case": case, "network": "t1c", "map": f"{case}_t1c.nii.gz"}]),
    )
    elsewhere = Grid(grid.shape, grid.affine + np.eye(4, k=3) * 40)
    write_image(study / f"features/graphs/{case}_disconnected.nii.gz", labels.astype(np.float32), elsewhere)
    write_image(study / f"uncertainty/{case}.nii.gz", labels.astype(np.float32), grid)
    placed = {
        "location_wt_left_fraction": 0.9,
        "location_wt_frontal_fraction": 0.8,
        "location_wt_grey_matter_fraction": 0.7,
    }
    write_csv(study / "features/location.csv", pd.DataFrame(placed, index=pd.Index([case], name="case")))
    assert run(study, "--quiet")[0] == 0
    words = Page((study / f"cases/{case}.html").read_text(), scripts=True).words
    for said in (
        "Habitats habitat 1",
        "What the classifier on images looks at (t1c)",
        "Uncertainty of the mask",
        "Disconnected weight of the network: the map lies on other voxels than the images and is not shown.",
        "both sides of the head (90 % left, 10 % right, by registration to MNI152), in the lobes frontal 80 %.",
    ):
        assert said in words, said
    other = Page((study / f"cases/{CASES[1]}.html").read_text(), scripts=True).words
    assert "Habitats" not in other
    assert "One habitat stands." in (study / "report.html").read_text()


@pytest.mark.parametrize(("option", "wanted"), [("--no-case-pages", False), ("--case-pages", True), (None, True)])
def test_radiogen_run_makes_case_pages_unless_told_not_to(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str | None, wanted: bool
) -> None:
    seen: list[bool] = []

    def noted(cohort: object, study: Path, settings: StudySettings, **more: object) -> StudyOutcome:
        seen.append(settings.case_pages)
        return StudyOutcome(study / "report.html", {}, {}, [])

    monkeypatch.setattr("radiogen.pipeline.study.run_study", noted)
    arguments = ["run", str(made / "cohort.csv"), "-o", str(tmp_path / "out"), *([option] if option else [])]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert seen == [wanted]
