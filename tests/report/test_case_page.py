from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.report.case_page import (
    CaseFacts,
    CasePrediction,
    case_lead,
    place_words,
    write_case_index,
    write_case_page,
)
from radiogen.report.viewer import ViewerContent
from tests.report.html_check import Page
from tests.report.test_viewer import content

MASK = {
    "wt_ml": 40.0,
    "tc_ml": 12.0,
    "et_ml": None,
    "method": "network:made-up",
    "notes": ["Read from /home/me/scan.nii.gz."],
    "confidence": {"wt": {"volume_variation": 0.1}},
    "flagged": True,
    "flag_reason": "the answers disagree",
}
PREDICTIONS = (
    CasePrediction("idh", 0.91, 0.9, 0.92, ("positive", "positive"), 1, False, "beats-baselines"),
    CasePrediction("mgmt", 0.5, 0.5, 0.5, ("both",), None, True, "no-better-than-chance"),
)


def page_of(path: Path, facts: CaseFacts, shown: ViewerContent | None = None) -> Page:
    write_case_page(path, facts, shown or content())
    return Page(path.read_text(encoding="utf-8"), scripts=True)


def test_a_page_says_size_place_calls_and_doubts(tmp_path: Path) -> None:
    facts = CaseFacts(
        "7<b>", MASK, ("t1n",), "It lies on the left.", ("T2 is a copy.",), PREDICTIONS, ("A map is missing.",)
    )
    page = page_of(tmp_path / "7.html", facts)
    assert page.problems == []
    for said in (
        "Case 7<b>",
        "Whole tumour 40.0 ml, tumour core 12.0 ml. It lies on the left. Look at this case: the answers disagree.",
        "whole tumour 40.0 \u00b1 4.0",
        "enhancing tumour unknown not measured",
        "IDH mutation 0.91 (IDH-mutated) 0.90 to 0.92 IDH-mutated IDH-mutated no beats the baselines",
        "0.50 (methylated) \u2013 no call (both classes are plausible) unknown yes no better than chance",
        "Missing sequence: T1 native (t1n).",
        "Read from scan.nii.gz.",
        "T2 is a copy.",
        "A map is missing.",
        "Radiological display",
        "Research use only",
    ):
        assert said in page.words, said
    assert "/home/me" not in (tmp_path / "7.html").read_text()


def test_without_mask_and_classifiers_nothing_is_made_up(tmp_path: Path) -> None:
    bare = ViewerContent(content().images, (2.0, 2.0, 2.0))
    page = page_of(tmp_path / "8.html", CaseFacts("8"), bare)
    assert page.problems == []
    assert "There is no mask of the tumour." in page.words
    assert "ml" not in page.words.split()
    assert "probability" not in page.words
    assert "Over it" not in page.words


@pytest.mark.parametrize(
    ("left", "said"),
    [(1.0, "left half"), (0.0, "right half"), (0.5, "both sides"), (0.94, "both sides"), (0.96, "left half")],
)
def test_the_side_is_the_patients(left: float, said: str) -> None:
    assert said in place_words(left, "made up")


def test_the_lead_is_honest_about_what_is_unknown() -> None:
    assert case_lead(CaseFacts("1", {"wt_ml": 1.0, "tc_ml": None, "et_ml": float("nan")})) == "Whole tumour 1.0 ml."


def test_the_index_leads_to_every_page(tmp_path: Path) -> None:
    names = ["a b", "c<d>&"]
    rows = pd.DataFrame({"whole tumour, ml": ["1.0", "2.0"]}, index=pd.Index(names, name="case"))
    write_case_index(tmp_path / "index.html", rows)
    page = Page((tmp_path / "index.html").read_text())
    assert page.problems == []
    links = [values["href"] for values in page.all_of("a")]
    assert "a%20b.html" in links
    assert "c%3Cd%3E%26.html" in links
    assert "../report.html" in links
    assert np.all([name in page.words for name in names])
