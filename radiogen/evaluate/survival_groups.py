"""Who is compared with whom: groups from a column, from a stated cut, or from a model's out-of-fold scores."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from radiogen.cohort.table import TARGET_COLUMNS
from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError, ConfigError
from radiogen.evaluate.predictions import check_predictions
from radiogen.evaluate.survival_input import column_name, is_blank
from radiogen.evaluate.survival_names import code_note, coded_name, column_title
from radiogen.registry import did_you_mean
from radiogen.stats.survival_tests import BestCut, best_cut

EVERYBODY = "all patients"
TITLES = {
    "idh": "IDH",
    "mgmt": "MGMT",
    "codeletion_1p19q": "1p/19q",
    "eor": "extent of resection",
    "kps": "KPS",
    "grade": "WHO grade",
    "risk_group": "risk group",
}
VALUE_NAMES: dict[str, dict[float | str, str]] = {
    "idh": {0.0: "IDH wild-type", 1.0: "IDH-mutant"},
    "mgmt": {0.0: "MGMT unmethylated", 1.0: "MGMT methylated"},
    "codeletion_1p19q": {0.0: "1p/19q intact", 1.0: "1p/19q co-deleted"},
    "sex": {"F": "female", "M": "male"},
}
_MANY_NUMBERS = 5
_LATE_LEVELS = {"high risk", "high"}
"""Names that come after their opposite, which is the reference."""


@dataclass(frozen=True)
class Grouping:
    """Groups of patients.

    Args:
        labels: case -> group name, only for cases whose group is known.
        order: group names; the first one is the reference.
        title: what the groups are made of.
        column: the column they come from, or None.
        notes: what a reader must know about them, one sentence each.
        score: case -> risk score, where a model made the groups.
        chosen_from_same_data: a cut was set on the patients that are then compared.
        best: the cut that was looked for, with its corrected p value.
    """

    labels: pd.Series
    order: list[str]
    title: str
    column: str | None = None
    notes: list[str] = field(default_factory=list)
    score: pd.Series | None = None
    chosen_from_same_data: bool = False
    best: BestCut | None = None


def make_groups(table: pd.DataFrame, settings: SurvivalSettings, predictions: pd.DataFrame | None) -> Grouping:
    """Return the groups that the settings ask for.

    Args:
        table: index case, one row per patient.
        settings: `group_by`, `cut`, and for `model` also `model` and `target`.
        predictions: a predictions table; needed for `group_by="model"`.

    Raises:
        CohortError: the column cannot make groups, or the predictions do not fit; the message says what to give instead.
    """
    if settings.group_by is None:
        return Grouping(pd.Series(EVERYBODY, index=table.index), [EVERYBODY], "everybody")
    if settings.group_by != "model":
        return group_by_column(table, settings)
    if predictions is None:
        raise CohortError(
            "Grouping by 'model' needs the model's predictions.", hint="Give --predictions predictions.csv."
        )
    return group_by_model(table, predictions, settings)


def group_by_column(table: pd.DataFrame, settings: SurvivalSettings) -> Grouping:
    """Return one group per value of a column, or two by a cut.

    Args:
        table: index case.
        settings: `group_by` names the column; `cut` is needed for a number of many values.

    Raises:
        CohortError: no such column, nothing known in it, too many values, or a cut that does not fit.

    Example:
        >>> table = pd.DataFrame({"idh": [0.0, 1.0, None]}, index=["a", "b", "c"])
        >>> group_by_column(table, SurvivalSettings(group_by="idh")).order
        ['IDH wild-type', 'IDH-mutant']
    """
    column = column_name(table, str(settings.group_by), "--group-by")
    values = table[column][~is_blank(table[column])]
    if values.empty:
        raise CohortError(
            f"Column '{column}' is blank for every patient with known follow-up.", hint="Group by another column."
        )
    notes = []
    if len(values) < len(table):
        notes.append(
            f"{len(table) - len(values)} of {len(table)} patients are left out because '{column}' is not known."
        )
    numbers = pd.to_numeric(values, errors="coerce")
    numeric = bool(numbers.notna().all())
    if settings.cut is not None:
        return _cut(column, numbers if numeric else None, settings, table, notes)
    if numeric and numbers.nunique() > _MANY_NUMBERS:
        raise CohortError(
            f"Column '{column}' is a number with {numbers.nunique()} different values.",
            hint="Give --cut VALUE (fixed beforehand) or --cut median.",
        )
    keys = numbers.astype(float) if numeric else values.astype(str).str.strip()
    if keys.nunique() > settings.max_groups:
        raise CohortError(
            f"Column '{column}' has {keys.nunique()} different values; up to {settings.max_groups} groups are accepted.",
            hint="Choose rows with --where, or another column.",
        )
    levels = sorted(keys.unique(), key=lambda level: (level in _LATE_LEVELS, level))
    notes += [note for note in [code_note(column)] if note is not None and numeric]
    names = {level: level_name(column, level) for level in levels}
    return Grouping(keys.map(names), [names[level] for level in levels], title_of(column), column, notes)


def level_name(column: str, level: float | str) -> str:
    """Return the name of one value of a column, for people.

    Example:
        >>> level_name("idh", 1.0), level_name("grade", 4.0), level_name("surgery_biopsy0_resection1", 0.0)
        ('IDH-mutant', 'grade 4', 'biopsy')
    """
    named = VALUE_NAMES.get(column, {}).get(level) or coded_name(column, level)
    return named or (f"{column} {level:g}" if isinstance(level, float) else str(level))


def title_of(column: str) -> str:
    """Return the name of a column for people.

    Example:
        >>> title_of("eor"), title_of("KPS_less70-0_more70-1")
        ('extent of resection', 'KPS')
    """
    return TITLES.get(column) or column_title(column)


def _cut(
    column: str, numbers: pd.Series | None, settings: SurvivalSettings, table: pd.DataFrame, notes: list[str]
) -> Grouping:
    if numbers is None:
        raise CohortError(f"Column '{column}' is not a number, so it cannot be cut.", hint="Leave out --cut.")
    found = _best(numbers, table, settings) if settings.cut == "best" else None
    value = found.cut if found else float(numbers.median()) if settings.cut == "median" else float(str(settings.cut))
    title = title_of(column)
    low, high = f"{title} ≤ {value:g}", f"{title} > {value:g}"
    if settings.cut == "median":
        notes = [
            *notes,
            f"The cut at {value:g} is the median of the very patients that are compared: choose it beforehand to confirm a finding.",
        ]
    if found:
        notes = [
            *notes,
            f"The cut at {value:g} was looked for in the very patients that are compared. Corrected for that, p = {found.p:.2g}; the plain log-rank"
            " test, the hazard ratio and the curves are too good, and do not count.",
        ]
    labels = pd.Series(np.where(numbers > value, high, low), index=numbers.index)
    order = [name for name in (low, high) if (labels == name).any()]
    chosen = settings.cut in ("median", "best")
    return Grouping(labels, order, title, column, notes, chosen_from_same_data=chosen, best=found)


def _best(numbers: pd.Series, table: pd.DataFrame, settings: SurvivalSettings) -> BestCut:
    rows = table.loc[numbers.index]
    try:
        return best_cut(
            rows["days"].to_numpy(dtype=float), rows["died"].to_numpy(dtype=bool), numbers.to_numpy(dtype=float), seed=settings.seed
        )  # fmt: skip
    except ConfigError as error:
        raise CohortError(str(error), hint="Give --cut a value instead.") from error


def group_by_model(table: pd.DataFrame, predictions: pd.DataFrame, settings: SurvivalSettings) -> Grouping:
    """Return two groups by a model's out-of-fold score, cut at the median of the OTHER folds' scores.

    A fold's own patients take no part in their threshold. Over repeats, a patient belongs where most repeats put it.

    Args:
        table: index case.
        predictions: columns `case`, `y_prob`; `split`, `repeat`, `model` and `target` where there are several.
        settings: `model` and `target` choose among several.

    Raises:
        CohortError: a column is missing, several models or targets stand in the table, or no case is shared.
    """
    chosen = _chosen_predictions(predictions, settings)
    shared = table.index.intersection(pd.Index(chosen["case"].unique()))
    if shared.empty:
        raise CohortError(
            "No case of the predictions has known follow-up.",
            hint=f"Predictions: {', '.join(chosen['case'].unique()[:3])}; follow-up: {', '.join(map(str, table.index[:3]))}.",
        )
    thresholds, out_of_fold = _thresholds(chosen)
    high = (chosen["y_prob"] > thresholds).groupby(chosen["case"]).mean() >= 0.5
    score = chosen.groupby("case")["y_prob"].mean()
    target = str(chosen["target"].iloc[0]) if "target" in chosen else "model"
    target = TITLES.get(TARGET_COLUMNS.get(target, target), target)
    names = {False: f"low {target} score", True: f"high {target} score"}
    labels = high.loc[shared].map(names)
    if out_of_fold:
        note = (
            f"Groups: the model's out-of-fold probability of '{target}', cut for each fold at the median score of the other folds;"
            " no patient took part in setting the threshold that grouped it."
        )
    else:
        note = (
            f"Groups: the model's probability of '{target}', cut at the median of the very patients that are compared,"
            " because the predictions name no folds. Whether they are out-of-fold cannot be told from the table."
        )
    notes = [note]
    if len(shared) < len(table):
        notes.append(
            f"{len(table) - len(shared)} of {len(table)} patients are left out because the model has no prediction."
        )
    order = [name for name in names.values() if (labels == name).any()]
    return Grouping(labels, order, f"{target} score", None, notes, score.loc[shared], not out_of_fold)


def _chosen_predictions(predictions: pd.DataFrame, settings: SurvivalSettings) -> pd.DataFrame:
    if not {"case", "y_prob"} <= {str(name) for name in predictions.columns}:
        predictions = check_predictions(predictions, target=settings.target, model=settings.model)
    chosen = predictions.assign(
        case=predictions["case"].astype(str), y_prob=pd.to_numeric(predictions["y_prob"], errors="coerce")
    )
    bad = chosen["y_prob"].isna() | np.isinf(chosen["y_prob"])
    if bad.any():
        raise CohortError(
            f"{int(bad.sum())} prediction(s) are not finite numbers:",
            problems=[f"case '{case}'" for case in chosen.loc[bad, "case"].unique()[:20]],
        )
    for column, wanted in (("model", settings.model), ("target", settings.target)):
        if column in chosen.columns:
            chosen = _one_value(chosen, column, wanted)
    return chosen


def _one_value(chosen: pd.DataFrame, column: str, wanted: str | None) -> pd.DataFrame:
    values = chosen[column].astype(str)
    held = sorted(values.unique())
    if wanted is None and len(held) > 1:
        raise CohortError(
            f"The predictions hold several values of '{column}': {', '.join(held)}.",
            hint=f"Choose one with --{column}.",
        )
    if wanted is not None and wanted not in held:
        raise CohortError(
            f"The predictions hold no {column} '{wanted}'; they hold {', '.join(held)}.",
            hint=did_you_mean(wanted, held),
        )
    return chosen if wanted is None else chosen[values == wanted]


def _thresholds(chosen: pd.DataFrame) -> tuple[pd.Series, bool]:
    repeat = chosen["repeat"].astype(str) if "repeat" in chosen else pd.Series("0", index=chosen.index)
    split = chosen["split"].astype(str) if "split" in chosen else pd.Series("0", index=chosen.index)
    thresholds = pd.Series(np.nan, index=chosen.index)
    out_of_fold = True
    for _, rows in chosen.groupby(repeat, sort=True):
        folds = split.loc[rows.index]
        for fold in folds.unique():
            others = rows.loc[folds != fold, "y_prob"]
            out_of_fold &= not others.empty
            mine = rows.index[folds == fold]
            thresholds.loc[mine] = float((rows["y_prob"] if others.empty else others).median())
    return thresholds, out_of_fold
