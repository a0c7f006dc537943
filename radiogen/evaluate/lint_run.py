"""Leaks that a pipeline shows when it is run: on pure noise, on planted copies, and with its test rows changed."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from radiogen.config.lint import LintSettings
from radiogen.errors import InputError
from radiogen.evaluate.lint import Finding, Severity, finding
from radiogen.registry import did_you_mean
from radiogen.stats.auc import auc, hanley_mcneil_error

_ERRORS_ABOVE_CHANCE = 4.0
_SAME = 1e-4
_REMEMBERS = 0.9

Rows = Float[np.ndarray, "n p"]
Labels = Integer[np.ndarray, " n"]
Pipeline = Callable[..., Any]
_SIGNATURES = "an estimator with fit and predict_proba, or a function (X, y), (X, y, groups) or (X, y, train, test)"


@dataclass(frozen=True)
class Tried:
    """What a pipeline did when it was tried.

    Args:
        findings: leaks and remarks.
        noise_aucs: AUC in each draw of pure noise.
        words: what was tried, for the reader.
    """

    findings: list[Finding]
    noise_aucs: list[float]
    words: str


def load_object(reference: str) -> Any:
    """Import `module:object` or `file.py:object`; the code in it is run.

    Args:
        reference: what to import; a module is looked for in the current folder first.

    Raises:
        InputError: it cannot be imported or has no such object.

    Example:
        >>> load_object("sklearn.linear_model:LogisticRegression").__name__
        'LogisticRegression'
    """
    place, _, name = reference.rpartition(":")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _from_name(place)
    except (ImportError, OSError, SyntaxError) as error:
        raise InputError(
            f"{place} cannot be imported: {error}", hint="Give module:object or file.py:object."
        ) from error
    if not hasattr(module, name):
        there = [one for one in vars(module) if not one.startswith("_")]
        raise InputError(f"{place} has no object '{name}'.", hint=did_you_mean(name, there))
    return getattr(module, name)


def try_pipeline(thing: Any, name: str, settings: LintSettings) -> Tried:
    """Run a pipeline on made-up data without any signal, and see whether it finds one.

    Args:
        thing: an estimator (or its class), or a function `(X, y)` or `(X, y, groups)` that returns out-of-fold scores (or their AUC), or
            `(X, y, train, test)` that returns the scores of the test rows. `X` is an array for functions and a table for estimators.
        name: what to call it.
        settings: size and number of the draws.

    Raises:
        InputError: it is none of these, or fails on made-up data.

    Source: Varma & Simon 2006, BMC Bioinformatics 7:91 (a procedure's bias shows on data without signal).
    """
    shape = f"{settings.noise_cases} cases x {settings.noise_features} columns, {settings.noise_draws} draws"
    with _quiet(name), threadpool_limits(1):
        if inspect.isfunction(thing) or inspect.isbuiltin(thing):
            tried = _function(thing, name, settings)
        else:
            tried = _estimator(_instance(thing, name), name, settings)
    areas = ", ".join(f"{area:.2f}" for area in tried.noise_aucs)
    return Tried(tried.findings, tried.noise_aucs, f"{name}: run on pure noise ({shape}): AUC {areas}")


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _from_name(name: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep the warnings of somebody's code on noise to ourselves, and say in one line where it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except InputError:
            raise
        # Anything can go wrong in code that is not ours.
        except Exception as error:
            raise InputError(
                f"{name} fails on made-up data: {type(error).__name__}: {error}", hint=f"Accepted: {_SIGNATURES}."
            ) from error


def _instance(thing: Any, name: str) -> Any:
    made = thing() if inspect.isclass(thing) else thing
    if not hasattr(made, "fit") or not (hasattr(made, "predict_proba") or hasattr(made, "predict")):
        raise InputError(f"{name} is a {type(made).__name__}, which cannot be tried.", hint=f"Accepted: {_SIGNATURES}.")
    return made


def _function(function: Pipeline, name: str, settings: LintSettings) -> Tried:
    names = list(inspect.signature(function).parameters)
    if not names:
        return _estimator(_instance(function(), name), name, settings)
    if names[2:4] == ["train", "test"]:
        return _split_function(function, name, settings)
    if len(names) < 2 or (len(names) > 2 and names[2] != "groups"):
        raise InputError(f"{name} takes ({', '.join(names)}).", hint=f"Accepted: {_SIGNATURES}.")
    grouped = len(names) > 2
    areas, copied = [], []
    for draw in range(settings.noise_draws):
        X, y = _noise(settings, draw)
        own = {"groups": np.arange(len(y))} if grouped else {}
        areas.append(_area(function(X, y, **own), y, name))
        if grouped:
            X, y, groups = _doubled(settings, draw)
            copied.append(_area(function(X, y, groups=groups), y, name))
    found = _above_chance("noise-is-predicted", areas, settings.noise_cases, name)
    if grouped:
        found += _above_chance("copies-are-predicted", copied, settings.noise_cases // 2, name)
    else:
        what = "It takes X and y only."
        found.append(finding(Severity.NOTE, "no-groups", name, what))
    return Tried(found, areas, "")


def _split_function(function: Pipeline, name: str, settings: LintSettings) -> Tried:
    def scores(X: Rows, y: Labels, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return np.asarray(function(X.copy(), y.copy(), train, test), dtype=float)

    areas = []
    for draw in range(settings.noise_draws):
        X, y = _noise(settings, draw)
        found = np.empty(len(y))
        for train, test in _folds(y, settings):
            found[test] = scores(X, y, train, test)
        areas.append(auc(y, found))
    findings = _above_chance("noise-is-predicted", areas, settings.noise_cases, name)
    X, y = _noise(settings, 0)
    train, test = _folds(y, settings)[0]
    first = scores(X, y, train, test)
    if _differ(first, scores(X, y, train, test)):
        return Tried([*findings, _unsteady(name)], areas, "")
    if any(_differ(scores(X, y, *sides), scores(X, _turned(y, sides[1]), *sides)) for sides in _folds(y, settings)):
        what = "With the labels of the test rows turned round, the predictions change."
        findings.append(finding(Severity.LEAK, "test-labels-change-predictions", name, what))
    if _differ(first[:1], scores(_others_changed(X, test, settings), y, train, test)[:1]):
        findings.append(_depends_on_others(name))
    return Tried(findings, areas, "")


def _estimator(estimator: Any, name: str, settings: LintSettings) -> Tried:
    areas, copied = [], []
    for draw in range(settings.noise_draws):
        X, y = _noise(settings, draw)
        areas.append(auc(y, _out_of_fold(estimator, X, y, settings)))
    X, y, _ = _doubled(settings, 0)
    copied.append(auc(y, _out_of_fold(estimator, X, y, settings)))
    findings = _above_chance("noise-is-predicted", areas, settings.noise_cases, name)
    if copied[0] >= _REMEMBERS:
        what = (
            f"With every row of noise there twice, and copies on both sides of the split, its AUC is {copied[0]:.2f}."
        )
        findings.append(finding(Severity.NOTE, "remembers-rows", name, what))
    X, y = _noise(settings, 0)
    train, test = _folds(y, settings)[0]
    model = _fitted(estimator, X[train], y[train])
    first = _predicted(model, X[test])
    if _differ(first, _predicted(model, X[test])):
        return Tried([*findings, _unsteady(name)], areas, "")
    if _differ(first[:1], _predicted(model, _others_changed(X, test, settings)[test])[:1]):
        findings.append(_depends_on_others(name))
    return Tried(findings, areas, "")


def _noise(settings: LintSettings, draw: int) -> tuple[Rows, Labels]:
    rng = np.random.default_rng([settings.seed, draw])
    X = rng.normal(size=(settings.noise_cases, settings.noise_features))
    return X, rng.permutation(np.arange(settings.noise_cases) % 2).astype(np.int64)


def _doubled(settings: LintSettings, draw: int) -> tuple[Rows, Labels, np.ndarray]:
    X, y = _noise(settings, draw)
    half = len(y) // 2
    rng = np.random.default_rng([settings.seed, draw, 1])
    rows, labels = X[:half], rng.permutation(np.arange(half) % 2).astype(np.int64)
    groups = np.tile(np.arange(half), 2)
    order = rng.permutation(2 * half)
    return np.vstack([rows, rows])[order], np.tile(labels, 2)[order], groups[order]


def _others_changed(X: Rows, test: np.ndarray, settings: LintSettings) -> Rows:
    changed = X.copy()
    changed[test[1:]] = 5 + 3 * np.random.default_rng([settings.seed, 7]).normal(size=(len(test) - 1, X.shape[1]))
    return changed


def _turned(y: Labels, test: np.ndarray) -> Labels:
    turned = y.copy()
    turned[test] = 1 - turned[test]
    return turned


def _folds(y: Labels, settings: LintSettings) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(StratifiedKFold(settings.outer_folds, shuffle=True, random_state=settings.seed).split(y, y))


def _out_of_fold(estimator: Any, X: Rows, y: Labels, settings: LintSettings) -> np.ndarray:
    found = np.empty(len(y))
    for train, test in _folds(y, settings):
        found[test] = _predicted(_fitted(estimator, X[train], y[train]), X[test])
    return found


def _fitted(estimator: Any, X: Rows, y: Labels) -> Any:
    return clone(estimator).fit(_table(X), y)


def _predicted(model: Any, X: Rows) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(_table(X)), dtype=float)[:, 1]
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(_table(X)), dtype=float)
    return np.asarray(model.predict(_table(X)), dtype=float)


def _table(X: Rows) -> pd.DataFrame:
    return pd.DataFrame(X, columns=[f"noise_{number}" for number in range(X.shape[1])])


def _area(returned: Any, y: Labels, name: str) -> float:
    scores = np.asarray(returned, dtype=float).squeeze()
    if scores.ndim == 0:
        return float(scores)
    if scores.ndim == 2 and scores.shape == (len(y), 2):
        scores = scores[:, 1]
    if scores.shape != y.shape:
        raise InputError(
            f"{name} returned an array of shape {scores.shape} for {len(y)} rows.",
            hint="Return one out-of-fold score per row, or an AUC.",
        )
    return auc(y, scores)


def _above_chance(check: str, areas: list[float], n_cases: int, name: str) -> list[Finding]:
    half = n_cases // 2
    bound = 0.5 + _ERRORS_ABOVE_CHANCE * hanley_mcneil_error(0.5, half, n_cases - half) / np.sqrt(len(areas))
    mean = float(np.mean(areas))
    if mean <= bound:
        return []
    what = f"Mean AUC {mean:.3f} over {len(areas)} draws where an honest pipeline stays below {bound:.3f}."
    return [finding(Severity.LEAK, check, name, what)]


def _differ(first: np.ndarray, second: np.ndarray) -> bool:
    return not np.allclose(first, second, rtol=0, atol=_SAME)


def _depends_on_others(name: str) -> Finding:
    what = "With the other test rows changed, the prediction of one test row changes."
    return finding(Severity.LEAK, "test-rows-change-others", name, what)


def _unsteady(name: str) -> Finding:
    what = "The same rows got other predictions the second time, so nothing can be said about what changes them."
    return finding(Severity.NOTE, "not-reproducible", name, what)
