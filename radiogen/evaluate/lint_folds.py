"""Leaks between the two sides of a split: patients, cases and rows that stand on both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from radiogen.config.lint import LintSettings
from radiogen.evaluate.columns import as_text, simple
from radiogen.evaluate.lint import Finding, Severity, finding, named
from radiogen.evaluate.lint_rows import LintRows

_TRAIN = {"train", "training", "trainset", "trainingset"}
_LEAST_COLUMNS = 5
_LEAST_DISTINCT = 0.5
_MOST_DIMENSIONS = 400


def lint_folds(rows: LintRows) -> list[Finding]:
    """Return patients and cases that stand on both sides of the splits that a table names.

    Args:
        rows: a table with a column `split` or `fold`, or one that says train and test; without either nothing is said.
    """
    found: list[Finding] = []
    for where, side in _sides(rows):
        sides = pd.DataFrame({"case": rows.case, "patient": rows.patient, "guessed": rows.guessed, "side": side})
        sides = sides[sides["side"] != ""]
        doubled = _on_several(sides, "case")
        if doubled:
            what = f"{len(doubled)} case(s) are in several parts: {named(doubled)}."
            found.append(finding(Severity.LEAK, "case-on-both-sides", where, what))
        patients = _on_several(sides[~sides["case"].isin(doubled)], "patient")
        guesses = set(sides.loc[sides["guessed"], "patient"])
        if patients:
            how = " (as the case ids tell)" if guesses & set(patients) else ""
            what = f"{len(patients)} patient(s){how} have scans or slices in several parts: {named(patients)}."
            found.append(finding(Severity.LEAK, "patient-on-both-sides", where, what))
    return found


def partition(rows: LintRows) -> pd.Series | None:
    """Return the part of the first split per row, or None where the table names none."""
    for _, side in _sides(rows):
        return side
    return None


def lint_equal_rows(rows: LintRows, settings: LintSettings, *, side: pd.Series | None = None) -> list[Finding]:
    """Return rows of different patients whose features are the same, or the same but for rounding.

    Args:
        rows: a table of features; few or coarse columns say nothing, so at least five columns of many values are needed.
        settings: limits.
        side: part of a split per row; None: unknown.
    """
    table = rows.features
    fine = [name for name in table if table[name].nunique() >= _LEAST_DISTINCT * table[name].notna().sum() > 2]
    if len(fine) < _LEAST_COLUMNS:
        return []
    exact = _pairs_of_equals(rows, table[fine])
    found = _told(rows, exact, "identical-rows", "have the same features", side)
    near = [pair for pair in _near_pairs(rows, table[fine], settings) if pair not in set(exact)]
    return found + _told(rows, near, "nearly-identical-rows", "have features that differ by rounding only", side)


def _sides(rows: LintRows) -> Iterator[tuple[str, pd.Series]]:
    roles, frame = rows.roles, rows.frame
    for role in ("set", "split"):
        if role not in roles:
            continue
        text = as_text(frame[roles[role]])
        groups = [roles[other] for other in ("repeat", "model") if other in roles]
        if role == "set" and "split" in roles:
            groups.append(roles["split"])
        if not groups:
            yield f"{rows.name}: column '{roles[role]}'", text
            continue
        key = frame[groups].astype(str).agg(", ".join, axis=1)
        for value in dict.fromkeys(key):
            yield (
                f"{rows.name}: column '{roles[role]}', {', '.join(groups)} {value}",
                text.where(key == value, ""),
            )


def _on_several(sides: pd.DataFrame, column: str) -> list[str]:
    counts = sides.groupby(column)["side"].nunique()
    return sorted(map(str, counts.index[counts > 1]))


def _pairs_of_equals(rows: LintRows, table: pd.DataFrame) -> list[tuple[int, int]]:
    keys = pd.util.hash_pandas_object(table, index=False).to_numpy()
    pairs = []
    for group in pd.Series(np.arange(len(keys))).groupby(keys).groups.values():
        members = list(group)
        pairs += [(int(members[0]), int(other)) for other in members[1:]]
    return [pair for pair in pairs if _strangers(rows, pair)]


def _near_pairs(rows: LintRows, table: pd.DataFrame, settings: LintSettings) -> list[tuple[int, int]]:
    values = table.to_numpy(dtype=float)
    values = values[:, ~np.isnan(values).any(axis=0)][:, :_MOST_DIMENSIONS]
    if values.shape[1] < _LEAST_COLUMNS or len(values) < 3:
        return []
    ranks = (values - np.median(values, axis=0)) / (
        np.percentile(values, 75, axis=0) - np.percentile(values, 25, axis=0) + 1e-300
    )
    ranks = np.clip(ranks, -5, 5)
    distance, other = cKDTree(ranks).query(ranks, k=2)
    typical = float(np.median(distance[:, 1]))
    close = np.flatnonzero(distance[:, 1] < settings.nearly_equal * typical)
    pairs = sorted({(int(min(i, other[i, 1])), int(max(i, other[i, 1]))) for i in close})
    return [pair for pair in pairs if pair[0] != pair[1] and _strangers(rows, pair)]


def _strangers(rows: LintRows, pair: tuple[int, int]) -> bool:
    first, second = pair
    return bool(rows.patient.iloc[first] != rows.patient.iloc[second])


def _told(
    rows: LintRows, pairs: list[tuple[int, int]], check: str, words: str, side: pd.Series | None
) -> list[Finding]:
    apart = [pair for pair in pairs if side is not None and _apart(side, pair)]
    found = []
    exact = check == "identical-rows"
    for some, severity, more in (
        (apart, Severity.LEAK if exact else Severity.SUSPICIOUS, " and stand on both sides of the split"),
        ([pair for pair in pairs if pair not in apart], Severity.SUSPICIOUS if exact else Severity.NOTE, ""),
    ):
        if some:
            ids = named([f"{rows.case.iloc[first]} = {rows.case.iloc[second]}" for first, second in some])
            what = f"{len(some)} pair(s) of rows {words}{more}: {ids}."
            found.append(finding(severity, check, rows.name, what))
    return found


def _apart(side: pd.Series, pair: tuple[int, int]) -> bool:
    first, second = str(side.iloc[pair[0]]), str(side.iloc[pair[1]])
    return first != second and "" not in (first, second)


def training_rows(side: pd.Series) -> pd.Series:
    """Return which rows a column of parts calls training rows.

    Example:
        >>> training_rows(pd.Series(["Train", "test"])).tolist()
        [True, False]
    """
    return side.map(lambda text: simple(text) in _TRAIN).astype(bool)
