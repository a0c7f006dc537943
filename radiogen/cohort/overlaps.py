"""Patients who occur in two data sets, or twice in one, found from tables that give one patient two ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import pandas as pd

from radiogen.cohort.identifiers import Identifier, identify
from radiogen.cohort.labels import VALUE_COLUMNS, Labels
from radiogen.cohort.layouts import natural_key

_TOLERANCE = {"age": 1.0, "os_days": 31.0, "kps": 0.0}
"""How far two sources may differ before they contradict each other: ages rounded to years, survival given in months."""
CONFLICT_COLUMNS = ["column", "patient", "case_1", "source_1", "value_1", "case_2", "source_2", "value_2"]


@dataclass(frozen=True)
class Link:
    """Two ids of one patient.

    Args:
        first: an id.
        second: another id.
        table: the table that says so.
    """

    first: Identifier
    second: Identifier
    table: str


class Patients:
    """Groups of ids that belong to one patient (union-find).

    Args:
        links: what is known to belong together.

    Example:
        >>> a, b, c = map(identify, ("UCSF-PDGM-004", "BraTS2021_00097", "BraTS-GLI-00097-000"))
        >>> patients = Patients([Link(a, b, "table")])
        >>> patients.of(c.key) == patients.of(a.key)
        True
    """

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self._above: dict[str, str] = {}
        for link in links:
            self._join(link.first.key, link.second.key)

    def of(self, key: str) -> str:
        """Return the key that stands for the patient of `key`: the same for all ids of one patient."""
        root = key
        while (above := self._above.get(root, root)) != root:
            root = above
        while (above := self._above.get(key, key)) != root:
            self._above[key] = root
            key = above
        return root

    def _join(self, first: str, second: str) -> None:
        low, high = sorted((self.of(first), self.of(second)))
        self._above[high] = low


def find_links(tables: Iterable[Labels]) -> list[Link]:
    """Return every pair of ids that a row of a table gives to one patient.

    Only ids of collections that radiogen knows are linked: a bare number in two tables says nothing.

    Args:
        tables: label or cross-walk tables.
    """
    links: dict[tuple[str, str], Link] = {}
    for labels in tables:
        for row in _known_ids(labels):
            for first, second in pairwise(row):
                pair = (min(first.key, second.key), max(first.key, second.key))
                links.setdefault(pair, Link(first, second, labels.name))
    return list(links.values())


def _known_ids(labels: Labels) -> list[list[Identifier]]:
    rows = []
    for position, (case, patient) in enumerate(labels.table["patient"].items()):
        other = [(str(labels.ids.iloc[position][name]), str(name)) for name in labels.ids.columns]
        own_header = next((name for text, name in other if text == case), "")
        found: dict[str, Identifier] = {}
        for text, header in [(str(case), own_header), (str(patient), ""), *other]:
            identity = identify(text, header=header)
            if identity.collection:
                found.setdefault(identity.key, identity)
        rows.append(list(found.values()))
    return rows


def overlap_counts(links: Sequence[Link]) -> pd.DataFrame:
    """Return how many patients each two collections share.

    Returns:
        Table with columns `collection_1`, `collection_2`, `links` (pairs of ids) and `patients` (people: fewer, where one has two ids).
    """
    patients = Patients(links)
    pairs: dict[tuple[str, str], list[Link]] = defaultdict(list)
    for link in links:
        first, second = sorted((link.first.collection, link.second.collection))
        pairs[(first, second)].append(link)
    rows = [
        {
            "collection_1": first,
            "collection_2": second,
            "links": len(members),
            "patients": len({patients.of(link.first.key) for link in members}),
        }
        for (first, second), members in sorted(pairs.items())
    ]
    return pd.DataFrame(rows, columns=["collection_1", "collection_2", "links", "patients"])


def unify_patients(cohort: pd.DataFrame, links: Iterable[Link]) -> tuple[pd.DataFrame, list[str]]:
    """Give all cases of one patient the same `patient`.

    Args:
        cohort: typed cohort table.
        links: from `find_links`.

    Returns:
        The cohort, and one line per patient whose cases were brought together although their ids differ.
    """
    links = list(links)
    patients = Patients(links)
    tables = _tables_of(links, patients)
    cases: dict[str, list[str]] = defaultdict(list)
    for case, patient in cohort["patient"].items():
        own = identify(str(case))
        # The column `patient` may come from a table that knows better than the case's name.
        key = identify(str(patient)).key if not own.collection or identify(str(patient)).collection else own.key
        cases[patients.of(key)].append(str(case))
    unified, notes = cohort.copy(), []
    for root, members in cases.items():
        names = sorted({str(name) for name in cohort.loc[members, "patient"]}, key=natural_key)
        if len(names) > 1:
            unified.loc[members, "patient"] = names[0]
            source = ", ".join(sorted(tables.get(root, ()))) or "their numbers"
            notes.append(f"{', '.join(sorted(members, key=natural_key))} are one patient, {names[0]} (from {source})")
    return unified, notes


def _tables_of(links: Iterable[Link], patients: Patients) -> dict[str, set[str]]:
    tables: dict[str, set[str]] = defaultdict(set)
    for link in links:
        tables[patients.of(link.first.key)].add(link.table)
    return tables


def label_conflicts(tables: Sequence[Labels], links: Iterable[Link]) -> pd.DataFrame:
    """Return where two tables say different things of one patient.

    Args:
        tables: label tables.
        links: from `find_links`, so that a patient is recognised under another id.

    Returns:
        Table with the columns of `CONFLICT_COLUMNS`, one row per contradiction.
    """
    patients = Patients(links)
    by_patient = [_rows_by_patient(labels, patients) for labels in tables]
    rows = []
    for (one, first), (two, second) in combinations(zip(tables, by_patient, strict=True), 2):
        for root in sorted(set(first) & set(second)):
            rows += [
                conflict
                for column in VALUE_COLUMNS
                if (conflict := _conflict(column, one, first[root], two, second[root])) is not None
            ]
    return pd.DataFrame(rows, columns=CONFLICT_COLUMNS)


def _rows_by_patient(labels: Labels, patients: Patients) -> dict[str, str]:
    rows: dict[str, str] = {}
    for case, identities in zip(labels.table.index, _known_ids(labels), strict=True):
        if identities:
            rows.setdefault(patients.of(identities[0].key), str(case))
    return rows


def _conflict(column: str, one: Labels, case_1: str, two: Labels, case_2: str) -> dict[str, object] | None:
    value_1, value_2 = one.table.at[case_1, column], two.table.at[case_2, column]
    if not differ(column, value_1, value_2):
        return None
    return {
        "column": column,
        "patient": one.table.at[case_1, "patient"],
        "case_1": case_1,
        "source_1": one.name,
        "value_1": value_1,
        "case_2": case_2,
        "source_2": two.name,
        "value_2": value_2,
    }


def differ(column: str, value_1: Any, value_2: Any) -> bool:
    """Return whether two values of a cohort column contradict each other; an unknown one contradicts nothing."""
    if pd.isna(value_1) or pd.isna(value_2):
        return False
    if column in _TOLERANCE:
        return bool(abs(value_1 - value_2) > _TOLERANCE[column])
    return bool(value_1 != value_2)
