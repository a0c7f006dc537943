"""Preparation inside the fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.config.classify import ClassifySettings
from radiogen.fusion.prepare import (
    BestColumns,
    ClippedScaler,
    CorrelationPruning,
    MedianImputer,
    SparseColumns,
    UsableColumns,
    preparation,
)
from tests.fusion.data import bare_context


def names(n: int) -> np.ndarray:
    return np.array([f"f{i}" for i in range(n)], dtype=object)


def test_empty_and_constant_columns_go() -> None:
    X = np.array([[1.0, np.nan, 2.0, np.nan, 1.0], [1.0, np.nan, 3.0, 4.0, np.nan]])
    columns = UsableColumns().fit(X)
    assert columns.get_feature_names_out(names(5)).tolist() == ["f2"]


def test_columns_missing_together_share_one_indicator() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 6))
    X[:5, 1:4] = np.nan
    X[3:9, 5] = np.nan
    imputer = MedianImputer().fit(X)
    out = imputer.transform(X)
    assert imputer.get_feature_names_out(names(6)).tolist()[6:] == ["missing:f5", "missing:f1"]
    assert not np.isnan(out).any()
    assert out[0, 1] == np.median(X[5:, 1])
    assert out[:, 7].tolist() == [1.0] * 5 + [0.0] * 15


def test_new_rows_are_filled_with_the_training_median() -> None:
    imputer = MedianImputer().fit(np.array([[1.0], [2.0], [9.0]]))
    assert imputer.transform(np.array([[np.nan], [100.0]])).tolist() == [[2.0], [100.0]]


def test_one_monstrous_value_is_clipped() -> None:
    X = np.random.default_rng(0).normal(size=(100, 1))
    X[0] = 1e12
    out = ClippedScaler(5.0).fit_transform(X)
    assert out.max() < 6
    assert abs(out.mean()) < 1e-9
    assert out.std() == pytest.approx(1)


def test_a_spiky_column_is_still_scaled() -> None:
    X = np.zeros((50, 1))
    X[:3] = 1.0
    out = ClippedScaler().fit_transform(X)
    assert np.isfinite(out).all()
    assert len(np.unique(out)) == 2


def test_correlated_columns_leave_one_across_chunks() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, 3))
    X = np.hstack([base, *[base + 0.01 * rng.normal(size=(40, 3)) for _ in range(400)]])
    assert CorrelationPruning(0.95).fit(X).kept_.tolist() == [0, 1, 2]
    assert len(CorrelationPruning(1.0).fit(X).kept_) == X.shape[1]


def test_supervised_selection_finds_the_signal() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 30))
    X[:, 7] += 3 * y
    assert 7 in BestColumns(3).fit(X, y).kept_
    assert len(BestColumns(3).fit(X, y).kept_) == 3
    assert len(BestColumns(99).fit(X, y).kept_) == 30
    kept = SparseColumns().fit(X, y)
    assert 7 in kept.kept_
    assert len(kept.kept_) < 30
    assert kept.transform(X).shape[1] == len(kept.get_feature_names_out(names(30)))


def test_l1_keeps_everything_rather_than_nothing() -> None:
    X = np.random.default_rng(0).normal(size=(20, 4))
    assert len(SparseColumns(strength=2.0).fit(X, np.arange(20) % 2).kept_) == 4


@pytest.mark.parametrize(
    "selection", ["none", "correlation", "univariate", "l1", "correlation-clusters,mrmr", "stability", "boruta"]
)
def test_names_follow_the_columns(selection: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 10))
    X[:10, 3] = np.nan
    X[:, 5] = 1.0
    steps = preparation(ClassifySettings(selection=selection, max_columns=4))
    out = steps.fit_transform(X, np.arange(40) % 2, bare_context(pd.DataFrame(X, columns=names(10))))
    labels = steps.get_feature_names_out(names(10))
    assert out.shape == (40, len(labels))
    assert "f5" not in labels
