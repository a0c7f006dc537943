"""The risk model inside `radiogen run`: there with enough deaths, left out with a reason otherwise, applied by `radiogen predict`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radiogen.config.study import StudySettings
from radiogen.fusion.survival_bundle import load_risk_model
from radiogen.pipeline.study import _risk
from radiogen.report.study import write_study_report
from tests.fusion.test_survival import patients

RISK = {"model": "boosted-cox", "folds": 2, "repeats": 1, "inner_folds": 2, "n_bootstrap": 100, "least_deaths": 40}


def study() -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    X, days, died = patients(90, columns=4, seed=1)
    cohort = pd.DataFrame({"os_days": days, "os_event": died.astype(float), "site": "A", "age": 50.0}, index=X.index)
    cohort["patient"] = [str(case) for case in X.index]
    return {"radiomics": X, "clinical": cohort[["age"]]}, cohort


def test_with_enough_deaths_the_section_stands_and_the_model_is_kept(tmp_path: Path) -> None:
    tables, cohort = study()
    settings = StudySettings.parse({"survival": {"risk": RISK}})
    found, skipped = _risk(tables, cohort, tmp_path, settings, jobs=1, progress=False, synthetic=True)
    assert skipped == {}
    assert (
        found["risk_group"]["risk_model"]["n_features"] == 4
    )  # the clinical branch is what the image is compared with
    card = load_risk_model(tmp_path / "survival/risk/model").card
    assert set(card["feature_settings"]) == {"radiomics"}
    write_study_report(tmp_path / "report.html", tmp_path, synthetic=True)
    page = (tmp_path / "report.html").read_text()
    assert "Survival by risk group" in page
    assert "survival/risk/report.html" in page


def test_with_few_deaths_or_without_images_it_is_left_out_with_the_reason(tmp_path: Path) -> None:
    tables, cohort = study()
    few = StudySettings.parse({"survival": {"risk": {**RISK, "least_deaths": 500}}})
    _, skipped = _risk(tables, cohort, tmp_path, few, jobs=1, progress=False, synthetic=True)
    assert skipped == {"survival by risk_group": f"{int(cohort['os_event'].sum())} deaths; 500 are needed"}
    alone = {"clinical": tables["clinical"]}
    _, skipped = _risk(alone, cohort, tmp_path, few, jobs=1, progress=False, synthetic=True)
    assert "no branch of the study looks at images" in skipped["survival by risk_group"]
    assert not (tmp_path / "survival").exists()
