"""Leaks that a table of features with labels shows: columns, gaps, rows and order that tell the label."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from scipy.stats import fisher_exact, norm, rankdata

from radiogen.config.lint import LintSettings
from radiogen.evaluate.columns import as_text
from radiogen.evaluate.lint import Finding, Severity, finding, named
from radiogen.evaluate.lint_rows import LintRows, is_feature_table, is_marker, is_outcome
from radiogen.stats.auc import hanley_mcneil_error

_MOST_LISTED = 20
_LEAST_SITE_CASES = 10
_GAP_DIFFERENCE = 0.3
_SORTED_AUC = 0.9
_DRIFTING_AUC = 0.7


def lint_features(
    rows: LintRows, label: pd.Series, *, target: str | None = None, label_column: str = "", settings: LintSettings
) -> list[Finding]:
    """Return what a table's columns, gaps and order say about the label.

    Args:
        rows: the table.
        label: 0/1 per row, NaN where unknown, index as `rows.frame`.
        target: what the label is, for the names of columns.
        label_column: the table's own label column, which is no feature.
        settings: limits.
    """
    known = label.notna()
    y = label[known].to_numpy(dtype=np.int64)
    if min(int((y == 1).sum()), int((y == 0).sum())) < settings.least_per_class:
        return []
    table = rows.features.loc[known].drop(columns=[label_column], errors="ignore")
    # A table that holds labels and clinical facts alone is nobody's feature table.
    used = is_feature_table(rows)
    found = _columns(rows, table, y, target, used, settings)
    found += _word_columns(rows, known, y, target, label_column, used)
    found += _gaps(rows, table, y, settings)
    found += _order(rows, known, y, settings)
    return found + _sites(rows, known, y)


def single_aucs(values: Float[np.ndarray, "n k"], y: Integer[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """Return the AUC of every column by itself; NaN rows of a column are left out.

    Args:
        values: one column per feature.
        y: 0/1 label per row.

    Source: Hanley & McNeil 1982, Radiology 143:29.

    Example:
        >>> single_aucs(np.array([[1.0, 4.0], [2.0, 3.0], [3.0, 2.0], [4.0, 1.0]]), np.array([0, 0, 1, 1])).tolist()
        [1.0, 0.0]
    """
    areas = np.full(values.shape[1], np.nan)
    for column in range(values.shape[1]):
        here = ~np.isnan(values[:, column])
        positive = y[here] == 1
        n1, n0 = int(positive.sum()), int((~positive).sum())
        if n1 and n0:
            ranks = rankdata(values[here, column])
            areas[column] = (ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
    return areas


def noise_bound(n_positive: int, n_negative: int, n_columns: int, alpha: float) -> float:
    """Return the AUC that none of so many columns of noise exceeds with probability `1 - alpha`.

    Args:
        n_positive: rows of the positive class.
        n_negative: rows of the negative class.
        n_columns: columns looked at.
        alpha: level over all columns together.

    Source: Mann & Whitney 1947 (null variance); Bonferroni's correction.

    Example:
        >>> round(noise_bound(30, 30, 2000, 0.01), 2)
        0.84
    """
    error = hanley_mcneil_error(0.5, n_positive, n_negative)
    return min(1.0, 0.5 + float(norm.ppf(1 - alpha / (2 * max(1, n_columns)))) * error)


def _columns(
    rows: LintRows, table: pd.DataFrame, y: np.ndarray, target: str | None, used: bool, settings: LintSettings
) -> list[Finding]:
    values = table.to_numpy(dtype=float)
    areas = single_aucs(values, y)
    strength = np.maximum(areas, 1 - areas)
    bound = noise_bound(int((y == 1).sum()), int((y == 0).sum()), table.shape[1], settings.alpha)
    found = []
    too_good: list[str] = []
    outcomes: list[str] = []
    for place, name in enumerate(map(str, table.columns)):
        where = f"{rows.name}: column '{name}'"
        if _copies(values[:, place], y):
            what = f"'{name}' has one value for each class: it is a copy of the label."
            found.append(finding(Severity.LEAK if used else Severity.SUSPICIOUS, "label-in-features", where, what))
        elif target is not None and is_marker(name, target):
            related = bool(strength[place] > bound)
            what = f"'{name}' is named after the target; alone it has an AUC of {areas[place]:.3f} (noise ends at {bound:.3f})."
            severity = Severity.LEAK if related and used else Severity.SUSPICIOUS
            found.append(finding(severity, "label-in-features", where, what))
        elif used and is_outcome(name):
            outcomes.append(f"{name} ({areas[place]:.3f})")
        elif strength[place] >= settings.too_good_auc and strength[place] > bound:
            too_good.append(f"{name} ({areas[place]:.3f})")
    if outcomes:
        what = f"{len(outcomes)} column(s) speak of outcome or pathology (AUC alone): {named(outcomes)}."
        found.append(finding(Severity.SUSPICIOUS, "outcome-in-features", rows.name, what))
    if too_good:
        what = f"{len(too_good)} of {table.shape[1]} columns separate the classes alone, beyond what noise does (AUC {bound:.3f}): {named(too_good)}."
        found.append(finding(Severity.SUSPICIOUS, "too-good-feature", rows.name, what))
    return found[:_MOST_LISTED]


def _copies(values: np.ndarray, y: np.ndarray) -> bool:
    known = ~np.isnan(values)
    if known.sum() < 0.9 * len(y) or len(set(y[known])) < 2:
        return False
    ones, zeros = set(values[known & (y == 1)]), set(values[known & (y == 0)])
    return len(ones) == 1 and len(zeros) == 1 and ones != zeros


def _word_columns(
    rows: LintRows, known: pd.Series, y: np.ndarray, target: str | None, label_column: str, used: bool
) -> list[Finding]:
    found = []
    for name in rows.words:
        if name == label_column:
            continue
        text = as_text(rows.frame.loc[known, name]).to_numpy()
        here = text != ""
        classes = pd.Series(y[here]).groupby(text[here]).nunique()
        many = len(classes) >= 2 and here.sum() >= 0.9 * len(y) and len(set(y[here])) == 2
        if not (many and (classes == 1).all()) or (target is None and not used):
            continue
        what = f"Every value of '{name}' ({named(sorted(classes.index))}) goes with one class only: the label can be read from it."
        where = f"{rows.name}: column '{name}'"
        found.append(finding(Severity.SUSPICIOUS, "label-in-features", where, what))
    return found[:_MOST_LISTED]


def _gaps(rows: LintRows, table: pd.DataFrame, y: np.ndarray, settings: LintSettings) -> list[Finding]:
    gaps = table.isna()
    some = gaps.loc[:, gaps.any() & ~gaps.all()]
    patterns: dict[bytes, list[str]] = {}
    for name in some.columns:
        patterns.setdefault(some[name].to_numpy().tobytes(), []).append(str(name))
    found = []
    for columns in patterns.values():
        missing = some[columns[0]].to_numpy()
        in_positive, in_negative = float(missing[y == 1].mean()), float(missing[y == 0].mean())
        counts = [[int((missing & (y == one)).sum()), int((~missing & (y == one)).sum())] for one in (1, 0)]
        p = float(fisher_exact(counts).pvalue) * len(patterns)
        if p >= settings.alpha or abs(in_positive - in_negative) < _GAP_DIFFERENCE:
            continue
        exact = {in_positive, in_negative} == {0.0, 1.0}
        what = (
            f"{named(columns)}: missing in {in_positive:.0%} of the positive and {in_negative:.0%} of the negative cases"
            f" (p {_p(p)} after correction)."
        )
        severity = Severity.LEAK if exact else Severity.SUSPICIOUS
        found.append(finding(severity, "missing-tells-label", rows.name, what))
    return found[:_MOST_LISTED]


def _order(rows: LintRows, known: pd.Series, y: np.ndarray, settings: LintSettings) -> list[Finding]:
    numbers_in_ids = rows.case[known].str.extract(r"(\d+)\D*$")[0].astype(float)
    orders = {
        "The order of the rows": np.arange(len(y), dtype=float),
        "The number in the case ids": numbers_in_ids.to_numpy(),
    }
    bound = noise_bound(int((y == 1).sum()), int((y == 0).sum()), len(orders), settings.alpha)
    found = []
    for words, values in orders.items():
        if np.isnan(values).any() or len(set(values)) < len(values) / 2:
            continue
        area = float(single_aucs(values[:, None], y)[0])
        strength = max(area, 1 - area)
        if strength > max(bound, _DRIFTING_AUC):
            severity = Severity.SUSPICIOUS if strength >= _SORTED_AUC else Severity.NOTE
            what = f"{words} tells the class with an AUC of {strength:.3f} (noise ends at {bound:.3f})."
            found.append(finding(severity, "order-tells-label", rows.name, what))
    return found


def _sites(rows: LintRows, known: pd.Series, y: np.ndarray) -> list[Finding]:
    site = rows.site[known].to_numpy()
    here = site != ""
    if len(set(site[here])) < 2:
        return []
    table = pd.DataFrame({"site": site[here], "y": y[here]}).groupby("site")["y"].agg(["size", "mean"])
    pure = table["mean"].isin([0.0, 1.0])
    where = f"{rows.name}: column '{rows.roles['site']}'"
    if bool(pure.all()) and len(set(y[here])) == 2:
        many = int((table["size"] >= _LEAST_SITE_CASES).sum()) >= 2
        what = f"Each of the {len(table)} sites has one class only ({named(_shares(table))}): the site is the label."
        return [finding(Severity.LEAK if many else Severity.SUSPICIOUS, "site-tells-label", where, what)]
    large = table[pure & (table["size"] >= _LEAST_SITE_CASES)]
    if large.empty:
        return []
    share = float(large["size"].sum() / table["size"].sum())
    severity = Severity.SUSPICIOUS if share >= 0.5 else Severity.NOTE
    what = f"{len(large)} of {len(table)} sites, with {share:.0%} of the cases, have one class only: {named(_shares(large))}."
    return [finding(severity, "site-tells-label", where, what)]


def _shares(table: pd.DataFrame) -> list[str]:
    return [f"{name}: {row['mean']:.0%} positive of {int(row['size'])}" for name, row in table.iterrows()]


def _p(value: float) -> str:
    return f"{value:.1e}" if not math.isnan(value) and value < 1e-3 else f"{value:.3f}"
