"""Classifiers by name: class weights, the calibrated machine, outside packages, Bayesian search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from radiogen.config.classify import ClassifySettings
from radiogen.errors import ConfigError, InputError
from radiogen.fusion.base import log_loss
from radiogen.fusion.bundle import ModelBundle, load_model, save_model
from radiogen.fusion.model import FusedClassifier
from radiogen.fusion.nested import cross_validate
from radiogen.fusion.outside import family_named
from radiogen.fusion.reference import fit_reference
from radiogen.fusion.svm import CalibratedSvm
from radiogen.stats.auc import auc
from tests.fusion.branches import two_branches
from tests.fusion.data import FAST
from tests.fusion.test_fusions import card_of

NAMES = ["elastic-net", "logistic", "svm", "random-forest", "extra-trees", "xgboost"]


def rare(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 10 == 0).astype(np.int64)
    X = rng.normal(size=(n, 4))
    X[:, 0] += y
    return X, y


@pytest.mark.parametrize("name", NAMES)
def test_balanced_classes_move_probabilities_to_one_half_and_ranks_hardly(name: str) -> None:
    X, y = rare()
    new, truth = rare(seed=1)
    answers = {}
    for weight in ("none", "balanced"):
        family = family_named(name, weight)
        answers[weight] = family.fit(X, y, family.candidates[0], seed=0).predict_proba(new)[:, 1]
    assert answers["none"].mean() == pytest.approx(0.1, abs=0.03)
    assert answers["balanced"].mean() > 0.25
    assert auc(truth, answers["balanced"].astype(float)) > auc(truth, answers["none"].astype(float)) - 0.1


def test_the_machine_is_calibrated_where_its_own_rows_would_make_it_sure() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 30))
    odds = 1.5 * X[:, 0]
    y = (rng.random(240) < expit(odds)).astype(np.int64)
    new = rng.normal(size=(2000, 30))
    truth = (rng.random(2000) < expit(1.5 * new[:, 0])).astype(np.int64)
    model = CalibratedSvm(C=10.0).fit(X, y)
    margins = model.machine_.decision_function(X)
    assert auc(y, margins) > 0.999  # it has learned its rows by heart
    assert log_loss(model.predict_proba(new)[:, 1], truth) < log_loss(np.full(2000, 0.5), truth)
    sure = expit(10 * model.machine_.decision_function(new))
    assert log_loss(sure, truth) > 1.0
    assert int(np.argmax(np.abs(model.mean_slope()))) == 0


def test_the_machine_says_the_prevalence_where_margins_are_noise() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(90, 40)), (np.arange(90) % 3 == 0).astype(np.int64)
    answer = CalibratedSvm().fit(X, y).predict_proba(rng.normal(size=(200, 40)))[:, 1]
    assert answer.std() < 0.05
    assert answer.mean() == pytest.approx(1 / 3, abs=0.05)


def test_twins_do_not_flatter_the_machine() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 60)), np.arange(40) % 2
    X, y, patient = np.r_[X, X], np.r_[y, y], np.r_[np.arange(40), np.arange(40)]
    apart, together = (CalibratedSvm(C=10.0).fit(X, y, who).slope_ for who in (None, patient))
    assert apart > 2 * together  # each twin was tested by a machine that knew the other


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a made-up package with a classifier like TabPFN's, and one that is none."""
    (tmp_path / "madeup_tab.py").write_text(
        "import numpy as np\n"
        "class NearestClasses:\n"
        "    def fit(self, X, y):\n"
        "        self.middles = np.array([X[y == 0].mean(axis=0), X[y == 1].mean(axis=0)])\n"
        "        self.n_features_in_ = X.shape[1]\n"
        "        return self\n"
        "    def predict_proba(self, X):\n"
        "        away = ((X[:, None] - self.middles) ** 2).sum(axis=2)\n"
        "        p = 1 / (1 + np.exp(-(away[:, 0] - away[:, 1]) / 2))\n"
        "        return np.column_stack([1 - p, p])\n"
        "class Nothing:\n"
        "    pass\n"
    )
    facts = tmp_path / "madeup_tab-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: madeup-tab\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[radiogen.classifiers]\nnearest = madeup_tab:NearestClasses\nnothing = madeup_tab:Nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "nearest"


