"""The one door for predictions tables: ours or anybody's, in; one tidy table out.

The tidy table has one row per case and repeat: `case, patient, site, target, y_true, y_prob, split, repeat, model`, then every other column of
the source. What had to be read into it (unknown labels dropped, logits, percentages, ...) is kept as sentences in `frame.attrs["notes"]`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata

from radiogen.cohort.identifiers import identify
from radiogen.cohort.splits import UNKNOWN_SITE
from radiogen.errors import CohortError
from radiogen.evaluate.columns import as_text, binary_labels, is_prediction, is_unknown, numbers, simple
from radiogen.evaluate.layout import PredictionColumns, find_roles, one_value, unknown_columns

COLUMNS = ["case", "patient", "site", "target", "y_true", "y_prob", "split", "repeat", "model"]

EXTRAS = ("threshold", "prediction_set", "out_of_distribution")
"""Optional columns that radiogen's own tables have: the fold's threshold, its conformal set, and whether the case is unlike the training cases."""

_LARGEST_LOGIT = 30.0
"""Beyond this the logistic function runs out of digits, so scores are ranked instead."""


def read_predictions(
    path: str | Path, *, target: str | None = None, model: str | None = None, columns: PredictionColumns | None = None
) -> pd.DataFrame:
    """Read a predictions table of any usual layout.

    Args:
        path: CSV (comma, semicolon or tab) or Parquet.
        target: which target, where the table holds several.
        model: which model, where the table holds several.
        columns: columns to take instead of looking for them.

    Returns:
        See the module's description.

    Raises:
        CohortError: lists every problem of the table at once.
    """
    path = Path(path)
    return check_predictions(
        read_any_table(path), target=target, model=model, columns=columns, name=f"predictions table {path}"
    )


def read_any_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV (comma, semicolon or tab) as strings, or a Parquet file as it is.

    Raises:
        CohortError: the file is missing or is no table.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).reset_index()
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CohortError(
            f"The table {path} does not exist.", hint="Give the path of a CSV or Parquet file."
        ) from error
    except (OSError, UnicodeDecodeError, ValueError) as error:  # pandas' and pyarrow's parsing errors are ValueErrors
        first = (str(error).splitlines() or ["no content"])[0]
        raise CohortError(f"The table {path} cannot be read: {first}", hint="Accepted: CSV or Parquet.") from error


def check_predictions(
    frame: pd.DataFrame,
    *,
    target: str | None = None,
    model: str | None = None,
    columns: PredictionColumns | None = None,
    name: str = "predictions table",
) -> pd.DataFrame:
    """Return the tidy predictions table for a table of any usual layout.

    Args:
        frame: the table; an index called `case` counts as a column.
        target: which target, where the table holds several.
        model: which model, where the table holds several.
        columns: columns to take instead of looking for them.
        name: what to call the table in messages.

    Returns:
        See the module's description; rows sorted by repeat and case.

    Raises:
        CohortError: lists every problem of the table at once.

    Example:
        >>> table = pd.DataFrame({"id": ["a", "b"], "label": ["yes", "no"], "score": [2.0, -1.0]})
        >>> check_predictions(table)[["case", "y_true", "y_prob"]].round(3).values.tolist()
        [['a', 1, 0.881], ['b', 0, 0.269]]
    """
    wanted = columns or PredictionColumns()
    notes: list[str] = list(frame.attrs.get("notes", []))
    table = frame.reset_index(drop=frame.index.name is None or frame.index.name in frame.columns)
    table.columns = [str(column).strip() for column in table.columns]
    _raise(name, unknown_columns(table, wanted))
    table = _without_blank_rows(table, notes)
    if table.empty:
        _raise(name, ["the table has no rows"])
    table = one_value(table, "target", target, name)
    table = one_value(table, "model", model, name)
    roles, problems = find_roles(table, target, wanted)
    _raise(name, problems)
    tidy, problems = _tidy(table, roles, notes)
    _raise(name, problems)
    ranked = tidy.attrs["ranked"] or bool(frame.attrs.get("ranked"))
    tidy = _held_out(tidy, notes)
    _raise(name, _case_problems(tidy, repeated="repeat" in roles))
    tidy = _numbered_repeats(tidy, notes) if "repeat" not in roles else tidy
    tidy = tidy.sort_values(["repeat", "case"], kind="stable", ignore_index=True)
    tidy.attrs = {"notes": notes, "ranked": ranked}
    return tidy


def per_case(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case, indexed by `case`, with `y_prob` averaged over repeats.

    Args:
        predictions: as `check_predictions` returns it.
    """
    first = predictions.drop_duplicates("case").set_index("case").sort_index()
    first["y_prob"] = predictions.groupby("case", sort=True)["y_prob"].mean()
    return first.drop(columns=["repeat", "split"])


