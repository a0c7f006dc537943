"""Selectors: each finds what was planted, and looks at nothing but the rows it was given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from radiogen.config.classify import ClassifySettings
from radiogen.errors import ConfigError
from radiogen.fusion.select import Boruta, CorrelationClusters, Mrmr, StabilitySelection, StableColumns, by_family
from tests.fusion.data import bare_context, perturbed_table


def planted(n: int = 80, p: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Columns 3 and 4 follow the label, 10 and 11 are near copies of 3."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.normal(size=(n, p))
    X[:, 3] += 2.0 * y
    X[:, 4] += 2.0 * y
    X[:, 10:12] = X[:, [3, 3]] + 0.05 * rng.normal(size=(n, 2))
    return X, y


def test_clusters_leave_one_of_each_and_do_not_ask_the_label() -> None:
    X, y = planted()
    kept = CorrelationClusters(0.9).fit(X, y).kept_
    assert len(kept) == 58
    assert len(set(kept) & {3, 10, 11}) == 1
    np.testing.assert_array_equal(kept, CorrelationClusters(0.9).fit(X, 1 - y).kept_)


def test_clusters_see_monotone_copies() -> None:
    X, _ = planted(p=12)
    X = np.hstack([X[:, :3], np.exp(3 * X[:, :3])])
    assert len(CorrelationClusters(0.95).fit(X).kept_) == 3


def test_many_columns_are_thinned_before_they_are_clustered() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(30, 50))
    X = np.hstack([base + 1e-3 * rng.normal(size=base.shape) for _ in range(90)])
    assert CorrelationClusters(0.95).fit(X).kept_.tolist() == list(range(50))


def test_mrmr_takes_both_signals_before_the_copies() -> None:
    X, y = planted()
    kept = set(Mrmr(2).fit(X, y).kept_)
    assert 4 in kept
    assert len(kept & {3, 10, 11}) == 1
    assert len(Mrmr(200).fit(X, y).kept_) == X.shape[1]


def test_stability_selection_keeps_the_signal_and_little_else() -> None:
    X, y = planted()
    X = np.delete(X, [10, 11], axis=1)
    fitted = StabilitySelection(seed=1).fit(X, y)
    assert {3, 4} <= set(fitted.kept_)
    assert len(fitted.kept_) <= 4  # the bound on false ones is 1 in expectation
    np.testing.assert_array_equal(fitted.kept_, StabilitySelection(seed=1).fit(X, y).kept_)


def test_stability_selection_keeps_few_columns_of_noise() -> None:
    counts = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        counts.append(len(StabilitySelection(seed=seed).fit(rng.normal(size=(60, 200)), np.arange(60) % 2).kept_))
    assert np.mean(counts) <= 1.5  # at least one is always kept; theorem: at most 1 false one on average


def test_boruta_keeps_copies_too() -> None:
    X, y = planted()
    kept = set(Boruta(seed=0).fit(X, y).kept_)
    assert {3, 4, 10, 11} <= kept
    assert len(kept) <= 7


@pytest.mark.parametrize("selector", [Mrmr(5), StabilitySelection(halves=4), Boruta(rounds=2, trees=10)])
def test_something_is_always_kept(selector: Mrmr | StabilitySelection | Boruta) -> None:
    X = np.random.default_rng(0).normal(size=(12, 3))
    assert len(selector.fit(X, np.arange(12) % 2).kept_) >= 1


def test_unstable_columns_go_and_unmeasured_ones_stay() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(30, 4)), columns=list("abcd"), index=[f"p{i}" for i in range(30)])
    context = bare_context(table)
    measured = perturbed_table(table[["a", "b", "c"]], ["b"])
    context = type(context)(**{**vars(context), "perturbed": measured})
    kept = StableColumns(0.75).fit(table.to_numpy(), None, context).kept_
    assert table.columns[kept].tolist() == ["a", "c", "d"]


def test_stability_is_judged_by_the_training_cases_alone() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc"), index=[f"p{i:02d}" for i in range(40)])
    measured = perturbed_table(table, ["b"])
    spoilt = measured.copy()
    test_rows = spoilt.index.get_level_values("case") >= "p20"
    spoilt.loc[test_rows] = rng.normal(size=(int(test_rows.sum()), 3))  # everything is unstable in the test cases
    context = bare_context(table)
    kept = [
        StableColumns(0.75)
        .fit(table.to_numpy()[:20], None, type(context)(**{**vars(context), "perturbed": one}).take(np.arange(20)))
        .kept_
        for one in (measured, spoilt)
    ]
    np.testing.assert_array_equal(kept[0], kept[1])
    assert kept[0].tolist() == [0, 2]


def test_a_region_that_some_cases_lack_is_judged_on_the_others() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(30, 2)), columns=list("ab"), index=[f"p{i}" for i in range(30)])
    table.loc[table.index[:10], "b"] = np.nan
    context = bare_context(table)
    context = type(context)(**{**vars(context), "perturbed": perturbed_table(table, [])})
    assert StableColumns().fit(table.to_numpy(), None, context).kept_.tolist() == [0, 1]


def test_families_take_the_unperturbed_first_and_cases_that_have_all() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]}, index=list("pqrs"))
    measured = perturbed_table(table, []).drop(("s", "mask-erode-2"))
    values = by_family(measured)
    assert list(values) == ["mask"]
    assert values["mask"].shape == (3, 4, 1)
    np.testing.assert_array_equal(values["mask"][:, 0, 0], [1.0, 2.0, 3.0])


def test_settings_take_chains_and_refuse_labels_as_covariates() -> None:
    assert ClassifySettings(selection="correlation-clusters, mrmr").selection == ("correlation-clusters", "mrmr")
    assert ClassifySettings(selection="none").selection == ()
    with pytest.raises(ConfigError, match="idh"):
        ClassifySettings.parse({"covariates": ("age", "idh")})
    with pytest.raises(ConfigError, match="radiogen stability"):
        ClassifySettings.parse({"selection": "icc"})
    with pytest.raises((ConfigError, ValidationError)):
        ClassifySettings.parse({"selection": "pca"})


def test_one_column_stays_where_none_is_stable() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("abc"), index=[f"p{i}" for i in range(30)])
    context = bare_context(table)
    context = type(context)(**{**vars(context), "perturbed": perturbed_table(table, ["a", "b", "c"])})
    assert len(StableColumns().fit(table.to_numpy(), None, context).kept_) == 1
