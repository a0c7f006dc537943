"""From branch tables and a cohort to one table of numbers with labels: what may be a feature, and what a case without a branch gets."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from radiogen.cohort.splits import site_names
from radiogen.cohort.table import TARGET_COLUMNS
from radiogen.errors import CohortError, InputError
from radiogen.fusion.context import RowContext, row_context
from radiogen.registry import did_you_mean
from radiogen.types import Labels01

log = logging.getLogger(__name__)

POSITIVE_MEANS = {
    "idh": "IDH mutated",
    "mgmt": "MGMT promoter methylated",
    "codeletion": "1p/19q co-deleted",
    "grade": "WHO grade 4 (against 2 and 3)",
}
"""What `y_true = 1` means for each target."""

_WITHOUT_SCANNER = ("clinical", "location")

STRATA_COLUMNS = ("grade", "idh", "mgmt", "codeletion_1p19q", "sex")
"""Cohort columns that predictions carry along, where known and not the target itself."""

_LABEL_WORDS = {
    "idh", "idh1", "idh2", "mgmt", "codeletion", "codel", "1p19q", "1p", "19q", "atrx", "tert", "cdkn2a", "grade", "who",
    "diagnosis", "diagnostics", "histology", "pathology", "pathologic", "survival", "vital", "death", "died", "dead", "deceased",
}  # fmt: skip
"""A column with one of these words in its name is a label or an outcome."""

_LABEL_NAMES = {
    "label", "labels", "target", "class", "outcome", "y", "y_true", "y_pred", "y_prob", "event", "os", "os_days", "os_event", "pfs", "status",
    "fold", "split", "repeat", "case", "case_id", "id", "patient", "patient_id", "patientid", "subject", "subject_id", "subjectid", "site", "center",
    "centre", "scanner", "session", "visit", "brats21id", "index",
}  # fmt: skip
"""A column that is called exactly this is an id, a label or an outcome."""


@dataclass(frozen=True)
class FusionTable:
    """Everything a classifier is fitted on and tested with; rows are sorted by case, so their order in the input does not matter.

    Args:
        target: one of `TARGET_COLUMNS`.
        features: one row per case with a known label; floats, NaN where a value or a whole branch is missing.
        y: 0/1 label per row.
        cohort: columns `patient` and `site` (strings), then the strata, per row.
        branch_of: column -> branch it came from.
        notes: what was left out and why, in plain sentences.
        context: sites, covariates and column origins, for harmonisation and the ICC selector.
        scores: values of columns that are predictions, for every training side; see `radiogen.fusion.inner_scores`.
    """

    target: str
    features: pd.DataFrame
    y: Labels01
    cohort: pd.DataFrame
    branch_of: Mapping[str, str]
    notes: list[str] = field(default_factory=list)
    context: RowContext | None = None
    scores: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def check_target(target: str) -> str:
    """Return the target if it is one.

    Raises:
        InputError: it is not; the message names the accepted ones.
    """
    if target not in TARGET_COLUMNS:
        raise InputError(
            f"'{target}' is not a target; accepted: {', '.join(TARGET_COLUMNS)}.",
            hint=did_you_mean(target, list(TARGET_COLUMNS)),
        )
    return target


def target_labels(cohort: pd.DataFrame, target: str) -> pd.Series:
    """Return the 0/1 label per case (NaN where unknown): grade is 1 for 4 and 0 for 2 and 3, the others are the cohort's own columns.

    Raises:
        InputError: the target is unknown.
        CohortError: the cohort lacks the target's column.

    Example:
        >>> target_labels(pd.DataFrame({"grade": [2.0, 4.0, 1.0]}, index=["a", "b", "c"]), "grade").tolist()
        [0.0, 1.0, nan]
    """
    column = TARGET_COLUMNS[check_target(target)]
    if column not in cohort.columns:
        raise CohortError(f"The cohort has no column '{column}', which target '{target}' needs.")
    values = pd.to_numeric(cohort[column], errors="coerce").astype(float)
    if target == "grade":
        values = values.map({2.0: 0.0, 3.0: 0.0, 4.0: 1.0})
    return values.where(values.isin([0.0, 1.0])).rename("y")


def usable_columns(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns of a feature table that may be features, as floats, and notes on those that may not.

    Left out are PyRadiomics' `diagnostics_*`, columns that are not numbers, ids, and anything named like a label or an outcome: a table that
    carries its own answer must not be able to use it.

    Args:
        table: one row per case.

    Example:
        >>> usable_columns(pd.DataFrame({"original_shape_Maximum": [1, 2], "IDH": [0, 1], "who": ["a", "b"]}))[0].columns.tolist()
        ['original_shape_Maximum']
    """
    kept: dict[str, pd.Series] = {}
    left_out: dict[str, list[str]] = {
        "diagnostics of PyRadiomics": [],
        "named like an id or a label": [],
        "not numbers": [],
    }
    for name, column in table.items():
        reason = _why_not(str(name), column)
        if reason:
            left_out[reason].append(str(name))
        else:
            kept[str(name)] = column.astype(float).replace([np.inf, -np.inf], np.nan)
    notes = []
    for reason, names in left_out.items():
        if names:
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            notes.append(f"{len(names)} column(s) are not features ({reason}): {shown}.")
    return pd.DataFrame(kept, index=table.index), notes


