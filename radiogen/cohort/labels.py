"""Label tables, whatever their spelling, read into the cohort's columns."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen.cohort.identifiers import Identifier, identify
from radiogen.cohort.label_columns import Columns, Source, recognise_columns
from radiogen.cohort.label_values import (
    ACCEPTED,
    DAYS_PER_MONTH,
    READERS,
    AmbiguousError,
    NotUnderstoodError,
    alive_days,
    is_missing,
    read_event,
)
from radiogen.cohort.table import CLINICAL_COLUMNS, LABEL_COLUMNS, SURVIVAL_COLUMNS
from radiogen.errors import CohortError

VALUE_COLUMNS = [*LABEL_COLUMNS, *CLINICAL_COLUMNS, *SURVIVAL_COLUMNS]
TEXT_COLUMNS = ["sex", "eor"]
_DAYS_COLLECTIONS = {"UCSF-PDGM", "BraTS", "BraTS20", "BraTS-GLI"}
"""Collections whose tables give survival in days under a header that does not say so."""

_CASE = " case id"
"""Working column that holds the chosen id; no stripped header starts with a blank."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """One label table in the cohort's own columns.

    Args:
        name: file name, for messages.
        table: indexed by `case` (the table's own spelling); `patient`, `site`, then `VALUE_COLUMNS` as in a cohort table, then the table's other
            columns as strings.
        ids: the id columns as written, same index.
        notes: choices made that a reader should know.
        problems: values and columns that were not understood; what they stand for stays unknown.
        has_ids: whether the table has an id column; without one rows are numbered and cannot be joined.
    """

    name: str
    table: pd.DataFrame
    ids: pd.DataFrame
    notes: list[str]
    problems: list[str]
    has_ids: bool = True


def read_label_table(path: str | Path) -> pd.DataFrame:
    """Read any label table as a typed table, for work without images.

    Args:
        path: CSV whose headers and values may be spelled as the public collections spell them.

    Returns:
        Table indexed by `case`, with `patient`, `site`, labels, clinical and survival columns typed as in a cohort table and the file's other columns
        as strings. What was not understood is logged as a warning and unknown in the table. Scans of one patient share `patient`.

    Raises:
        CohortError: the file cannot be read or has no rows.
    """
    labels = read_labels_file(path)
    for line in [*labels.problems, *labels.notes]:
        (log.warning if line in labels.problems else log.info)("%s: %s", labels.name, line)
    return labels.table


def read_labels_file(path: str | Path) -> Labels:
    """Read a label table with its notes and problems.

    Raises:
        CohortError: the file cannot be read or has no rows.
    """
    path = Path(path)
    return normalise_labels(read_text_table(path), name=path.name)


def read_text_table(path: str | Path) -> pd.DataFrame:
    """Return a CSV as a table of stripped strings; comma, semicolon and tab are accepted.

    Raises:
        CohortError: the file cannot be read or has no rows.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            head = file.readline()
        separator = max(",;\t", key=head.count)
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=separator)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise CohortError(
            f"The table {path} cannot be read as CSV: {reason}.", hint="Give a CSV file with a header line."
        ) from error
    if raw.empty:
        raise CohortError(f"The table {path} has no rows.", hint="Give a CSV file with one row per case.")
    return raw.apply(lambda column: column.str.strip())


def normalise_labels(raw: pd.DataFrame, *, name: str = "labels") -> Labels:
    """Return a label table in the cohort's own columns.

    Args:
        raw: table of strings, as `read_text_table` returns it.
        name: for messages.

    Example:
        >>> raw = pd.DataFrame({"ID": ["UCSF-PDGM-004"], "MGMT status": ["negative"], "IDH": ["wildtype"], "Age at MRI": ["66"]})
        >>> normalise_labels(raw).table[["mgmt", "idh", "age"]].astype(float).to_numpy().tolist()
        [[0.0, 0.0, 66.0]]
    """
    columns = recognise_columns(raw)
    notes, problems = list(columns.notes), list(columns.problems)
    raw, has_ids = _with_ids(raw, columns, notes, problems)
    case = raw[_CASE]
    identities = {text: identify(text, header=_header_of(columns, raw, text)) for text in case.unique()}
    values = {
        column: _read_column(raw, column, columns.sources[column], identities, notes, problems)
        if column in columns.sources
        else _unknown(raw, column)
        for column in VALUE_COLUMNS
    }
    _alive_rows(raw, columns, values)
    _grades_from_histology(raw, columns, values, notes)
    table = pd.DataFrame(values, index=raw.index)
    table.insert(0, "patient", _patients(raw, columns, identities))
    table.insert(1, "site", _sites(raw, columns, identities))
    used = {source.header for name, source in columns.sources.items() if name != "histology"}
    others = [
        header
        for header in raw.columns
        if header not in used and header not in table.columns and header not in ("case", _CASE)
    ]
    table = pd.concat([table, raw[others]], axis=1).set_index(case.to_numpy().astype(object)).rename_axis("case")
    ids = raw[columns.ids].set_index(table.index) if has_ids else pd.DataFrame(index=table.index)
    table, ids = _one_row_per_id(table, ids, notes, problems)
    _share_patients(table, notes)
    return Labels(name, table, ids, notes, problems, has_ids)


