"""Any table as a linter sees it: who the rows belong to, what is known of them, and which columns could be features."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pandas as pd

from radiogen.cohort.identifiers import identify
from radiogen.cohort.table import COLUMNS, TARGET_COLUMNS
from radiogen.errors import CohortError
from radiogen.evaluate.columns import (
    TARGET_WORDS,
    as_text,
    binary_labels,
    find_column,
    is_prediction,
    is_unknown,
    numbers,
    simple,
    wide_columns,
)

_ROLES = ("case", "patient", "site", "split", "repeat", "model")
_SET_NAMES = {"set", "subset", "datasetpart", "traintest", "istest", "istrain", "group"}
_PART = re.compile(
    r"(?P<base>.+?)[_\-. ]*(?:slice|slc|patch|tile|aug(?:mented)?|rot(?:ated)?|flip(?:ped)?|visit|session|ses|timepoint|scan|follow-?up|fu)"
    r"[_\-. ]*\w{0,6}$",
    re.IGNORECASE,
)
_OUTCOME_WORDS = {"os", "pfs", "survival", "dead", "death", "died", "deceased", "alive", "vital", "censored", "event", "progression", "recurrence",
                  "histology", "histological", "pathology", "pathologic", "diagnosis", "who", "resection", "eor"}  # fmt: skip
_CLINICAL_WORDS = {"age", "sex", "gender", "male", "female", "kps", "karnofsky"}
_ID_NAMES = ("case", "caseid", "id")
_UNLIKE_FEATURES = {"brats21id", "index", "unnamed0", "unnamed", "row", "rowid", "inmodel"}
_LEAST_NUMBERS = 0.9
_LEAST_OWN_FEATURES = 3


@dataclass(frozen=True)
class LintRows:
    """A table's rows, in the order of the file.

    Args:
        name: file name, for messages.
        case: case id per row, strings.
        patient: patient id per row, strings; equal for scans of one patient as far as columns and ids tell.
        guessed: the patient of that row was guessed from a case id such as `P7_slice12`.
        site: centre per row, '' where unknown.
        frame: the table as read.
        roles: role (`case`, `patient`, `site`, `split`, `repeat`, `model`, `set`) -> column.
        features: columns of numbers that could be features, as floats; NaN where blank.
        words: columns of few words that could be features.
        notes: what a reader should know.
    """

    name: str
    case: pd.Series
    patient: pd.Series
    guessed: pd.Series
    site: pd.Series
    frame: pd.DataFrame
    roles: dict[str, str]
    features: pd.DataFrame
    words: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rows_of(frame: pd.DataFrame, name: str) -> LintRows:
    """Return a table as the linter sees it.

    Args:
        frame: as `evaluate.predictions.read_any_table` returns it.
        name: file name, for messages.

    Raises:
        CohortError: the table has no rows.

    Example:
        >>> rows_of(pd.DataFrame({"id": ["P7_slice1", "P7_slice2"], "mean": ["1", "2"]}), "t.csv").patient.tolist()
        ['P7', 'P7']
    """
    if frame.empty:
        raise CohortError(f"The table {name} has no rows.", hint="Give a table with one row per case.")
    frame = frame.reset_index(drop=True)
    frame.columns = [str(column).strip() for column in frame.columns]
    frame = frame.loc[:, ~frame.columns.duplicated()]
    roles = {role: column for role in _ROLES if (column := find_column(frame.columns, role)) is not None}
    if (first := next((name for name in frame.columns if simple(name) in _ID_NAMES), None)) is not None:
        roles["case"] = first
    for column in frame.columns:
        if simple(column) in _SET_NAMES and _tells_sets(frame[column]):
            roles["set"] = column
    case = as_text(frame[roles["case"]]) if "case" in roles else _first_text(frame)
    patient, guessed = _patients(frame, roles, case)
    site = as_text(frame[roles["site"]]) if "site" in roles else pd.Series("", index=frame.index, dtype=object)
    features, words = _feature_columns(frame, roles)
    return LintRows(name, case, patient, guessed, site, frame, roles, features, words)


def label_of(rows: LintRows, target: str | None, column: str | None = None) -> tuple[str, pd.Series] | None:
    """Return the column with the label that a table holds itself, and the label as 0/1 floats; None where it holds none.

    Args:
        rows: the table.
        target: `idh`, `mgmt`, `codeletion` or `grade`; None: a column that is called label, outcome or the like.
        column: the label's column, where it is known.

    Raises:
        CohortError: that column is not there.
    """
    found = column or _label_column(rows, target)
    if found is None:
        return None
    if found not in rows.frame.columns:
        raise CohortError(
            f"{rows.name} has no column '{found}'; it has {', '.join(map(str, rows.frame.columns[:12]))}.",
            hint="Name the label's column with --label-column.",
        )
    labels, _ = binary_labels(rows.frame[found], target or "")
    return found, labels


def is_feature_table(rows: LintRows) -> bool:
    """Return whether a table holds features, and not only labels, clinical facts and outcomes."""
    own = [name for name in rows.features.columns if not (is_outcome(name) or is_clinical(name) or is_marker(name))]
    return len(own) >= _LEAST_OWN_FEATURES


def is_outcome(name: str) -> bool:
    """Return whether a column's name speaks of outcome or pathology.

    Example:
        >>> is_outcome("OS_months"), is_outcome("t1c_wt_original_glcm_Contrast")
        (True, False)
    """
    return bool(_OUTCOME_WORDS & set(_words(name))) and not is_clinical(name)


def is_clinical(name: str) -> bool:
    """Return whether a column's name speaks of age, sex or performance status."""
    return bool(_CLINICAL_WORDS & set(_words(name)))