def _why_not(name: str, column: pd.Series) -> str:
    plain = name.strip().lower()
    if plain.startswith("diagnostics_") or "_diagnostics_" in plain:
        return "diagnostics of PyRadiomics"
    words = {word for word in re.split(r"[^a-z0-9]+", plain) if word}
    if plain.replace(" ", "_") in _LABEL_NAMES or words & _LABEL_WORDS or plain.startswith("unnamed:"):
        return "named like an id or a label"
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        return "not numbers"
    return ""


def join_branches(branches: Mapping[str, pd.DataFrame], cases: list[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Put branch tables side by side for the given cases.

    A column name that occurs in two branches gets its branch's name in front. A case without a row in a branch keeps NaN there (filled inside
    the fold) and, wherever some case lacks the branch, a column `has_<branch>` says who has it.

    Args:
        branches: branch name -> table indexed by case.
        cases: rows of the result, in order.

    Returns:
        The joined table, and column -> branch.

    Example:
        >>> a, b = pd.DataFrame({"x": [1.0]}, index=["p"]), pd.DataFrame({"x": [2.0, 3.0]}, index=["p", "q"])
        >>> join_branches({"a": a, "b": b}, ["p", "q"])[0].to_dict("list")
        {'a_x': [1.0, nan], 'has_a': [1.0, 0.0], 'b_x': [2.0, 3.0]}
    """
    names = [column for table in branches.values() for column in table.columns]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    pieces: list[pd.DataFrame] = []
    branch_of: dict[str, str] = {}
    for branch, table in branches.items():
        renamed = table.rename(columns={name: f"{branch}_{name}" for name in table.columns if name in twice})
        piece = renamed.reindex(cases).astype(float)
        has = np.array([case in table.index for case in cases])
        if not has.all():
            piece[f"has_{branch}"] = has.astype(float)
        branch_of |= dict.fromkeys(piece.columns, branch)
        pieces.append(piece)
    return pd.concat(pieces, axis=1) if pieces else pd.DataFrame(index=cases), branch_of


def fusion_table(features: Mapping[str, pd.DataFrame], cohort: pd.DataFrame, target: str) -> FusionTable:
    """Join branch tables with labels; cases with an unknown label, or without any feature, are left out and counted in the notes.

    Args:
        features: branch name -> table indexed by case.
        cohort: cohort table indexed by case, with `patient`, `site` and the label columns.
        target: one of `TARGET_COLUMNS`.

    Raises:
        InputError: a table names a case twice, no case is in both features and cohort, or no column is left.
    """
    problems = [
        f"{branch}: case '{case}' has more than one row"
        for branch, table in features.items()
        for case in _doubles(table)
    ]
    if problems:
        raise InputError("Feature tables must have one row per case:", problems=problems)
    labels = target_labels(cohort, target)
    with_features = sorted({str(case) for table in features.values() for case in table.index})
    cases = [case for case in sorted(cohort.index) if case in set(with_features)]
    if not cases:
        raise InputError(
            f"No case is in both the features ({_some(with_features)}) and the labels ({_some(sorted(cohort.index))}).",
            hint="Check that both tables spell the case ids alike.",
        )
    known = [case for case in cases if not np.isnan(labels[case])]
    if not known:
        raise InputError(
            f"None of the {len(cases)} cases with features has a known {target} label.",
            hint=f"Check that the label table has a column for {target} (read as '{TARGET_COLUMNS[target]}').",
        )
    notes = _counts(cohort, labels, cases, known, with_features, target)
    usable = {}
    for branch, table in features.items():
        usable[branch], left_out = usable_columns(table)
        notes += [f"{branch}: {note}" for note in left_out]
    joined, branch_of = join_branches(usable, known)
    y = labels[known].to_numpy(dtype=np.int64)
    joined, copies = _without_copies_of_label(joined, y)
    notes += copies
    if joined.shape[1] == 0:
        raise InputError("No column of the features can be used.", problems=notes)
    for note in notes:
        log.info("%s", note)
    columns = [str(name) for name in joined.columns]
    context = row_context(cohort.loc[known], columns, [scanner_matters(name, branch_of) for name in columns])
    return FusionTable(target, joined, y, _cohort_part(cohort.loc[known], target), branch_of, notes, context)


def scanner_matters(column: str, branch_of: Mapping[str, str]) -> bool:
    """Return whether another scanner could change a column: not age or sex, not where a tumour lies, not whether a branch is there.

    Example:
        >>> scanner_matters("t1c_et_original_firstorder_Mean", {"t1c_et_original_firstorder_Mean": "radiomics"})
        True
    """
    return branch_of.get(column, "") not in _WITHOUT_SCANNER and not column.startswith("has_")


def _doubles(table: pd.DataFrame) -> list[str]:
    return [str(case) for case in table.index[table.index.duplicated()].unique()]


def _some(names: list[str]) -> str:
    return f"{len(names)}: {', '.join(map(str, names[:3]))}{', ...' if len(names) > 3 else ''}" if names else "none"


def _counts(
    cohort: pd.DataFrame, labels: pd.Series, cases: list[str], known: list[str], with_features: list[str], target: str
) -> list[str]:
    notes = [f"{len(known)} cases with features and a known {target} label ({int(labels[known].sum())} positive)."]
    if len(known) < len(cases):
        notes.append(f"{len(cases) - len(known)} case(s) left out: {target} is unknown.")
    if len(cases) < len(cohort):
        notes.append(f"{len(cohort) - len(cases)} case(s) of the cohort left out: no features.")
    unlabelled = len(set(with_features) - set(cohort.index))
    if unlabelled:
        notes.append(f"{unlabelled} case(s) of the feature tables left out: not in the cohort or label table.")
    return notes


def _without_copies_of_label(joined: pd.DataFrame, y: Labels01) -> tuple[pd.DataFrame, list[str]]:
    copies = []
    for name in joined.columns[joined.nunique() == 2]:
        column = joined[name].to_numpy()
        high = (column == np.nanmax(column)).astype(np.int64)
        if not np.isnan(column).any() and len(y) >= 10 and (np.array_equal(high, y) or np.array_equal(1 - high, y)):
            copies.append(str(name))
    notes = [f"Column(s) left out because they are a copy of the label: {', '.join(copies)}."] if copies else []
    return joined.drop(columns=copies), notes


def _cohort_part(cohort: pd.DataFrame, target: str) -> pd.DataFrame:
    patient = cohort["patient"] if "patient" in cohort.columns else cohort.index.to_series()
    patient = patient.where(patient.notna(), cohort.index.to_series()).astype(str)
    site = cohort["site"] if "site" in cohort.columns else pd.Series(index=cohort.index, dtype=object)
    strata = [
        name
        for name in STRATA_COLUMNS
        if name in cohort.columns and name != TARGET_COLUMNS[target] and cohort[name].notna().any()
    ]
    return pd.concat([patient.rename("patient"), site_names(site).rename("site"), cohort[strata]], axis=1)
