"""Late entry, strata and robust errors in the whole analysis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.table import read_cohort
from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError
from radiogen.evaluate.survival import survival_analysis
from radiogen.evaluate.survival_input import read_follow_up
from tests.evaluate.test_survival import follow_up, patients

BASE = {"group_by": "idh", "covariates": ("age",), "n_bootstrap": 100}


@pytest.fixture(scope="module")
def late() -> pd.DataFrame:
    """A cohort in which half of the patients came under observation after time zero."""
    table = patients(120)
    rng = np.random.default_rng(3)
    entry = np.floor(table["os_days"] * rng.uniform(0, 0.6, len(table)))
    return table.assign(
        entry_days=entry.where(rng.random(len(table)) < 0.5), site=rng.choice(list("ABCDEF"), len(table))
    )


def test_every_impossible_entry_is_listed_at_once() -> None:
    table = follow_up(
        os_days=["10", "20", "30", "40"], os_event=["1", "0", "1", "1"], entry_days=["10", "x", "-3", "39"]
    )
    with pytest.raises(CohortError) as caught:
        read_follow_up(table, SurvivalSettings())
    assert caught.value.problems == [
        "case 'c1': time 'x' is not a number ('entry_days')",
        "case 'c2': negative time -3 ('entry_days')",
        "case 'c0': entry at 10 days ('entry_days') is not before the end of follow-up at 10 days",
    ]
    assert "never at risk" in caught.value.hint


def test_entry_takes_its_own_unit_and_blank_means_from_the_start() -> None:
    table = follow_up(OS_months=["10", "20"], death=["1", "0"], scan=["1", ""], scan_days=["5", ""])
    read = read_follow_up(table, SurvivalSettings(entry_column="scan"))
    assert read.entry is not None
    assert read.entry.tolist() == [30.4375, 0.0]
    assert read_follow_up(table, SurvivalSettings(entry_column="scan_days")).table["entry"].tolist() == [5.0, 0.0]
    assert read_follow_up(table, SurvivalSettings()).entry is None


def test_late_entry_reaches_every_number_and_is_said(late: pd.DataFrame) -> None:
    honest = survival_analysis(late, SurvivalSettings(**BASE))
    naive = survival_analysis(late.drop(columns="entry_days"), SurvivalSettings(**BASE))
    assert any("(left truncation)" in note for note in honest.metrics["notes"])
    pairs = [(result.metrics["groups"][0], result.metrics) for result in (honest, naive)]
    assert pairs[0][0]["n"] == pairs[1][0]["n"]
    assert pairs[0][0]["median_days"] < pairs[1][0]["median_days"]
    for key in ("log_rank", "restricted_mean", "cox"):
        assert pairs[0][1][key] != pairs[1][1][key]
    at_risk = honest.at_risk.groupby("group").first()
    assert (at_risk["at_risk"] < naive.at_risk.groupby("group").first()["at_risk"]).all()
    assert honest.at_risk["entered"].sum() == (late["entry_days"] > 0).sum()


@pytest.mark.parametrize("option", [{"weighting": "gehan"}, {"group_by": "age", "cut": "best"}])
def test_what_late_entry_rules_out_is_refused(late: pd.DataFrame, option: dict[str, str]) -> None:
    with pytest.raises(CohortError, match="cannot be had where patients enter late"):
        survival_analysis(late, SurvivalSettings(**{**BASE, **option}))


def test_strata_and_clusters_reach_the_models_and_the_words(late: pd.DataFrame) -> None:
    plain = survival_analysis(late, SurvivalSettings(**BASE)).metrics
    robust = survival_analysis(late, SurvivalSettings(**BASE, cox_strata="site", cluster="patient")).metrics
    assert robust["cox"]["strata"] == {"by": "site", "n": 6}
    assert robust["cox"]["robust"] == {"by": "patient", "n": 120}
    assert robust["cox"]["univariable"][0]["ci"] != plain["cox"]["univariable"][0]["ci"]
    assert "Hazard ratio (stratified by site, robust errors by patient)" in robust["summary"]
    assert any("baseline hazard of its own" in note for note in robust["notes"])
    few = survival_analysis(late, SurvivalSettings(**BASE, cluster="site")).metrics
    assert any("6 clusters are few" in note for note in few["notes"])


def test_strata_and_clusters_that_cannot_be_are_refused(late: pd.DataFrame) -> None:
    with pytest.raises(CohortError, match="cannot be stratified by it"):
        survival_analysis(late, SurvivalSettings(**BASE, cox_strata="idh"))
    with pytest.raises(CohortError, match="2 different value"):
        survival_analysis(late, SurvivalSettings(**BASE, cluster="sex"))


def test_a_cohort_table_may_hold_entry_days(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text("case,os_days,os_event,entry_days\na,100,1,10\nb,200,0,\n")
    table = read_cohort(path)
    assert table["entry_days"].tolist()[0] == 10.0
    assert read_follow_up(table, SurvivalSettings()).facts["n_late"] == 1
    path.write_text("case,os_days,os_event,entry_days\na,100,1,soon\nb,200,0,-1\n")
    with pytest.raises(CohortError, match="2 problem") as caught:
        read_cohort(path)
    assert all("entry_days" in problem for problem in caught.value.problems)
