"""Several markers at once: unknown labels contribute nothing, shared signal helps the marker with few labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from radiogen.config.multitask import MultiTaskSettings
from radiogen.errors import ConfigError
from radiogen.fusion.multitask import MultiTaskClassifier, _learn, dealt_folds, masked_loss
from radiogen.stats.auc import auc

QUICK = {"epochs": (5, 40), "members": 2, "hidden": 4, "learning_rate": 0.05, "weight_decay": 0.1}


def made_up(n: int = 80, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, (n, 2)).astype(float)
    X = pd.DataFrame(rng.normal(size=(n, 6))).add_prefix("f")
    X["f0"] += 2 * y[:, 0]
    X["f1"] += 2 * y[:, 1]
    return X, y, np.array([f"p{row}" for row in range(n)], dtype=object)


def test_unknown_labels_have_no_gradient() -> None:
    odds = torch.randn(5, 2, requires_grad=True, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    labels = torch.ones(5, 2)
    masked_loss(odds, labels, known).backward()
    assert torch.equal(odds.grad == 0, known == 0)
    first = masked_loss(odds, labels, known)
    assert torch.equal(
        first, masked_loss(odds, labels * known, known)
    )  # whatever stands in the place of an unknown label


def test_a_row_without_any_label_changes_no_weight() -> None:
    X, y, _ = made_up(40)
    y[30:] = np.nan
    network = MultiTaskSettings(epochs=(5,), members=1, hidden=4, dropout=0.0)
    values = X.to_numpy()
    whole, part = (_learn(values[rows], y[rows], network, 5, 0)[0] for rows in (slice(None), slice(0, 30)))
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_each_marker_is_learned_from_the_rows_that_know_it() -> None:
    X, y, patient = made_up(160)
    partial = y.copy()
    partial[:50, 0] = np.nan
    partial[50:100, 1] = np.nan
    model = MultiTaskClassifier(network=QUICK).fit(X[:120], partial[:120], patient[:120])
    found = model.predict_proba(X[120:])
    assert found.shape == (40, 2)
    for marker in (0, 1):
        assert auc(y[120:, marker].astype(np.int64), found[:, marker]) > 0.8
    assert model.inner_probability_.shape == (120, 2)
    assert model.epochs_ in (5, 40)


def test_test_rows_do_not_reach_the_fit_and_seeds_decide() -> None:
    X, y, patient = made_up(40)
    one, two = (MultiTaskClassifier(network=QUICK, seed=1).fit(X, y, patient).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = MultiTaskClassifier(network=QUICK, seed=2).fit(X, y, patient).predict_proba(X)
    assert not np.array_equal(one, other)


def test_folds_keep_patients_and_spread_labels() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((90, 3)) < 0.3, np.nan, rng.integers(0, 2, (90, 3)).astype(float))
    patient = np.array([f"p{row // 2}" for row in range(90)])
    folds = dealt_folds(patient, labels, 3, seed=0)
    assert sorted(np.concatenate(folds)) == list(range(90))
    assert not set(patient[folds[0]]) & set(patient[folds[1]])
    positive = [int(np.nansum(labels[rows, 0])) for rows in folds]
    assert max(positive) - min(positive) <= 8


def test_selection_by_one_label_is_refused() -> None:
    X, y, patient = made_up(20)
    with pytest.raises(ConfigError, match="there are 2 markers"):
        MultiTaskClassifier({"selection": ("mrmr",)}).fit(X, y, patient)
