"""Components of embeddings, found in the fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.config.classify import ClassifySettings
from radiogen.fusion.nested import nested_predictions
from radiogen.fusion.reduce import EmbeddingReduction
from radiogen.stats.auc import auc
from tests.fusion.data import FAST, bare_context, made_up


def embedded(n: int = 60, p: int = 200, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """An embedding whose one strong direction follows the label, with age before it."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    direction = rng.normal(size=p)
    X = np.outer(2.0 * y + rng.normal(size=n), direction) + rng.normal(size=(n, p))
    table = pd.DataFrame(X, columns=[f"embedding_net_t1c_{i:03d}" for i in range(p)])
    table.insert(0, "age", rng.normal(size=n))
    return table, y


@pytest.mark.parametrize("how", ["pca", "pls"])
def test_one_component_holds_the_planted_direction(how: str) -> None:
    table, y = embedded()
    step = EmbeddingReduction(how, 3).fit(table.to_numpy(), y, bare_context(table))
    out = step.transform(table.to_numpy())
    assert step.get_feature_names_out(table.columns.to_numpy()).tolist() == [
        "age",
        *(f"embedding_{how}_{i}" for i in (1, 2, 3)),
    ]
    np.testing.assert_array_equal(out[:, 0], table["age"])
    np.testing.assert_allclose(out[:, 1:].std(axis=0), 1.0)
    new, truth = embedded(seed=0)
    area = auc(truth, step.transform(new.to_numpy())[:, 1])
    assert max(area, 1 - area) > 0.85


def test_principal_components_do_not_look_at_the_label() -> None:
    table, y = embedded()
    one, other = (
        EmbeddingReduction("pca").fit(table.to_numpy(), labels, bare_context(table)).rotation_ for labels in (y, 1 - y)
    )
    np.testing.assert_array_equal(one, other)


def test_no_more_components_than_rows_and_none_without_embeddings() -> None:
    table, y = embedded(n=6)
    assert EmbeddingReduction("pca", 50).fit(table.to_numpy(), y, bare_context(table)).rotation_.shape == (200, 5)
    plain = table[["age"]]
    step = EmbeddingReduction().fit(plain.to_numpy(), y, bare_context(plain))
    np.testing.assert_array_equal(step.transform(plain.to_numpy()), plain.to_numpy())


@pytest.mark.parametrize("how", ["pca", "pls"])
def test_components_of_noise_stay_at_chance(how: str) -> None:
    rng = np.random.default_rng(3)
    _, cohort = made_up(n=60)
    noise = pd.DataFrame(
        rng.normal(size=(60, 300)), index=cohort.index, columns=[f"embedding_n_t1c_{i:03d}" for i in range(300)]
    )
    settings = ClassifySettings.parse({**FAST.model_dump(), "reduce": how, "components": 3})
    table = nested_predictions({"embedding": noise}, cohort, "mgmt", settings)
    # 60 cases: the standard error of a null AUC is 0.075; three of them.
    assert abs(auc(table["y_true"].to_numpy(), table["y_prob"].to_numpy()) - 0.5) < 0.225
