from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiogen.cohort.table import COLUMNS, present_sequences, read_cohort, write_cohort
from radiogen.errors import CohortError


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def test_blank_is_unknown_and_paths_are_absolute(tmp_path):
    path = write(tmp_path / "cohort.csv", "case,t1c,idh,age,sex,extra\n007,a/t1c.nii.gz,1,,F,x\n8,,,60.5,,\n")
    table = read_cohort(path)
    assert list(table.index) == ["007", "8"]
    assert list(table.columns) == [*COLUMNS[1:], "extra"]
    assert table.at["007", "t1c"] == str(tmp_path / "a" / "t1c.nii.gz")
    assert table.at["8", "t1c"] is None
    assert table.at["007", "idh"] == 1.0
    assert np.isnan(table.at["8", "idh"])
    assert table.at["8", "sex"] is None
    assert table.at["8", "patient"] == "8"
    assert table.at["007", "site"] is None
    assert present_sequences(table.loc["007"]) == {"t1c": str(tmp_path / "a" / "t1c.nii.gz")}


def test_every_problem_is_listed_at_once(tmp_path):
    text = "case,idh,age,grade,os_days\na,2,130,5,-1\na,x,,,\n,1,,,\nb/c,,,,\n"
    with pytest.raises(CohortError) as caught:
        read_cohort(write(tmp_path / "c.csv", text))
    problems = "\n".join(caught.value.problems)
    for expected in (
        "'a' occurs 2 times",
        "blank case id",
        "cannot hold '/'",
        "idh is '2'",
        "idh is 'x'",
        "age is '130'",
        "grade is '5'",
        "os_days is '-1'",
    ):
        assert expected in problems
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "cannot be read"), ("Case,idh\na,1\n", "Rename 'Case' to 'case'"), ("case,idh\n", "no rows")],
)
def test_tables_that_are_no_cohort(tmp_path, text, message):
    with pytest.raises(CohortError, match=message):
        read_cohort(write(tmp_path / "c.csv", text))


def test_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(CohortError, match="radiogen cohort DIR"):
        read_cohort(tmp_path / "absent.csv")


ids = st.text("abcXYZ0189 _-.", min_size=1, max_size=8).map(str.strip).filter(bool)
unknown_or = lambda values: st.one_of(st.just(np.nan), values)  # noqa: E731


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), cases=st.lists(ids, min_size=1, max_size=5, unique=True))
def test_what_is_written_is_read_back(tmp_path, data, cases):
    text = "case\n" + "".join(f'"{case}"\n' for case in cases)
    table = read_cohort(write(tmp_path / "start.csv", text))
    for case in cases:
        table.at[case, "idh"] = data.draw(unknown_or(st.sampled_from([0.0, 1.0])))
        table.at[case, "grade"] = data.draw(unknown_or(st.sampled_from([2.0, 3.0, 4.0])))
        table.at[case, "age"] = data.draw(unknown_or(st.floats(0, 120)))
        table.at[case, "sex"] = data.draw(st.sampled_from([None, "F", "M"]))
        table.at[case, "t2f"] = data.draw(st.sampled_from([None, str(tmp_path / "deep er" / "t2f.nii.gz")]))
    out = tmp_path / "sub" / "cohort.csv"
    write_cohort(table, out)
    pd.testing.assert_frame_equal(read_cohort(out), table)