def _with_ids(raw: pd.DataFrame, columns: Columns, notes: list[str], problems: list[str]) -> tuple[pd.DataFrame, bool]:
    raw = raw.reset_index(drop=True)
    if not columns.ids:
        notes.append("no id column, so rows are numbered; such a table cannot be joined to images")
        numbered = [f"row-{number:04d}" for number in range(1, len(raw) + 1)]
        return raw.assign(**{_CASE: numbered}), False
    missing = raw[columns.ids].map(is_missing)
    # The column that tells most rows apart names the cases; in a tie, one that names scans goes before one that names patients.
    unique = {header: int(raw.loc[~missing[header], header].nunique()) for header in columns.ids}
    order = sorted(columns.ids, key=lambda header: (-unique[header], header == columns.patient))
    case = raw[columns.ids].mask(missing)[order].bfill(axis=1).iloc[:, 0]
    if case.isna().any():
        problems.append(f"{int(case.isna().sum())} row(s) have no id and are left out")
    return raw.assign(**{_CASE: case})[case.notna()].reset_index(drop=True), True


def _header_of(columns: Columns, raw: pd.DataFrame, text: str) -> str:
    return next((header for header in columns.ids if (raw[header] == text).any()), "") if text.isdigit() else ""


def _unknown(raw: pd.DataFrame, column: str) -> pd.Series:
    if column in TEXT_COLUMNS:
        return pd.Series([None] * len(raw), index=raw.index, dtype=object)
    return pd.Series(np.nan, index=raw.index, dtype=float)


def _read_column(
    raw: pd.DataFrame,
    column: str,
    source: Source,
    identities: dict[str, Identifier],
    notes: list[str],
    problems: list[str],
) -> pd.Series:
    reader = READERS[column]
    unclear: dict[str, list[str]] = defaultdict(list)
    ambiguous: dict[str, list[str]] = defaultdict(list)
    values: list[float | str | None] = []
    for case, text in zip(raw[_CASE], raw[source.header], strict=True):
        value: float | str | None = None
        if not is_missing(text):
            try:
                value = reader(source.coding.get(text.removesuffix(".0"), text))
            except AmbiguousError:
                ambiguous[text].append(case)
            except NotUnderstoodError:
                unclear[text].append(case)
        values.append(value)
    notes += [
        f"{column}: '{text}' ({len(cases)} row(s)) stands for more than one grade, so it says none"
        for text, cases in sorted(ambiguous.items())
    ]
    problems += [
        f"{column}: '{text}' in '{source.header}' is not understood ({_some(cases)}); accepted: {ACCEPTED[column]}"
        for text, cases in sorted(unclear.items())
    ]
    if column in TEXT_COLUMNS:
        return pd.Series(values, index=raw.index, dtype=object)
    numbers = pd.Series([np.nan if value is None else value for value in values], index=raw.index, dtype=float)
    return _in_days(numbers, source, identities, notes, problems) if column == "os_days" else numbers


def _in_days(
    times: pd.Series, source: Source, identities: dict[str, Identifier], notes: list[str], problems: list[str]
) -> pd.Series:
    if source.unit == "months":
        notes.append(f"os_days: '{source.header}' x {DAYS_PER_MONTH} days per month")
        return (times * DAYS_PER_MONTH).round(1)
    if source.unit == "days" or times.notna().sum() == 0:
        return times
    collections = {identity.collection for identity in identities.values()}
    if collections <= _DAYS_COLLECTIONS:
        notes.append(f"os_days: '{source.header}' is in days in {', '.join(sorted(collections))}")
        return times
    if times.median() >= 120:
        notes.append(
            f"os_days: '{source.header}' is taken as days: as months its median of {times.median():g} would be over ten years"
        )
        return times
    problems.append(f"os_days: '{source.header}' has no unit; rename it to os_days or os_months")
    return pd.Series(np.nan, index=times.index, dtype=float)


