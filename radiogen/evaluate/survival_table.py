"""Reading what survival analysis works on: a cohort table, a label table of any spelling, or any CSV with follow-up in it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radiogen.cohort.table import PATH_COLUMNS, read_cohort
from radiogen.errors import CohortError


def read_survival_table(path: str | Path, labels: str | Path | None = None) -> pd.DataFrame:
    return _raw(Path(path)).rename_axis("case")


def _raw(path: Path) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CohortError(f"The table {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise CohortError(f"The table {path} cannot be read as CSV: {error}") from error
    return raw
