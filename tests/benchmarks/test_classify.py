"""Nested cross-validation and its fast permutation test against a plain scikit-learn script doing the same work. Writes into `reports/benchmarks.md`.

Times are processor seconds of one thread, so that other work on the machine does not count. One outer fold of five is timed, and a few permutations
of it; the report says so and multiplies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

from radiogen.cohort.splits import Split, make_splits
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.join import FusionTable, fusion_table
from radiogen.fusion.nested import fit_doubts, fit_split
from radiogen.fusion.permutations_fast import FastRefit
from radiogen.stats.auc import auc
from tests.benchmarks.sections import write_section

pytestmark = pytest.mark.benchmark

CASES, COLUMNS, FOLDS, PERMUTATIONS, TIMED = 500, 1000, 5, 200, 3
SETTINGS = ClassifySettings(
    classifiers=("elastic-net", "xgboost", "random-forest"), folds=FOLDS, repeats=1, selection=()
)


@dataclass
class Timed:
    """Processor seconds of one outer fold and of one permutation of it, and the fold's AUC."""

    fold: float
    permutation: float
    auc: float


def made_up() -> FusionTable:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(CASES, 60))
    values = hidden @ rng.normal(size=(60, COLUMNS)) * 0.7 + rng.normal(size=(CASES, COLUMNS)) * 2
    label = (hidden[:, 0] + rng.normal(size=CASES) > 0.5).astype(float)
    cases = [f"c{number:03d}" for number in range(CASES)]
    cohort = pd.DataFrame({"patient": cases, "site": "A", "idh": label}, index=cases)
    return fusion_table({"features": pd.DataFrame(values, index=cases).add_prefix("f")}, cohort, "idh")


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def ours(table: FusionTable, split: Split) -> Timed:
    found = []

    def fold() -> None:
        model = fit_split(table, split, SETTINGS)
        probability = model.predict_proba(table.features.iloc[split.test], None)[:, 1]
        fit_doubts(table, split.train, model, SETTINGS)
        found.append(auc(table.y[split.test], probability))

    spent = seconds(fold)
    fast = FastRefit.prepare(table, SETTINGS, [split])
    rng = np.random.default_rng(1)
    permuted = [rng.permutation(table.y) for _ in range(TIMED)]
    each = seconds(lambda: [fast(labels) for labels in permuted]) / TIMED
    return Timed(spent, each, found[0])


def plain_searches(y: np.ndarray, X: np.ndarray) -> list[GridSearchCV]:
    scaled = StandardScaler().fit_transform(X)
    gradient = np.abs(scaled.T @ (y - y.mean())).max()
    inner = StratifiedKFold(5, shuffle=True, random_state=0)
    net = [
        {"logisticregression__l1_ratio": [ratio], "logisticregression__C": [ratio / (share * gradient) for share in (0.6, 0.3, 0.1, 0.03, 0.01)]}
        for ratio in (0.1, 0.9)
    ]  # fmt: skip
    trees = {"xgbclassifier__max_depth": [1, 3], "xgbclassifier__n_estimators": [30, 80, 200]}
    boost = XGBClassifier(
        learning_rate=0.06, subsample=0.8, colsample_bytree=0.5, reg_lambda=2.0, min_child_weight=2.0, tree_method="hist",
        max_bin=64, n_jobs=1, random_state=0,
    )  # fmt: skip
    forest = {"randomforestclassifier__min_samples_leaf": [10, 3]}
    logistic = LogisticRegression(solver="saga", tol=1e-3, max_iter=1000, random_state=0)
    parts = [(logistic, net), (boost, trees), (RandomForestClassifier(200, n_jobs=1, random_state=0), forest)]
    return [
        GridSearchCV(make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), part), grid, scoring="neg_log_loss", cv=inner)
        for part, grid in parts
    ]  # fmt: skip


def plain(table: FusionTable, split: Split) -> Timed:
    X, y = table.features.to_numpy(), table.y
    train, test = split.train, split.test
    fitted: list[GridSearchCV] = []
    found = []

    def fold() -> None:
        fitted.extend(search.fit(X[train], y[train]) for search in plain_searches(y[train], X[train]))
        odds = [logit(np.clip(one.predict_proba(X[test])[:, 1], 1e-6, 1 - 1e-6)) for one in fitted]
        found.append(auc(y[test], expit(np.mean(odds, axis=0))))

    spent = seconds(fold)
    rng = np.random.default_rng(1)
    permuted = [rng.permutation(y) for _ in range(TIMED)]
    models = [one.best_estimator_ for one in fitted]
    each = seconds(
        lambda: [model.fit(X[train], labels[train]).predict_proba(X[test]) for labels in permuted for model in models]
    )
    return Timed(spent, each / TIMED, found[0])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_slower_than_a_plain_script() -> None:
    table = made_up()
    split = make_splits(table.cohort, table.y, seed=0, n_splits=FOLDS, repeats=1)[0][0]
    with threadpool_limits(1):
        one, other = ours(table, split), plain(table, split)
    rows = [
        f"| {name} | {timed.fold:.1f} | {timed.permutation:.2f} | {timed.fold * FOLDS:.0f} | {timed.permutation * FOLDS * PERMUTATIONS:.0f} |"
        f" {(timed.fold + timed.permutation * PERMUTATIONS) * FOLDS / 120:.0f} | {timed.auc:.3f} |"
        for name, timed in (("radiogen", one), ("plain scikit-learn script", other))
    ]
    nested, permuted = one.fold / other.fold, one.permutation / other.permutation
    text = [
        "# Nested cross-validation and permutations", "",
        "Made by `pytest -m benchmark tests/benchmarks/test_classify.py`. Made-up table, 500 cases, 1,000 columns, all used; 5 outer folds, 5",
        "inner ones; elastic net (10 candidates), XGBoost (6), random forest (2), averaged. The plain script is a `GridSearchCV` over a pipeline",
        "of imputer, scaler and classifier, with the same candidates, solvers and tolerances; its permutations refit the three chosen pipelines.",
        "radiogen also chooses threshold and conformal limits and learns what is out of distribution.", "",
        f"Processor seconds of one thread. One outer fold and {TIMED} permutations of it were timed; the next columns are those times 5 folds and"
        " 200 permutations, and minutes for both on two cores that do nothing else.", "",
        "| | one outer fold, s | one permutation of it, s | 5 folds, s | 200 permutations, s | both on 2 cores, min | AUC of the fold |",
        "|---|---|---|---|---|---|---|", *rows, "",
        f"radiogen takes {nested:.2f} of the script's time for the cross-validation and {permuted:.2f} for the fast permutations.",
    ]  # fmt: skip
    write_section("\n".join(text))
    assert nested < 1.2
    assert permuted < 1.2
