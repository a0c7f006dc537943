"""AUC inside strata."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import CohortError
from radiogen.evaluate.strata import auc_within, cut, strata_columns


def made(n: int = 100) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = [f"c{i}" for i in range(n)]
    y = np.arange(n) % 2
    cases = pd.DataFrame(
        {"patient": names, "site": np.where(np.arange(n) < 40, "A", "B"), "y_true": y, "y_prob": 0.5}, index=names
    )
    facts = pd.DataFrame(
        {
            "grade": 2.0 + np.arange(n) % 3,
            "idh": (np.arange(n) % 4 == 0).astype(float),
            "age": np.arange(n, dtype=float),
        },
        index=names,
    )
    return cases, facts


def test_grade_idh_and_site_unless_they_are_the_target() -> None:
    cases, facts = made()
    settings = EvaluateSettings(strata=("age",))
    assert list(strata_columns(cases, facts, None, "mgmt", settings)) == ["grade", "idh", "site", "age"]
    assert list(strata_columns(cases, facts, None, "idh", settings)) == ["grade", "site", "age"]
    assert list(strata_columns(cases, facts, None, "grade", settings)) == ["idh", "site", "age"]
    assert list(strata_columns(cases.assign(site="unknown"), facts, None, "grade", EvaluateSettings())) == [
        "idh",
        "age",
    ]
    with pytest.raises(CohortError, match="No column 'scanner'"):
        strata_columns(cases, facts, None, "idh", EvaluateSettings(strata=("scanner",)))


def test_values_are_words_and_ages_are_cut_at_the_median() -> None:
    cases, facts = made()
    found = strata_columns(cases, facts, None, "mgmt", EvaluateSettings(strata=("age",)))
    assert set(found["grade"]) == {"2", "3", "4"}
    assert set(found["idh"]) == {"mutated", "wildtype"}
    assert found["age"].value_counts().to_dict() == {"up to 49.5": 50, "above 49.5": 50}
    assert cut(pd.Series([1, 2, 1, None]), 6).tolist() == ["1", "2", "1", None]
    assert cut(pd.Series(["a", "b", "7"]), 2).tolist() == ["a", "b", "7"]


def test_a_signal_that_is_only_the_stratum_vanishes_inside() -> None:
    rng = np.random.default_rng(0)
    grade = rng.integers(0, 2, 400)
    y = (rng.random(400) < np.where(grade == 1, 0.85, 0.15)).astype(int)
    names = [f"c{i}" for i in range(400)]
    cases = pd.DataFrame({"y_true": y, "y_prob": grade + 0.1 * rng.random(400)}, index=names)
    strata = pd.DataFrame({"grade": grade.astype(str)}, index=names)
    rows = auc_within(cases, strata, np.arange(400), EvaluateSettings())
    assert [row["value"] for row in rows] == ["0", "1"]
    for row in rows:
        assert row["auc_ci"][0] < 0.5 < row["auc_ci"][1]
    assert sum(row["n_positive"] for row in rows) == y.sum()


def test_too_few_is_said_not_computed() -> None:
    names = [f"c{i}" for i in range(30)]
    cases = pd.DataFrame({"y_true": [1] * 4 + [0] * 26, "y_prob": np.linspace(1, 0, 30)}, index=names)
    strata = pd.DataFrame({"site": ["A"] * 30}, index=names)
    (row,) = auc_within(cases, strata, np.arange(30), EvaluateSettings())
    assert (row["auc"], row["auc_ci"], row["n_positive"]) == (None, None, 4)
    assert row["note"] == "too few: 4 case(s) of the rarer class"
