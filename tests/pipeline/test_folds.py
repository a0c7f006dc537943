from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.cohort.table import read_cohort
from radiogen.config.folds import FoldsSettings
from radiogen.errors import InputError
from radiogen.pipeline.clusters import ClusterModel
from radiogen.pipeline.folds import deal_folds, nnunet_splits, run_folds
from radiogen.segment.train_folds import assign_folds
from tests.branches.cases import cohort, labels, write_case

SETTINGS = FoldsSettings(n_folds=2, sequences=("t1c",))


@settings(deadline=None, max_examples=40)
@given(st.integers(5, 60), st.integers(2, 5), st.integers(1, 4), st.integers(0, 99))
def test_every_fold_gets_an_equal_share_of_every_cluster(n: int, n_folds: int, n_clusters: int, seed: int) -> None:
    cases = [f"c{i}" for i in range(n)]
    cluster = pd.Series(np.random.default_rng(seed).integers(0, n_clusters, n), cases)
    fold = deal_folds(pd.Series(cases, cases), cluster, n_folds, seed=seed)
    counts = pd.crosstab(cluster, fold).reindex(columns=range(n_folds), fill_value=0)
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1
    assert counts.sum().max() - counts.sum().min() <= 1


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=6, max_size=40), st.integers(2, 4), st.integers(0, 99))
def test_patients_stay_together_and_the_order_of_rows_does_not_matter(
    people: list[int], n_folds: int, seed: int
) -> None:
    cases = [f"c{i:02d}" for i in range(len(people))]
    patient = pd.Series([f"p{number}" for number in people], cases)
    cluster = pd.Series(np.random.default_rng(seed).integers(0, 3, len(people)), cases)
    fold = deal_folds(patient, cluster, n_folds, seed=seed)
    assert fold.groupby(patient).nunique().eq(1).all()
    turned = deal_folds(patient[::-1], cluster[::-1], n_folds, seed=seed)
    assert turned.sort_index().equals(fold.sort_index())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=30))
def test_the_splits_of_nnunet_hold_every_case_once(folds: list[int]) -> None:
    fold = pd.Series(folds, index=[f"c{i}" for i in range(len(folds))])
    splits = nnunet_splits(fold)
    assert sorted(case for split in splits for case in split["val"]) == sorted(fold.index)
    assert all(set(split["train"]) == set(fold.index) - set(split["val"]) for split in splits)


def small_cohort(folder: Path, n: int = 6) -> pd.DataFrame:
    """Half of the cases have a large tumour, half a small one."""
    rows = []
    for seed in range(n):
        mask = labels()
        if seed % 2:
            mask[:, :, :9] = 0
            mask[:12] = 0
        rows.append(write_case(folder, f"case{seed}", seed=seed, mask=mask, without=("t1n", "t2w", "t2f")))
    return cohort(folder, rows)


def test_a_cohort_is_dealt_and_everything_is_written(tmp_path: Path) -> None:
    table = small_cohort(tmp_path)
    out = tmp_path / "folds"
    found = run_folds(table, out, SETTINGS)
    assert not found.failures
    assert len(found.model.centres) == 2
    assert found.table.groupby(["cluster", "fold"]).size().isin([1, 2]).all()
    written = pd.read_csv(out / "folds.csv")
    assert list(written.columns) == ["case", "patient", "cluster", "fold"]
    facts = json.loads((out / "folds.json").read_text())
    assert facts["n_clusters"] == 2
    assert len(ClusterModel.load(out / "folds.json").centres) == 2
    assert [len(split["val"]) for split in json.loads((out / "splits_final.json").read_text())] == [3, 3]
    assert (out / "folds.png").read_bytes()[:4] == b"\x89PNG"
    again = assign_folds(read_cohort(out / "cohort.csv"), {}, 2, seed=9)
    assert again.tolist() == found.table["fold"].tolist()
    before = (out / "folds.json").read_bytes()
    run_folds(table, out, SETTINGS)
    assert (out / "folds.json").read_bytes() == before


def test_a_case_without_a_mask_is_left_out_and_named(tmp_path: Path) -> None:
    rows = [write_case(tmp_path, f"case{seed}", seed=seed, without=("t1n", "t2w", "t2f")) for seed in range(3)]
    rows.append(write_case(tmp_path, "bare", seed=4, without=("t1n", "t2w", "t2f", "mask")))
    table = cohort(tmp_path, rows)
    found = run_folds(table, tmp_path / "out", SETTINGS)
    assert [failure.case for failure in found.failures] == ["bare"]
    assert "bare" not in found.table.index
    assert pd.read_csv(tmp_path / "out" / "failed.csv")["case"].tolist() == ["bare"]
    with pytest.raises(InputError, match="3 patients cannot make 4 folds"):
        run_folds(table, tmp_path / "out", FoldsSettings(n_folds=4, sequences=("t1c",)))
    with pytest.raises(InputError, match="No case has radiomics"):
        run_folds(table.loc[["bare"]], tmp_path / "out", SETTINGS)
