from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiogen.report.words import (
    bounds,
    interval,
    known,
    number,
    p_value,
    rule_of,
    split_words,
    target_words,
)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "0.5", True])
def test_what_is_no_number_is_a_dash(value: object) -> None:
    assert not known(value)
    assert number(value) == "\u2013"
    assert p_value(value) == "\u2013"


@pytest.mark.parametrize("ci", [None, [], [0.1], [0.1, None], [float("nan"), 0.2], "ab"])
def test_half_an_interval_is_none(ci: object) -> None:
    assert bounds(ci) is None
    assert interval(ci) == "\u2013"


@given(st.floats(-10, 10), st.integers(0, 4))
def test_a_number_reads_back_as_itself(value: float, digits: int) -> None:
    text = number(value, digits, signed=True).replace("\u2212", "-")
    assert float(text) == pytest.approx(value, abs=0.5 * 10**-digits + 1e-9)
    assert not text.startswith(("-0.0000", "+0.0000")) or digits > 4


def test_no_minus_zero() -> None:
    assert number(-0.0001, 2) == "0.00"
    assert number(-0.0001, 2, signed=True) == "0.00"


@given(st.floats(0, 1))
def test_a_p_value_is_never_printed_as_zero(p: float) -> None:
    text = p_value(p)
    assert text.startswith("<") == (p < 0.0001)
    assert text.startswith("<") or float(text) > 0


def test_targets_and_splits_that_nobody_knows_still_have_words() -> None:
    assert target_words("tert").name == "tert"
    assert target_words("unnamed").positive == "positive"
    assert split_words("odd", None) == "odd"
    assert "3 sites" in split_words("site-held-out", 3)


def test_the_rule_is_found_where_either_command_puts_it() -> None:
    rule = {"useful_auc": 0.75, "alpha": 0.05}
    assert rule_of({"settings": rule}) == rule
    assert rule_of({"settings": {"evaluate": rule, "seed": 1}}) == rule
    assert rule_of({"settings": {"seed": 1}}) == {}
    assert rule_of({"settings": "odd"}) == {}
    assert rule_of(None) == {}
