from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.config.survival_model import SurvivalModelSettings
from radiogen.errors import InputError
from radiogen.fusion.survival_bundle import (
    RISK_FILE,
    RiskBundle,
    apply_risk_model,
    fit_risk_bundle,
    load_risk_model,
    save_risk_model,
)
from radiogen.fusion.survival_nested import SurvivalTable, survival_table
from tests.fusion.test_survival import HORIZONS, KINDS, patients

JUDGED = {
    "models": [{"model": "image", "n": 90, "n_events": 60, "c_index": 0.7, "c_index_ci": [0.6, 0.8]}],
    "split": "grouped-kfold",
    "sentence": "The image orders survival.",
}


def table() -> SurvivalTable:
    X, days, died = patients(90, columns=5)
    X.iloc[:9, 2] = np.nan
    cohort = pd.DataFrame({"patient": X.index, "site": "A"}, index=X.index)
    return survival_table({"radiomics": X}, pd.DataFrame(index=X.index), days, died, cohort)


def bundle(kind: str = "cox-elastic-net") -> RiskBundle:
    settings = SurvivalModelSettings(model=kind, inner_folds=2)
    return fit_risk_bundle(table(), settings, HORIZONS, JUDGED, salt="s")


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_predicts_what_the_fitted_one_did_and_its_bytes_depend_on_it_alone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radiogen.fusion.survival._TREES", 10)
    fitted, new = bundle(kind), patients(30, columns=5, seed=5)[0]
    patient = new.index.to_series()
    for name in ("a", "b"):
        save_risk_model(tmp_path / name, bundle(kind))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted([RISK_FILE, "features.csv", "card.json", "card.md"])
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    loaded = load_risk_model(tmp_path / "a")
    pd.testing.assert_frame_equal(apply_risk_model(loaded, new, patient), apply_risk_model(fitted, new, patient))


def test_risk_survival_and_group_agree_with_one_another() -> None:
    fitted = bundle()
    found = apply_risk_model(
        fitted, patients(60, columns=5, seed=6)[0], pd.Series(range(60), [f"c{i:03d}" for i in range(60)])
    )
    ordered = found.sort_values("risk")
    assert (np.diff(ordered["survival_365d"]) <= 0).all()
    assert (found["survival_730d"] <= found["survival_365d"]).all()
    assert found.loc[found["risk_group"] == "low risk", "risk"].max() <= fitted.model.cut_
    assert found.loc[found["risk_group"] == "high risk", "risk"].min() > fitted.model.cut_
    assert found["in_training"].all()  # the same ids as in training


def test_what_speaks_against_a_prediction_is_said() -> None:
    fitted = bundle()
    new = patients(3, columns=5, seed=7)[0].set_axis(["n1", "n2", "n3"])
    new.loc["n1", "x0"] = 1e6
    found = apply_risk_model(fitted, new.drop(columns="x4"), new.index.to_series())
    assert found["out_of_distribution"].tolist() == [True, False, False]
    assert found["missing_features"].tolist() == [1, 1, 1]
    assert not found["in_training"].any()
    with pytest.raises(InputError, match="None of the model's 5 features"):
        apply_risk_model(fitted, pd.DataFrame({"y": [1.0]}, index=["n1"]), pd.Series(["n1"], ["n1"]))


def test_the_card_says_what_it_is_without_naming_a_patient(tmp_path: Path) -> None:
    save_risk_model(tmp_path, bundle())
    text = (tmp_path / "card.md").read_text()
    assert "0.700 (95 % interval 0.600 to 0.800)" in text
    assert "living beyond 12, 24 months" in text
    written = text + (tmp_path / "card.json").read_text()
    assert "c001" not in written
    assert json.loads((tmp_path / "card.json").read_text())["trained_on"]["cases"] == 90


def test_a_changed_or_foreign_file_is_refused(tmp_path: Path) -> None:
    save_risk_model(tmp_path, bundle())
    (tmp_path / RISK_FILE).write_bytes(b"other")
    with pytest.raises(InputError, match="not the file that the card describes"):
        load_risk_model(tmp_path)
    (tmp_path / RISK_FILE).unlink()
    with pytest.raises(InputError, match="missing"):
        load_risk_model(tmp_path)
