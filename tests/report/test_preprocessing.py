"""The sheet of a case and the page of a cohort after preprocessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from radiogen.cohort.twins import TWIN_COLUMNS
from radiogen.errors import GeometryError
from radiogen.preprocess.quality import CaseQuality
from radiogen.report.preprocessing import case_sheet, thumbnail, write_case_sheet
from radiogen.report.preprocessing_page import (
    CHOICE_COLUMNS,
    PreprocessPage,
    lead_sentence,
    quality_table,
    write_cohort_page,
)
from radiogen.report.style import png
from radiogen.run.quarantine import Failure
from radiogen.types import Mask, Volume
from tests.report.html_check import Page

SHAPE = (40, 48, 36)
BAD = CaseQuality(
    {"brain_ml": 2300.0, "missing": "t2w", "t2f_similarity": 1.004, "t1c_slice_mm": 5.5},
    ("t2w missing.", "The brain has 2300 ml; 900 to 2000 is plausible: look at its outline."),
)
GOOD = CaseQuality({"brain_ml": 1400.0, "missing": None, "t2f_similarity": 1.09}, ())


def images() -> tuple[dict[str, Volume], Mask]:
    """Return three sequences of a ball with a cube in it, and the ball."""
    axes = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
    brain = (axes**2).sum(axis=0) < 15**2
    image = np.where(brain, 50.0, 0)
    image[14:22, 20:28, 14:22] = 100
    noise = np.random.default_rng(0).random(SHAPE)
    return {name: (image + noise).astype(np.float32) for name in ("t1n", "t1c", "t2f")}, brain


def texts(figure: Figure) -> str:
    """Return every word on a figure."""
    words = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        words += [axes.get_title(), *(text.get_text() for text in axes.texts)]
    for legend in figure.legends:
        words += [text.get_text() for text in legend.get_texts()]
    return "\n".join(words)


def test_a_sheet_says_what_is_wrong_missing_and_how_to_look_at_it(tmp_path: Path) -> None:
    volumes, brain = images()
    figure = case_sheet("case 7", volumes, brain, BAD, choices={"t1c": "header, 0.99"})
    words = texts(figure)
    for part in (
        "case 7", "! t2w missing.", "! The brain has 2300 ml", "t1c: header, 0.99", "t2f similarity 1.004", "missing", "radiological",
        "edges of t1c", "t1c  (T1 contrast), reference",
    ):  # fmt: skip
        assert part in words, part
    assert words.count("missing\n") == 3 - words.endswith("missing")
    assert len(figure.axes) == 12
    write_case_sheet(tmp_path / "a.png", "case 7", volumes, brain, BAD)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_edges_of_the_reference_lie_on_the_other_sequences_only() -> None:
    volumes, brain = images()
    axial = case_sheet("c", volumes, brain, GOOD).axes[:4]
    assert [len(axes.images) for axes in axial] == [2, 1, 0, 2]
    other = case_sheet("c", volumes, brain, GOOD, reference="t2f").axes[:4]
    assert [len(axes.images) for axes in other] == [2, 2, 0, 1]
    overlay = np.ma.asarray(axial[0].images[1].get_array())
    assert 0 < overlay.count() < overlay.size / 5


def test_the_head_is_shown_where_it_is_given() -> None:
    volumes, brain = images()
    stripped = {name: np.where(brain, volume, np.float32(0)) for name, volume in volumes.items()}
    figure = case_sheet("c", stripped, brain, GOOD, volumes)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert (shown[0] != 0).any()


def test_a_sheet_is_the_same_each_time_and_needs_images_on_the_brains_voxels() -> None:
    volumes, brain = images()
    assert png(case_sheet("c", volumes, brain, GOOD)) == png(case_sheet("c", volumes, brain, GOOD))
    with pytest.raises(GeometryError, match="at least one sequence"):
        case_sheet("c", {}, brain, GOOD)


def test_many_long_flags_stay_on_the_sheet() -> None:
    volumes, brain = images()
    flags = tuple(f"t1n number {number}: " + "long words " * 25 for number in range(12))
    figure = case_sheet("c", volumes, brain, CaseQuality({}, flags))
    assert "and 4 more" in texts(figure)
    assert all(0 <= text.get_position()[1] <= 1 for text in figure.texts)


def page() -> PreprocessPage:
    """Return a page with everything on it."""
    volumes, brain = images()
    small = png(thumbnail(volumes["t1c"], brain))
    return PreprocessPage(
        {"good": GOOD, "bad": BAD},
        thumbnails={"good": small, "bad": small},
        sheets={"bad": "qc/bad.png"},
        failures=[Failure("lost", "preprocess", "No head was found in the images.", "Look at the images.", "")],
        twins=pd.DataFrame([("good", "bad", 0.12, False)], columns=TWIN_COLUMNS),
        choices=pd.DataFrame([("bad", "t1c", "7", 0.61, "bright tail")], columns=CHOICE_COLUMNS),
        notes={"good": ("t2f already lay on t1c and was left there.",)},
    )


def test_the_page_leads_with_what_needs_a_look(tmp_path: Path) -> None:
    made = page()
    assert lead_sentence(made) == (
        "2 cases preprocessed: 1 flagged, 1 failed; 1 pair of cases under two patient ids look like one patient."
    )
    write_cohort_page(tmp_path / "p.html", made, provenance={"seed": 0})
    text = (tmp_path / "p.html").read_text()
    order = [text.index(f">{title}</h2>") for title in ("Failed", "Flagged", "Brains that look the same", "All cases")]
    assert order == sorted(order)
    for part in (
        "No head was found",
        "2300 ml",
        "looks like",
        "0.61",
        "bright tail",
        "already lay on",
        'href="qc/bad.png"',
    ):
        assert part in text, part
    assert Page(text).problems == []
    assert text.index("bad, 2300 ml") < text.index("good, 1400 ml")


def test_an_empty_cohort_has_a_page(tmp_path: Path) -> None:
    write_cohort_page(tmp_path / "p.html", PreprocessPage({}))
    assert "0 cases preprocessed" in (tmp_path / "p.html").read_text()


def test_the_table_of_quality_holds_every_value_and_the_flags() -> None:
    table = quality_table({"good": GOOD, "bad": BAD})
    assert table.index.tolist() == ["good", "bad"]
    assert table.at["bad", "brain_ml"] == 2300.0
    assert "t2w missing." in str(table.at["bad", "flags"])
    assert table.at["good", "flags"] == ""
    assert quality_table({}).empty
