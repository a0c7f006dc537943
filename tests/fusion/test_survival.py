from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi

from radiogen.config.survival_model import SurvivalModelSettings
from radiogen.errors import InputError
from radiogen.fusion.survival import HazardModel, _fit, _largest_penalty
from radiogen.fusion.survival_nested import ALIKE, BOTH, CLINICAL, IMAGE, cross_validate_risk, survival_table
from radiogen.stats.survival_cox import concordance
from radiogen.stats.survival_scores import calibration_at

KINDS = ("cox-elastic-net", "boosted-cox", "cox-forest", "log-rank-forest")
HORIZONS = np.array([365.0, 730.0])


def patients(
    n: int, *, columns: int = 12, seed: int = 0, effect: float = 1.0
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Two of the columns set the hazard; follow-up is censored at random."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, columns))
    lived = rng.exponential(400 * np.exp(-effect * (values[:, 0] - 0.7 * values[:, 1])))
    until = rng.uniform(100, 1500, n)
    table = pd.DataFrame(
        values, columns=[f"x{number}" for number in range(columns)], index=[f"c{i:03d}" for i in range(n)]
    )
    return table, np.minimum(lived, until), lived <= until


def test_the_penalised_cox_model_is_that_of_lifelines() -> None:
    """XGBoost's linear booster on the partial likelihood against lifelines' own elastic net (Rossi, no ties left)."""
    rossi = load_rossi()
    times = rossi["week"].to_numpy(dtype=float) + np.random.default_rng(0).random(len(rossi)) * 0.5
    died = rossi["arrest"].to_numpy(dtype=bool)
    X = rossi.drop(columns=["week", "arrest"]).to_numpy(dtype=float)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    ratio, penalty = 0.5, 0.05
    strength = penalty / _largest_penalty(X, times, died, ratio)
    ours = _fit(SurvivalModelSettings(), X, times, died, {"l1_ratio": ratio, "strength": strength})
    weights = [float(value) for value in ours.get_dump()[0].split("weight:")[1].split()]
    frame = pd.DataFrame(X).rename(columns=str).assign(T=times, E=died)
    theirs = CoxPHFitter(penalizer=penalty, l1_ratio=ratio).fit(frame, "T", "E").params_.to_numpy()
    np.testing.assert_allclose(weights, theirs, atol=5e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_hazard_is_learned_and_probabilities_can_be_believed(kind: str) -> None:
    X, days, died = patients(500)
    settings = SurvivalModelSettings(model=kind, inner_folds=3)
    model = HazardModel(settings).fit(X.iloc[:250], days[:250], died[:250])
    new, new_days, new_died = X.iloc[250:], days[250:], died[250:]
    truth = X["x0"] - 0.7 * X["x1"]
    reachable = concordance(new_days, new_died, truth.to_numpy()[250:])
    assert concordance(new_days, new_died, model.risk(new)) > reachable - (0.03 if kind == "cox-elastic-net" else 0.08)
    assert calibration_at(
        new_days, new_died, model.survival(new, HORIZONS)[:, 0], 365.0
    ).observed_to_expected == pytest.approx(1, abs=0.2)
    assert 0.3 < model.high(new).mean() < 0.7
    again = HazardModel(settings).fit(X.iloc[:250], days[:250], died[:250])
    assert again.risk(new).tobytes() == model.risk(new).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_on_noise_nothing_is_claimed(kind: str) -> None:
    X, days, died = patients(160, effect=0.0, seed=3)
    model = HazardModel(SurvivalModelSettings(model=kind, inner_folds=3)).fit(X, days, died)
    # The slope learned from inner out-of-fold risks takes back what the model imagined.
    assert model.risk(X).std() < 0.35


def test_test_patients_cannot_change_a_fitted_model() -> None:
    X, days, died = patients(120)
    clinical = pd.DataFrame({"age": X["x0"] * 0.5}, index=X.index)
    cohort = pd.DataFrame({"patient": X.index, "site": ["A"] * 60 + ["B"] * 60}, index=X.index)
    settings = SurvivalModelSettings(model="cox-forest", inner_folds=2, selection=())
    rows, scheme = cross_validate_risk(
        survival_table({"radiomics": X}, clinical, days, died, cohort), settings, HORIZONS
    )
    assert scheme == "site-held-out"
    assert set(rows["model"]) == {IMAGE, CLINICAL, BOTH, ALIKE}
    changed = X.copy()
    changed.iloc[60:] = np.random.default_rng(9).normal(size=(60, X.shape[1]))
    other_days = np.where(np.arange(120) < 60, days, days[::-1])
    other, _ = cross_validate_risk(
        survival_table({"radiomics": changed}, clinical, other_days, died, cohort), settings, HORIZONS
    )
    # Site A is tested by a model of site B, so its risks move; what B's own split learned from A does not.
    tested = [table[(table["split"] == "site=B") & (table["model"] == ALIKE)] for table in (rows, other)]
    np.testing.assert_array_equal(tested[0]["survival_365d"], tested[1]["survival_365d"])
    train = np.arange(60)
    names = X.index.to_numpy(dtype=object)[train]
    models = [
        HazardModel(settings).fit(table.iloc[train], when[train], died[train], names)
        for table, when in ((X, days), (changed, other_days))
    ]
    assert models[0].risk(X).tobytes() == models[1].risk(X).tobytes()
    fold = rows[(rows["split"] == "site=B") & (rows["model"] == IMAGE)].set_index("case")["risk"]
    np.testing.assert_allclose(fold, models[0].risk(X.loc[fold.index]), atol=1e-7)


def test_without_a_shared_case_or_a_usable_column_it_says_so() -> None:
    X, days, died = patients(20)
    clinical, cohort = pd.DataFrame(index=X.index), pd.DataFrame(index=X.index)
    with pytest.raises(InputError, match="spell the case ids alike"):
        survival_table({"a": X.rename(index=lambda name: f"other-{name}")}, clinical, days, died, cohort)
    with pytest.raises(InputError, match="No column"):
        survival_table({"a": X[["x0"]].rename(columns={"x0": "idh"})}, clinical, days, died, cohort)
    table = survival_table({"a": X.iloc[:15]}, clinical, days, died, cohort)
    assert len(table.days) == 15
    assert "5 patient(s)" in table.notes[-1]
