from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.build import REMARK_COLUMNS, cohort_table, coverage
from radiogen.cohort.layouts import Found, FoundCase
from radiogen.cohort.overlaps import CONFLICT_COLUMNS
from radiogen.report.cohort import CASES_PER_SHEET, CaseSlices, CohortPage, lead_sentence, write_cohort_page
from radiogen.run.quarantine import Failure


def page_of(count: int = 3, **changes: object) -> CohortPage:
    cohort = cohort_table(Found([FoundCase(f"TCGA-02-{number:04d}", "plain", {}) for number in range(count)], {}))
    blank = {
        "cohort": cohort,
        "coverage": coverage(cohort),
        "remarks": pd.DataFrame(columns=REMARK_COLUMNS),
        "conflicts": pd.DataFrame(columns=CONFLICT_COLUMNS),
        "overlaps": pd.DataFrame(columns=["collection_1", "collection_2", "links", "patients"]),
        "failures": [],
    }
    return CohortPage(**{**blank, **changes})


def slices(seed: int) -> CaseSlices:
    image = np.random.default_rng(seed).random((12, 10, 1), dtype=np.float32)
    labels = np.zeros((12, 10, 1), dtype=np.uint8)
    labels[4:7, 4:7] = 2
    return CaseSlices({"t1c": image, "t2f": image[::-1].copy()}, labels, (1.0, 1.0, 3.0))


def test_a_clean_cohort_says_little(tmp_path):
    path = tmp_path / "cohort.html"
    write_cohort_page(path, page_of())
    text = path.read_text()
    assert "3 cases of 3 patients from 1 site." in text
    assert "Problems" not in text
    assert "left out" not in text.lower()


def test_everything_a_reader_must_see_is_on_the_page(tmp_path):
    remarks = pd.DataFrame(
        [
            ["problem", "TCGA-02-0001", "idh: 'what' <b>"],
            ["patient", "", "A, B are one patient"],
            ["file", "", "x.nii: a brain mask"],
        ],
        columns=REMARK_COLUMNS,
    )
    conflicts = pd.DataFrame([["mgmt", "P", "a", "one.csv", 0.0, "b", "two.csv", 1.0]], columns=CONFLICT_COLUMNS)
    overlaps = pd.DataFrame(
        [["BraTS-GLI", "UCSF-PDGM", 298, 296]], columns=["collection_1", "collection_2", "links", "patients"]
    )
    page = page_of(
        remarks=remarks,
        conflicts=conflicts,
        overlaps=overlaps,
        failures=[Failure("bad", "cohort", "damaged file", "download it again")],
    )
    path = tmp_path / "cohort.html"
    write_cohort_page(path, page)
    text = path.read_text()
    for expected in (
        "1 left out",
        "1 problem to look at",
        "damaged file",
        "download it again",
        "A, B are one patient",
        "298",
        "one.csv",
        "a brain mask",
    ):
        assert expected in text
    assert "<b>" not in text  # text from files never becomes markup


@pytest.mark.parametrize(("count", "sheets"), [(0, 0), (1, 1), (CASES_PER_SHEET, 1), (CASES_PER_SHEET + 1, 2)])
def test_contact_sheets_are_split(tmp_path, count, sheets):
    page = page_of(20, slices={f"TCGA-02-{number:04d}": slices(number) for number in range(count)})
    write_cohort_page(tmp_path / "cohort.html", page)
    text = (tmp_path / "cohort.html").read_text()
    assert len(re.findall("data:image/png", text)) == sheets
    assert (f"first {count} of 20 cases" in text) == (count > 0)


def test_the_same_page_has_the_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_cohort_page(tmp_path / name, page_of(slices={"TCGA-02-0001": slices(1)}))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_lead_sentence_without_sites():
    page = page_of()
    page.cohort["site"] = None
    assert lead_sentence(page) == "3 cases of 3 patients from unknown sites."
