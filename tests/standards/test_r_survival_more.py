"""Late entry, strata and robust errors of Cox models, and concordance, against the outputs that R's `survival` package keeps of its own tests.

The outputs are `tests/Examples/survival-Ex.Rout.save`, `tests/cancer.Rout.save` and `tests/concordance.Rout.save` of https://github.com/therneau/survival.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_gbsg2, load_lung, load_rossi, load_stanford_heart_transplants

from radiogen.stats.survival import log_rank
from radiogen.stats.survival_cox import concordance, cox_regression
from radiogen.stats.survival_residuals import cox_residuals
from radiogen.stats.survival_scores import brier_scores, calibration_at, time_dependent_auc, uno_concordance


def test_start_and_stop_times() -> None:
    """?coxph: coxph(Surv(start, stop, event) ~ x, test2): -0.02111, se 0.79518, [0.2061, 4.653], concordance 0.526."""
    start = np.array([1, 2, 5, 2, 1, 7, 3, 4, 8, 8], dtype=float)
    stop = np.array([2, 3, 6, 7, 8, 9, 9, 9, 14, 17], dtype=float)
    died = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], dtype=bool)
    x = pd.DataFrame({"x": [1.0, 0, 0, 1, 0, 1, 1, 1, 0, 0]})
    model = cox_regression(x, stop, died, entry=start)
    row = model.table.loc["x"]
    assert row["coefficient"] == pytest.approx(-0.02111, abs=5e-6)
    assert row["standard_error"] == pytest.approx(0.79518, abs=5e-6)
    assert (row["lower"], row["upper"]) == (pytest.approx(0.2061, abs=5e-5), pytest.approx(4.653, abs=5e-4))
    assert concordance(stop, died, model.risk, entry=start) == pytest.approx(0.526, abs=5e-4)


def test_strata() -> None:
    """?coxph: coxph(Surv(time, status) ~ x + strata(sex), test1): 0.8023, se 0.8224, likelihood ratio 1.09, p = 0.2971."""
    times = np.array([4, 3, 1, 1, 2, 2, 3], dtype=float)
    died = np.array([1, 1, 1, 0, 1, 1, 0], dtype=bool)
    x = pd.DataFrame({"x": [0.0, 2, 1, 1, 1, 0, 0]})
    model = cox_regression(x, times, died, strata=np.array([0, 0, 0, 0, 1, 1, 1]))
    assert model.table.loc["x", "coefficient"] == pytest.approx(0.8023, abs=5e-5)
    assert model.table.loc["x", "standard_error"] == pytest.approx(0.8224, abs=5e-5)
    assert model.likelihood_ratio_p == pytest.approx(0.2971, abs=5e-5)


def test_lung_stratified_by_institution() -> None:
    """cancer.Rout.save: coxph(... + strata(inst), lung), n = 167, 120 deaths, LR p = 7.377e-05, and its cox.zph (R 2.11)."""
    names = ["ph.ecog", "ph.karno", "pat.karno", "wt.loss", "sex", "age", "meal.cal"]
    table = load_lung().dropna(subset=[*names, "inst"])
    times, died = table["time"].to_numpy(dtype=float), table["status"].to_numpy(dtype=bool)
    model = cox_regression(table[names].astype(float), times, died, strata=table["inst"].to_numpy())
    assert (model.n, model.n_events) == (167, 120)
    wanted = [0.7299987, 0.0130512, -0.0140955, -0.0148821, -0.6612534, 0.0050920, -0.0002398]
    np.testing.assert_allclose(model.table["coefficient"], wanted, atol=5e-7)
    errors = [0.2689397, 0.0137362, 0.0093680, 0.0084811, 0.2339979, 0.0137288, 0.0003019]
    np.testing.assert_allclose(model.table["standard_error"], errors, atol=5e-7)
    assert model.likelihood_ratio_p == pytest.approx(7.377e-5, abs=5e-9)
    bent = [0.7427, 0.1571, 0.7718, 0.6451, 0.6713, 0.4543, 0.0546]
    np.testing.assert_allclose(model.table["proportional_p"], bent, atol=6e-5)
    again = cox_regression(table[names].astype(float), times, died, strata=table["inst"].to_numpy(), entry=0 * times)
    np.testing.assert_allclose(again.table["coefficient"], wanted, atol=5e-7)


def test_concordance_counts() -> None:
    """concordance.Rout.save: lung by ph.ecog: 8392 concordant, 4258 discordant, 7137 tied; aml with made-up x: 24, 14, 2, also with split rows."""
    lung = load_lung().dropna(subset=["ph.ecog"])
    found = concordance(
        lung["time"].to_numpy(dtype=float), lung["status"].to_numpy(dtype=bool), lung["ph.ecog"].to_numpy(dtype=float)
    )
    assert found == pytest.approx((8392 + 7137 / 2) / (8392 + 4258 + 7137), abs=1e-12)
    times = np.array([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161], dtype=float)
    died = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0], dtype=bool)
    x = np.array([1, 6, 2, 7, 3, 7, 3, 8, 4, 4, 5], dtype=float)
    wanted = (14 + 1) / 40  # R's concordance says that a higher x lives longer; a risk says the opposite
    assert concordance(times, died, x) == pytest.approx(wanted)
    assert concordance(times, died, x, entry=np.zeros(11)) == pytest.approx(wanted)
    start = np.array([0, 3, 5, 6, 7, 0, 4, 17, 7, 0, 16, 2, 0, 0, 9, 5], dtype=float)
    stop = np.array([3, 9, 13, 7, 13, 18, 17, 23, 28, 16, 31, 34, 45, 9, 48, 60], dtype=float)
    event = np.array([0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0], dtype=bool)
    split = np.array([1, 1, 6, 2, 2, 7, 3, 3, 7, 3, 3, 8, 4, 4, 4, 5], dtype=float)
    assert concordance(stop, event, split, entry=start) == pytest.approx(wanted)


def test_rows_that_are_cut_in_two_say_the_same() -> None:
    """counting.Rout.save: the residuals of a fit do not change when a patient's row is cut at any time."""
    lung = load_lung().dropna(subset=["ph.ecog"]).head(90)
    times, died = lung["time"].to_numpy(dtype=float), lung["status"].to_numpy(dtype=bool)
    x = lung[["age", "sex", "ph.ecog"]].astype(float).reset_index(drop=True)
    middle = np.floor(times / 2) + 0.5
    split = pd.concat([x, x], ignore_index=True)
    stop, start = np.concatenate([middle, times]), np.concatenate([0 * times, middle])
    event, who = np.concatenate([np.zeros(90, bool), died]), np.tile(np.arange(90), 2)
    whole = cox_regression(x, times, died, clusters=np.arange(90))
    halves = cox_regression(split, stop, event, entry=start, clusters=who)
    np.testing.assert_allclose(
        halves.table[["coefficient", "standard_error", "p"]], whole.table[["coefficient", "standard_error", "p"]], rtol=1e-6
    )  # fmt: skip
    assert halves.likelihood_ratio_p == pytest.approx(whole.likelihood_ratio_p, rel=1e-9)
    sex = (lung["sex"] == 1).to_numpy()
    assert log_rank(stop, event, np.tile(sex, 2), start).statistic == pytest.approx(
        log_rank(times, died, sex).statistic
    )


