"""The one door for follow-up: any table -> days and death per patient, every problem at once, nothing guessed that could turn a result round."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.table import CLINICAL_COLUMNS, ENTRY_COLUMN, LABEL_COLUMNS, TARGET_COLUMNS
from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError
from radiogen.registry import did_you_mean

DAYS_PER = {"days": 1.0, "months": 30.4375, "years": 365.25}
"""Days in each unit of time: a Julian year, and a twelfth of it."""

_UNITS = {"d": "days", "day": "days", "days": "days", "m": "months", "mo": "months", "month": "months", "months": "months",
          "y": "years", "yr": "years", "year": "years", "years": "years"}  # fmt: skip
_TIMES = ("os", "overall_survival", "survival", "survival_time", "os_time", "time", "follow_up", "followup")
_DIED_WORDS = ("dead", "died", "death", "deaths", "deceased", "event", "events")
_ALIVE_WORDS = ("alive", "survived", "survivor", "surviving", "living", "lived", "censored", "censor", "censoring")
_EVENTS = {
    "status",
    "vital_status",
    "os_status",
    "survival_status",
    "os_event",
    "os_censor",
    "death_event",
    "death_status",
}
_MISSING = {"", "na", "n/a", "nan", "none", "null", "not available", "unknown", "not reported", "--"}
_SAYS_DIED = {"1", "dead", "died", "deceased", "death", "1:deceased"}
_SAYS_ALIVE = {"0", "alive", "living", "lived", "censored", "0:living"}
_MAX_LISTED = 20
ENTRY = "entry"
"""Column of checked entry times in days."""


@dataclass(frozen=True)
class FollowUp:
    """Checked follow-up of a cohort.

    Args:
        table: index case; `days` (float, zero or more), `died` (bool), where patients enter late `entry` (days, zero for the others), and every
            column of the input, one row per patient.
        facts: where the numbers come from, JSON-able: columns, unit, coding, rows read and dropped.
        notes: what a reader must know about the input, one sentence each.
    """

    table: pd.DataFrame
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def days(self) -> np.ndarray:
        """Return (n,) follow-up in days."""
        return self.table["days"].to_numpy(dtype=float)

    @property
    def died(self) -> np.ndarray:
        """Return (n,) whether it ended with death."""
        return self.table["died"].to_numpy(dtype=bool)

    @property
    def entry(self) -> np.ndarray | None:
        """Return (n,) days at which each patient came under observation; None where nobody entered late."""
        return self.table[ENTRY].to_numpy(dtype=float) if self.facts.get("n_late", 0) else None


def plain_name(name: str) -> str:
    """Return a column name in lower case with single underscores, so that spellings can be compared.

    Example:
        >>> plain_name("Survival..months."), plain_name("1-dead 0-alive")
        ('survival_months', '1_dead_0_alive')
    """
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def time_unit(name: str) -> str | None:
    """Return the unit that a column name states, or None.

    Example:
        >>> time_unit("OS_months"), time_unit("Survival_days"), time_unit("OS")
        ('months', 'days', None)
    """
    units = [_UNITS[token] for token in plain_name(name).split("_") if token in _UNITS]
    return units[-1] if units else None


def event_meaning(name: str) -> str:
    """Return what 1 means by the column's name: `died`, `alive` (an event turned round) or `unstated`.

    Example:
        >>> [event_meaning(name) for name in ("os_event", "1-dead 0-alive", "survived_yes1_no0", "censored", "status")]
        ['died', 'died', 'alive', 'alive', 'unstated']
    """
    tokens = re.findall(r"[a-z]+|\d+", plain_name(name))
    said = [token for token in tokens if token in {"0", "1", *_DIED_WORDS, *_ALIVE_WORDS}]
    pairs = list(zip(said[::2], said[1::2], strict=False))
    for first, second in pairs:  # "1-dead 0-alive", "dead1_alive0"
        code, word = (first, second) if first in {"0", "1"} else (second, first)
        if code in {"0", "1"} and word not in {"0", "1"} and not {"yes", "no"} & set(tokens):
            return "died" if (word in _DIED_WORDS) == (code == "1") else "alive"
    words = [token for token in tokens if token in _DIED_WORDS or token in _ALIVE_WORDS]
    if not words:
        return "unstated"
    reversed_answer = re.search(r"yes_?0|no_?1", plain_name(name)) is not None
    return "died" if all(word in _DIED_WORDS for word in words) != reversed_answer else "alive"


def read_follow_up(table: pd.DataFrame, settings: SurvivalSettings) -> FollowUp:
    """Return checked follow-up, in days, one row per patient.

    Args:
        table: index case; a time and an event column under a known spelling or the names in the settings, anything else beside them.
        settings: column names, unit, coding and row filter.

    Raises:
        CohortError: no usable column, or values that cannot be follow-up; every problem is listed.
    """
    time_column, event_column = _columns(table, settings)
    unit = _unit(table, time_column, settings)
    chosen = _where(table, settings.where)
    times, time_problems, n_negative = _times(chosen[time_column], unit, settings.drop_negative)
    died, event_note, event_problems = _died(chosen[event_column], event_column, settings.died_value)
    entry_column, entry, entry_problems = _entry(chosen, times, unit, settings)
    problems = time_problems + event_problems + entry_problems
    if problems:
        raise CohortError(
            f"The follow-up in columns '{time_column}' and '{event_column}' cannot be used; {len(problems)} problem(s):",
            problems=[
                *problems[:_MAX_LISTED],
                *([f"and {len(problems) - _MAX_LISTED} more"] * (len(problems) > _MAX_LISTED)),
            ],
            hint=_EVENT_HINT if event_problems else _TIME_HINT if time_problems else _ENTRY_HINT,
        )
    known = times.notna() & died.notna()
    facts: dict[str, Any] = {
        "time_column": time_column, "time_unit": unit, "event_column": event_column, "where": list(settings.where),
        "n_rows": len(table), "n_rows_chosen": len(chosen),
        "n_dropped_no_time": int(times.isna().sum()), "n_dropped_no_event": int((times.notna() & died.isna()).sum()),
        "n_dropped_negative": n_negative,
    }  # fmt: skip
    notes = [_time_note(time_column, unit), event_note]
    kept = chosen[known].assign(days=times[known].astype(float), died=died[known].astype(bool))
    if entry is not None:
        kept[ENTRY] = entry[known]
    if len(chosen) > len(kept):
        reasons = {
            "without time": facts["n_dropped_no_time"] - n_negative, "with a negative time": n_negative,
            "without event status": facts["n_dropped_no_event"],
        }  # fmt: skip
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        notes.append(
            f"{len(chosen) - len(kept)} of {len(chosen)} rows are left out because their follow-up is not known ({why})."
        )
    kept, facts["n_dropped_repeated"], repeat_notes = _one_row_per_patient(kept)
    facts["n_time_zero"] = int((kept["days"] == 0).sum())
    facts |= {"entry_column": entry_column, "n_late": 0 if entry is None else int((kept[ENTRY] > 0).sum())}
    return FollowUp(kept, facts, [*notes, *repeat_notes, *_plausibility(kept, facts)])


_TIME_HINT = (
    "Correct the table or leave such values blank; --drop-negative leaves rows with negative times out and says so."
)
_ENTRY_HINT = "Correct the table: who came under observation after the end of its own follow-up was never at risk."
_EVENT_HINT = "Say what the values mean with --died-value VALUE (the value that means died), such as --died-value 0 for survived_yes1_no0."


def _columns(table: pd.DataFrame, settings: SurvivalSettings) -> tuple[str, str]:
    names = [str(name) for name in table.columns]
    problems = [
        f"no column '{name}' ({option}). {did_you_mean(name, names)}".strip()
        for name, option in ((settings.time_column, "--time-column"), (settings.event_column, "--event-column"))
        if name is not None and name not in names
    ]
    time = settings.time_column or _first([name for name in names if is_time(name)], table, "os_days")
    event = settings.event_column or _first([name for name in names if is_event(name)], table, "os_event")
    if time is None:
        problems.append("no follow-up column under a known spelling (os_days, OS, OS_months, Survival_days, ...)")
    if event is None:
        problems.append("no event column under a known spelling (os_event, death, vital_status, 1-dead 0-alive, ...)")
    if problems or time is None or event is None:
        raise CohortError(
            "The table's follow-up was not found:",
            problems=problems,
            hint=f"Name them with --time-column and --event-column. Columns: {', '.join(names)}.",
        )
    return time, event


def _first(found: list[str], table: pd.DataFrame, preferred: str) -> str | None:
    # radiogen's own columns stand in every typed table; they count only where they hold something.
    found = [name for name in found if not is_blank(table[name]).all()]
    return preferred if preferred in found else min(found, key=lambda name: len(plain_name(name)), default=None)


def is_time(name: str) -> bool:
    """Return whether a column's name is a known spelling of overall survival time.

    Example:
        >>> [is_time(name) for name in ("OS_months", "Survival..months.", "PFS_months")]
        [True, True, False]
    """
    stem = "_".join(token for token in plain_name(name).split("_") if token not in _UNITS and token != "in")
    return stem in _TIMES


def is_event(name: str) -> bool:
    """Return whether a column's name is a known spelling of the vital status, whichever way it is coded.

    Example:
        >>> [is_event(name) for name in ("os_event", "survived_yes1_no0", "tumor_progression_yes1_no0")]
        [True, True, False]
    """
    plain = plain_name(name)
    if plain in _EVENTS or plain in {*_DIED_WORDS, *_ALIVE_WORDS}:
        return True
    coded = {"0", "1"} & set(re.findall(r"\d+", plain))
    return bool(coded) and event_meaning(name) != "unstated" and "progression" not in plain


def _unit(table: pd.DataFrame, column: str, settings: SurvivalSettings) -> str:
    stated = settings.time_unit or time_unit(column)
    if stated is not None:
        return stated
    if column == "OS" and "1-dead 0-alive" in table.columns:
        return "days"  # the UCSF-PDGM table, whose documentation says so
    raise CohortError(
        f"The name of the time column '{column}' does not say its unit.",
        hint="Give --time-unit days, months or years: the name decides, never the size of the numbers.",
    )


def is_blank(values: pd.Series) -> pd.Series:
    """Return which values say nothing: missing, blank, `NA`, `Not Available`, `unknown` and their like."""
    return values.isna() | values.astype(str).str.strip().str.lower().isin(list(_MISSING))


def _where(table: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    for condition in conditions:
        name, _, wanted = (part.strip() for part in condition.partition("="))
        column = column_name(table, name, "--where")
        values = table[column]
        number = pd.to_numeric(pd.Series([wanted]), errors="coerce").iloc[0]
        same = values.astype(str).str.strip().str.lower() == wanted.lower()
        if pd.notna(number):
            same |= pd.to_numeric(values, errors="coerce") == number
        if not same.any():
            held = sorted({str(value) for value in values[~is_blank(values)]})
            raise CohortError(
                f"No row has {column} = {wanted} (--where).", hint=f"It holds: {', '.join(held[:12]) or 'nothing'}."
            )
        table = table[same]
    return table


def column_name(table: pd.DataFrame, name: str, option: str) -> str:
    """Return the table's own name for a column or a target such as `codeletion`.

    Raises:
        CohortError: there is no such column; the message names the nearest one.
    """
    names = [str(column) for column in table.columns]
    plain = {plain_name(column): column for column in reversed(names)}
    # Where a table keeps its own 'IDH' beside the column read from it, the one that radiogen has read is meant.
    read = {TARGET_COLUMNS.get(name.lower(), name.lower())} & {*LABEL_COLUMNS, *CLINICAL_COLUMNS}
    for candidate in (*read, name, plain.get(plain_name(name), name)):
        if candidate in names:
            return candidate
    raise CohortError(
        f"There is no column '{name}' ({option}); the table has {', '.join(names)}.", hint=did_you_mean(name, names)
    )


def _times(values: pd.Series, unit: str, drop_negative: bool) -> tuple[pd.Series, list[str], int]:
    blank = is_blank(values)
    numbers = pd.to_numeric(values.where(~blank), errors="coerce").astype(float)
    unread, infinite, negative = ~blank & numbers.isna(), np.isinf(numbers), np.isfinite(numbers) & (numbers < 0)
    problems = [f"case '{case}': time '{value}' is not a number" for case, value in values[unread].items()]
    problems += [f"case '{case}': time {value:g} is not a finite number" for case, value in numbers[infinite].items()]
    if not drop_negative:
        problems += [f"case '{case}': negative time {value:g}" for case, value in numbers[negative].items()]
    return numbers.where(~negative) * DAYS_PER[unit], problems, int(negative.sum())


def _entry(
    table: pd.DataFrame, times: pd.Series, unit: str, settings: SurvivalSettings
) -> tuple[str | None, pd.Series | None, list[str]]:
    """Return the column of late entries, the entries in days (zero where blank) and every problem in them."""
    name = settings.entry_column
    if name is not None:
        name = column_name(table, name, "--entry")
    elif ENTRY_COLUMN in table.columns and not is_blank(table[ENTRY_COLUMN]).all():
        name = ENTRY_COLUMN
    if name is None:
        return None, None, []
    entry, problems, _ = _times(table[name], time_unit(name) or unit, drop_negative=False)
    problems = [f"{problem} ('{name}')" for problem in problems]
    late = times.notna() & (entry > 0) & (entry >= times)
    problems += [
        f"case '{case}': entry at {entry[case]:g} days ('{name}') is not before the end of follow-up at {times[case]:g} days"
        for case in table.index[late]
    ]
    return name, entry.fillna(0.0), problems


def _died(values: pd.Series, column: str, died_value: str | None) -> tuple[pd.Series, str, list[str]]:
    blank = is_blank(values)
    said = pd.Series([_plain_value(value) for value in values], index=values.index).where(~blank)
    distinct = sorted(set(said.dropna()))
    result = pd.Series(np.nan, index=values.index)
    if died_value is not None:
        wanted = _plain_value(died_value)
        if wanted not in distinct or len(distinct) > 2:
            return (
                result,
                "",
                [f"died-value '{died_value}' needs a column of two values that holds it; found {', '.join(distinct)}"],
            )
        result[said.notna()] = (said[said.notna()] == wanted).astype(float)
        return result, f"Death: column '{column}', where {died_value} means died, as the user stated.", []
    words = not set(distinct) <= {"0", "1"}
    if event_meaning(column) == "alive" and not words:
        return result, "", [f"by its name, 1 in '{column}' means alive, the opposite of an event; this is not guessed"]
    if distinct == ["1", "2"]:
        return result, "", [f"'{column}' holds 1 and 2 where 0 (alive) and 1 (died) are accepted; R codes died as 2"]
    result[said.isin(list(_SAYS_DIED))] = 1.0
    result[said.isin(list(_SAYS_ALIVE))] = 0.0
    bad = values[~blank & result.isna()]
    problems = [
        f"case '{case}': event '{value}'; accepted: 1 or dead, 0 or alive, or blank" for case, value in bad.items()
    ]
    meaning = ", in words" if words else ", 1 = died" + (" (assumed)" if event_meaning(column) == "unstated" else "")
    return result, f"Death: column '{column}'{meaning}.", problems


def _plain_value(value: object) -> str:
    text = str(value).strip().lower()
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def _time_note(column: str, unit: str) -> str:
    factor = "" if unit == "days" else f", times {DAYS_PER[unit]:g} days"
    return f"Follow-up: column '{column}', in {unit}{factor}. Time zero is whatever that table counts from (diagnosis, surgery or scan)."


def _one_row_per_patient(table: pd.DataFrame) -> tuple[pd.DataFrame, int, list[str]]:
    if "patient" not in table.columns or table["patient"].isna().any() or not table["patient"].duplicated().any():
        return table, 0, []
    # The first scan of a patient has the shortest id wherever follow-up scans carry a suffix.
    cases = sorted(table.index, key=lambda case: (len(str(case)), str(case)))
    first = ~table.loc[cases, "patient"].duplicated()
    kept = table[first.reindex(table.index)]
    n_repeated = len(table) - len(kept)
    pairs = table.groupby("patient")[["days", "died"]].nunique().max(axis=1)
    apart = sorted(str(name) for name in pairs[pairs > 1].index)
    note = (
        f"{n_repeated} further row(s) of the same patients are left out: every patient counts once, with the first row."
    )
    if apart:
        note += f" Their rows disagree on follow-up for {len(apart)} patient(s): {', '.join(apart[:6])}."
    return kept, n_repeated, [note]


def _plausibility(table: pd.DataFrame, facts: dict[str, Any]) -> list[str]:
    notes = []
    if facts["n_late"]:
        notes.append(
            f"{facts['n_late']} of {len(table)} patients came under observation after time zero ('{facts['entry_column']}'): each counts as at risk"
            " from then on only (left truncation). Patients who died before they could enter are not in the table."
        )
    if facts["n_time_zero"]:
        notes.append(
            f"{facts['n_time_zero']} patient(s) have a follow-up of zero days; they are kept, at risk only at time zero."
        )
    if len(table) >= 10 and facts["time_unit"] == "days" and table["days"].max() < 250:
        notes.append(
            f"No follow-up is longer than {table['days'].max():g} days: is the column really in days, not in months?"
        )
    if len(table) >= 10 and facts["time_unit"] == "months" and table["days"].median() > 20 * 365:
        notes.append(
            "Half of the patients have more than 20 years of follow-up: is the column really in months, not in days?"
        )
    return notes
