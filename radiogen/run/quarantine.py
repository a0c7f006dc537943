"""Failed cases: one line each - case, stage, cause, fix - while the rest of the cohort goes on."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from radiogen.errors import InputError, RadiogenError
from radiogen.run.atomic import write_csv

COLUMNS = ["case", "stage", "cause", "fix"]


@dataclass(frozen=True)
class Failure:
    """Why one case was left out.

    Args:
        case: case id.
        stage: stage that failed.
        cause: what happened, one line.
        fix: what to do about it, one line.
        trace: full traceback, for the log file only.
    """

    case: str
    stage: str
    cause: str
    fix: str
    trace: str = ""

    @classmethod
    def from_exception(cls, case: str, stage: str, error: BaseException) -> Failure:
        """Return the failure that an exception stands for."""
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, RadiogenError):
            problems = error.problems if isinstance(error, InputError) else []
            cause = " ".join([error.message, *problems])
            fix = error.hint or "Correct the input, then run the same command again."
        else:
            cause = f"{type(error).__name__}: {error}"
            fix = "Unexpected: see the trace in the log file, and report it with the case's geometry."
        return cls(case, stage, " ".join(cause.split()), " ".join(fix.split()), trace)


def write_failures(path: str | Path, failures: Iterable[Failure], *, stages: Iterable[str] = ()) -> None:
    """Write failed.csv: rows of other stages are kept, rows of the given stages are replaced, an empty result removes the file.

    Paths are cut to their last part, because the table travels; the whole ones are in the log.

    Args:
        path: the study's failed.csv.
        failures: what failed now.
        stages: stages that were run now, whose earlier rows are no longer true.
    """
    path = Path(path)
    new = [{name: without_folders(getattr(failure, name)) for name in COLUMNS} for failure in failures]
    replaced = {*stages, *(row["stage"] for row in new)}
    old = read_failures(path)
    table = pd.concat(
        [old[~old["stage"].isin(list(replaced))], pd.DataFrame(new, columns=COLUMNS, dtype=str)], ignore_index=True
    )
    if table.empty:
        if path.is_file():
            path.unlink()
        return
    write_csv(path, table.sort_values(["case", "stage"], kind="stable"), index=False)


def read_failures(path: str | Path) -> pd.DataFrame:
    """Return failed.csv as a table of strings; empty where there is none."""
    if not Path(path).is_file():
        return pd.DataFrame(columns=COLUMNS, dtype=str)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def without_folders(text: str) -> str:
    """Return a text with absolute paths cut to their last part: a page travels, the machine it was made on does not.

    Example:
        >>> without_folders("/data/brain/7_t1.nii.gz does not exist (looked in /data/brain).")
        '7_t1.nii.gz does not exist (looked in brain).'
    """
    text = re.sub(r"(?<![\w.:/<])/(?:[^\s/'\"(),;]+/)*([^\s/'\"(),;]+)", r"\1", text)
    return re.sub(r"\b[A-Za-z]:\\(?:[^\s\\'\"(),;]+\\)*([^\s\\'\"(),;]+)", r"\1", text)
