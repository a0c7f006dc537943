"""Reading what survival analysis works on: a cohort table, a label table of any spelling, or any CSV with follow-up in it."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from radiogen.cohort.identifiers import matching_cases
from radiogen.cohort.labels import Labels, normalise_labels, read_text_table
from radiogen.cohort.table import PATH_COLUMNS, SURVIVAL_COLUMNS, read_cohort
from radiogen.errors import CohortError
from radiogen.evaluate.survival_input import is_blank, is_event, is_time

log = logging.getLogger(__name__)


def read_survival_table(path: str | Path, labels: str | Path | None = None) -> pd.DataFrame:
    """Read a cohort table, or any table, for survival analysis.

    Args:
        path: `cohort.csv`, or a CSV whose headers and values may be spelled as the public collections spell them.
        labels: a second table, joined by case or patient id; it fills what the first one leaves blank.

    Returns:
        Table indexed by `case`: labels and clinical columns as in a cohort table, then every column of the file under its own name, follow-up
        unchanged, so that `read_follow_up` can judge its unit and coding.

    Raises:
        CohortError: a file cannot be read, or no id of the labels matches.
    """
    table = _read(Path(path))
    return table if labels is None else _joined(table, _read(Path(labels)), Path(labels).name)


def _read(path: Path) -> pd.DataFrame:
    raw = read_text_table(path)
    if "case" in raw.columns and ({*SURVIVAL_COLUMNS} <= {*raw.columns} or {*PATH_COLUMNS} & {*raw.columns}):
        return read_cohort(path)
    labels = normalise_labels(raw, name=path.name)
    for line in labels.problems:
        # Follow-up is judged by `read_follow_up`, which refuses what it does not understand.
        judged_later = line.startswith("os_") or "as the event" in line
        (log.debug if judged_later else log.warning)("%s: %s", labels.name, line)
    for line in labels.notes:
        log.debug("%s: %s", labels.name, line)
    return _with_own_columns(labels, raw)


def _with_own_columns(labels: Labels, raw: pd.DataFrame) -> pd.DataFrame:
    table = labels.table
    if not labels.has_ids:
        own = raw.set_axis(table.index)
    else:
        keys = list(labels.ids.columns)
        first = raw.drop_duplicates(keys).set_index(keys, drop=False)
        wanted = pd.MultiIndex.from_frame(labels.ids) if len(keys) > 1 else pd.Index(labels.ids[keys[0]])
        own = first.loc[wanted].set_axis(table.index)
    if any(is_time(name) for name in own.columns) and any(is_event(name) for name in own.columns):
        table = table.drop(columns=SURVIVAL_COLUMNS)
    added = [name for name in own.columns if name not in table.columns and name != "case"]
    return pd.concat([table, own[added]], axis=1).rename_axis("case")


def _joined(table: pd.DataFrame, labels: pd.DataFrame, name: str) -> pd.DataFrame:
    source = matching_cases([str(case) for case in table.index], [str(case) for case in labels.index])
    if not any(source):
        raise CohortError(
            f"No case id of {name} matches the table.",
            hint=f"Table: {', '.join(map(str, table.index[:3]))}; labels: {', '.join(map(str, labels.index[:3]))}.",
        )
    log.info("%s: labels for %d of %d cases", name, sum(case is not None for case in source), len(table))
    matched = labels.reindex(pd.Index(source, dtype=object)).set_axis(table.index)
    joined = table.copy()
    for column in matched.columns:
        if column not in joined.columns:
            joined[column] = matched[column]
        elif column != "patient":
            joined[column] = joined[column].where(~is_blank(joined[column]), matched[column])
    return joined
