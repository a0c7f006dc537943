"""Comparing inside test splits: when it happens, what counts, what a scheme does to chance."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.audit import evaluate_predictions, quick_verdict
from radiogen.evaluate.predictions import check_predictions, per_case
from radiogen.evaluate.within import split_rows, widening
from radiogen.stats.auc import auc

QUICK = EvaluateSettings(bootstrap_resamples=200, permutations=199, crossfit_repeats=1)


def shifted(n: int = 120) -> pd.DataFrame:
    """Held-out sites whose models lie apart: good inside every site, poor over all."""
    rng = np.random.default_rng(0)
    site = np.arange(n) % 3
    y = (rng.random(n) < np.array([0.2, 0.5, 0.8])[site]).astype(int)
    logit = 1.5 * y + 0.7 * rng.normal(size=n) - 3.0 * site
    return pd.DataFrame(
        {"case": [f"c{i:03d}" for i in range(n)], "site": [f"s{i}" for i in site], "target": "idh", "y_true": y,
         "y_prob": 1 / (1 + np.exp(-logit)), "split": [f"site=s{i}" for i in site], "age": 50 + rng.normal(size=n)}
    )  # fmt: skip


def test_a_shift_between_the_models_does_not_decide() -> None:
    table = shifted()
    found = quick_verdict(table, None, QUICK)
    assert found["verdict_auc"] == "within-split"
    assert found["auc"] < 0.6 < 0.85 < found["within_split"]["auc"]
    assert found["within_split"]["auc_ci"][0] < found["within_split"]["auc"] < found["within_split"]["auc_ci"][1]
    assert found["permutation_p"] < 0.05 < found["permutation_p_pooled"]
    assert found["verdict"] == "beats-baselines"
    site = next(row for row in found["baselines"] if row["name"] == "site")
    assert (site["within_auc"], site["constant_in_splits"], site["counts"]) == (0.5, True, False)
    alone = quick_verdict(table.drop(columns="age"), None, QUICK)
    assert (alone["verdict"], alone["baselines"][0]["name"]) == ("undetermined", "site")


def test_the_quick_verdict_is_the_full_one() -> None:
    table = shifted()
    full, quick = evaluate_predictions(table, None, QUICK).metrics, quick_verdict(table, None, QUICK)
    different = {name for name in quick if quick[name] != full[name]}
    assert different <= {"verdict_text"}  # the weakest stratum is only known to the full one


@pytest.mark.parametrize(
    ("changes", "compared"),
    [({}, True), ({"split": "test"}, False), ({"split": ""}, False), ({"split": [f"c{i}" for i in range(120)]}, False)],
)
def test_where_splits_can_be_used(changes: dict[str, object], compared: bool) -> None:
    tidy = check_predictions(shifted().assign(**changes))
    scheme = "grouped-kfold" if len(set(tidy["split"])) > 1 else "external"
    rows, notes = split_rows(tidy, per_case(tidy), scheme, QUICK)
    assert (rows is not None) == compared
    assert bool(notes) == (len(set(tidy["split"])) == 120)


def test_repeats_are_compared_inside_themselves() -> None:
    table = shifted()
    again = pd.concat([table.assign(repeat=number, y_prob=table["y_prob"] ** (1 + number)) for number in range(2)])
    once, twice = (quick_verdict(rows, None, QUICK)["within_split"] for rows in (table, again))
    assert twice["n_pairs"] == 2 * once["n_pairs"]
    assert (twice["auc"], twice["n_splits"]) == (pytest.approx(once["auc"]), once["n_splits"])


def test_how_much_chance_is_widened() -> None:
    assert (widening("external", 0), widening("grouped-kfold", 5)) == (1.0, 1.5)
    assert widening("unknown", 0) == pytest.approx(math.sqrt(2))


def test_pooled_sites_and_reclassification() -> None:
    table = shifted(240)
    found = evaluate_predictions(table, None, QUICK).metrics
    pooled = found["sites_pooled"]
    assert (pooled["n_sites"], pooled["n_left_out"]) == (3, 0)
    each = [auc(rows["y_true"].to_numpy(), rows["y_prob"].to_numpy()) for _, rows in table.groupby("site")]
    assert min(each) <= pooled["auc"] <= max(each)
    assert pooled["prediction_interval"][0] <= pooled["auc_ci"][0]
    moved = found["reclassification"]
    assert moved["baseline"] == "age"
    assert sum(sum(row.values()) for row in moved["table"].values()) == moved["n"] == 240
    assert moved["nri_ci"][0] <= moved["nri"] <= moved["nri_ci"][1]
    for name in ("brier", "auprc", "calibration_slope", "calibration_intercept", "calibration_in_the_large"):
        low, high = found[f"{name}_ci"]
        assert low <= found[name] <= high, name
    parts = found["brier_parts"]
    assert parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"] == pytest.approx(
        found["brier"]
    )


def test_thresholds_of_the_fold_sets_and_flags() -> None:
    table = shifted()
    thresholds = pd.Series(table["site"]).map({"s0": 0.7, "s1": 0.3, "s2": 0.05})
    sets = np.where(table["y_prob"] >= thresholds, "positive", "negative")
    sets[:30] = "both"
    sets[30:36] = "none"
    found = evaluate_predictions(
        table.assign(threshold=thresholds, prediction_set=sets, out_of_distribution=(np.arange(120) < 6).astype(int)),
        None,
        QUICK,
    ).metrics
    called = (table["y_prob"] >= thresholds).to_numpy()
    y = table["y_true"].to_numpy() == 1
    assert found["threshold_from"] == "fold"
    assert found["sensitivity"] == pytest.approx((called & y).sum() / y.sum())
    assert found["positive_predictive_value"] == pytest.approx((called & y).sum() / called.sum())
    sure = np.arange(120) >= 36
    assert found["conformal"]["no_call"] == 0.3
    assert found["conformal"]["coverage"] == pytest.approx((30 + (called == y)[sure].sum()) / 120)
    assert found["conformal"]["accuracy_of_calls"] == pytest.approx((called == y)[sure].mean())
    assert found["out_of_distribution"]["n_flagged"] == 6
    plain = evaluate_predictions(table, None, QUICK).metrics
    assert (plain["threshold_from"], plain["conformal"], plain["out_of_distribution"]) == ("settings", None, None)


def test_location_and_scanner_are_raced_against() -> None:
    rng = np.random.default_rng(1)
    table = shifted().assign(
        tumour_lobe=rng.choice(["frontal", "temporal"], 120),
        tumour_side=rng.choice(["left", "right"], 120),
        Manufacturer=rng.choice(["A", "B"], 120),
    )
    found = {row["name"]: row for row in quick_verdict(table, None, QUICK)["baselines"]}
    assert list(found) == ["age", "location", "scanner", "site", "all clinical", "all together"]
    assert found["location"]["how"].endswith("lobe, side")
    assert found["all together"]["how"].endswith("age, lobe, side, scanner, site")
    told = table.assign(Manufacturer=np.where(table["y_true"] == 1, "A", "B"))
    assert {row["name"]: row for row in quick_verdict(told, None, QUICK)["baselines"]}["scanner"]["within_auc"] == 1.0
