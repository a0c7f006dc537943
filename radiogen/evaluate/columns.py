"""Whatever a predictions or clinical table calls its columns and labels, said in radiogen's words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from radiogen.cohort.label_values import READERS, NotUnderstoodError, is_missing

ROLES: dict[str, tuple[str, ...]] = {
    "case": ("case", "caseid", "casename", "scan", "scanid", "image", "imageid", "exam", "session", "id", "subject", "subjectid",
             "patient", "patientid", "patientname", "brats21id", "bratsid", "name"),
    "patient": ("patient", "patientid", "subject", "subjectid", "pid"),
    "site": ("site", "siteid", "center", "centre", "institution", "institute", "hospital", "datacollection", "collection", "dataset",
             "datasource", "cohort"),
    "target": ("target", "task", "endpoint", "marker", "biomarker"),
    "y_true": ("ytrue", "ytest", "true", "truth", "groundtruth", "gt", "label", "truelabel", "labeltrue", "actual", "observed", "reference",
               "outcome",
               "y", "class", "trueclass"),
    "y_prob": ("yprob", "prob", "probability", "probabilities", "yproba", "yscore", "score", "predictionscore", "predprob", "predscore",
               "predictedprobability", "probpositive", "prob1", "p1", "ypredproba", "proba", "predproba", "logit", "logits", "risk", "output",
               "prediction", "pred", "ypred", "predicted", "confidence", "p"),
    "y_pred": ("predictedlabel", "predlabel", "labelpred", "predictedclass", "predclass", "ypredlabel", "ypred", "prediction", "pred", "predicted"),
    "split": ("split", "fold", "cvfold", "outerfold", "partition"),
    "repeat": ("repeat", "repetition", "seed", "run"),
    "model": ("model", "modelname", "method", "classifier", "algorithm"),
}  # fmt: skip
"""Role -> accepted names, likeliest first, spelled without case and punctuation."""

TARGET_WORDS = {
    "idh": ("idh",),
    "mgmt": ("mgmt",),
    "codeletion": ("1p19q", "codel"),
    "grade": ("grade",),
}
"""Target -> words of a column name that mean it."""

_SCORE_WORDS = ("pred", "prob", "score", "logit", "softmax", "sigmoid", "output")
_NEGATIVE_WORDS = (
    "wildtype", "wild_type", "wt", "unmeth", "nonmeth", "intact", "noncodel", "non_codel", "negative", "neg", "class0", "class_0", "low", "lgg",
)  # fmt: skip
_POSITIVE_WORDS = ("1", "pos", "positive", "mutant", "mutated", "mut", "mutation", "methylated", "meth", "codeleted", "codel", "codeletion",
                   "deleted", "yes", "true")  # fmt: skip
_PROBABILITY_OF = re.compile(r"p\s*\(", re.IGNORECASE)
"""`P(mutated)` and the like."""

_GRADE_FOUR = ("4", "iv", "high", "hgg", "gbm", "grade", "glioblastoma")

_WORDS = {"t": 1.0, "f": 0.0, "pos": 1.0, "neg": 0.0, "positive": 1.0, "negative": 0.0, "present": 1.0, "absent": 0.0, "high": 1.0, "low": 0.0,
          "hgg": 1.0, "lgg": 0.0, "deleted": 1.0, "mutation": 1.0, "methylation": 1.0}  # fmt: skip
"""Words for the two classes that no marker's own reader knows."""


