"""Nothing half-written under a final name: write beside, then rename."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.errors import OutputError

PARTIAL_PREFIX = ".partial."


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends without an error.

    The temporary name is always the same for the same `path`, so a killed run leaves nothing that its successor does not replace.

    Args:
        path: final file; parent folders are made.

    Raises:
        OutputError: the folder cannot be written or the disk is full.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with writing(target) as beside:
        ...     _ = beside.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    final = Path(path)
    beside = final.with_name(PARTIAL_PREFIX + final.name)
    make_folder(final.parent)
    try:
        yield beside
        os.replace(beside, final)
    except OSError as error:
        _remove(beside)
        if error.errno in _OUTPUT_ERRNOS:
            raise OutputError(f"Cannot write {final}: {error.strerror}.", hint=_OUTPUT_ERRNOS[error.errno]) from error
        raise
    except BaseException:
        _remove(beside)
        raise


def make_folder(folder: str | Path) -> None:
    """Make a folder and its parents.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = _OUTPUT_ERRNOS.get(error.errno or 0, "Choose another output folder.")
        raise OutputError(f"Cannot make the folder {folder}: {error.strerror}.", hint=hint) from error


_OUTPUT_ERRNOS = {
    errno.EACCES: "Choose an output folder that you may write to.",
    errno.EPERM: "Choose an output folder that you may write to.",
    errno.EROFS: "Choose an output folder on a file system that is not read-only.",
    errno.ENOSPC: "Free some disk space, then run the same command again: it continues where it stopped.",
    errno.EDQUOT: "Your quota is used up; free some space, then run the same command again: it continues where it stopped.",
    errno.ENOTDIR: "A file stands where a folder is needed; choose another output folder.",
    errno.EEXIST: "A file stands where a folder is needed; choose another output folder.",
    errno.EISDIR: "A folder stands where a file is needed; choose another output name.",
}


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the error that brought us here is the one to report


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with writing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, atomically; NaN and infinity become null, because JSON has neither."""
    write_text(path, json_text(values))


def json_text(values: Mapping[str, Any]) -> str:
    """Return what `write_json` writes.

    Example:
        >>> json_text({"auc": float("nan")})
        '{\\n  "auc": null\\n}\\n'
    """
    return json.dumps(_finite(values), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_csv(path: str | Path, table: pd.DataFrame, *, index: bool = True) -> None:
    """Write a table as CSV, atomically."""
    with writing(path) as beside:
        table.to_csv(beside, index=index, lineterminator="\n")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a feature table as Parquet and, beside it, as CSV; the index becomes the first column."""
    path = Path(path)
    with writing(path.with_suffix(".parquet")) as beside:
        table.to_parquet(beside)
    write_csv(path.with_suffix(".csv"), table)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _finite(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
