"""Reading feature tables that any program wrote, and the tumour's volume in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from radiogen.errors import CohortError

_ID_NAMES = (
    "case", "caseid", "id", "scan", "scanid", "patient", "patientid", "patientname", "subject", "subjectid", "participantid", "brats21id", "bratsid",
    "name",
)  # fmt: skip


def read_feature_table(path: str | Path) -> pd.DataFrame:
    """Read a feature table.

    Args:
        path: CSV (comma, semicolon or tab) or Parquet with one row per case and an id column: `case`, `ID`, `PatientID`, ..., or the first one.

    Returns:
        Table indexed by `case` (string, leading zeros kept); the other columns as the file has them.

    Raises:
        CohortError: the file is missing, cannot be read, is empty, or has blank or repeated ids.
    """
    path = Path(path)
    if not path.is_file():
        raise CohortError(
            f"The feature table {path} does not exist.", hint="Make one with: radiogen features radiomics"
        )
    table = _read(path)
    if table.empty or table.shape[1] < 2:
        raise CohortError(
            f"The feature table {path} has {len(table)} rows and {table.shape[1]} columns; an id and features are needed."
        )
    name = id_column(table)
    ids = table[name].astype(str).str.strip()
    problems = [
        f"'{case}' occurs {count} times" for case, count in ids.value_counts().sort_index().items() if count > 1
    ]
    if table[name].isna().any() or (ids == "").any():
        problems.append("some rows have a blank id")
    if problems:
        raise CohortError(
            f"The id column '{name}' of {path} must name each case once:", problems=problems[:20],
            hint="Keep one row per case.",
        )  # fmt: skip
    return table.drop(columns=[name]).set_axis(pd.Index(ids.to_numpy(dtype=object), name="case"))


def id_column(table: pd.DataFrame) -> str:
    """Return the column that holds the case ids: by its name, otherwise the first one that holds text.

    Raises:
        CohortError: no column looks like ids.

    Example:
        >>> id_column(pd.DataFrame({"feature": [0.1], "Patient ID": ["007"]}))
        'Patient ID'
    """
    spelled: dict[str, str] = {}
    for column in table.columns:
        spelled.setdefault(re.sub(r"[^a-z0-9]", "", str(column).lower()), str(column))
    for name in _ID_NAMES:
        if name in spelled:
            return spelled[name]
    first = str(table.columns[0])
    if not pd.api.types.is_numeric_dtype(table[first]) or first.startswith("Unnamed"):
        return first
    shown = ", ".join(map(str, table.columns[:5]))
    raise CohortError(f"No id column; found {shown}, ...", hint="Call the column with the case ids 'case'.")


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            table = pd.read_parquet(path)
            return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        head = pd.read_csv(path, sep=separator, nrows=5, encoding="utf-8-sig")
        # Ids as text: '00097' must keep its zeros.
        text = {id_column(head): str}
        return pd.read_csv(path, sep=separator, encoding="utf-8-sig", dtype=text, low_memory=False)
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise CohortError(f"The feature table {path} cannot be read: {str(error).splitlines()[0]}") from error


_VOLUME_COLUMNS = (
    (re.compile(r"wt_ml"), 1.0),
    (re.compile(r"(.*_)?wt_original_shape_(MeshVolume|VoxelVolume)"), 1e-3),
    (re.compile(r"original_shape_(MeshVolume|VoxelVolume)"), 1e-3),
)
"""Columns that hold the tumour's volume, the best first, and their factor to millilitres (PyRadiomics gives cubic millimetres)."""


def with_volume(cohort: pd.DataFrame, features: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return cohort rows with the whole tumour's volume in `wt_ml`, where a feature table tells it: a trivial baseline, whatever is learned from.

    Args:
        cohort: indexed by case.
        features: branch name -> table indexed by case.

    Example:
        >>> table = pd.DataFrame({"wt_ml": [12.0]}, index=["a"])
        >>> with_volume(pd.DataFrame(index=["a", "b"]), {"clinical": table})["wt_ml"].tolist()
        [12.0, nan]
    """
    for pattern, factor in _VOLUME_COLUMNS:
        for table in features.values():
            column = next((name for name in table.columns if pattern.fullmatch(str(name))), None)
            if column is not None:
                volume = pd.to_numeric(table[column][~table.index.duplicated()].reindex(cohort.index), errors="coerce")
                return cohort.assign(wt_ml=volume * factor)
    return cohort