def _without_blank_rows(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    text = table.select_dtypes(include=["object", "string"])
    blank = table.isna() | text.apply(lambda column: column.astype(str).str.strip() == "").reindex(
        columns=table.columns, fill_value=False
    )
    empty = blank.all(axis=1)
    if empty.any() and not empty.all():
        notes.append(f"{int(empty.sum())} empty row(s) are left out.")
        return table[~empty].reset_index(drop=True)
    return table


def _raise(name: str, problems: list[str]) -> None:
    if problems:
        raise CohortError(
            f"The {name} has {len(problems)} problem(s):",
            problems=problems,
            hint="Columns can be named with --label-column, --score-column, --id-column and --site-column.",
        )


def _tidy(table: pd.DataFrame, roles: dict[str, str], notes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    target = roles.get("target_name") or (as_text(table[roles["target"]]).iloc[0].lower() if "target" in roles else "")
    case = _case_ids(table, roles, notes)
    y, odd = binary_labels(table[roles["y_true"]], target)
    raw = numbers(table[roles["y_prob"]])
    problems = _value_problems(table, roles, case, odd, raw)
    keep = y.notna() & raw.notna()
    problems = problems or _class_problems(y[keep], roles["y_true"])
    if problems:
        return table, problems
    _note_dropped(y, raw, notes)
    probability, ranked = _probabilities(raw[keep], table.loc[keep], roles, notes)
    blank = pd.Series("", index=table.index, dtype=object)
    text = {
        role: as_text(table[roles[role]]) if role in roles else blank for role in ("patient", "site", "split", "model")
    }
    tidy = pd.DataFrame(
        {
            "case": case,
            "patient": text["patient"].where(text["patient"] != "", case)
            if "patient" in roles
            else _patients(case, notes),
            "site": text["site"].where(text["site"] != "", UNKNOWN_SITE),
            "target": target or "unnamed",
            "y_true": y,
            "y_prob": probability,
            "split": text["split"],
            "repeat": _integers(table[roles["repeat"]]) if "repeat" in roles else 0,
            "model": text["model"],
        }
    )[keep].astype({"y_true": np.int64})
    # A label that is kept under its own name as well could end up as a baseline for itself.
    used = {roles["y_true"], roles["y_prob"], *COLUMNS}
    others = [
        column for column in table.columns if column not in used and (column in EXTRAS or not is_prediction(column))
    ]
    tidy = pd.concat([tidy, table.loc[keep, others]], axis=1)
    tidy.attrs["ranked"] = ranked
    if not probability.equals(raw[keep]):  # a threshold belongs to the scale that it was chosen on
        tidy = tidy.drop(columns="threshold", errors="ignore")
        tidy.attrs["ranked"] = ranked
    return tidy, []


def _case_ids(table: pd.DataFrame, roles: dict[str, str], notes: list[str]) -> pd.Series:
    if "case" in roles:
        return as_text(table[roles["case"]])
    notes.append("No case id column: every row is taken as a patient of its own.")
    return pd.Series([f"row{row}" for row in range(1, len(table) + 1)], index=table.index, dtype=object)


def _patients(case: pd.Series, notes: list[str]) -> pd.Series:
    """Return the patient behind every case id, where the id is that of a public collection; the case itself elsewhere."""
    known = {text: identify(text) for text in case.unique()}
    scans = Counter(found.key for found in known.values() if found.collection)
    patient = case.map({text: found.patient if scans[found.key] > 1 else text for text, found in known.items()})
    if (further := case.nunique() - patient.nunique()) > 0:
        notes.append(
            f"{further} case(s) are recognised by their ids as further scans of the same patients; patients are resampled whole."
        )
    return patient


def _value_problems(
    table: pd.DataFrame, roles: dict[str, str], case: pd.Series, odd: list[str], raw: pd.Series
) -> list[str]:
    problems = [f"{int((case == '').sum())} row(s) have a blank case id"] if (case == "").any() else []
    if odd:
        shown = ", ".join(map(repr, odd[:8]))
        problems.append(
            f"label column '{roles['y_true']}' holds {shown}; accepted: 0/1, yes/no, mutated/wildtype and the like, -1 or blank for unknown"
        )
    text = as_text(table[roles["y_prob"]])
    unread = (raw.isna() & ~text.map(is_unknown).astype(bool)) | np.isinf(raw)
    if unread.any():
        shown = ", ".join(map(repr, sorted(set(text[unread]))[:8]))
        problems.append(f"score column '{roles['y_prob']}' holds {shown}; accepted: finite numbers, blank for none")
    return problems


def _integers(values: pd.Series) -> pd.Series:
    return pd.Series(np.unique(as_text(values), return_inverse=True)[1].astype(np.int64), index=values.index)


def _class_problems(y: pd.Series, column: str) -> list[str]:
    positive, negative = int((y == 1).sum()), int((y == 0).sum())
    if positive and negative:
        return []
    return [
        f"one class only: label column '{column}' has {positive} positive and {negative} negative rows with a score; both are needed (-1 is read "
        "as unknown: write 0 for the negative class)"
    ]


def _note_dropped(y: pd.Series, raw: pd.Series, notes: list[str]) -> None:
    if y.isna().any():
        notes.append(f"{int(y.isna().sum())} of {len(y)} rows have an unknown label and are left out.")
    if (unscored := int((y.notna() & raw.isna()).sum())) > 0:
        notes.append(
            f"{unscored} row(s) with a known label have no score and are left out; if the model refused hard cases, its AUC flatters it."
        )


def _probabilities(
    raw: pd.Series, table: pd.DataFrame, roles: dict[str, str], notes: list[str]
) -> tuple[pd.Series, bool]:
    """Return scores as numbers from 0 to 1, and whether they are only ranks."""
    column = roles["y_prob"]
    low, high = float(raw.min()), float(raw.max())
    if set(raw.unique()) <= {0.0, 1.0}:
        notes.append(
            f"'{column}' holds only 0 and 1: calls, not scores; the AUC is then the mean of sensitivity and specificity."
        )
        return raw, False
    if low >= 0 and high <= 1:
        return _of_positive_class(raw, table, roles, notes), False
    if "complement" in roles:
        notes.append(f"'{column}' scores the negative class; it is turned round.")
        raw = 100 - raw if low >= 0 and 30 < high <= 100 else -raw
        low, high = float(raw.min()), float(raw.max())
    if low >= 0 and 30 < high <= 100:
        notes.append(f"'{column}' runs from {low:g} to {high:g} and was read as percent.")
        return raw / 100, False
    if max(abs(low), abs(high)) <= _LARGEST_LOGIT:
        notes.append(
            f"'{column}' runs from {low:g} to {high:g} and was read as a logit; calibration is that of its logistic transform."
        )
        return pd.Series(expit(raw), index=raw.index), False
    notes.append(
        f"'{column}' runs from {low:g} to {high:g}: only its order is used, and there is no calibration to report."
    )
    return pd.Series(rankdata(raw) / (len(raw) + 1), index=raw.index), True


def _of_positive_class(raw: pd.Series, table: pd.DataFrame, roles: dict[str, str], notes: list[str]) -> pd.Series:
    column = roles["y_prob"]
    if "complement" in roles:
        notes.append(f"'{column}' scores the negative class; 1 minus it is used.")
        return 1 - raw
    if raw.min() < 0.5:
        return raw
    if "y_pred" in roles:
        predicted, _ = binary_labels(table[roles["y_pred"]])
        if (predicted == 0).any() and predicted.notna().all():
            notes.append(
                f"'{column}' is the probability of the predicted class ('{roles['y_pred']}'); turned into that of the positive class."
            )
            return raw.where(predicted == 1, 1 - raw)
    notes.append(
        f"Every value of '{column}' is 0.5 or more: if it is the probability of the predicted class, add a predicted-label column."
    )
    return raw


def _held_out(tidy: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Leave out rows that the table itself calls training rows."""
    training = tidy["split"].map(simple).isin(["train", "training", "trainset", "trainingset"])
    if not training.any() or training.all():
        if training.all():
            notes.append(
                "Every row is marked as a training row: these numbers say how well the model remembers, not how well it predicts."
            )
        return tidy
    notes.append(f"{int(training.sum())} row(s) are marked as training rows and are left out.")
    rest = tidy[~training]
    _raise("predictions table without its training rows", _class_problems(rest["y_true"], "label"))
    return rest


def _case_problems(tidy: pd.DataFrame, *, repeated: bool) -> list[str]:
    problems = []
    classes = tidy.groupby("case")["y_true"].nunique()
    problems += [f"case '{case}' has both labels, 0 and 1" for case in classes.index[classes > 1][:20]]
    owners = tidy.groupby("case")["patient"].nunique()
    problems += [f"case '{case}' belongs to several patients" for case in owners.index[owners > 1][:20]]
    if repeated:
        twice = tidy[tidy.duplicated(["case", "repeat"])].drop_duplicates("case")
        problems += [
            f"case '{case}' occurs more than once in repeat {repeat}"
            for case, repeat in zip(twice["case"][:20], twice["repeat"], strict=False)
        ]
    return problems


def _numbered_repeats(tidy: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    number = tidy.groupby("case").cumcount()
    if number.max() > 0:
        notes.append(
            f"{int((number > 0).sum())} row(s) repeat a case id without a repeat column; rows of one case are averaged."
        )
    return tidy.assign(repeat=number.astype(np.int64))
