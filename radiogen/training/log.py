"""The log of a training: one row per epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.run.atomic import write_csv

LOG = "log.csv"
_FIRST = ["epoch", "step", "learning_rate", "loss"]
_LAST = ["seconds"]


def write_log(folder: str | Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `log.csv`: epoch, step, learning rate, loss, the scores where they were measured, seconds; return its path."""
    path = Path(folder) / LOG
    write_csv(path, log_table(rows), index=False)
    return path


def log_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the rows as a table, scores between the first columns and `seconds`; NaN where nothing was measured.

    Example:
        >>> log_table([{"epoch": 1, "step": 9, "learning_rate": 0.1, "loss": 0.5, "seconds": 2.0, "wt": 0.8}]).columns.tolist()
        ['epoch', 'step', 'learning_rate', 'loss', 'wt', 'seconds']
    """
    scores = dict.fromkeys(name for row in rows for name in row if name not in {*_FIRST, *_LAST})
    return pd.DataFrame(list(rows), columns=[*_FIRST, *scores, *_LAST])
