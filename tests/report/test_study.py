from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from radiogen.errors import InputError
from radiogen.report import study_parts
from radiogen.report.images import case_picture
from radiogen.report.reporting import write_reporting
from radiogen.report.study import write_study_report
from radiogen.report.study_parts import case_pictures, shrunken_picture, volume_figure
from radiogen.report.style import save_png
from radiogen.run.atomic import write_csv, write_json, write_text
from radiogen.run.quarantine import Failure, write_failures
from tests.report.html_check import Page
from tests.report.made_up import bare_metrics, made_up_metrics


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A small study folder with everything that the report reads."""
    folder = tmp_path / "study"
    names = [f"case {number}&<b>" for number in range(4)]
    cohort = pd.DataFrame(
        {"case": names, "patient": ["a", "a", "b", "c"], "site": ["X", "X", "Y", "Y"], "t1c": "t1c.nii.gz", "t2f": ["f.nii.gz", "", "", ""],
         "idh": [1, 0, 1, ""], "grade": [2, 4, 3, ""], "age": [40, 50, 60, ""], "os_days": [100, 200, 300, ""], "os_event": [1, 0, 1, ""]}
    )  # fmt: skip
    write_csv(folder / "cohort.csv", cohort, index=False)
    volumes = pd.DataFrame(
        {"wt_ml": [10.0, 20, 30, 40], "tc_ml": [5.0, 0, 1, 2], "et_ml": 0.0, "method": "given"},
        index=pd.Index(names, name="case"),
    )
    write_csv(folder / "volumes.csv", volumes)
    write_csv(
        folder / "features" / "radiomics.csv",
        pd.DataFrame({"a": [1.0, np.nan, 1, 1], "b": 2.0}, index=pd.Index(names, name="case")),
    )
    for target, metrics in (("mgmt", bare_metrics()), ("idh", made_up_metrics())):
        write_json(folder / "classify" / target / "metrics.json", metrics)
        write_text(folder / "classify" / target / "report.html", "<!doctype html>")
    survival = {"group_by": "idh", "group_title": "IDH", "summary": "26 patients, 12 deaths."}
    write_json(folder / "survival" / "idh" / "survival.json", survival)
    image = {"t1c": np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)}
    for name in names[:3]:
        save_png(case_picture(image, None, (1.0, 1.0, 1.0), name), folder / "qc" / f"{name}.png")
    save_png(case_picture(image, None, (1.0, 1.0, 1.0)), folder / "survival" / "idh" / "kaplan_meier.png")
    write_failures(
        folder / "failed.csv",
        [Failure("bad<b>", "segment", "x.nii.gz does not exist (looked in /home/me/data).", "Fix it.")],
    )
    return folder


def report(study: Path, **more: object) -> Page:
    write_study_report(study / "report.html", study, **more)  # type: ignore[arg-type]
    return Page((study / "report.html").read_text(encoding="utf-8"))


def test_everything_in_the_folder_is_on_a_sound_page_verdicts_first(study: Path) -> None:
    page = report(study, skipped={"classify codeletion": "3 known labels"})
    assert page.problems == []
    words = page.words
    assert "4 cases of 3 patients. IDH mutation: beats the baselines; MGMT promoter methylation: undetermined." in words
    order = [
        "Verdicts",
        "Survival by IDH",
        "3 known labels",
        "1 case failed",
        "Cohort",
        "Tumour masks",
        "case by case",
        "Features",
    ]
    assert [words.index(part) for part in order] == sorted(words.index(part) for part in order)
    assert "26 patients, 12 deaths." in words
    assert "bad<b>" in words
    assert "in none of the masks" in words
    assert "12.5 %" in words
    assert not page.all_of("b")


def test_links_lead_to_files_that_are_there(study: Path) -> None:
    links = [values["href"] for values in report(study).all_of("a")]
    write_reporting(study)  # its files are promised by the page
    assert "classify/idh/report.html" in links
    assert all(
        (study / unquote(link)).is_file() for link in links if link != "survival/idh/report.html" and link[0] != "#"
    )
    assert "classify/idh/predictions.csv" not in links
    (study / "classify" / "idh" / "predictions.csv").write_text("case\n")
    assert "classify/idh/predictions.csv" in [values["href"] for values in report(study).all_of("a")]


def test_same_folder_same_bytes_and_nothing_of_the_machine(study: Path) -> None:
    report(study)
    first = (study / "report.html").read_bytes()
    report(study)
    assert (study / "report.html").read_bytes() == first
    assert b"/home/me" not in first
    assert str(study).encode() not in first


def test_banner(study: Path) -> None:
    assert "SYNTHETIC DATA" in report(study, synthetic=True).words
    assert "SYNTHETIC DATA" not in report(study).words


def test_an_empty_folder_says_that_there_is_no_verdict(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert page.problems == []
    assert "No target was classified" in page.words


def test_what_an_earlier_run_left_behind_is_not_shown_as_this_runs(study: Path) -> None:
    words = report(study, skipped={"classify mgmt": "not asked for", "survival by idh": "too few"}).words
    assert "MGMT promoter methylation: undetermined" not in words
    assert "26 patients" not in words


@pytest.mark.parametrize("content", ["{not json", "[1]"])
def test_a_result_that_cannot_be_read_is_an_input_error_and_no_page(study: Path, content: str) -> None:
    (study / "classify" / "idh" / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json"):
        report(study)
    assert not (study / "report.html").exists()


def test_pictures_are_bounded_in_number_and_size(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted((study / "qc").glob("*.png"))
    wide = case_pictures(files)
    monkeypatch.setattr(study_parts, "PICTURE_BUDGET_BYTES", sum(len(picture.content) for picture in wide) - 1)
    small = case_pictures(files)
    assert sum(len(picture.content) for picture in small) < sum(len(picture.content) for picture in wide)
    monkeypatch.setattr(study_parts, "MOST_PICTURES", 2)
    page = report(study)
    assert "first 2 of 3 cases" in page.words
    assert case_pictures([]) == []


def test_sixty_cases_stay_under_five_megabytes(study: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (375, 490, 3), dtype=np.uint8)  # nothing compresses worse
    Image.fromarray(noise).save(study / "qc" / "noise.png")
    pictures = case_pictures([study / "qc" / "noise.png"] * 60)
    assert len(pictures) == 60
    assert sum(len(picture.content) for picture in pictures) * 4 / 3 < 5e6


@pytest.mark.parametrize("drawing", [False, True])
def test_a_shrunken_picture_is_the_same_picture(study: Path, drawing: bool) -> None:
    file = next((study / "qc").glob("*.png"))
    found = shrunken_picture(file, "x", "y", 200, drawing=drawing)
    with Image.open(io.BytesIO(found.content)) as small, Image.open(file) as large:
        assert small.width == 200
        assert small.height == round(large.height * 200 / large.width)
        same = np.asarray(large.convert("L").resize(small.size), dtype=float)
        assert np.corrcoef(same.ravel(), np.asarray(small.convert("L"), dtype=float).ravel())[0, 1] > 0.9


def test_thumbnails_in_the_page_are_pictures(study: Path) -> None:
    report(study)
    text = (study / "report.html").read_text(encoding="utf-8")
    found = re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    assert len(found) == 3
    with Image.open(io.BytesIO(base64.b64decode(found[0]))) as picture:
        assert picture.width <= 560


def test_volume_figure_leaves_out_regions_that_no_mask_has() -> None:
    figure = volume_figure(pd.DataFrame({"wt_ml": [1.0, 0.0], "tc_ml": [0.0, 0.0]}))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["whole tumour"]


def test_volumes_that_are_unknown_are_counted_apart_from_empty_ones() -> None:
    from radiogen.report.study_parts import _volume_table

    volumes = pd.DataFrame({"wt_ml": [10.0, 20.0], "tc_ml": [np.nan, 3.0], "et_ml": [np.nan, np.nan]})
    table = _volume_table(volumes).set_index("region")
    assert table["unknown in"].tolist() == ["0 cases", "1 case", "2 cases"]
    assert table["empty in"].tolist() == ["0 cases", "0 cases", "0 cases"]
    assert table["volume, ml"].iloc[2] == "unknown"
