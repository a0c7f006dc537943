"""Labels onto cases: ids matched whatever their spelling, contradictions reported, nothing guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from radiogen.cohort.identifiers import identify
from radiogen.cohort.labels import VALUE_COLUMNS, Labels
from radiogen.cohort.overlaps import CONFLICT_COLUMNS, Link, Patients, differ
from radiogen.cohort.table import ID_COLUMNS
from radiogen.errors import CohortError

LEVELS = ("exact", "scan", "patient", "linked")
"""How a case found its row: same text, same scan in another spelling, same patient, or the same patient under another collection's id."""


@dataclass(frozen=True)
class JoinReport:
    """What joining label tables came to.

    Args:
        matches: one row per case and table: columns `case table row level`.
        unmatched: table name -> cases without a row in it.
        unused_rows: table name -> number of rows that no case takes.
        conflicts: where tables contradict each other for one case; the earlier table's value is kept. Columns of `CONFLICT_COLUMNS`.
        notes: further lines for the reader.
    """

    matches: pd.DataFrame
    unmatched: dict[str, list[str]]
    unused_rows: dict[str, int]
    conflicts: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def join_labels(
    cohort: pd.DataFrame, tables: Sequence[Labels], links: Sequence[Link] = ()
) -> tuple[pd.DataFrame, JoinReport]:
    """Return the cohort with labels from tables; the first table that knows a value gives it.

    Args:
        cohort: typed cohort table; values it already holds are kept.
        tables: from `read_labels_file` or `normalise_labels`, the most trusted one first.
        links: ids of one patient in two collections, so that a table about one collection labels cases of another.

    Raises:
        CohortError: a table has no id column, or none of its ids matches a case; ids of both sides are shown.
    """
    _refuse_useless(cohort, tables, links)
    joined = cohort.copy()
    patients = Patients(links)
    origin: dict[tuple[str, str], tuple[str, str]] = {}
    matches, conflicts = [], []
    unmatched: dict[str, list[str]] = {}
    unused: dict[str, int] = {}
    for labels in tables:
        rows = match_rows(joined, labels, patients)
        unmatched[labels.name] = [case for case in map(str, joined.index) if case not in rows]
        unused[labels.name] = len(labels.table) - len({row for row, _ in rows.values()})
        for case, (row, level) in rows.items():
            matches.append({"case": case, "table": labels.name, "row": row, "level": level})
            conflicts += _fill(joined, case, labels, row, origin)
    report = JoinReport(
        pd.DataFrame(matches, columns=["case", "table", "row", "level"]),
        unmatched,
        unused,
        pd.DataFrame(conflicts, columns=CONFLICT_COLUMNS),
    )
    return joined, report


def _refuse_useless(cohort: pd.DataFrame, tables: Sequence[Labels], links: Sequence[Link]) -> None:
    problems = []
    for labels in tables:
        if not labels.has_ids:
            problems.append(
                f"{labels.name} has no id column; its columns are {', '.join(map(str, labels.table.columns[-8:]))}"
            )
        elif not match_rows(cohort, labels, Patients(links)):
            problems.append(
                f"{labels.name}: no id matches a case. Ids there: {_examples(labels.table.index)}; cases here: {_examples(cohort.index)}"
            )
    if problems:
        raise CohortError(
            "A label table cannot be joined:",
            problems=problems,
            hint="Give the table a column 'case' with the cases' ids, or a cross-walk with --crosswalk.",
        )


def _examples(ids: pd.Index) -> str:
    return ", ".join(f"'{name}'" for name in list(ids)[:3])


def match_rows(cohort: pd.DataFrame, labels: Labels, patients: Patients) -> dict[str, tuple[str, str]]:
    """Return case -> (row id of the table, level of `LEVELS`) for every case that has a row.

    A level is tried only where the ones before it found nothing, and an id that could be two cases' or two patients' rows finds none.
    """
    rows = _row_index(labels, patients)
    shared = _shared_keys(cohort)
    found: dict[str, tuple[str, str]] = {}
    for case, patient in cohort["patient"].items():
        for level, key in _case_keys(str(case), str(patient), patients):
            if level != "exact" and key in shared:
                continue
            candidates = rows[level].get(key, [])
            if candidates and (len(candidates) == 1 or level == "linked" or _one_patient(labels, candidates, level)):
                found[str(case)] = (_one_of(labels, candidates), level)
                break
    return found


def _shared_keys(cohort: pd.DataFrame) -> set[str]:
    """Return keys that two cases share only because leading zeros were dropped: '007' and '7'."""
    cases: dict[str, set[str]] = defaultdict(set)
    for case in map(str, cohort.index):
        identity = identify(case)
        if not identity.collection:
            cases[identity.key].add(case.lower())
    return {key for key, members in cases.items() if len(members) > 1}


def _case_keys(case: str, patient: str, patients: Patients) -> list[tuple[str, str]]:
    own, other = identify(case), identify(patient)
    return [
        ("exact", case.lower()),
        ("scan", own.scan),
        ("patient", own.key),
        ("patient", other.key),
        ("linked", patients.of(own.key)),
        ("linked", patients.of(other.key)),
    ]


def _row_index(labels: Labels, patients: Patients) -> dict[str, dict[str, list[str]]]:
    index: dict[str, dict[str, list[str]]] = {level: defaultdict(list) for level in LEVELS}
    for position, row in enumerate(map(str, labels.table.index)):
        written = {(row, "")} | {(str(labels.ids.iloc[position][name]), str(name)) for name in labels.ids.columns}
        for text, header in sorted(written):
            identity = identify(text, header=header)
            keys = {"exact": text.lower(), "scan": identity.scan, "patient": identity.key}
            if identity.collection:
                keys["linked"] = patients.of(identity.key)
            for level, key in keys.items():
                if key and row not in index[level][key]:
                    index[level][key].append(row)
    return index


def _one_patient(labels: Labels, rows: list[str], level: str) -> bool:
    return level == "patient" and labels.table.loc[rows, "patient"].nunique() == 1


def _one_of(labels: Labels, rows: list[str]) -> str:
    """Return the row that says most among several rows of one patient; ties go to the first."""
    known = labels.table.loc[rows, VALUE_COLUMNS].notna().sum(axis=1).tolist()
    return rows[known.index(max(known))]


def _fill(
    joined: pd.DataFrame, case: str, labels: Labels, row: str, origin: dict[tuple[str, str], tuple[str, str]]
) -> list[dict[str, Any]]:
    conflicts = []
    for column in VALUE_COLUMNS:
        value: Any = labels.table.at[row, column]
        before: Any = joined.at[case, column]
        if pd.isna(value):
            continue
        if pd.isna(before):
            joined.at[case, column] = value
            origin[case, column] = (row, labels.name)
        elif differ(column, before, value):
            case_1, source_1 = origin.get((case, column), (case, "the cohort table"))
            record: list[Any] = [column, joined.at[case, "patient"], case_1, source_1, before, row, labels.name, value]
            conflicts.append(dict(zip(CONFLICT_COLUMNS, record, strict=True)))
    _fill_ids(joined, case, labels, row)
    return conflicts


def _fill_ids(joined: pd.DataFrame, case: str, labels: Labels, row: str) -> None:
    """Take patient and site from the table where it knows more than the case's name does."""
    own = identify(case)
    for column in ID_COLUMNS:
        value, before = labels.table.at[row, column], joined.at[case, column]
        told_by_name = own.patient if column == "patient" else own.site
        own_collection = identify(str(row)).collection == own.collection
        if isinstance(value, str) and value and before in (None, told_by_name) and (own_collection or before is None):
            joined.at[case, column] = value