def _alive_rows(raw: pd.DataFrame, columns: Columns, values: dict[str, pd.Series]) -> None:
    """Set the event to 0 where the survival column itself says 'ALIVE (361 days later)'."""
    if "os_days" in columns.sources and "os_event" not in columns.sources:
        alive = raw[columns.sources["os_days"].header].map(alive_days).notna()
        values["os_event"] = values["os_event"].mask(alive, read_event("alive"))


def _grades_from_histology(raw: pd.DataFrame, columns: Columns, values: dict[str, pd.Series], notes: list[str]) -> None:
    """Read grade 4 where the table says 'HGG' and the histology is glioblastoma, which is grade 4 by definition."""
    if not {"grade", "histology"} <= set(columns.sources):
        return
    high = raw[columns.sources["grade"].header].str.lower() == "hgg"
    glioblastoma = raw[columns.sources["histology"].header].str.lower().str.startswith("glioblastoma")
    values["grade"] = values["grade"].mask(high & glioblastoma, 4.0)
    if (high & glioblastoma).any():
        notes.append(f"grade: {int((high & glioblastoma).sum())} 'HGG' row(s) are glioblastoma, so grade 4")


def _patients(raw: pd.DataFrame, columns: Columns, identities: dict[str, Identifier]) -> pd.Series:
    patients = [identities[case].patient for case in raw[_CASE]]
    if columns.patient is not None:
        named = raw[columns.patient]
        patients = [
            own if is_missing(text) else identify(text).patient for own, text in zip(patients, named, strict=True)
        ]
    return pd.Series(patients, index=raw.index, dtype=object)


def _sites(raw: pd.DataFrame, columns: Columns, identities: dict[str, Identifier]) -> pd.Series:
    sites: list[str | None] = [identities[case].site for case in raw[_CASE]]
    for header in columns.ids:
        sites = [own or identify(text).site for own, text in zip(sites, raw[header], strict=True)]
    if "site" in columns.sources:
        named = raw[columns.sources["site"].header]
        sites = [own if is_missing(text) else text for own, text in zip(sites, named, strict=True)]
    return pd.Series(sites, index=raw.index, dtype=object)


def _one_row_per_id(
    table: pd.DataFrame, ids: pd.DataFrame, notes: list[str], problems: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merge rows of one id: equal or one-sided values are kept, contradicting ones become unknown and are reported."""
    repeated = table.index[table.index.duplicated(keep=False)].unique()
    if repeated.empty:
        return table, ids
    notes.append(f"{len(repeated)} id(s) occur in more than one row; their rows are merged ({_some(repeated)})")
    first = ~table.index.duplicated()
    merged, merged_ids = table[first].copy(), ids[first].copy()
    for case in repeated:
        for column in VALUE_COLUMNS:
            known = table.loc[[case], column].dropna().unique()
            if len(known) > 1:
                problems.append(
                    f"{column}: '{case}' has {len(known)} different values ({', '.join(map(str, known))}); unknown"
                )
            merged.at[case, column] = known[0] if len(known) == 1 else (None if column in TEXT_COLUMNS else np.nan)
    return merged, merged_ids


def _share_patients(table: pd.DataFrame, notes: list[str]) -> None:
    """Give UCSF-PDGM rows that agree in every clinical value, survival to the day included, one patient.

    The published table lists six patients' follow-up scans as rows of their own with new numbers and nothing that says so.
    """
    identities = {case: identify(str(case)) for case in table.index}
    ucsf = table.index[[identity.collection == "UCSF-PDGM" for identity in identities.values()]]
    rows = table.loc[ucsf]
    enough = rows[["age", "sex", "os_days", "os_event"]].notna().all(axis=1) & (
        rows[VALUE_COLUMNS].notna().sum(axis=1) >= 8
    )
    for _, group in rows[enough].groupby(VALUE_COLUMNS, dropna=False, sort=True):
        patients = sorted(group["patient"].unique())
        if len(patients) > 1:
            table.loc[group.index, "patient"] = patients[0]
            notes.append(
                f"{', '.join(map(str, group.index))} agree in every clinical value: scans of one patient, {patients[0]}"
            )


def _some(cases: Iterable[object], count: int = 3) -> str:
    listed = list(map(str, cases))
    return ", ".join(listed[:count]) + (f" and {len(listed) - count} more" if len(listed) > count else "")
