"""Nested cross-validation: the predictions table, no leakage, chance stays chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from radiogen.cohort.splits import Split, make_splits
from radiogen.config.classify import ClassifySettings
from radiogen.errors import ConfigError, InputError, RadiogenError
from radiogen.fusion.doubt import DOUBT_COLUMNS
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.model import FusedClassifier
from radiogen.fusion.nested import (
    PREDICTION_COLUMNS,
    cross_validate,
    fit_split,
    model_name,
    nested_predictions,
    summarise_importance,
)
from radiogen.stats.auc import auc
from tests.fusion.data import FAST, made_up


def test_predictions_table_has_one_row_per_case_and_repeat() -> None:
    features, cohort = made_up(60, strength=3.0)
    settings = FAST.model_copy(update={"repeats": 2})
    table = nested_predictions(features, cohort, "idh", settings)
    assert table.columns.tolist() == [*PREDICTION_COLUMNS, "grade", "mgmt", "sex", *DOUBT_COLUMNS]
    assert len(table) == 120
    assert not table.duplicated(["case", "repeat"]).any()
    assert set(table["target"]) == {"idh"}
    assert set(table["model"]) == {"elastic-net"}
    assert set(table["split"]) == {"fold1", "fold2", "fold3"}
    assert table["y_true"].tolist() == [*cohort["idh"].astype(int)] * 2
    assert table["y_prob"].between(0, 1).all()
    assert auc(table["y_true"].to_numpy(), table["y_prob"].to_numpy()) > 0.8


def test_sites_are_held_out() -> None:
    features, cohort = made_up(60, sites="ABC")
    result = cross_validate(fusion_table(features, cohort, "idh"), FAST)
    assert result.scheme == "site-held-out"
    assert (result.predictions["split"] == "site=" + result.predictions["site"]).all()
    assert set(result.predictions["repeat"]) == {0}


def test_a_fitted_fold_does_not_depend_on_the_test_rows() -> None:
    features, cohort = made_up(60)
    features["radiomics"].iloc[::7, 3] = np.nan
    table = fusion_table(features, cohort, "idh")
    split = make_splits(table.cohort, table.y, seed=0, n_splits=3)[0][0]
    settings = FAST.model_copy(update={"classifiers": ("elastic-net", "xgboost")})
    rng = np.random.default_rng(1)
    spoiled = table.features.copy()
    spoiled.iloc[split.test] = rng.normal(1e6, 1e6, size=(len(split.test), spoiled.shape[1]))
    spoiled.iloc[split.test[:3], :5] = np.nan
    labels = table.y.copy()
    labels[split.test] = 1 - labels[split.test]
    other = FusionTable("idh", spoiled, labels, table.cohort, table.branch_of)
    one, two = fit_split(table, split, settings), fit_split(other, split, settings)
    probe = table.features.iloc[split.train]
    np.testing.assert_array_equal(one.predict_proba(probe), two.predict_proba(probe))
    assert one.choices_ == two.choices_
    pd.testing.assert_frame_equal(one.importance(), two.importance())


def test_pure_noise_stays_within_chance() -> None:
    rng = np.random.default_rng(0)
    n = 60
    cases = [f"c{i:02d}" for i in range(n)]
    noise = pd.DataFrame(rng.normal(size=(n, 2000)), index=cases).add_prefix("f")
    cohort = pd.DataFrame({"patient": cases, "site": "A", "mgmt": (np.arange(n) % 2).astype(float)}, index=cases)
    settings = ClassifySettings(folds=3, repeats=1, inner_folds=3)
    table = nested_predictions({"noise": noise}, cohort, "mgmt", settings)
    y = table["y_true"].to_numpy()
    # 60 cases: the standard error of a null AUC is sqrt((30 + 30 + 1) / (12 * 30 * 30)) = 0.075; three of them. A leak can only raise the AUC.
    assert auc(y, table["y_prob"].to_numpy()) < 0.725
    # The same noise, columns chosen on all cases: what this test would see if selection leaked.
    difference = np.abs(noise[y == 1].mean() - noise[y == 0].mean()).to_numpy()
    chosen = noise.to_numpy()[:, np.argsort(-difference)[:20]]
    leaked = np.zeros(n)
    for split in make_splits(cohort, y, seed=0, n_splits=3, repeats=1)[0]:
        model = LogisticRegression().fit(chosen[split.train], y[split.train])
        leaked[split.test] = model.predict_proba(chosen[split.test])[:, 1]
    assert auc(y, leaked) > 0.85


def test_jobs_do_not_change_anything() -> None:
    features, cohort = made_up(45, noise=8, sites="ABC")
    settings = FAST.model_copy(update={"classifiers": ("elastic-net", "xgboost")})
    one, two = (cross_validate(fusion_table(features, cohort, "idh"), settings, jobs=jobs) for jobs in (1, 2))
    assert one.predictions.to_csv() == two.predictions.to_csv()
    assert one.importance.to_csv() == two.importance.to_csv()
    assert one.choices.to_csv() == two.choices.to_csv()


def test_follow_ups_of_a_patient_are_tested_together() -> None:
    features, cohort = made_up(60)
    cohort["patient"] = [f"p{i // 4}" for i in range(60)]
    cohort["idh"] = (np.arange(60) // 4 % 2).astype(float)
    table = nested_predictions(features, cohort, "idh", FAST)
    assert (table.groupby("patient")["split"].nunique() == 1).all()


def test_importance_names_the_planted_column_and_its_branch() -> None:
    features, cohort = made_up(60)
    settings = FAST.model_copy(update={"classifiers": ("elastic-net", "xgboost")})
    result = cross_validate(fusion_table(features, cohort, "idh"), settings)
    first = result.importance.iloc[0]
    assert first["feature"] == "signal"
    assert first["branch"] == "radiomics"
    assert first["selected_share"] == 1.0
    assert first["coefficient_mean"] > 0
    assert result.importance["importance"].sum() == pytest.approx(1, abs=1e-6)
    assert result.choices["classifier"].value_counts().to_dict() == {"elastic-net": 3, "xgboost": 3}
    assert result.choices["parameters"].str.contains("=").all()


def test_importance_of_folds_that_use_nothing_is_zero() -> None:
    empty = pd.DataFrame({"selected": [0.0], "coefficient": [0.0], "gain": [0.0]}, index=["missing:x"])
    summary = summarise_importance([empty, empty], {"x": "radiomics"})
    assert summary.iloc[0].to_dict() == {
        "feature": "missing:x", "branch": "radiomics", "importance": 0.0, "selected_share": 0.0,
        "coefficient_mean": 0.0, "coefficient_sd": 0.0, "gain_mean": 0.0,
    }  # fmt: skip


def test_one_class_only_says_the_numbers() -> None:
    features, cohort = made_up(30)
    cohort["idh"] = 1.0
    with pytest.raises(InputError, match="30 positive and 0 negative"):
        nested_predictions(features, cohort, "idh", FAST)


def test_a_failing_fold_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: FusedClassifier, X: pd.DataFrame, context: object) -> np.ndarray:
        raise ValueError("out of order")

    monkeypatch.setattr(FusedClassifier, "predict_proba", broken)
    features, cohort = made_up(30)
    with pytest.raises(RadiogenError, match=r"fold1.*idh.*out of order"):
        nested_predictions(features, cohort, "idh", FAST)


def test_model_names() -> None:
    assert model_name(ClassifySettings()) == "elastic-net+xgboost"
    assert model_name(ClassifySettings(combine="best")) == "elastic-net+xgboost (best)"
    assert Split(0, "a", np.array([0]), np.array([1])).name == "a"


def test_harmonisation_that_cannot_be_is_refused_before_the_work() -> None:
    features, cohort = made_up(sites="ABC")
    refusing = FAST.model_copy(update={"harmonise": "combat", "unseen_site": "refuse"})
    with pytest.raises(ConfigError, match="every tested site is unseen"):
        nested_predictions(features, cohort, "idh", refusing)
    nested_predictions(features, cohort, "idh", refusing.model_copy(update={"sites": "ignore"}))
    features, cohort = made_up(sites="A")
    with pytest.raises(ConfigError, match="two or more sites"):
        nested_predictions(features, cohort, "idh", FAST.model_copy(update={"harmonise": "combat"}))