def is_marker(name: str, target: str | None = None) -> bool:
    """Return whether a column's name speaks of a molecular marker or the grade, or of one target.

    Example:
        >>> is_marker("idh_status"), is_marker("idh_status", "mgmt")
        (True, False)
    """
    targets = [target] if target is not None else list(TARGET_WORDS)
    return not is_prediction(name) and any(word in simple(name) for one in targets for word in TARGET_WORDS[one])


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", str(name)).lower())


def _tells_sets(values: pd.Series) -> bool:
    known = {simple(value) for value in as_text(values).unique()} - {""}
    return bool(known & {"train", "training"}) and len(known) <= 4


def _first_text(frame: pd.DataFrame) -> pd.Series:
    first = frame.columns[0]
    if numbers(frame[first]).isna().all():
        return as_text(frame[first])
    return pd.Series([f"row {number}" for number in range(1, len(frame) + 1)], index=frame.index, dtype=object)


def _patients(frame: pd.DataFrame, roles: dict[str, str], case: pd.Series) -> tuple[pd.Series, pd.Series]:
    nothing = pd.Series(False, index=frame.index)
    known = case.map({text: _of_collection(text) for text in case.unique()})
    if "patient" in roles and roles["patient"] != roles.get("case"):
        written = as_text(frame[roles["patient"]])
        return written.where(written != "", known), nothing
    base = {text: match["base"] for text in known.unique() if (match := _PART.fullmatch(text)) is not None}
    guess = known.map(lambda text: base.get(text, text))
    guessed = guess != known
    return guess, guessed


def _of_collection(text: str) -> str:
    found = identify(text)
    return found.key if found.collection else text


def _label_column(rows: LintRows, target: str | None) -> str | None:
    columns = [str(name) for name in rows.frame.columns]
    if target is not None and TARGET_COLUMNS[target] in columns:
        return TARGET_COLUMNS[target]
    candidates = list(wide_columns(columns, target).labels) if target is not None else []
    general = find_column(columns, "y_true")
    for name in [*candidates, *([general] if general is not None else [])]:
        labels, odd = binary_labels(rows.frame[name], target or "")
        if not odd and labels.nunique() == 2:
            return name
    return None


def _feature_columns(frame: pd.DataFrame, roles: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    taken = {*roles.values()}
    features: dict[str, pd.Series] = {}
    words: list[str] = []
    for name in frame.columns:
        if name in taken or simple(name) in _UNLIKE_FEATURES or is_prediction(name) or _is_path_column(name):
            continue
        values = frame[name] if pd.api.types.is_numeric_dtype(frame[name]) else _unknown_as_blank(frame[name])
        number = numbers(values)
        blank = values.isna() | (as_text(values) == "")
        if blank.all():
            continue
        if number.notna().sum() >= _LEAST_NUMBERS * (~blank).sum():
            features[name] = number
        elif 2 <= values[~blank].nunique() <= max(2, len(frame) // 5):
            words.append(name)
    return pd.DataFrame(features, index=frame.index), words


def _unknown_as_blank(values: pd.Series) -> pd.Series:
    text = as_text(values)
    unknown = {value for value in text.unique() if value != "-1" and is_unknown(value)}
    return text.where(~text.isin(unknown), "")


def _is_path_column(name: str) -> bool:
    return name in COLUMNS and name in {"t1n", "t1c", "t2w", "t2f", "mask", "mask_labels"}
