"""What stands beside the cross-validation: the random split, the permutation test, frozen splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.twins import TWIN_COLUMNS, join_twins
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import InputError
from radiogen.fusion.frozen import read_splits, scheme_of
from radiogen.fusion.join import fusion_table
from radiogen.fusion.nested import cross_validate
from radiogen.pipeline.classify import run_classify
from radiogen.pipeline.classify_checks import random_split
from tests.fusion.data import FAST, made_up

QUICK = EvaluateSettings(bootstrap_resamples=200, permutations=199)


def test_a_random_split_is_optimistic_where_features_name_the_site() -> None:
    # Sites differ in prevalence and in one feature, which so predicts the label of patients of known sites, and nothing about a new one.
    features, cohort = made_up(90, noise=4, strength=0.0, sites="ABC")
    rng = np.random.default_rng(1)
    share = cohort["site"].map({"A": 0.2, "B": 0.8, "C": 0.5})
    cohort["idh"] = (rng.random(90) < share).astype(float)
    features["radiomics"]["signal"] = cohort["site"].map({"A": 0.0, "B": 3.0, "C": 1.0}) + rng.normal(0, 0.1, 90)
    table = fusion_table({"radiomics": features["radiomics"]}, cohort, "idh")
    held_out = cross_validate(table, FAST)
    found = random_split(table, FAST, held_out, QUICK)
    assert found is not None
    assert found["auc"] > 0.6
    assert found["optimism"] > 0.1
    assert found["optimism_ci"][0] < found["optimism"] < found["optimism_ci"][1]
    assert f"optimistic by +{found['optimism']:.3f}" in found["text"]
    assert random_split(table, FAST.model_copy(update={"random_split": False}), held_out, QUICK) is None


def test_the_permutation_test_is_in_the_metrics(tmp_path: Path) -> None:
    features, cohort = made_up(36, noise=2, strength=2.0)
    settings = FAST.model_copy(
        update={"permutations_refit": 9, "permutation_method": "fast", "folds": 2, "inner_folds": 2}
    )
    run_classify(features, cohort, "idh", tmp_path, settings, evaluate=QUICK)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert len(metrics["permutation_fast_aucs"]) == 9
    assert metrics["permutation_fast_p"] == pytest.approx(0.1)
    assert "permutation_refit_p" not in metrics
    assert not list(tmp_path.glob("permutations*"))


def test_the_exact_p_is_the_verdicts(tmp_path: Path) -> None:
    features, cohort = made_up(48, noise=2, strength=4.0)
    settings = FAST.model_copy(update={"permutations_refit": 2, "folds": 2, "inner_folds": 2})
    metrics = run_classify(features, cohort, "idh", tmp_path, settings, evaluate=QUICK)
    assert metrics["permutation_refit_p"] == pytest.approx(1 / 3)
    assert metrics["permutation_p"] < 0.05
    assert metrics["verdict"] == "undetermined"  # two permutations cannot show more
    assert "0.33" in metrics["verdict_text"]


def folds_file(path: Path, cohort: pd.DataFrame, folds: int = 3) -> Path:
    pd.DataFrame({"case": cohort.index, "fold": np.arange(len(cohort)) // 2 % folds}).to_csv(path, index=False)
    return path


def test_frozen_splits_are_used(tmp_path: Path) -> None:
    features, cohort = made_up(36, noise=4, sites="ABC")
    table = fusion_table(features, cohort, "idh")
    path = folds_file(tmp_path / "folds.csv", cohort)
    result = cross_validate(table, FAST, splits=read_splits(path, table))
    assert result.scheme == "grouped-kfold"
    assert result.predictions["split"].tolist() == [f"fold{at // 2 % 3}" for at in range(36)]
    val = {number: [case for at, case in enumerate(cohort.index) if at // 2 % 3 == number] for number in range(3)}
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": [], "val": cases} for cases in val.values()]))
    same = read_splits(tmp_path / "splits_final.json", table)
    assert [split.test.tolist() for split in same] == [split.test.tolist() for split in read_splits(path, table)]
    of_sites = tmp_path / "sites.csv"
    pd.DataFrame({"case": cohort.index, "split": cohort["site"]}).to_csv(of_sites, index=False)
    assert scheme_of(read_splits(of_sites, table), table.cohort["site"]) == "site-held-out"


def test_splits_with_a_patient_on_both_sides_are_refused(tmp_path: Path) -> None:
    features, cohort = made_up(36, noise=4)
    path = folds_file(tmp_path / "folds.csv", cohort)
    # Cases 0 and 2 are twins: one brain under two names. `radiogen preprocess` gives them one patient id.
    twins = pd.DataFrame([("case-000", "case-002", 0.1, False)], columns=TWIN_COLUMNS)
    joined = join_twins(cohort, twins)
    with pytest.raises(InputError, match=r"in training and test at once: patient\(s\) case-000"):
        read_splits(path, fusion_table(features, joined, "idh"))
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)
    with pytest.raises(InputError, match="case-000 in no fold"):
        read_splits(path, fusion_table(features, cohort, "idh"))
    path.write_text("case,group\na,1\n")
    with pytest.raises(InputError, match="no column fold"):
        read_splits(path, fusion_table(features, cohort, "idh"))


def test_twins_never_straddle_drawn_splits() -> None:
    features, cohort = made_up(36, noise=4)
    pairs = [(f"case-{at:03d}", f"case-{at + 18:03d}", 0.1, False) for at in range(0, 18, 3)]
    joined = join_twins(cohort, pd.DataFrame(pairs, columns=TWIN_COLUMNS))
    predictions = cross_validate(fusion_table(features, joined, "idh"), FAST).predictions.set_index("case")
    assert all(predictions.loc[a, "split"] == predictions.loc[b, "split"] for a, b, *_ in pairs)
