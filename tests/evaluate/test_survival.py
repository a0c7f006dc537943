"""The door for follow-up, the groups, and the whole analysis, on made-up patients with known truth and on the public tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError, ConfigError
from radiogen.evaluate.survival import rounded, survival_analysis
from radiogen.evaluate.survival_groups import group_by_column, group_by_model
from radiogen.evaluate.survival_input import event_meaning, read_follow_up, time_unit
from radiogen.evaluate.survival_models import cox_models
from radiogen.evaluate.survival_table import read_survival_table

MONTH = 30.4375


def patients(n: int = 200, *, hazard_ratio: float = 4.0, seed: int = 0) -> pd.DataFrame:
    """A cohort in which IDH wild-type patients (idh = 0) die `hazard_ratio` times as fast, and nothing else matters."""
    rng = np.random.default_rng(seed)
    idh = rng.integers(0, 2, n).astype(float)
    times = rng.exponential(2000 / np.where(idh == 0, hazard_ratio, 1.0))
    censored = rng.uniform(300, 4000, n)
    return pd.DataFrame(
        {
            "patient": [f"p{i:03d}" for i in range(n)],
            "idh": idh,
            "mgmt": rng.integers(0, 2, n).astype(float),
            "age": rng.normal(55, 12, n),
            "sex": rng.choice(["F", "M"], n),
            "grade": rng.integers(2, 5, n).astype(float),
            "eor": rng.choice(["GTR", "STR", "biopsy"], n),
            "os_days": np.ceil(np.minimum(times, censored)),
            "os_event": (times <= censored).astype(float),
        },
        index=pd.Index([f"c{i:03d}" for i in range(n)], name="case"),
    )


def follow_up(**columns: list[object]) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    return table.set_axis(pd.Index([f"c{i}" for i in range(len(table))], name="case"))


# ---- the door


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("os_event", "died"), ("OS.event", "died"), ("death", "died"), ("1-dead 0-alive", "died"), ("Vital.status..1.dead.", "died"),
        ("dead1_alive0", "died"), ("death_yes1_no0", "died"), ("survived_no1_yes0", "died"),
        ("survived_yes1_no0", "alive"), ("alive", "alive"), ("censored", "alive"), ("alive_1", "alive"), ("0-dead 1-alive", "alive"),
        ("status", "unstated"), ("vital_status", "unstated"), ("tumor_progression_yes1_no0", "unstated"),
    ],
)  # fmt: skip
def test_what_one_means_is_read_from_the_name(name: str, meaning: str) -> None:
    assert event_meaning(name) == meaning


@pytest.mark.parametrize(
    ("name", "unit"),
    [("OS_months", "months"), ("Survival..months.", "months"), ("os_days", "days"), ("survival_years", "years"), ("OS", None), ("time", None)],
)  # fmt: skip
def test_the_unit_is_read_from_the_name(name: str, unit: str | None) -> None:
    assert time_unit(name) == unit


def test_months_become_days_and_the_note_says_so() -> None:
    result = read_follow_up(follow_up(OS_months=["1", "24"], death=["1", "0"]), SurvivalSettings())
    assert result.days.tolist() == [MONTH, 24 * MONTH]
    assert "times 30.4375 days" in result.notes[0]


def test_a_time_without_unit_is_refused() -> None:
    table = follow_up(OS=["100", "200"], death=["1", "0"])
    with pytest.raises(CohortError, match="--time-unit"):
        read_follow_up(table, SurvivalSettings())
    assert read_follow_up(table, SurvivalSettings(time_unit="months")).days.tolist() == [100 * MONTH, 200 * MONTH]


def test_inverted_coding_is_refused_with_the_fix_and_read_when_stated() -> None:
    table = follow_up(OS_months=["1", "2", "3"], survived_yes1_no0=["1", "0", "0"])
    with pytest.raises(CohortError, match="the opposite of an event") as caught:
        read_follow_up(table, SurvivalSettings())
    assert "--died-value 0" in caught.value.hint
    with pytest.raises(CohortError, match="the opposite of an event"):
        read_follow_up(table, SurvivalSettings(event_column="survived_yes1_no0"))
    result = read_follow_up(table, SurvivalSettings(died_value="0"))
    assert result.died.tolist() == [False, True, True]
    assert any("as the user stated" in note for note in result.notes)


def test_r_coding_one_two_is_refused_and_read_when_stated() -> None:
    table = follow_up(os_days=["1", "2"], status=["1", "2"])
    with pytest.raises(CohortError, match="R codes died as 2"):
        read_follow_up(table, SurvivalSettings())
    assert read_follow_up(table, SurvivalSettings(died_value="2")).died.tolist() == [False, True]


@pytest.mark.parametrize("words", [["Dead", "Alive"], ["1:DECEASED", "0:LIVING"], ["deceased", "living"]])
def test_words_need_no_coding(words: list[str]) -> None:
    assert read_follow_up(follow_up(os_days=["5", "6"], vital_status=words), SurvivalSettings()).died.tolist() == [
        True,
        False,
    ]


def test_died_value_that_is_not_there_is_refused() -> None:
    with pytest.raises(CohortError, match="found 0, 1"):
        read_follow_up(follow_up(os_days=["5", "6"], death=["0", "1"]), SurvivalSettings(died_value="dead"))


def test_every_bad_value_is_listed_at_once() -> None:
    table = follow_up(os_days=["-5", "12", "abc", "inf"], os_event=["1", "3", "0", "0"])
    with pytest.raises(CohortError) as caught:
        read_follow_up(table, SurvivalSettings())
    problems = "\n".join(caught.value.problems)
    assert all(
        text in problems for text in ("'c0': negative time -5", "'c1': event '3'", "'c2': time 'abc'", "'c3': time inf")
    )


def test_negative_times_can_be_left_out_openly() -> None:
    table = follow_up(os_days=["-5", "12", "0"], os_event=["1", "1", "0"])
    result = read_follow_up(table, SurvivalSettings(drop_negative=True))
    assert list(result.table.index) == ["c1", "c2"]
    assert result.facts["n_dropped_negative"] == 1
    assert any("1 with a negative time" in note for note in result.notes)
    assert any("follow-up of zero days" in note for note in result.notes)


def test_unknown_rows_are_dropped_and_counted_by_reason() -> None:
    table = follow_up(os_days=["10", "", "NA", "40"], os_event=["1", "1", "0", "Not Available"])
    result = read_follow_up(table, SurvivalSettings())
    assert list(result.table.index) == ["c0"]
    assert (result.facts["n_dropped_no_time"], result.facts["n_dropped_no_event"]) == (2, 1)
    assert any("3 of 4 rows are left out" in note for note in result.notes)


def test_a_patient_counts_once() -> None:
    table = patients(4).rename(index={"c001": "c000_FU001d"})
    table.loc["c000_FU001d", "patient"] = "p000"
    result = read_follow_up(table, SurvivalSettings())
    assert list(result.table.index) == ["c000", "c002", "c003"]
    assert any("every patient counts once" in note and "disagree" in note for note in result.notes)


def test_missing_columns_are_named_with_what_is_there() -> None:
    with pytest.raises(CohortError) as caught:
        read_follow_up(follow_up(size=["1"]), SurvivalSettings())
    assert len(caught.value.problems) == 2
    assert "Columns: size" in caught.value.hint
    with pytest.raises(CohortError, match="Did you mean 'os_days'"):
        read_follow_up(patients(5), SurvivalSettings(time_column="os_day"))


def test_where_keeps_matching_rows_and_says_what_there_is() -> None:
    table = patients(50)
    result = read_follow_up(table, SurvivalSettings(where=("idh=0", "sex=f")))
    assert set(result.table["idh"]) == {0.0}
    assert set(result.table["sex"]) == {"F"}
    with pytest.raises(CohortError, match="It holds"):
        read_follow_up(table, SurvivalSettings(where=("eor=partial",)))
    with pytest.raises(CohortError, match="Did you mean 'grade'"):
        read_follow_up(table, SurvivalSettings(where=("grad=4",)))
    with pytest.raises(ConfigError, match="COLUMN=VALUE"):
        SurvivalSettings.parse({"where": ["idh"]})


def test_days_that_look_like_months_are_pointed_out() -> None:
    table = patients(50).assign(os_days=lambda frame: frame["os_days"] / MONTH)
    assert any("in days, not in months" in note for note in read_follow_up(table, SurvivalSettings()).notes)


# ---- groups


def test_groups_have_readable_names_and_unknown_ones_are_counted() -> None:
    table = patients(40)
    table.loc["c000", "idh"] = np.nan
    grouping = group_by_column(table, SurvivalSettings(group_by="idh"))
    assert grouping.order == ["IDH wild-type", "IDH-mutant"]
    assert "c000" not in grouping.labels.index
    assert "1 of 40 patients" in grouping.notes[0]
    assert group_by_column(table, SurvivalSettings(group_by="grade")).order == ["grade 2", "grade 3", "grade 4"]
    assert group_by_column(table, SurvivalSettings(group_by="IDH")).column == "idh"


def test_a_number_of_many_values_needs_a_cut_and_a_median_confesses() -> None:
    table = patients(60)
    with pytest.raises(CohortError, match="--cut"):
        group_by_column(table, SurvivalSettings(group_by="age"))
    median = group_by_column(table, SurvivalSettings(group_by="age", cut="median"))
    assert median.chosen_from_same_data
    assert "the very patients" in median.notes[0]
    fixed = group_by_column(table, SurvivalSettings(group_by="age", cut="60"))
    assert fixed.order == ["age ≤ 60", "age > 60"]
    assert not fixed.chosen_from_same_data
    with pytest.raises(CohortError, match="not a number"):
        group_by_column(table, SurvivalSettings(group_by="eor", cut="1"))


def test_too_many_categories_are_refused() -> None:
    with pytest.raises(CohortError, match="60 different values"):
        group_by_column(patients(60), SurvivalSettings(group_by="patient"))


def predictions(table: pd.DataFrame, *, folds: int = 5, repeats: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    parts = []
    for repeat in range(repeats):
        score = np.clip(0.5 * table["idh"] + 0.25 + rng.normal(0, 0.1, len(table)), 0, 1)
        fold = rng.integers(0, folds, len(table))
        parts.append(
            pd.DataFrame(
                {
                    "case": table.index, "patient": table["patient"].to_numpy(), "target": "idh", "y_true": table["idh"].to_numpy(),
                    "y_prob": score.to_numpy(), "split": [f"fold{number}" for number in fold], "repeat": repeat, "model": "m",
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_model_threshold_of_a_fold_comes_from_the_other_folds() -> None:
    table = patients(3)
    scores = pd.DataFrame(
        {
            "case": ["c000", "c001", "c002", "other"], "y_prob": [0.9, 0.2, 0.4, 0.6], "split": ["a", "b", "b", "b"], "repeat": 0,
        }
    )  # fmt: skip
    grouping = group_by_model(table, scores, SurvivalSettings(group_by="model"))
    # Fold a is cut at median(0.2, 0.4, 0.6) = 0.4; fold b at 0.9, the one score outside it.
    assert grouping.labels.tolist() == ["high model score", "low model score", "low model score"]
    assert "the other folds" in grouping.notes[0]
    assert not grouping.chosen_from_same_data


def test_changing_a_score_cannot_move_the_threshold_of_its_own_fold() -> None:
    table = patients(60)
    scores = predictions(table, repeats=1)
    before = group_by_model(table, scores, SurvivalSettings(group_by="model")).labels
    fold = scores["split"] == "fold0"
    raised = fold & (scores["y_prob"] > 0.5)
    changed = scores.assign(y_prob=scores["y_prob"].where(~raised, 0.99))
    after = group_by_model(table, changed, SurvivalSettings(group_by="model")).labels
    untouched = scores.loc[fold & ~raised, "case"]
    assert raised.any()
    assert len(untouched)
    assert (before.loc[untouched] == after.loc[untouched]).all()


def test_predictions_without_folds_say_so() -> None:
    table = patients(30)
    grouping = group_by_model(
        table, predictions(table, repeats=1).drop(columns=["split", "repeat"]), SurvivalSettings()
    )
    assert grouping.chosen_from_same_data
    assert "name no folds" in grouping.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(y_prob="high"), "not finite numbers"),
        (lambda frame: frame.assign(model=["a", "b"] * (len(frame) // 2)), "several values of 'model'"),
        (lambda frame: frame.assign(case=["x" + case for case in frame["case"]]), "No case of the predictions"),
    ],
)
def test_unfit_predictions_are_refused(change: object, message: str) -> None:
    table = patients(30)
    with pytest.raises(CohortError, match=message):
        group_by_model(table, change(predictions(table)), SurvivalSettings(group_by="model"))  # type: ignore[operator]


def test_grouping_by_model_needs_predictions() -> None:
    with pytest.raises(CohortError, match="--predictions"):
        survival_analysis(patients(30), SurvivalSettings(group_by="model"))


# ---- the analysis


@pytest.fixture(scope="module")
def analysed() -> pd.DataFrame:
    return patients(300)


def test_planted_difference_is_found_and_noise_is_not(analysed: pd.DataFrame) -> None:
    result = survival_analysis(analysed, SurvivalSettings(group_by="idh"))
    metrics = result.metrics
    assert metrics["log_rank"]["p"] < 1e-10
    first = metrics["cox"]["univariable"][0]
    assert first["term"] == "IDH-mutant vs IDH wild-type"
    assert first["ci"][0] < 0.25 < first["ci"][1]
    together = metrics["cox"]["multivariable"]
    assert {row["covariate"] for row in together["rows"]} == {
        "IDH",
        "age",
        "sex",
        "WHO grade",
        "MGMT",
        "extent of resection",
    }
    assert together["first_covariate_adds_p"] < 1e-10
    assert 0.5 < together["c_index"] < together["c_index_apparent"] + 0.02
    assert metrics["restricted_mean"]["differences"][0]["ci"][0] > 0
    assert "IDH adds to those covariates" in metrics["summary"]
    noise = survival_analysis(analysed, SurvivalSettings(group_by="mgmt", covariates=("age", "idh"))).metrics
    assert noise["log_rank"]["p"] > 0.01
    assert "MGMT adds nothing to those covariates that could be shown" in noise["summary"]


def test_medians_match_the_planted_exponentials(analysed: pd.DataFrame) -> None:
    groups = {
        group["name"]: group
        for group in survival_analysis(analysed, SurvivalSettings(group_by="idh")).metrics["groups"]
    }
    low, high = groups["IDH wild-type"]["median_ci"]
    assert low < 500 * np.log(2) < high
    low, high = groups["IDH-mutant"]["median_ci"]
    assert low < 2000 * np.log(2) < (high or np.inf)


def test_tables_agree_with_one_another(analysed: pd.DataFrame) -> None:
    result = survival_analysis(analysed, SurvivalSettings(group_by="grade"))
    for group in result.metrics["groups"]:
        curve = result.km_table[result.km_table["group"] == group["name"]]
        counts = result.at_risk[result.at_risk["group"] == group["name"]]
        assert curve["at_risk"].iloc[0] == counts["at_risk"].iloc[0] == group["n"]
        assert curve["events"].sum() == counts["events"].sum() == group["n_events"]
        assert counts["events"].sum() + counts["censored"].sum() == group["n"]
    assert len(result.metrics["pairwise"]) == 3
    assert result.metrics["input"]["time_column"] == "os_days"


def test_landmarks_stay_inside_the_follow_up() -> None:
    table = patients(80).assign(os_days=lambda frame: np.minimum(frame["os_days"], 800), os_event=1.0)
    groups = survival_analysis(table, SurvivalSettings()).metrics["groups"]
    assert [mark["months"] for mark in groups[0]["landmarks"]] == [12, 24]


def test_same_seed_same_numbers(analysed: pd.DataFrame) -> None:
    first = survival_analysis(analysed, SurvivalSettings(group_by="idh"))
    again = survival_analysis(analysed.sample(frac=1, random_state=1).sort_index(), SurvivalSettings(group_by="idh"))
    assert first.metrics == again.metrics
    pd.testing.assert_frame_equal(first.km_table, again.km_table)


def test_few_events_and_one_group_are_stated() -> None:
    table = patients(60)
    table.loc[table["idh"] == 1, "os_event"] = 0.0
    metrics = survival_analysis(table, SurvivalSettings(group_by="idh")).metrics
    assert any("Fewer than 5 deaths in: IDH-mutant (0)" in note for note in metrics["notes"])
    assert "Fewer than 5 deaths" in metrics["summary"]
    assert metrics["cox"]["univariable"][0]["hazard_ratio"] is None
    alone = survival_analysis(table, SurvivalSettings(group_by="idh", where=("idh=0",))).metrics
    assert alone["log_rank"] is None
    assert any("nothing can be compared" in note for note in alone["notes"])


def test_no_deaths_and_no_patients_are_errors() -> None:
    with pytest.raises(CohortError, match="None of the 20 patients died"):
        survival_analysis(patients(20).assign(os_event=0.0), SurvivalSettings())
    with pytest.raises(CohortError, match="known spelling"):
        survival_analysis(patients(20).assign(os_event=np.nan), SurvivalSettings())
    with pytest.raises(CohortError, match="No patient has both"):
        survival_analysis(patients(2).assign(os_event=[np.nan, 1.0], os_days=[3.0, np.nan]), SurvivalSettings())


def test_group_that_is_unknown_for_everybody_is_an_error() -> None:
    with pytest.raises(CohortError, match="is blank for every patient"):
        survival_analysis(patients(20).assign(idh=np.nan), SurvivalSettings(group_by="idh"))


def test_model_groups_and_score_in_cox(analysed: pd.DataFrame) -> None:
    metrics = survival_analysis(
        analysed, SurvivalSettings(group_by="model", covariates=("age", "idh")), predictions=predictions(analysed)
    ).metrics
    assert [group["name"] for group in metrics["groups"]] == ["low IDH score", "high IDH score"]
    assert metrics["log_rank"]["p"] < 1e-6
    assert metrics["cox"]["univariable"][0]["term"] == "IDH score, per standard deviation"
    assert "adds nothing" in metrics["summary"]  # the score knows nothing beyond IDH itself


def test_models_too_large_for_the_deaths_are_not_fitted() -> None:
    table = patients(40)
    table["os_event"] = (np.arange(40) % 4 == 0).astype(float)
    metrics = survival_analysis(table, SurvivalSettings(group_by="idh")).metrics
    assert metrics["cox"]["multivariable"] is None
    assert any("are too few for" in note for note in metrics["notes"])


def test_covariates_that_repeat_the_group_are_left_out_openly(analysed: pd.DataFrame) -> None:
    table = analysed.assign(subtype=np.where(analysed["idh"] == 0, "wild", "mutant"))
    metrics = survival_analysis(table, SurvivalSettings(group_by="subtype", covariates=("idh", "age"))).metrics
    assert any("the terms before say the same: IDH-mutant vs IDH wild-type" in note for note in metrics["notes"])
    assert [row["covariate"] for row in metrics["cox"]["multivariable"]["rows"]] == ["subtype", "age"]


def test_covariates_asked_for_are_checked(analysed: pd.DataFrame) -> None:
    with pytest.raises(CohortError, match="--covariates"):
        survival_analysis(analysed, SurvivalSettings(group_by="idh", covariates=("weight",)))
    with pytest.raises(CohortError, match="different values that are not numbers"):
        survival_analysis(analysed, SurvivalSettings(group_by="idh", covariates=("patient",)))
    constant = analysed.assign(centre="A")
    metrics = survival_analysis(constant, SurvivalSettings(group_by="idh", covariates=("centre", "age"))).metrics
    assert any("'centre' is left out" in note for note in metrics["notes"])


def test_complete_cases_are_counted(analysed: pd.DataFrame) -> None:
    table = analysed.copy()
    table.loc[table.index[:60], "age"] = np.nan
    data = read_follow_up(table, SurvivalSettings())
    grouping = group_by_column(data.table, SurvivalSettings(group_by="idh"))
    models, notes = cox_models(data, grouping, SurvivalSettings(group_by="idh", covariates=("age",)))
    assert models["multivariable"]["n"] == 240
    assert any("240 of 300" in note for note in notes)
    assert [row["n"] for row in models["univariable"]] == [300, 240]


def test_rounding_keeps_eight_digits_and_drops_infinity() -> None:
    assert rounded({"a": [1 / 3, float("inf")], "b": 10**12 + 1}) == {"a": [0.33333333, None], "b": 10**12 + 1}


# ---- real tables


def analyse(path: Path, **settings: object) -> dict[str, object]:
    return survival_analysis(read_survival_table(path), SurvivalSettings.parse(settings)).metrics


@pytest.mark.real_data
def test_ucsf_pdgm_by_idh(shared_data: Path) -> None:
    metrics = analyse(shared_data / "tables/ucsf-pdgm/UCSF-PDGM-metadata_v2.csv", group_by="IDH", n_bootstrap=100)
    assert metrics["n"] == 494  # 501 rows, six follow-up scans, one without survival
    assert [group["name"] for group in metrics["groups"]] == ["IDH wild-type", "IDH-mutant"]
    assert metrics["groups"][0]["median_days"] == pytest.approx(512, abs=40)
    assert metrics["groups"][1]["median_days"] is None
    assert metrics["log_rank"]["p"] < 1e-15
    assert metrics["input"]["time_unit"] == "days"


@pytest.mark.real_data
def test_lgg_months_and_few_deaths(shared_data: Path) -> None:
    metrics = analyse(shared_data / "mri/lgg/labels.csv", group_by="idh")
    assert (metrics["n"], metrics["n_events"]) == (26, 4)
    assert metrics["input"]["time_unit"] == "months"
    assert "Fewer than 5 deaths" in metrics["summary"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "n", "deaths"),
    [("Utrecht2019dataset.csv", 647, 497), ("Tainan2020dataset.csv", 84, 81), ("Munich2019dataset.csv", 60, 36)],
)
def test_inverted_coding_of_the_glioblastoma_cohorts_is_caught(
    shared_data: Path, name: str, n: int, deaths: int
) -> None:
    path = shared_data / "tables/gbm-survival" / name
    with pytest.raises(CohortError, match="the opposite of an event"):
        analyse(path)
    metrics = analyse(path, died_value="0", covariates=["age"])
    assert (metrics["n"], metrics["n_events"]) == (n, deaths)


@pytest.mark.real_data
def test_tcga_negative_times_are_refused_or_dropped_openly(shared_data: Path) -> None:
    path = shared_data / "tables/tcga/lgg_gbm_subtype_TCGAbiolinks.csv"
    with pytest.raises(CohortError) as caught:
        analyse(path, group_by="IDH.codel.subtype")
    assert len(caught.value.problems) == 3
    metrics = analyse(path, group_by="IDH.codel.subtype", drop_negative=True, covariates=["age"], n_bootstrap=100)
    assert [group["name"] for group in metrics["groups"]] == ["IDHmut-codel", "IDHmut-non-codel", "IDHwt"]
    medians = [group["median_days"] / MONTH for group in metrics["groups"]]
    assert medians[0] > medians[1] > 4 * medians[2]


def test_tests_that_were_asked_for_stand_beside_the_plain_one() -> None:
    """Two sites with different survival, groups unevenly spread over them: inside the sites nothing differs."""
    rng = np.random.default_rng(4)
    n = 400
    site = np.repeat(["A", "B"], n // 2)
    group = np.where(rng.random(n) < np.where(site == "A", 0.8, 0.2), 1.0, 0.0)
    days = rng.exponential(np.where(site == "A", 200.0, 900.0)) + 1
    table = pd.DataFrame(
        {"os_days": days, "os_event": 1.0, "idh": group, "site": site}, index=[f"c{i:03d}" for i in range(n)]
    )
    metrics = survival_analysis(table, SurvivalSettings(group_by="idh", strata="site", weighting="late")).metrics
    assert metrics["log_rank"]["p"] < 1e-6
    assert metrics["log_rank_stratified"]["p"] > 0.01
    assert metrics["log_rank_stratified"]["n_strata"] == 2
    assert metrics["log_rank_weighted"]["weighting"] == "late"
    assert sum("Log-rank test inside" in note or "Weighted log-rank" in note for note in metrics["notes"]) == 2


def test_a_cut_that_was_looked_for_is_named_and_corrected() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"os_days": rng.exponential(500, 60) + 1, "os_event": 1.0, "score": rng.normal(size=60)},
        index=[f"c{i:02d}" for i in range(60)],
    )
    metrics = survival_analysis(table, SurvivalSettings(group_by="score", cut="best")).metrics
    assert metrics["best_cut"]["p"] > metrics["best_cut"]["naive_p"]
    assert any("was looked for" in note for note in metrics["notes"])
    with pytest.raises(CohortError, match="different values"):
        survival_analysis(table.assign(score=1.0), SurvivalSettings(group_by="score", cut="best"))


def test_immortal_time_is_named_and_a_landmark_takes_it_away() -> None:
    """A treatment that does nothing, given after three months to whoever still lives: it looks life-saving from time zero."""
    rng = np.random.default_rng(1)
    lived = rng.exponential(300, 600) + 1
    treated = (lived > 91) & (rng.random(600) < 0.8)
    table = pd.DataFrame(
        {"os_days": lived, "os_event": 1.0, "chemo_yes1_no0": treated.astype(float)},
        index=[f"c{i:03d}" for i in range(600)],
    )
    naive = survival_analysis(table, SurvivalSettings(group_by="chemo_yes1_no0")).metrics
    assert naive["log_rank"]["p"] < 1e-6
    assert any("immortal time" in note for note in naive["notes"])
    landmark = survival_analysis(table, SurvivalSettings(group_by="chemo_yes1_no0", from_months=3)).metrics
    assert landmark["log_rank"]["p"] > 0.01
    assert landmark["n"] == (lived > 3 * 30.4375).sum()
    assert "counted from the landmark at 3 months" in landmark["summary"]
    assert not any("immortal time" in note for note in landmark["notes"])
    with pytest.raises(CohortError, match="earlier"):
        survival_analysis(table, SurvivalSettings(from_months=500))