@dataclass(frozen=True)
class Wide:
    """Label and score columns that a wide table holds for one target.

    Args:
        labels: columns with the true label.
        scores: columns with a score of the positive class.
        complements: columns with a score of the negative class.
    """

    labels: tuple[str, ...]
    scores: tuple[str, ...]
    complements: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Return whether there is a label and something to score it with."""
        return bool(self.labels) and bool(self.scores or self.complements)


def simple(name: object) -> str:
    """Return a name without case, blanks and punctuation.

    Example:
        >>> simple("Data_collection"), simple("1p/19q")
        ('datacollection', '1p19q')
    """
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def find_column(columns: Iterable[str], role: str, taken: Iterable[str] = ()) -> str | None:
    """Return the column that plays a role, by the likeliest of its accepted names, or None.

    Args:
        columns: names as the table has them.
        role: key of `ROLES`.
        taken: columns that already play another role.

    Example:
        >>> find_column(["PatientID", "prob"], "y_prob")
        'prob'
    """
    spelled: dict[str, str] = {}
    for column in columns:
        if column not in set(taken):
            spelled.setdefault(simple(column), column)
    return next((spelled[name] for name in ROLES[role] if name in spelled), None)


def wide_columns(columns: Iterable[str], target: str) -> Wide:
    """Return which columns of a wide table are the label and the scores of a target.

    Example:
        >>> wide_columns(["IDH_mutated", "Prediction_score_IDH_wildtype", "Prediction_score_IDH_mutated"], "idh")
        Wide(labels=('IDH_mutated',), scores=('Prediction_score_IDH_mutated',), complements=('Prediction_score_IDH_wildtype',))
    """
    about = [name for name in columns if any(word in simple(name) for word in TARGET_WORDS[target])]
    predicted = [name for name in about if is_prediction(name)]
    labels = tuple(name for name in about if name not in predicted)
    numeric = [name for name in predicted if not re.search("label|class$", str(name).lower())]
    if target == "grade":
        return Wide(labels, tuple(name for name in numeric if _last_word(name) in _GRADE_FOUR), ())
    complements = tuple(name for name in numeric if _says_negative(name))
    return Wide(labels, tuple(name for name in numeric if name not in complements), complements)


def class_scores(columns: Iterable[str]) -> Wide:
    """Return columns that score one class each, known by their last word, as `prob_0` and `prob_1`, or `p_wildtype` and `p_mutated`.

    Example:
        >>> class_scores(["id", "softmax_0", "softmax_1"])
        Wide(labels=(), scores=('softmax_1',), complements=('softmax_0',))
    """
    scores, complements = [], []
    for name in columns:
        words = _words(name)
        if len(words) < 2 or not (is_prediction(name) or words[0] in {"p", "class", "softmax"}):
            continue
        if re.search("label|class$", str(name).lower()):
            continue
        if words[-1] == "0" or _says_negative(name):
            complements.append(name)
        elif words[-1] in _POSITIVE_WORDS:
            scores.append(name)
    return Wide((), tuple(scores), tuple(complements))


def is_prediction(name: str) -> bool:
    """Return whether a column's name says that it holds a prediction and not a fact.

    Example:
        >>> is_prediction("Prediction_score_grade_4"), is_prediction("Grade")
        (True, False)
    """
    return any(word in simple(name) for word in _SCORE_WORDS) or _PROBABILITY_OF.match(str(name)) is not None


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", str(name)).lower())


def _last_word(name: str) -> str:
    words = [word for word in _words(name) if not any(part in word for part in _SCORE_WORDS)]
    return words[-1] if words else ""


def _says_negative(name: str) -> bool:
    text, words = "_".join(_words(name)), set(_words(name))
    return any(word in words or (len(word) > 3 and word in text) for word in _NEGATIVE_WORDS)


def as_text(values: pd.Series) -> pd.Series:
    """Return a column as stripped strings, unknown as '', whole numbers without a decimal point.

    Example:
        >>> as_text(pd.Series([1.0, None, " a "], dtype=object)).tolist()
        ['1', '', 'a']
    """
    unique = {value: _text(value) for value in values.dropna().unique()}
    return values.map(unique).fillna("").astype(object)


def _text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return f"{value:.0f}" if float(value).is_integer() else repr(float(value))
    return str(value).strip()


def numbers(values: pd.Series) -> pd.Series:
    """Return a column as floats; what is no number becomes NaN, a decimal comma and a percent sign are understood.

    Example:
        >>> numbers(pd.Series(["0,5", "2", "x"])).tolist(), numbers(pd.Series(["97.5 %"])).tolist()
        ([0.5, 2.0, nan], [97.5])
    """
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    text = as_text(values)
    text = text.str.replace(",", ".", regex=False).str.replace(r"\s*%$", "", regex=True)
    return pd.to_numeric(text, errors="coerce").astype(float)


def binary_labels(values: pd.Series, target: str = "") -> tuple[pd.Series, list[str]]:
    """Return 0/1 labels (NaN unknown) for any usual way of writing them, and the texts that were not understood.

    Args:
        values: labels; `-1`, blanks and words such as `unknown` mean unknown.
        target: for `grade`, grades 1-4 (or I-IV) become 1 for grade 4 and 0 below, unless the column holds 0 and 1 already.

    Example:
        >>> binary_labels(pd.Series(["mutated", "wildtype", "-1", "maybe"]))[0].tolist()
        [1.0, 0.0, nan, nan]
    """
    text = as_text(values)
    spelled = [value for value in text.unique() if not is_unknown(value)]
    graded = target == "grade" and not {simple(value) for value in spelled} <= {"0", "1"}
    readers = [_is_grade_four] if graded else [READERS[name] for name in ("idh", "mgmt", "codeletion_1p19q")] + [_word]
    known = {value: number for value in spelled if (number := _first_read(value, readers)) is not None}
    return text.map(known).astype(float), sorted(set(spelled) - set(known))


def is_unknown(value: str) -> bool:
    """Return whether a text means that nothing is known.

    Example:
        >>> is_unknown("-1"), is_unknown("Not Available"), is_unknown("0")
        (True, True, False)
    """
    return is_missing(value)


def grades(values: pd.Series) -> pd.Series:
    """Return WHO grades 1-4 as floats, whatever the spelling; NaN for unknown and for what is no grade.

    Example:
        >>> grades(pd.Series(["IV", "G2", "-1"])).tolist()
        [4.0, 2.0, nan]
    """
    text = as_text(values)
    known = {value: _first_read(value, [READERS["grade"]]) for value in text.unique() if not is_unknown(value)}
    return text.map(known).astype(float)


def _first_read(value: str, readers: Iterable[Callable[[str], float | str]]) -> float | None:
    for read in readers:
        with contextlib.suppress(NotUnderstoodError):
            return float(read(value))
    return None


def _is_grade_four(value: str) -> float:
    return float(READERS["grade"](value) == 4.0)


def _word(value: str) -> float:
    if simple(value) not in _WORDS:
        raise NotUnderstoodError(value)
    return _WORDS[simple(value)]
