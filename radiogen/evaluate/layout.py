"""Which column of a predictions table plays which role, whatever tool wrote it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pandas as pd

from radiogen.errors import CohortError
from radiogen.evaluate.columns import (
    TARGET_WORDS,
    as_text,
    binary_labels,
    class_scores,
    find_column,
    numbers,
    wide_columns,
)
from radiogen.registry import did_you_mean

_NOTHING = wide_columns([], "idh")


@dataclass(frozen=True)
class PredictionColumns:
    """Columns named by the user; None means: find it.

    Args:
        label: the true label.
        score: the score or probability of the positive class.
        case: the case id.
        patient: the patient id.
        site: the centre.
        split: the fold.
        repeat: the repeat of the cross-validation.
    """

    label: str | None = None
    score: str | None = None
    case: str | None = None
    patient: str | None = None
    site: str | None = None
    split: str | None = None
    repeat: str | None = None


def unknown_columns(table: pd.DataFrame, wanted: PredictionColumns) -> list[str]:
    """Return a problem for every column name that is not there or not unique."""
    found = list(table.columns)
    repeated = sorted({column for column in found if found.count(column) > 1})
    problems = [f"column '{column}' occurs more than once" for column in repeated]
    for field in fields(wanted):
        column = getattr(wanted, field.name)
        if column is not None and column not in found:
            problems.append(
                f"no {field.name} column '{column}'; found {', '.join(found)}. {did_you_mean(column, found)}".strip()
            )
    return problems


def one_value(table: pd.DataFrame, role: str, chosen: str | None, name: str) -> pd.DataFrame:
    """Return the rows of the one target or model that was asked for.

    Args:
        table: the table as read.
        role: `target` or `model`.
        chosen: the value asked for, or None.
        name: what to call the table in messages.

    Raises:
        CohortError: there are several and none was chosen, or the chosen one is not there.
    """
    column = find_column(table.columns, role)
    if column is None:
        return table
    text = as_text(table[column]).str.lower()
    there = sorted(set(text) - {""})
    if chosen is None:
        if len(there) > 1:
            raise CohortError(
                f"The {name} holds several {role}s: {', '.join(there)}.",
                hint=f"Choose one with --{role}, e.g. --{role} {there[0]}",
            )
        return table
    if there and chosen.lower() not in there:
        raise CohortError(
            f"The {name} holds no {role} '{chosen}'; it holds {', '.join(there)}.", hint=did_you_mean(chosen, there)
        )
    return table[text == chosen.lower()].reset_index(drop=True) if there else table


def find_roles(table: pd.DataFrame, target: str | None, wanted: PredictionColumns) -> tuple[dict[str, str], list[str]]:
    """Return role -> column; `complement` stands for a score of the negative class, `target_name` for the target itself."""
    columns = list(table.columns)
    roles = {
        role: find_column(columns, role) for role in ("case", "patient", "site", "split", "repeat", "model", "target")
    }
    for role in ("case", "patient", "site", "split", "repeat"):
        roles[role] = getattr(wanted, role) or roles[role]
    roles["y_true"] = wanted.label or find_column(columns, "y_true")
    roles["y_prob"] = wanted.score or _score_column(table)
    problems = _by_class(table, roles) if roles["y_prob"] is None and not _wide_score(columns, target) else []
    problems = problems or _fill_from_wide(columns, target, wanted, roles)
    roles["y_pred"] = _predicted_label(table, [roles["y_true"], roles["y_prob"]])
    if roles["y_true"] is not None and roles["y_true"] == roles["y_prob"]:
        problems.append(f"column '{roles['y_true']}' cannot be both label and score")
    return {role: column for role, column in roles.items() if column is not None}, problems


def _wide_score(columns: list[str], target: str | None) -> bool:
    """Return whether a score column is named after a target."""
    names = [target] if target in TARGET_WORDS else list(TARGET_WORDS)
    found = [wide_columns(columns, str(name)) for name in names]
    return any(wide.scores or wide.complements for wide in found)


def _by_class(table: pd.DataFrame, roles: dict[str, str | None]) -> list[str]:
    """Take the score of the positive class from columns that score one class each."""
    found = class_scores(table.columns)
    if len(found.scores) > 1 or (not found.scores and len(found.complements) > 1):
        return [f"several score columns: {', '.join(found.scores or found.complements)}; choose with --score-column"]
    if found.scores and len(found.complements) == 1:
        total = (numbers(table[found.scores[0]]) + numbers(table[found.complements[0]])).dropna()
        if len(total) and not any((total - sum_of_both).abs().max() < 0.02 for sum_of_both in (0.0, 1.0, 100.0)):
            both = f"'{found.complements[0]}' and '{found.scores[0]}'"
            return [
                f"the two scores {both} do not sum to 1; give one probability of the positive class (a softmax over both)"
            ]
    if found.scores:
        roles["y_prob"] = found.scores[0]
    elif found.complements:
        roles["y_prob"] = roles["complement"] = found.complements[0]
    return []


def _fill_from_wide(
    columns: list[str], target: str | None, wanted: PredictionColumns, roles: dict[str, str | None]
) -> list[str]:
    """Find label and score among columns that are named after a target, where the usual names are absent."""
    labelled, scored = roles["y_true"] is not None, roles["y_prob"] is not None
    roles["target_name"] = target or _target_of(roles["y_true"] or roles["y_prob"])
    if labelled and scored:
        return []
    candidates = {name: wide_columns(columns, name) for name in TARGET_WORDS}
    usable = [
        name
        for name, found in candidates.items()
        if (labelled or found.labels) and (scored or found.scores or found.complements)
    ]
    chosen = target or (roles["target_name"] if labelled else None) or (usable[0] if len(usable) == 1 else None)
    if chosen not in usable:
        return [_nothing_found(columns, usable, chosen, labelled, scored)]
    found = candidates[str(chosen)]
    roles["target_name"] = chosen
    if not labelled:
        roles["y_true"] = found.labels[0]
    if not scored:
        choices = found.scores or found.complements
        if len(choices) > 1:
            return [f"several score columns for {chosen}: {', '.join(choices)}; choose with --score-column"]
        roles["y_prob"] = choices[0]
        roles["complement"] = None if found.scores else choices[0]
    return []


def _nothing_found(columns: list[str], usable: list[str], chosen: str | None, labelled: bool, scored: bool) -> str:
    if usable:
        there = f"targets found: {', '.join(usable)}; choose with --target"
        return f"no target '{chosen}'; {there}" if chosen else f"several {there}"
    missing = " and ".join(
        part
        for part, there in (
            ("label column (y_true, label, ...)", labelled),
            ("score column (y_prob, score, ...)", scored),
        )
        if not there
    )
    return f"no {missing}; found {', '.join(columns)}"


def _target_of(column: str | None) -> str | None:
    found = [name for name in TARGET_WORDS if column is not None and (wide_columns([column], name) != _NOTHING)]
    return found[0] if len(found) == 1 else None


def _score_column(table: pd.DataFrame) -> str | None:
    """Return the likeliest score column that holds numbers other than the labels' own 0 and 1, else any that fits."""
    taken: list[str] = []
    while (column := find_column(table.columns, "y_prob", taken)) is not None:
        values = numbers(table[column]).dropna()
        if len(values) and not set(values.unique()) <= {0.0, 1.0}:
            return column
        taken.append(column)
    hard = [column for column in taken if numbers(table[column]).notna().any()]
    return hard[0] if hard else None


def _predicted_label(table: pd.DataFrame, taken: list[str | None]) -> str | None:
    column = find_column(table.columns, "y_pred", [name for name in taken if name is not None])
    return column if column is not None and not binary_labels(table[column])[1] else None
