"""The cohort table: one row per case, the one input of everything downstream."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from radiogen.errors import CohortError
from radiogen.registry import did_you_mean
from radiogen.run.atomic import write_csv
from radiogen.types import SEQUENCES

PATH_COLUMNS = [*SEQUENCES, "mask"]
ID_COLUMNS = ["patient", "site"]
LABEL_COLUMNS = ["mgmt", "idh", "codeletion_1p19q", "grade"]
CLINICAL_COLUMNS = ["age", "sex", "kps", "eor"]
SURVIVAL_COLUMNS = ["os_days", "os_event"]
ENTRY_COLUMN = "entry_days"
"""Optional: days from time zero at which the patient came under observation (left truncation)."""
COLUMNS = ["case", *ID_COLUMNS, *PATH_COLUMNS, *LABEL_COLUMNS, *CLINICAL_COLUMNS, *SURVIVAL_COLUMNS]

TARGET_COLUMNS = {"idh": "idh", "mgmt": "mgmt", "codeletion": "codeletion_1p19q", "grade": "grade"}
"""Target name on the command line -> cohort column."""

_BINARY = ["mgmt", "idh", "codeletion_1p19q", "os_event"]
_RANGES = {"age": (0.0, 120.0), "kps": (0.0, 100.0), "grade": (1.0, 4.0)}


def read_cohort(path: str | Path) -> pd.DataFrame:
    """Read and check a cohort table.

    Args:
        path: `cohort.csv`; image paths in it are relative to the file's folder.

    Returns:
        Table indexed by `case` (string) with every column of `COLUMNS` that the file lacks added as missing. Image paths are absolute strings or
        None; `patient`, `site`, `sex`, `eor` are strings or None; labels and `os_event` are 0/1 floats with NaN for unknown (1 = methylated,
        mutated, co-deleted, died); `grade`, `age` (years), `kps` and `os_days` are floats. Columns radiogen does not know are kept as strings.

    Raises:
        CohortError: lists every problem of the table at once.
    """
    path = Path(path)
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CohortError(
            f"The cohort table {path} does not exist.", hint="Make one with: radiogen cohort DIR -o cohort.csv"
        ) from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise CohortError(f"The cohort table {path} cannot be read as CSV: {error}") from error
    problems = table_problems(raw)
    if problems:
        raise CohortError(f"The cohort table {path} has {len(problems)} problem(s):", problems=problems)
    return typed_table(raw, path.parent)


def table_problems(raw: pd.DataFrame) -> list[str]:
    """Return every problem of a table of strings as read from a cohort CSV (files are not opened here)."""
    if "case" not in raw.columns:
        near = [name for name in map(str, raw.columns) if did_you_mean(name.lower(), ["case", "case_id", "id"])]
        hint = f" Rename '{near[0]}' to 'case'." if near else ""
        return [f"no column 'case'; found {', '.join(map(str, raw.columns)) or 'no columns'}.{hint}"]
    if raw.empty:
        return ["the table has no rows"]
    case = raw["case"].str.strip()
    problems = [
        f"case '{name}' occurs {count} times"
        for name, count in case.value_counts().sort_index().items()
        if name and count > 1
    ]
    if (case == "").any():
        problems.append(f"{int((case == '').sum())} row(s) have a blank case id")
    problems += [f"case '{name}': a case id cannot hold '/' or '\\'" for name in case if "/" in name or "\\" in name]
    for column in [*_BINARY, *_RANGES, "os_days", ENTRY_COLUMN]:
        if column in raw.columns:
            problems += _number_problems(case, raw[column].str.strip(), column)
    return problems


def _number_problems(case: pd.Series, values: pd.Series, column: str) -> list[str]:
    numbers = pd.to_numeric(values.where(values != ""), errors="coerce")
    bad = (values != "") & numbers.isna()
    if column in _BINARY:
        bad |= numbers.notna() & ~numbers.isin([0, 1])
        accepted = "0, 1 or blank"
    elif column in _RANGES:
        low, high = _RANGES[column]
        bad |= numbers.notna() & ~numbers.between(low, high)
        accepted = f"a number from {low:g} to {high:g}, or blank"
    else:
        bad |= numbers.notna() & (numbers < 0)
        accepted = "a number of days, zero or more, or blank"
    return [
        f"case '{name}': {column} is '{value}'; accepted: {accepted}"
        for name, value in zip(case[bad], values[bad], strict=True)
    ]


def typed_table(raw: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the typed table for strings that have no problem; paths are resolved against `folder`."""
    raw = raw.apply(lambda column: column.str.strip())
    table = raw.set_index("case")
    table.index = table.index.astype(object)
    for column in COLUMNS[1:]:
        if column not in table.columns:
            table[column] = ""
    for column in PATH_COLUMNS:
        table[column] = [
            str(Path(os.path.normpath(folder.resolve() / value))) if value else None for value in table[column]
        ]
    for column in [*_BINARY, *_RANGES, "os_days"]:
        table[column] = pd.to_numeric(table[column].where(table[column] != ""), errors="coerce").astype(float)
    for column in [*ID_COLUMNS, "sex", "eor"]:
        table[column] = table[column].where(table[column] != "", None)
    table["patient"] = table["patient"].where(table["patient"].notna(), table.index.to_series())
    if ENTRY_COLUMN in table.columns:
        table[ENTRY_COLUMN] = pd.to_numeric(table[ENTRY_COLUMN].where(table[ENTRY_COLUMN] != ""), errors="coerce")
    others = [column for column in table.columns if column not in COLUMNS]
    return table[[*COLUMNS[1:], *others]]


def write_cohort(table: pd.DataFrame, path: str | Path) -> None:
    """Write a typed cohort table, with image paths relative to the file's folder.

    Args:
        table: as `read_cohort` returns it.
        path: the CSV to write.
    """
    path = Path(path)
    folder = path.parent.resolve()
    written = table.copy()
    for column in PATH_COLUMNS:
        if column in written.columns:
            written[column] = [
                os.path.relpath(value, folder).replace(os.sep, "/") if isinstance(value, str) and value else ""
                for value in written[column]
            ]
    for column in [*_BINARY, "grade"]:
        if column in written.columns:
            written[column] = ["" if pd.isna(value) else f"{value:g}" for value in written[column]]
    write_csv(path, written.rename_axis("case"))


def present_sequences(row: pd.Series) -> dict[str, str]:
    """Return sequence name -> path for the sequences a case has, in the order `t1n t1c t2w t2f`."""
    return {name: row[name] for name in SEQUENCES if isinstance(row.get(name), str) and row[name]}