def test_the_stanford_patients_as_lifelines_fits_them() -> None:
    """Late entry and ties against lifelines (Crowley and Hu 1977, JASA 72:27); the score residuals sum to zero at the fit."""
    heart = load_stanford_heart_transplants()
    start, stop = heart["start"].to_numpy(dtype=float), heart["stop"].to_numpy(dtype=float)
    died, x = heart["event"].to_numpy(dtype=bool), heart[["age", "year", "surgery", "transplant"]].astype(float)
    model = cox_regression(x, stop, died, entry=start)
    theirs = CoxPHFitter().fit(heart[["start", "stop", "event", *x.columns]], "stop", "event", entry_col="start")
    np.testing.assert_allclose(model.table["coefficient"], theirs.params_, rtol=1e-4)  # theirs ends earlier
    np.testing.assert_allclose(model.table["standard_error"], theirs.standard_errors_, rtol=1e-4)
    assert model.log_likelihood == pytest.approx(theirs.log_likelihood_, rel=1e-9)
    found = cox_residuals(x.to_numpy(), stop, died, model.table["coefficient"].to_numpy(), entry=start)
    np.testing.assert_allclose(found.score.sum(axis=0), 0, atol=1e-6)


def test_without_ties_robust_errors_are_those_of_lifelines() -> None:
    rossi = load_rossi()[["week", "arrest", "fin", "age", "prio"]].astype(float)
    rossi["week"] += np.random.default_rng(0).random(len(rossi)) * 0.5
    times, died = rossi["week"].to_numpy(), rossi["arrest"].to_numpy() > 0
    x = rossi[["fin", "age", "prio"]]
    theirs = CoxPHFitter().fit(rossi, "week", "arrest", robust=True)
    ours = cox_regression(x, times, died, clusters=np.arange(len(rossi)))
    np.testing.assert_allclose(ours.table["standard_error"], theirs.standard_errors_, rtol=1e-6)


def test_published_model_on_the_german_breast_cancer_patients() -> None:
    """A Rotterdam model on the GBSG-2 patients, five years: R 4.1.2, survival 3.2-13, timeROC 0.4, to the two digits that are printed.

    McLernon, Giardiello et al. 2023, Ann Intern Med 176:105, and its supplement at https://github.com/danielegiardiello/Prediction_performance_survival
    (coefficients in 02_predsurv_minimal.R, where grade is the number 1 to 3; results in 02_predsurv.md, 'External').
    """
    table = load_gbsg2()
    years, died = table["time"].to_numpy(dtype=float) / 365.25, table["cens"].to_numpy(dtype=bool)
    times, died = np.minimum(years, 5.0), died & (years <= 5.0)
    size, nodes = table["tsize"].to_numpy(dtype=float), table["pnodes"].to_numpy(dtype=float)
    risk = (
        0.3922098 * ((size > 20) & (size <= 50)) + 0.6656456 * (size > 50) - 0.3538533 * (nodes == 0)
        + 0.6936283 * (nodes > 3) + 0.3766110 * table["tgrade"].map({"I": 1, "II": 2, "III": 3}).to_numpy()
    )  # fmt: skip
    alive = 0.8604385 ** np.exp(risk)
    at = np.array([4.95])
    assert concordance(times, died, risk) == pytest.approx(0.66, abs=0.005)
    assert uno_concordance(times, died, risk) == pytest.approx(0.65, abs=0.005)
    assert time_dependent_auc(times, died, risk, at)[0] == pytest.approx(0.70, abs=0.005)
    assert brier_scores(times, died, alive[:, None], at)[0] == pytest.approx(0.22, abs=0.005)
    assert calibration_at(times, died, alive, 5.0).observed_to_expected == pytest.approx(1.07, abs=0.005)
    slope = cox_regression(pd.DataFrame({"x": np.log(-np.log(alive))}), times, died).table.loc["x"]
    assert slope["coefficient"] == pytest.approx(1.08, abs=0.005)
    low, high = np.log(slope[["lower", "upper"]].to_numpy(dtype=float))
    assert (low, high) == (pytest.approx(0.84, abs=0.005), pytest.approx(1.32, abs=0.005))
