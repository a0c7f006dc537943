"""Leaks that a table of predictions shows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from radiogen.evaluate.columns import as_text, simple
from radiogen.evaluate.lint import Finding, Severity, finding, named
from radiogen.evaluate.lint_folds import training_rows
from radiogen.evaluate.lint_rows import LintRows
from radiogen.stats.auc import auc

_SAME = 1e-9
_LEAST_REPEATED = 20
_LEAST_PERFECT = 20


def lint_predictions(rows: LintRows, label: pd.Series, score: pd.Series) -> list[Finding]:
    """Return what a table of predictions says against itself.

    Args:
        rows: the table.
        label: 0/1 per row, NaN where unknown.
        score: score per row, NaN where there is none.
    """
    found = _marked_as_seen(rows) + _training(rows, label, score) + _frozen(rows, score) + _perfect(rows, label, score)
    found += _fold_changes(rows)
    if "split" not in rows.roles and "set" not in rows.roles:
        what = "No column says in which fold a case was tested, so nothing here shows that it was unseen."
        found.append(finding(Severity.NOTE, "no-folds", rows.name, what))
    return found


def lint_seen(rows: LintRows, seen: pd.Series, model: str) -> list[Finding]:
    """Return the cases that were in a model's training.

    Args:
        rows: the table whose cases are asked for.
        seen: whether the case of that row was in training.
        model: what to call the model.
    """
    cases = list(dict.fromkeys(rows.case[seen]))
    if not cases:
        return []
    what = f"{len(cases)} of {rows.case.nunique()} cases were in the training of {model}: {named(cases)}."
    return [finding(Severity.LEAK, "seen-in-training", rows.name, what)]


def lint_metrics(metrics: Mapping[str, Any], name: str) -> list[Finding]:
    """Return the leaks that an evaluation recorded itself.

    Args:
        metrics: the content of a metrics.json.
        name: file name, for messages.

    Example:
        >>> lint_metrics({"notes": ["LEAKAGE: 2 patient(s) are in several folds."]}, "metrics.json")[0].severity.value
        'leak'
    """
    notes = [str(note) for note in metrics.get("notes") or [] if "leakage" in str(note).lower()]
    return [finding(Severity.LEAK, "recorded-leak", name, note) for note in notes]


def _marked_as_seen(rows: LintRows) -> list[Finding]:
    column = next((name for name in rows.frame if simple(name) in {"intraining", "seenintraining"}), None)
    if column is None:
        return []
    seen = as_text(rows.frame[column]).str.lower().isin(["true", "1", "yes"])
    return lint_seen(rows, seen, f"the model (column '{column}')")


def _training(rows: LintRows, label: pd.Series, score: pd.Series) -> list[Finding]:
    for role in ("set", "split"):
        if role not in rows.roles:
            continue
        training = training_rows(as_text(rows.frame[rows.roles[role]]))
        if not training.any():
            continue
        parts = {
            words: auc(*_pair(label[here], score[here]))
            for words, here in (("training", training), ("other", ~training))
        }
        told = ", ".join(f"{words} rows {area:.3f}" for words, area in parts.items() if not np.isnan(area))
        severity = Severity.LEAK if training.all() else Severity.SUSPICIOUS
        what = f"{int(training.sum())} of {len(training)} rows are training rows (AUC: {told})."
        return [finding(severity, "training-rows", f"{rows.name}: column '{rows.roles[role]}'", what)]
    return []


def _frozen(rows: LintRows, score: pd.Series) -> list[Finding]:
    """Say when folds change from repeat to repeat but no prediction does: each repeat should have models of its own."""
    if "repeat" not in rows.roles or "split" not in rows.roles:
        return []
    found = []
    for name, table in _by_model(rows, score):
        wide = table.pivot_table(index="case", columns="repeat", values="score", aggfunc="first").dropna()
        folds = table.pivot_table(index="case", columns="repeat", values="split", aggfunc="first").loc[wide.index]
        if wide.shape[1] < 2 or len(wide) < _LEAST_REPEATED or wide.iloc[:, 0].nunique() < len(wide) / 2:
            continue
        changed = any(_as_partition(folds[a]) != _as_partition(folds[b]) for a, b in pairwise(folds.columns))
        same = (wide.max(axis=1) - wide.min(axis=1)) < _SAME
        if changed and bool(same.all()):
            what = f"{name}all {len(wide)} cases have the same probability in each of {wide.shape[1]} repeats, while their folds change."
            found.append(finding(Severity.LEAK, "in-sample-predictions", rows.name, what))
    return found


def _perfect(rows: LintRows, label: pd.Series, score: pd.Series) -> list[Finding]:
    y, p = _pair(label, score)
    if len(y) < _LEAST_PERFECT or min((y == 1).sum(), (y == 0).sum()) < 5:
        return []
    if auc(y, p) < 1.0:
        return []
    what = f"The AUC of {len(y)} predictions is exactly 1."
    return [finding(Severity.SUSPICIOUS, "too-good-predictions", rows.name, what)]


def _fold_changes(rows: LintRows) -> list[Finding]:
    if "model" not in rows.roles or "split" not in rows.roles:
        return []
    frame, roles = rows.frame, rows.roles
    table = pd.DataFrame(
        {
            "case": rows.case,
            "model": as_text(frame[roles["model"]]),
            "split": as_text(frame[roles["split"]]),
            "repeat": as_text(frame[roles["repeat"]]) if "repeat" in roles else "",
        }
    ).drop_duplicates(["case", "model", "repeat"])
    models = sorted(set(table["model"]))
    parts = {name: table[table["model"] == name].set_index(["repeat", "case"])["split"] for name in models}
    found = []
    for other in models[1:]:
        first = models[0]
        common = parts[first].index.intersection(parts[other].index)
        if len(common) < _LEAST_REPEATED:
            continue
        differ = [
            repeat
            for repeat in sorted(set(common.get_level_values(0)))
            if _as_partition(parts[first].loc[common].loc[repeat])
            != _as_partition(parts[other].loc[common].loc[repeat])
        ]
        if differ:
            what = f"Models '{first}' and '{other}' were tested in different folds."
            found.append(finding(Severity.SUSPICIOUS, "folds-differ-between-models", rows.name, what))
    return found


def _by_model(rows: LintRows, score: pd.Series) -> list[tuple[str, pd.DataFrame]]:
    frame, roles = rows.frame, rows.roles
    table = pd.DataFrame(
        {
            "case": rows.case,
            "score": score,
            "split": as_text(frame[roles["split"]]),
            "repeat": as_text(frame[roles["repeat"]]),
            "model": as_text(frame[roles["model"]]) if "model" in roles else "",
        }
    )
    return [(f"model '{name!s}': " if name else "", part) for name, part in table.groupby("model", sort=True)]


def _as_partition(folds: pd.Series) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(map(str, group)) for group in folds.groupby(folds).groups.values())


def _pair(label: pd.Series, score: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    known = label.notna() & score.notna()
    return label[known].to_numpy(dtype=np.int64), score[known].to_numpy(dtype=np.float64)
