from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiogen.cohort.label_values import READERS, AmbiguousError, NotUnderstoodError, alive_days, is_missing

UNDERSTOOD = [
    ("idh", 1.0, ["IDH1 p.R132H", "IDH1 p.R132C", "IDH2 p.R172K", "IDH2 p.Arg172Trp", "IDH1 p.Arg132His", "mutated (NOS)",
        "Mutant", "Mutated", "1", "1.0", "yes", "R132H"]),
    ("idh", 0.0, ["wildtype", "wild-type", "Wildtype", "WT", "0", "0.0", "no", "IDHwt", "IDH-wildtype"]),
    ("mgmt", 1.0, ["positive", "methylated", "Methylated", "1"]),
    ("mgmt", 0.0, ["negative", "unmethylated", "Unmethylated", "0", "0.0"]),
    ("codeletion_1p19q", 1.0, ["co-deletion", "Co-deletion", "relative co-deletion", "codel", "1", "codeleted"]),
    ("codeletion_1p19q", 0.0, ["intact", "non-codel", "0", "non-codeleted"]),
    ("grade", 2.0, ["2", "G2", "II", "WHO II", "WHO grade 2", "2.0", "Grade 2", "grade II"]),
    ("grade", 3.0, ["3", "G3", "III"]),
    ("grade", 4.0, ["4", "G4", "IV", "WHO Grade IV"]),
    ("sex", "F", ["F", "female", "Female"]),
    ("sex", "M", ["M", "male", "Male"]),
    ("eor", "GTR", ["GTR", "gross total", "Gross Total Resection"]),
    ("eor", "STR", ["STR", "subtotal", "partial resection"]),
    ("eor", "biopsy", ["biopsy", "Biopsy"]),
    ("os_event", 1.0, ["1", "1.0", "dead", "Deceased"]),
    ("os_event", 0.0, ["0", "alive", "Living"]),
    ("age", 60.463, ["60.463"]),
    ("os_days", 361.0, ["361", "ALIVE (361 days later)"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "text"), [(column, value, text) for column, value, texts in UNDERSTOOD for text in texts]
)
def test_spellings(column, value, text):
    assert READERS[column](text) == value


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("idh", "IDH1"), ("idh", "2"), ("idh", "R133H"), ("mgmt", "8"), ("mgmt", "maybe"), ("codeletion_1p19q", "1p loss only"), ("grade", "5"),
        ("grade", "2-3"), ("grade", "glioma"), ("sex", "1"), ("sex", "x"), ("eor", "lobectomy"), ("os_event", "2"), ("age", "130"), ("age", "-3"),
        ("age", "sixty"), ("age", "inf"), ("kps", "101"), ("os_days", "-0.03"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_never_guessed(column, text):
    with pytest.raises(NotUnderstoodError):
        READERS[column](text)


@pytest.mark.parametrize("text", ["HGG", "LGG", "hgg"])
def test_grades_that_stand_for_two(text):
    with pytest.raises(AmbiguousError):
        READERS["grade"](text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "-1.0",
        "NaN",
        "nan",
        "NA",
        "N/A",
        "Not Available",
        "not  available",
        "indeterminate",
        "unknown",
        "NOS/NEC",
        "None",
    ],
)
def test_missing(text):
    assert is_missing(text)


@pytest.mark.parametrize("text", ["0", "no", "negative", "-1.5", "mutated (NOS)"])
def test_not_missing(text):
    assert not is_missing(text)


@given(st.sampled_from(sorted(READERS)), st.text(max_size=12))
def test_any_text_is_read_or_refused_in_one_way(column, text):
    try:
        value = READERS[column](text)
    except NotUnderstoodError:
        return
    if isinstance(value, float):
        assert math.isfinite(value)
        assert value >= 0
    else:
        assert value in {"F", "M", "GTR", "STR", "biopsy"}


def test_alive_days():
    assert alive_days("alive (1029 days later)") == 1029
    assert alive_days("361") is None
