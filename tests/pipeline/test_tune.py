from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter

from radiogen.config.folds import FoldsSettings
from radiogen.config.postprocess import PostprocessSettings
from radiogen.config.tune import TuneSettings
from radiogen.errors import InputError
from radiogen.pipeline.clusters import ClusterModel
from radiogen.pipeline.tune import run_tune
from tests.conftest import save_nifti
from tests.segment.tuning_data import BEST, SHAPE, made_up

AFFINE = np.diag([-1.0, 1.0, 1.0, 1.0])
"""The file's first axis runs to the left, the probabilities' to the right."""

SETTINGS = TuneSettings(
    method="grid", n_folds=2, tune=("thresholds", "components"),
    threshold_grid=(0.35, 0.5, 0.65, 0.75), component_ml_grid=(0.0, 0.01),
)  # fmt: skip


def write_cases(folder: Path, n: int = 4) -> Path:
    """Write probabilities, references and one sequence of made-up cases; return the cohort table."""
    rows = []
    (folder / "probabilities").mkdir(parents=True, exist_ok=True)
    for seed in range(n):
        p, reference = made_up(seed)
        save_file(
            {name: np.ascontiguousarray(values).astype(np.float16) for name, values in p.items()},
            folder / "probabilities" / f"case{seed}.safetensors",
        )
        noise = gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 1)
        image = (300 + 200 * noise + 60 * reference * (1 + seed % 2)).clip(1).astype(np.float32)
        save_nifti(folder / "refs" / f"case{seed}_seg.nii.gz", reference[::-1].copy(), AFFINE)
        save_nifti(folder / "images" / f"case{seed}.nii.gz", image[::-1].copy(), AFFINE)
        rows.append(
            {
                "case": f"case{seed}",
                "patient": f"p{seed}",
                "t1c": f"images/case{seed}.nii.gz",
                "mask": f"refs/case{seed}_seg.nii.gz",
            }
        )
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return folder / "cohort.csv"


def test_tuned_rules_are_found_written_and_scored_out_of_fold(tmp_path: Path) -> None:
    cohort = write_cases(tmp_path)
    outcome = run_tune(tmp_path, cohort, tmp_path / "out", SETTINGS)
    assert outcome.variant == "tuned"
    rules = PostprocessSettings.read(tmp_path / "out" / "postprocess.json")
    assert rules == outcome.chosen
    assert rules.thresholds == BEST
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert list(scores.columns) == ["case", "fold", "region", "untuned", "tuned"]
    assert len(scores) == 12
    summary = json.loads((tmp_path / "out" / "tuning.json").read_text())
    wt = summary["out_of_fold"]["regions"]["wt"]
    assert wt["tuned"] == pytest.approx(scores[scores["region"] == "wt"]["tuned"].mean(), abs=1e-5)
    assert wt["tuned_difference"]["ci"][0] <= wt["tuned_difference"]["mean"] <= wt["tuned_difference"]["ci"][1]
    assert wt["tuned_difference"]["n_better"] == 4
    assert set(summary["values_by_fold"]) == {"0", "1"}
    assert (tmp_path / "out" / "tuning.png").read_bytes()[:4] == b"\x89PNG"


def test_a_folder_of_references_does_as_well_and_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    write_cases(tmp_path)
    tpe = SETTINGS.model_copy(update={"method": "tpe", "trials": 12, "metric": "lesion-dice"})
    for out in ("a", "b"):
        run_tune(tmp_path / "probabilities", tmp_path / "refs", tmp_path / out, tpe)
    for name in ("postprocess.json", "scores.csv", "tuning.json", "tuning.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_where_tuning_does_not_help_the_start_is_written(tmp_path: Path) -> None:
    cohort = write_cases(tmp_path)
    start = PostprocessSettings.parse({"thresholds": BEST, "components": {"wt": {"smallest_ml": 0.01}}})
    outcome = run_tune(tmp_path, cohort, tmp_path / "out", SETTINGS.model_copy(update={"start": start}))
    assert outcome.variant == "untuned"
    assert outcome.chosen == start
    assert "does not help" in outcome.summary["words"]


def test_rules_per_cluster_come_with_the_clusters_of_predicted_tumours(tmp_path: Path) -> None:
    cohort = write_cases(tmp_path, 6)
    clustering = FoldsSettings(sequences=("t1c",), clusters=2, n_folds=2)
    changes = {"per_cluster": True, "clustering": clustering, "least_cluster_cases": 2, "tune": ("thresholds",)}
    outcome = run_tune(tmp_path, cohort, tmp_path / "out", SETTINGS.model_copy(update=changes))
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert "clustered" in scores.columns
    assert len(list((tmp_path / "out" / "predicted").glob("*.nii.gz"))) == 6
    assert (tmp_path / "out" / "clusters.json").is_file() == (outcome.variant == "clustered")
    if outcome.variant == "clustered":
        assert len(ClusterModel.load(tmp_path / "out" / "clusters.json").centres) == 2
    with pytest.raises(InputError, match="cohort table"):
        run_tune(tmp_path, tmp_path / "refs", tmp_path / "out", SETTINGS.model_copy(update=changes))


def test_folds_of_the_table_are_kept_and_training_cases_left_out(tmp_path: Path) -> None:
    cohort = write_cases(tmp_path)
    table = pd.read_csv(cohort).assign(fold=[1, 0, 1, -1])
    table.to_csv(cohort, index=False)
    run_tune(tmp_path, cohort, tmp_path / "out", SETTINGS.model_copy(update={"tune": ("thresholds",)}))
    scores = pd.read_csv(tmp_path / "out" / "scores.csv").drop_duplicates("case").set_index("case")
    assert scores["fold"].to_dict() == {"case0": 1, "case1": 0, "case2": 1}


def test_cases_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    cohort = write_cases(tmp_path)
    (tmp_path / "probabilities" / "case0.safetensors").write_bytes(b"nothing")
    save_file({"wt": np.zeros((3, 3, 3), dtype=np.float16)}, tmp_path / "probabilities" / "case1.safetensors")
    outcome = run_tune(tmp_path, cohort, tmp_path / "out", SETTINGS.model_copy(update={"tune": ("thresholds",)}))
    causes = {failure.case: failure.cause for failure in outcome.failures}
    assert "cannot be read" in causes["case0"]
    assert "do not fit" in causes["case1"]
    with pytest.raises(InputError, match="holds no probabilities"):
        run_tune(tmp_path / "refs", cohort, tmp_path / "out", SETTINGS)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="has a reference in"):
        run_tune(tmp_path, tmp_path / "none", tmp_path / "out", SETTINGS)
