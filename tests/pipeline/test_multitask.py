"""Several markers at once through the same verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.multitask import MultiTaskSettings
from radiogen.errors import ConfigError
from radiogen.fusion.multitask_nested import cross_validate_multitask, multitask_splits, multitask_table
from radiogen.pipeline.multitask import run_multitask
from tests.fusion.data import FAST, made_up

SMALL = MultiTaskSettings(epochs=(10, 40), members=1, hidden=4, learning_rate=0.05)
QUICK = EvaluateSettings(bootstrap_resamples=200, permutations=199)


def partly_known(sites: str = "A") -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    features, cohort = made_up(60, noise=5, strength=3.0, sites=sites)
    cohort["mgmt"] = np.where(np.arange(60) % 3 == 0, np.nan, cohort["mgmt"])
    cohort.iloc[:6, cohort.columns.get_loc("idh")] = np.nan
    return features, cohort


def test_each_marker_gets_its_own_verdict(tmp_path: Path) -> None:
    features, cohort = partly_known()
    found = run_multitask(features, cohort, ("idh", "mgmt"), tmp_path, FAST, network=SMALL, evaluate=QUICK)
    assert {target: metrics["n"] for target, metrics in found.items()} == {"idh": 54, "mgmt": 40}
    assert found["idh"]["auc"] > 0.85
    assert found["mgmt"]["auc"] < 0.75
    assert json.loads((tmp_path / "idh" / "metrics.json").read_text())["learned_with"] == ["mgmt"]
    table = pd.read_csv(tmp_path / "mgmt" / "predictions.csv")
    assert set(table["case"]) == set(cohort.index[cohort["mgmt"].notna()])
    assert {"threshold", "prediction_set", "out_of_distribution"} <= set(table.columns)
    assert (tmp_path / "mgmt" / "report.html").is_file()
    assert pd.read_csv(tmp_path / "summary.csv")["target"].tolist() == ["idh", "mgmt"]


def test_a_test_label_of_any_marker_changes_no_prediction() -> None:
    # A row's other markers are no features either: turn all labels of one test fold round, and its probabilities stay.
    features, cohort = partly_known("ABC")
    table = multitask_table(features, cohort, ("idh", "mgmt"))
    splits, scheme = multitask_splits(table, FAST)
    assert scheme == "site-held-out"
    first, _ = cross_validate_multitask(table, FAST, SMALL)
    rows = table.features.index[splits[0].test]
    turned = cohort.copy()
    for name in ("idh", "mgmt"):
        turned.loc[rows, name] = 1 - turned.loc[rows, name]
    second, _ = cross_validate_multitask(multitask_table(features, turned, ("idh", "mgmt")), FAST, SMALL)
    one, two = (each["idh"].set_index("case").loc[first["idh"]["split"].eq(splits[0].name).to_numpy(), "y_prob"]
                for each in (first, second))  # fmt: skip
    assert len(one) > 5
    pd.testing.assert_series_equal(one, two, check_exact=True)


def test_one_marker_or_one_twice_is_refused() -> None:
    features, cohort = partly_known()
    with pytest.raises(ConfigError, match="Several different markers"):
        multitask_table(features, cohort, ("idh", "idh"))
