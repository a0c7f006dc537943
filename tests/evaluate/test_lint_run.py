"""The dynamic linter: what a pipeline does with noise, copies and changed test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from radiogen.config.classify import ClassifySettings
from radiogen.config.lint import LintSettings
from radiogen.errors import InputError
from radiogen.evaluate.lint_run import load_object, try_pipeline
from radiogen.fusion.model import FusedClassifier
from tests.evaluate import honest_pipeline, leaky_pipeline

HERE = Path(__file__).parent
QUICK = LintSettings(noise_features=300, noise_draws=3)


def checks(thing: object, settings: LintSettings = QUICK) -> dict[str, str]:
    return {one.check: one.severity.value for one in try_pipeline(thing, "it", settings).findings}


def test_the_leaky_pipeline_predicts_noise_and_the_honest_one_does_not() -> None:
    full = LintSettings(noise_draws=2)
    assert (full.noise_cases, full.noise_features) == (60, 2000)
    leaky = try_pipeline(load_object(f"{HERE / 'leaky_pipeline.py'}:out_of_fold"), "leaky", full)
    assert min(leaky.noise_aucs) > 0.8
    assert [(one.check, one.severity.value) for one in leaky.findings][:1] == [("noise-is-predicted", "leak")]
    honest = try_pipeline(honest_pipeline.out_of_fold, "honest", full)
    assert honest.findings == []
    assert max(honest.noise_aucs) < 0.7


def test_ours_stays_within_chance_on_the_noise_that_the_leaky_one_predicts() -> None:
    settings = ClassifySettings(classifiers=("elastic-net",), selection=("univariate",), max_columns=20, inner_folds=2)
    ours = FusedClassifier.from_settings(settings, 0)
    tried = try_pipeline(ours, "ours", LintSettings(noise_draws=2, outer_folds=3))
    assert max(tried.noise_aucs) < 0.7
    assert "leak" not in {one.severity.value for one in tried.findings}


def test_patients_on_both_sides_are_found_by_planted_copies() -> None:
    def splits_rows(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
        folds = KFold(5, shuffle=True, random_state=0)
        return cross_val_predict(KNeighborsClassifier(1), X, y, cv=folds, method="predict_proba")[:, 1]

    assert checks(splits_rows) == {"copies-are-predicted": "leak"}
    assert checks(honest_pipeline.out_of_fold) == {}
    assert checks(leaky_pipeline.out_of_fold) == {"noise-is-predicted": "leak", "no-groups": "note"}


def test_labels_and_rows_of_the_test_side_must_not_matter() -> None:
    def peeks_at_labels(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        best = np.argmax(np.abs(X.T @ (y - y.mean())))
        return LogisticRegression().fit(X[train][:, [best]], y[train]).predict_proba(X[test][:, [best]])[:, 1]

    def scales_the_test_rows(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return ((X[test] - X[test].mean(axis=0)) / X[test].std(axis=0))[:, 0]

    def honest(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return LogisticRegression().fit(X[train, :5], y[train]).predict_proba(X[test, :5])[:, 1]

    def throws_dice(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return np.random.default_rng().normal(size=len(test))

    assert checks(peeks_at_labels)["test-labels-change-predictions"] == "leak"
    assert checks(scales_the_test_rows) == {"test-rows-change-others": "leak"}
    assert checks(honest) == {}
    assert checks(throws_dice) == {"not-reproducible": "note"}


def test_an_estimator_that_uses_the_other_test_rows_and_one_that_remembers() -> None:
    class Centred(LogisticRegression):
        def predict_proba(self, X: object) -> np.ndarray:
            return super().predict_proba(X - X.mean(axis=0))

    assert checks(Centred)["test-rows-change-others"] == "leak"
    assert checks(LogisticRegression()) == {"remembers-rows": "note"}
    assert checks(honest_pipeline.pipeline) == {}


def test_what_cannot_be_tried_is_said() -> None:
    with pytest.raises(InputError, match="cannot be imported"):
        load_object("no_such_module:thing")
    with pytest.raises(InputError, match="has no object 'out_of_folds'"):
        load_object("tests.evaluate.leaky_pipeline:out_of_folds")
    with pytest.raises(InputError, match="is a dict"):
        try_pipeline({}, "it", QUICK)
    with pytest.raises(InputError, match="takes \\(a, b, c\\)"):
        try_pipeline(lambda a, b, c: 0, "it", QUICK)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        try_pipeline(lambda X, y: 1 / 0, "it", QUICK)
    with pytest.raises(InputError, match=r"shape \(3,\) for 60 rows"):
        try_pipeline(lambda X, y: [1, 2, 3], "it", QUICK)