def test_another_package_brings_a_classifier(package: str, tmp_path: Path) -> None:
    table, _ = two_branches(n=60, columns=2, strength=(2.0, 2.0))
    settings = FAST.model_copy(update={"classifiers": (package, "logistic")})
    found = cross_validate(table, settings)
    y, p = (found.predictions[name].to_numpy() for name in ("y_true", "y_prob"))
    assert auc(y, p) > 0.75
    assert set(found.predictions["model"]) == {"nearest+logistic"}
    assert set(found.choices["classifier"]) == {"nearest", "logistic"}
    model = FusedClassifier.from_settings(settings, 0).fit(table.features, table.y)
    del model.inner_probability_
    bundle = ModelBundle(model, fit_reference(table.features, dict(table.branch_of)), card_of("nearest"))
    save_model(tmp_path / "model", bundle)
    loaded = load_model(tmp_path / "model").model
    np.testing.assert_array_equal(loaded.predict_proba(table.features), model.predict_proba(table.features))


def test_a_class_that_nobody_registered_can_be_used_and_not_loaded(package: str, tmp_path: Path) -> None:
    table, _ = two_branches(n=40, columns=2)
    settings = FAST.model_copy(update={"classifiers": ("sklearn.naive_bayes:GaussianNB",)})
    model = FusedClassifier.from_settings(settings, 0).fit(table.features, table.y)
    assert set(model.importance()["gain"]) == {0.25}
    with pytest.raises(ConfigError, match="cannot be imported"):
        family_named("madeup_tab:Missing", "none")
    with pytest.raises(ConfigError, match="no classifier"):
        family_named("nothing", "none")
    with pytest.raises(ConfigError, match="NearestClasses cannot weigh classes"):
        family_named("nearest", "balanced")
    family_named("sklearn.naive_bayes:GaussianNB", "balanced")
    (tmp_path / "other_tab.py").write_text((tmp_path / "madeup_tab.py").read_text())
    unregistered = settings.model_copy(update={"classifiers": ("other_tab:NearestClasses",)})
    model = FusedClassifier.from_settings(unregistered, 0).fit(table.features, table.y)
    bundle = ModelBundle(model, fit_reference(table.features, dict(table.branch_of)), card_of("other"))
    with pytest.raises(InputError, match=r"other_tab\.NearestClasses"):
        save_model(tmp_path / "model", bundle)


def test_bayesian_search_beats_a_bad_grid_and_is_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = pd.DataFrame(rng.normal(size=(120, 5)), columns=list("abcde"))
    X["a"] += 2 * y
    settings = ClassifySettings(classifiers=("logistic",), inner_folds=3, search="bayesian", trials=8)
    grid = FusedClassifier.from_settings(settings.model_copy(update={"search": "grid"}), 0).fit(X, y)
    one, other = (FusedClassifier.from_settings(settings, 3).fit(X, y) for _ in range(2))
    assert one.choices_ == other.choices_
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    choice = one.choices_["logistic"]
    assert 1e-4 <= choice["parameters"]["strength"] <= 3
    assert choice["inner_log_loss"] < grid.choices_["logistic"]["inner_log_loss"] + 0.02
    # Its first trial is the strongest penalty of the grid; the others are better.
    assert choice["inner_log_loss"] < log_loss(np.full(120, 0.5), y) - 0.2
    single = FusedClassifier.from_settings(settings.model_copy(update={"trials": 1}), 3).fit(X, y)
    assert single.choices_["logistic"]["parameters"] == {"strength": 1.0}


@pytest.mark.parametrize("name", ["elastic-net", "svm", "xgboost", "extra-trees"])
def test_families_can_be_searched(name: str) -> None:
    X, y = rare(60)
    settings = ClassifySettings(classifiers=(name,), inner_folds=2, search="bayesian", trials=2)
    model = FusedClassifier.from_settings(settings, 0).fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert set(model.choices_[name]["parameters"]) == set(family_named(name, "none").ranges)
