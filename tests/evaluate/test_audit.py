"""The main door: every promised key, known truths, held-out schemes, determinism, real predictions, speed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import CohortError
from radiogen.evaluate.audit import evaluate_predictions, split_scheme
from radiogen.evaluate.predictions import check_predictions, read_predictions
from radiogen.run.atomic import write_json

QUICK = EvaluateSettings(bootstrap_resamples=300, permutations=199, crossfit_repeats=1)
PROMISED = {
    "target", "n", "n_positive", "n_sites", "split", "auc", "auc_ci", "auprc", "brier", "calibration_slope", "calibration_intercept", "ece",
    "permutation_p", "baselines", "strata", "verdict", "verdict_text",
}  # fmt: skip


def study(n: int = 160, seed: int = 0, repeats: int = 3, image: float = 1.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], n // 2))
    site = np.array(["A", "B", "C", "D"])[np.arange(n) % 4]
    base = pd.DataFrame(
        {"case": [f"c{i:03d}" for i in range(n)], "patient": [f"p{i:03d}" for i in range(n)], "site": site, "target": "idh", "y_true": y,
         "split": [f"site={name}" for name in site], "model": "logistic", "age": 55 - 6 * y + rng.normal(0, 10, n), "sex": rng.choice(["F", "M"], n),
         "grade": rng.integers(2, 5, n)}
    )  # fmt: skip
    logit = image * (2 * y - 1) + rng.normal(size=n)
    return pd.concat(
        [base.assign(repeat=r, y_prob=1 / (1 + np.exp(-(logit + 0.2 * rng.normal(size=n))))) for r in range(repeats)],
        ignore_index=True,
    )


def test_every_promised_key_and_plain_numbers(tmp_path: Path) -> None:
    table = study()
    evaluation = evaluate_predictions(table, None, QUICK)
    found = evaluation.metrics
    assert set(found) >= PROMISED
    mean = table.groupby("case")["y_prob"].mean()
    y = table.drop_duplicates("case").set_index("case")["y_true"]
    assert found["auc"] == pytest.approx(roc_auc_score(y, mean))
    assert found["auprc"] == pytest.approx(average_precision_score(y, mean))
    assert found["brier"] == pytest.approx(((mean - y) ** 2).mean())
    assert (found["n"], found["n_patients"], found["n_positive"], found["n_sites"]) == (160, 160, 80, 4)
    assert found["split"] == "site-held-out"
    assert found["verdict"] == "beats-baselines"
    assert len(found["auc_by_repeat"]) == 3
    assert 0 < found["auc_sd_over_repeats"] < 0.02
    assert [row["name"] for row in found["baselines"]] == [
        "age", "sex", "age+sex", "grade", "site", "all clinical", "all together",
    ]  # fmt: skip
    assert set(found["baselines"][0]) >= {"name", "n", "auc", "auc_ci", "delta", "delta_ci", "delong_p", "how"}
    assert set(found["strata"][0]) >= {"stratum", "value", "n", "n_positive", "auc", "auc_ci"}
    write_json(tmp_path / "metrics.json", found)
    assert json.loads((tmp_path / "metrics.json").read_text())["auc"] == found["auc"]


def test_scores_give_the_same_curves() -> None:
    evaluation = evaluate_predictions(study(), None, QUICK)
    scores = evaluation.scores
    assert list(scores.columns[:4]) == ["patient", "site", "y_true", "y_prob"]
    assert scores.index.name == "case"
    assert "grade" in scores.columns
    for row in evaluation.metrics["baselines"]:
        assert row["auc"] == pytest.approx(roc_auc_score(scores["y_true"], scores[f"baseline:{row['name']}"]))


def test_same_seed_same_metrics_whatever_the_row_order() -> None:
    table = study()
    first = evaluate_predictions(table, None, QUICK).metrics
    shuffled = evaluate_predictions(table.sample(frac=1, random_state=3), None, QUICK).metrics
    assert first == shuffled
    other = evaluate_predictions(table, None, QUICK.model_copy(update={"seed": 1})).metrics
    assert other["auc"] == first["auc"]
    assert other["auc_ci"] != first["auc_ci"]


def test_one_more_baseline_does_not_move_the_models_interval() -> None:
    with_age = evaluate_predictions(study(), None, QUICK).metrics
    without = evaluate_predictions(study().drop(columns=["age", "sex", "grade"]), None, QUICK).metrics
    assert with_age["auc_ci"] == without["auc_ci"]
    assert with_age["permutation_p"] == without["permutation_p"]


def test_clinical_table_is_joined_and_noise_is_called_noise() -> None:
    table = study(image=0.0).drop(columns=["age", "sex", "grade"])
    clinical = pd.DataFrame({"ID": table["patient"].unique(), "Age": np.linspace(20, 80, 160)})
    found = evaluate_predictions(table, clinical, QUICK).metrics
    assert found["verdict"] == "no-better-than-chance"
    assert [row["name"] for row in found["baselines"]] == ["age", "site", "all together"]


def test_nothing_to_race_against_is_said() -> None:
    table = study().drop(columns=["age", "sex", "grade", "site", "split"])
    found = evaluate_predictions(table, None, QUICK).metrics
    assert (found["verdict"], found["baselines"], found["split"]) == ("undetermined", [], "unknown")
    assert "no clinical fact or site to race against" in found["verdict_text"]


def test_ranks_have_no_calibration() -> None:
    table = study(repeats=1)
    table["y_prob"] = 1000 * table["y_prob"] - 300
    found = evaluate_predictions(table, None, QUICK).metrics
    assert found["brier"] is None
    assert found["sensitivity"] is None
    assert found["auc"] == pytest.approx(roc_auc_score(table["y_true"], table["y_prob"]))
    assert any("only its order is used" in note for note in found["notes"])


def test_a_score_that_points_the_wrong_way_is_noted() -> None:
    table = study()
    found = evaluate_predictions(table.assign(y_prob=1 - table["y_prob"]), None, QUICK).metrics
    assert found["verdict"] == "no-better-than-chance"
    assert any("wrong way" in note for note in found["notes"])


def test_baselines_known_for_few_cases_do_not_count() -> None:
    table = study(repeats=1)
    table.loc[12:, "age"] = np.nan
    found = evaluate_predictions(table.drop(columns=["sex", "grade"]), None, QUICK).metrics
    age = next(row for row in found["baselines"] if row["name"] == "age")
    assert (age["n"], age["counts"]) == (12, False)
    assert any("Baseline age is known for too few" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "site-held-out"),
        ({"split": [f"fold{i % 5}" for i in range(160)] * 3}, "grouped-kfold"),
        ({"split": "test"}, "external"),
        ({"split": "all"}, "unknown"),
        ({"split": ""}, "unknown"),
        ({"site": "A"}, "grouped-kfold"),
        ({"split": ["a", ""] * 240}, "unknown"),
    ],
)
def test_how_cases_were_held_out(changes: dict[str, object], expected: str) -> None:
    assert split_scheme(check_predictions(study().assign(**changes)))[0] == expected


def test_a_patient_on_both_sides_is_called_leakage() -> None:
    table = study(repeats=1).assign(
        patient=[f"p{i // 2}" for i in range(160)], split=[f"fold{i % 5}" for i in range(160)]
    )
    scheme, notes = split_scheme(check_predictions(table))
    assert scheme == "unknown"
    assert notes[0].startswith("LEAKAGE: 80 patient(s)")
    assert notes[0] in evaluate_predictions(table, None, QUICK).metrics["notes"]


def test_extra_strata() -> None:
    settings = QUICK.model_copy(update={"strata": ("age", "sex")})
    found = evaluate_predictions(study(), None, settings).metrics
    assert [row["stratum"] for row in found["strata"]] == ["grade"] * 3 + ["site"] * 4 + ["age"] * 2 + ["sex"] * 2
    with pytest.raises(CohortError, match="No column 'coil'"):
        evaluate_predictions(study(), None, QUICK.model_copy(update={"strata": ("coil",)}))


@pytest.mark.real_data
def test_ps_net_idh(shared_data: Path) -> None:
    """The published PS-Net test predictions: a headline AUC that the collection and the grade explain."""
    table = read_predictions(shared_data / "tables" / "ps-net" / "test_predictions.csv", target="idh")
    evaluation = evaluate_predictions(table)
    found = evaluation.metrics
    assert (found["n"], found["n_positive"], found["n_sites"]) == (217, 88, 2)
    assert found["auc"] == pytest.approx(0.896, abs=0.0005)
    assert found["auc_ci"] == pytest.approx([0.846, 0.935], abs=0.005)
    baselines = {row["name"]: row for row in found["baselines"]}
    assert baselines["site"]["auc"] == pytest.approx(0.886, abs=0.0005)
    assert baselines["grade"]["auc"] == pytest.approx(0.907, abs=0.0005)
    strata = {(row["stratum"], row["value"]): row for row in found["strata"]}
    assert strata["grade", "3"]["auc"] == pytest.approx(0.752, abs=0.0005)
    assert strata["grade", "3"]["n"] == 59
    assert found["verdict"] == "no-better-than-baselines"
    assert "grade alone, reaches 0.907" in found["verdict_text"]
    assert "within grade 3 the AUC falls to 0.752" in found["verdict_text"]
    assert "idh" not in evaluation.scores.columns


@pytest.mark.real_data
@pytest.mark.parametrize(("target", "n"), [("codeletion", 233), ("grade", 238)])
def test_ps_net_other_targets(shared_data: Path, target: str, n: int) -> None:
    table = read_predictions(shared_data / "tables" / "ps-net" / "test_predictions.csv", target=target)
    found = evaluate_predictions(table, None, QUICK).metrics
    assert found["n"] == n
    assert target not in [row["name"] for row in found["baselines"]]
    assert found["verdict"] == "no-better-than-baselines"


@pytest.mark.benchmark
def test_25000_rows_take_seconds() -> None:
    table = study(25_000, repeats=1)
    start = time.perf_counter()
    evaluate_predictions(table)
    assert time.perf_counter() - start < 60
