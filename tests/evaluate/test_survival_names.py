from __future__ import annotations

import pandas as pd
import pytest

from radiogen.config.survival import SurvivalSettings
from radiogen.evaluate.survival import survival_analysis
from radiogen.evaluate.survival_names import coded_levels, coded_name, column_title
from tests.evaluate.test_survival import patients


@pytest.mark.parametrize(
    ("column", "title", "levels"),
    [
        ("post_surgery_therapy_none0_monotherapy1_RTandTMZ2", "post surgery therapy", {0: "none", 1: "monotherapy", 2: "RT and TMZ"}),
        ("KPS_less70-0_more70-1", "KPS", {0: "less 70", 1: "more 70"}),
        ("year_of_diagnosis_05to10_0_10to16_1", "year of diagnosis", {0: "05 to 10", 1: "10 to 16"}),
        ("MGMTmethylation_methylated1_unmethylated0", "MGMT methylation", {0: "unmethylated", 1: "methylated"}),
        ("cHsp70_low0_high1", "cHsp70", {0: "low", 1: "high"}),
        ("batch_a1_b2", "batch", {1: "a", 2: "b"}),
        *((name, name, {}) for name in ("age_years", "grade_2", "T1", "WHO_2016", "codeletion_1p19q", "x_a0_b5", "x_a1_b1")),
    ],
)  # fmt: skip
def test_codes_are_read_from_the_name_and_never_guessed(column: str, title: str, levels: dict[int, str]) -> None:
    assert column_title(column) == title
    assert coded_levels(column) == levels


def test_vague_words_get_the_title_and_speaking_ones_do_not() -> None:
    assert coded_name("TMZ_chemo_yes1_no0", 1.0) == "TMZ chemo: yes"
    assert coded_name("surgery_resection1_biopsy0", 1.0) == "resection"
    assert coded_name("surgery_resection1_biopsy0", 2.0) is None


def test_three_codes_are_categories_with_names_in_every_table() -> None:
    table = patients(90)
    name = "therapy_none0_mono1_RTandTMZ2"
    table[name] = [str(code) for code in range(3)] * 30
    settings = SurvivalSettings(group_by="idh", covariates=(name,), n_bootstrap=100)
    metrics = survival_analysis(table, settings).metrics
    terms = {row["term"] for row in metrics["cox"]["univariable"]}
    assert {"therapy: mono vs none", "therapy: RT and TMZ vs none"} <= terms
    assert any(note.startswith("therapy: 0 is 'none', 1 is 'mono', 2 is 'RT and TMZ'") for note in metrics["notes"])
    groups = survival_analysis(table, SurvivalSettings(group_by=name, covariates=()))
    assert [group["name"] for group in groups.metrics["groups"]] == ["none", "mono", "RT and TMZ"]
    assert isinstance(groups.km_table, pd.DataFrame)
