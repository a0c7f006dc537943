from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from radiogen.cohort.nifti import read_labels
from radiogen.cohort.table import read_cohort
from radiogen.config.folds import FoldsSettings
from radiogen.config.postprocess import PostprocessSettings
from radiogen.errors import ConfigError
from radiogen.pipeline.clusters import fit_clusters
from radiogen.pipeline.tune_apply import run_tune_apply
from radiogen.pipeline.tune_inputs import predicted_radiomics, probability_files
from radiogen.run.atomic import write_json
from tests.pipeline.test_tune import AFFINE, write_cases
from tests.segment.tuning_data import BEST, made_up

RULES = {"thresholds": BEST, "components": {"wt": {"smallest_ml": 0.01}}}


def test_the_right_rules_give_the_reference_back_on_the_grid_of_the_images(tmp_path: Path) -> None:
    cohort = read_cohort(write_cases(tmp_path, 2))
    write_json(tmp_path / "postprocess.json", RULES)
    table, failures = run_tune_apply(tmp_path, cohort, tmp_path / "postprocess.json", tmp_path / "out")
    assert not failures
    assert table.index.tolist() == ["case0", "case1"]
    for case in table.index:
        path = tmp_path / "out" / "masks" / f"{case}.nii.gz"
        labels, _ = read_labels(path)
        assert (labels != made_up(int(case[-1]))[1]).mean() < 1e-3
        assert np.array_equal(nib.load(path).affine, AFFINE)
        facts = json.loads((tmp_path / "out" / "masks" / f"{case}.json").read_text())
        assert facts["settings"]["rules"]["thresholds"] == BEST
        assert facts["wt_ml"] == pytest.approx(table.loc[case, "wt_ml"])


def test_each_case_gets_the_rules_of_its_cluster(tmp_path: Path) -> None:
    cohort = read_cohort(write_cases(tmp_path, 6))
    start = PostprocessSettings.parse(RULES)
    measured = FoldsSettings(sequences=("t1c",), clusters=2)
    files = probability_files(tmp_path)
    features, failures = predicted_radiomics(cohort, files, start, tmp_path / "first", measured)
    assert not failures
    model = fit_clusters(features, measured)
    rules = {**RULES, "clusters": {"1": {"small_et": {"least_ml": 10}}}}
    write_json(tmp_path / "postprocess.json", rules)
    with pytest.raises(ConfigError, match=r"no clusters\.json beside them"):
        run_tune_apply(tmp_path, cohort, tmp_path / "postprocess.json", tmp_path / "out")
    stored = {"model": model.model_dump(mode="json"), "whole_tumour_rules": RULES, "sequences": ["t1c"]}
    write_json(tmp_path / "clusters.json", stored)
    table, _ = run_tune_apply(tmp_path, cohort, tmp_path / "postprocess.json", tmp_path / "out")
    assert table["cluster"].equals(model.predict(features).reindex(table.index))
    assert set(table["cluster"]) == {0, 1}
    assert (table.loc[table["cluster"] == 1, "et_ml"] == 0).all()
    assert (table.loc[table["cluster"] == 0, "et_ml"] > 0).all()


def test_probabilities_of_another_grid_are_refused_by_name(tmp_path: Path) -> None:
    cohort = read_cohort(write_cases(tmp_path, 2))
    save_file({"wt": np.ones((3, 3, 3), dtype=np.float16)}, tmp_path / "probabilities" / "case1.safetensors")
    write_json(tmp_path / "postprocess.json", {})
    table, failures = run_tune_apply(tmp_path, cohort, tmp_path / "postprocess.json", tmp_path / "out")
    assert table.index.tolist() == ["case0"]
    assert failures[0].case == "case1"
    assert "(3, 3, 3)" in failures[0].cause
    assert not (tmp_path / "out" / "masks" / "case1.nii.gz").exists()
    assert pd.read_csv(tmp_path / "out" / "failed.csv")["case"].tolist() == ["case1"]
