"""The fused classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from radiogen.config.classify import ClassifySettings
from radiogen.errors import ConfigError
from radiogen.fusion.classifiers import ElasticNetFamily
from radiogen.fusion.model import FusedClassifier
from radiogen.fusion.names import CLASSIFIERS
from radiogen.fusion.outside import family_named
from radiogen.stats.auc import auc
from tests.fusion.data import FAST, bare_context


def fused(seed: int = 0, **settings: Any) -> FusedClassifier:
    return FusedClassifier.from_settings(ClassifySettings(**settings), seed)


def planted(n: int = 120, p: int = 12, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"f{i}" for i in range(p)])
    X["f0"] += 2.0 * y
    return X, y


@pytest.mark.parametrize("name", ["elastic-net", "xgboost", "random-forest", "extra-trees", "logistic", "svm"])
def test_every_registered_classifier_finds_a_planted_signal(name: str) -> None:
    X, y = planted()
    new, truth = planted(seed=1)
    model = fused(classifiers=(name,), inner_folds=3).fit(X, y)
    assert auc(truth, model.predict_proba(new)[:, 1]) > 0.85
    table = model.importance()
    column = "coefficient" if name in {"elastic-net", "logistic", "svm"} else "gain"
    assert table[column].abs().idxmax() == "f0"
    assert set(model.predict(new)) <= {0, 1}


def test_the_registry_knows_them_all() -> None:
    assert CLASSIFIERS.names() == ["elastic-net", "extra-trees", "logistic", "random-forest", "svm", "xgboost"]
    with pytest.raises(ConfigError, match="elastic-net"):
        fused(classifiers=("elasticnet",)).fit(*planted())


def test_average_lies_between_its_members_and_best_is_one_of_them() -> None:
    X, y = planted()
    new, _ = planted(seed=1)
    average = fused(inner_folds=3).fit(X, y)
    prepared = average.preparation_.transform(new.to_numpy(), bare_context(new))
    each = np.array([model.predict_proba(prepared)[:, 1] for model in average.members_.values()])
    mixed = average.predict_proba(new)[:, 1]
    assert (mixed >= each.min(axis=0) - 1e-6).all()
    assert (mixed <= each.max(axis=0) + 1e-6).all()
    best = fused(combine="best", inner_folds=3).fit(X, y)
    assert list(best.members_) == [min(best.choices_, key=lambda name: best.choices_[name]["inner_log_loss"])]


def test_columns_may_come_in_any_order() -> None:
    X, y = planted()
    model = FusedClassifier.from_settings(FAST, 0).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X[X.columns[::-1]].assign(more=1.0)))


def test_same_seed_same_numbers() -> None:
    X, y = planted()
    one, other = (fused(4, inner_folds=3).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_probabilities_are_calibrated() -> None:
    X, y = planted(400)
    new, truth = planted(2000, seed=1)
    p = fused(inner_folds=5).fit(X, y).predict_proba(new)[:, 1]
    slope = LogisticRegression(C=1e9).fit(np.log(p / (1 - p))[:, None], truth).coef_[0, 0]
    assert 0.75 < slope < 1.33
    assert abs(p.mean() - truth.mean()) < 0.05


def test_rare_class_is_not_weighted_up() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(200) % 10 == 0).astype(int)
    X = pd.DataFrame(rng.normal(size=(200, 5)), columns=list("abcde"))
    p = FusedClassifier.from_settings(FAST, 0).fit(X, y).predict_proba(X)[:, 1]
    assert p.mean() == pytest.approx(0.1, abs=0.03)


def test_patients_stay_together_in_the_inner_folds() -> None:
    """Twins with a random label: a model that has seen one twin knows the other, so leaking inner folds would choose a wild model."""
    rng = np.random.default_rng(0)
    half = pd.DataFrame(rng.normal(size=(40, 60))).add_prefix("f")
    y = rng.permutation(np.arange(40) % 2)
    X, Y, patient = (
        pd.concat([half, half], ignore_index=True),
        np.r_[y, y],
        np.r_[np.arange(40), np.arange(40)].astype(str),
    )
    together = FusedClassifier.from_settings(FAST, 0).fit(X, Y, patient).choices_["elastic-net"]["inner_log_loss"]
    apart = FusedClassifier.from_settings(FAST, 0).fit(X, Y).choices_["elastic-net"]["inner_log_loss"]
    assert together > 0.65  # a coin has 0.693
    assert apart < together - 0.1


def test_few_cases_use_fewer_inner_folds() -> None:
    X, y = planted(12)
    y = np.array([1, 1, *[0] * 10])
    model = FusedClassifier.from_settings(ClassifySettings(classifiers=("elastic-net",)), 0).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
@pytest.mark.parametrize("name", ["elastic-net", "xgboost", "random-forest", "svm"])
def test_a_candidates_score_is_that_of_its_own_fit(name: str, class_weight: str) -> None:
    family = family_named(name, class_weight)
    X, y = planted(60)
    values = X.to_numpy()
    scored = family.score(values[:40], y[:40], values[40:], seed=0)
    assert scored.shape == (len(family.candidates), 20)
    for row, candidate in zip(scored, family.candidates, strict=True):
        direct = family.fit(values[:40], y[:40], candidate, seed=0).predict_proba(values[40:])[:, 1]
        np.testing.assert_allclose(row, direct, atol=1e-6)


def test_elastic_net_path_starts_empty_and_fills() -> None:
    X, y = planted(60, p=40)
    values = (X - X.mean()).to_numpy()
    family = ElasticNetFamily()
    counts = [
        np.count_nonzero(family.weights(family.fit(values, y, {"l1_ratio": 0.9, "strength": strength}, seed=0)))
        for strength in (1.05, 0.6, 0.1, 0.01)
    ]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] > counts[1]
