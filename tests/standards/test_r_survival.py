"""Survival statistics against values printed by R's `survival` package and SAS, from the texts named in each test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_leukemia, load_lung, load_rossi

from radiogen.stats.survival import kaplan_meier, log_rank, restricted_mean
from radiogen.stats.survival_cox import concordance, cox_regression

AML_TIMES = np.array(
    [9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161, 5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45], dtype=float
)
AML_DIED = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1], dtype=bool)
AML_GROUP = np.array(["maintained"] * 11 + ["nonmaintained"] * 12)
"""`survival::aml` (Miller 1997, Survival Analysis, p. 49)."""


@pytest.fixture(scope="module")
def leukaemia() -> pd.DataFrame:
    """Freireich et al. 1963, Blood 21:699: weeks in remission, 6-MP (Rx = 0) against placebo (Rx = 1)."""
    return load_leukemia()


@pytest.fixture(scope="module")
def lung() -> pd.DataFrame:
    """`survival::lung` (Loprinzi et al. 1994); status 1 = died in lifelines' copy."""
    return load_lung()


def arm(table: pd.DataFrame, rx: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = table[table["Rx"] == rx]
    return chosen["t"].to_numpy(dtype=float), chosen["status"].to_numpy(dtype=bool)


def test_freireich_kaplan_meier_of_6_mp(leukaemia: pd.DataFrame) -> None:
    """Kleinbaum and Klein, Survival Analysis (3rd ed. 2012), ch. 2; the same in SAS PROC LIFETEST."""
    table = kaplan_meier(*arm(leukaemia, 0)).table
    deaths = table[table["events"] > 0]
    assert deaths["time"].tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert deaths["at_risk"].tolist() == [21, 17, 15, 12, 11, 7, 6]
    np.testing.assert_allclose(deaths["survival"], [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=5e-4)


def test_freireich_medians_with_log_log_intervals(leukaemia: pd.DataFrame) -> None:
    """SAS PROC LIFETEST, conftype=loglog (its default): 6-MP 23 (13, .), placebo 8 (4, 11)."""
    mercaptopurine, placebo = kaplan_meier(*arm(leukaemia, 0)), kaplan_meier(*arm(leukaemia, 1))
    assert (mercaptopurine.median, mercaptopurine.median_ci) == (23.0, (13.0, np.inf))
    assert (placebo.median, placebo.median_ci) == (8.0, (4.0, 11.0))


def test_freireich_log_rank(leukaemia: pd.DataFrame) -> None:
    """Kleinbaum and Klein 2012, ch. 2: log-rank 16.79 on 1 df."""
    test = log_rank(
        leukaemia["t"].to_numpy(dtype=float),
        leukaemia["status"].to_numpy(dtype=bool),
        leukaemia["Rx"].to_numpy(),
    )
    assert test.statistic == pytest.approx(16.79, abs=0.005)
    assert test.degrees_of_freedom == 1
    assert test.p == pytest.approx(4.17e-5, rel=0.01)


def test_aml_log_rank() -> None:
    """R: survdiff(Surv(time, status) ~ x, data = aml): Chisq = 3.4 on 1 df, p = 0.0653."""
    test = log_rank(AML_TIMES, AML_DIED, AML_GROUP)
    assert test.statistic == pytest.approx(3.4, abs=0.05)
    assert test.p == pytest.approx(0.0653, abs=5e-5)


@pytest.mark.parametrize(
    ("group", "horizon", "mean", "error", "median"),
    [("maintained", 161.0, 52.6, 19.83, 31.0), ("nonmaintained", 45.0, 22.7, 4.18, 23.0)],
)
def test_aml_restricted_mean(group: str, horizon: float, mean: float, error: float, median: float) -> None:
    """R: print(survfit(Surv(time, status) ~ x, data = aml), rmean = "individual"): columns *rmean, *se(rmean), median."""
    chosen = group == AML_GROUP
    result = restricted_mean(AML_TIMES[chosen], AML_DIED[chosen], horizon)
    assert result.mean == pytest.approx(mean, abs=0.05)
    assert result.standard_error == pytest.approx(error, abs=0.005)
    assert kaplan_meier(AML_TIMES[chosen], AML_DIED[chosen]).median == median


def test_lung_log_rank_and_medians(lung: pd.DataFrame) -> None:
    """R: survdiff(Surv(time, status) ~ sex, data = lung): Chisq = 10.3267, p = 0.00131; medians 270 and 426 days."""
    times, died, sex = lung["time"].to_numpy(dtype=float), lung["status"].to_numpy(dtype=bool), lung["sex"].to_numpy()
    test = log_rank(times, died, sex)
    assert test.statistic == pytest.approx(10.3267, abs=5e-5)
    assert test.p == pytest.approx(0.00131116, abs=5e-8)
    medians = [kaplan_meier(times[sex == value], died[sex == value]).median for value in (1, 2)]
    assert medians == [270.0, 426.0]


def test_lung_cox_of_sex(lung: pd.DataFrame) -> None:
    """R: summary(coxph(Surv(time, status) ~ sex, data = lung)): -0.5310, 0.5880 [0.4237, 0.816], p = 0.00149, concordance 0.579."""
    times, died = lung["time"].to_numpy(dtype=float), lung["status"].to_numpy(dtype=bool)
    model = cox_regression(lung[["sex"]].astype(float), times, died)
    row = model.table.loc["sex"]
    assert row["coefficient"] == pytest.approx(-0.5310, abs=5e-5)
    assert row["hazard_ratio"] == pytest.approx(0.5880, abs=5e-5)
    assert (row["lower"], row["upper"]) == (pytest.approx(0.4237, abs=5e-5), pytest.approx(0.8160, abs=5e-5))
    assert row["p"] == pytest.approx(0.00149, abs=5e-6)
    assert concordance(times, died, model.risk) == pytest.approx(0.579, abs=5e-4)


def test_lung_cox_of_age_sex_and_ecog(lung: pd.DataFrame) -> None:
    """R: coxph(Surv(time, status) ~ age + sex + ph.ecog, data = lung), n = 227, 164 events, concordance 0.637."""
    complete = lung[["time", "status", "age", "sex", "ph.ecog"]].dropna()
    times, died = complete["time"].to_numpy(dtype=float), complete["status"].to_numpy(dtype=bool)
    model = cox_regression(complete[["age", "sex", "ph.ecog"]].astype(float), times, died)
    assert (model.n, model.n_events) == (227, 164)
    np.testing.assert_allclose(model.table["coefficient"], [0.011067, -0.552612, 0.463728], atol=5e-6)
    assert concordance(times, died, model.risk) == pytest.approx(0.637, abs=5e-4)


def test_rossi_cox() -> None:
    """Fox and Weisberg 2011, Cox Regression in R (appendix of An R Companion), mod.allison: Allison's recidivism data, Efron's ties."""
    rossi = load_rossi()
    names = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    model = cox_regression(
        rossi[names].astype(float), rossi["week"].to_numpy(dtype=float), rossi["arrest"].to_numpy(dtype=bool)
    )
    np.testing.assert_allclose(
        model.table["coefficient"], [-0.3794, -0.0574, 0.3139, -0.1498, -0.4337, -0.0849, 0.0915], atol=5e-5
    )
    np.testing.assert_allclose(
        model.table["standard_error"], [0.1914, 0.0220, 0.3080, 0.2122, 0.3819, 0.1958, 0.0286], atol=1e-4
    )
    assert model.likelihood_ratio_p == pytest.approx(2.36e-5, rel=0.01)


def test_rossi_proportional_hazards() -> None:
    """Fox and Weisberg 2011, cox.zph (R before 3.0) of fin + age + prio: only age bends (p = 0.01); fin 0.94, prio 0.38."""
    rossi = load_rossi()
    model = cox_regression(
        rossi[["fin", "age", "prio"]].astype(float),
        rossi["week"].to_numpy(dtype=float),
        rossi["arrest"].to_numpy(dtype=bool),
    )
    np.testing.assert_allclose(model.table["proportional_p"], [0.943, 0.0105, 0.379], atol=6e-4)
    assert model.table.loc["age", "proportional_p"] < 0.05
