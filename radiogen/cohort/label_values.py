"""The spellings of label values in public tables, read into radiogen's own values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

DAYS_PER_MONTH = 30.4375
"""Mean length of a month: 365.25 / 12."""

_MISSING = {
    "", "-", "--", ".", "?", "-1", "-1.0", "na", "n/a", "n.a.", "#n/a", "nan", "none", "null", "nil", "missing", "not available", "not applicable",
    "not reported", "not tested", "not done", "not known", "indeterminate", "inconclusive", "equivocal", "unknown", "unk", "unclear", "nos",
    "nos/nec",
    "nec", "undetermined", "nd", "[not available]", "[unknown]", "[not applicable]", "data not available",
}  # fmt: skip
_ROMAN = {"i": 1.0, "ii": 2.0, "iii": 3.0, "iv": 4.0}
_EOR = {
    "gtr": "GTR", "grosstotal": "GTR", "grosstotalresection": "GTR", "complete": "GTR", "completeresection": "GTR", "total": "GTR",
    "str": "STR", "subtotal": "STR", "subtotalresection": "STR", "partial": "STR", "partialresection": "STR",
    "biopsy": "biopsy", "biopsyonly": "biopsy", "bx": "biopsy",
}  # fmt: skip


class NotUnderstoodError(ValueError):
    """A value that stands in a table and means nothing to radiogen; caught where the table is read, and reported with its column."""


class AmbiguousError(NotUnderstoodError):
    """A value whose meaning is known to be unclear (`HGG` is grade 3 or 4); it stays unknown and is reported as a note."""


def is_missing(text: str) -> bool:
    """Return whether a value stands for 'unknown'.

    Example:
        >>> [is_missing(text) for text in ("", "-1", "Not Available", "indeterminate", "NaN", "0")]
        [True, True, True, True, True, False]
    """
    return " ".join(text.lower().split()) in _MISSING


def read_idh(text: str) -> float:
    """Return 1 for a mutated IDH1 or IDH2, 0 for wild-type.

    Raises:
        NotUnderstoodError: any other text.

    Example:
        >>> [read_idh(text) for text in ("IDH1 p.R132H", "mutated (NOS)", "wildtype", "WT", "IDH2 p.Arg172Trp")]
        [1.0, 1.0, 0.0, 0.0, 1.0]
    """
    plain = _letters(text)
    if plain in {
        "wt",
        "wildtype",
        "idhwt",
        "idhwildtype",
        "idh1wildtype",
        "negative",
        "neg",
        "notmutated",
        "nonmutated",
        "unmutated",
        "nonmutant",
    }:
        return 0.0
    if plain in {
        "mutant",
        "mutated",
        "mut",
        "idhmut",
        "idhmutant",
        "idhmutated",
        "idh1mutant",
        "positive",
        "pos",
        "mutatednos",
    }:
        return 1.0
    if re.search(r"(?i)(^|[^a-z])(p\.)?(r|arg)(132|172)[a-z]", text):
        return 1.0
    return _yes_no(text)


def read_mgmt(text: str) -> float:
    """Return 1 for a methylated MGMT promoter, 0 for an unmethylated one.

    Raises:
        NotUnderstoodError: any other text.
    """
    plain = _letters(text)
    if plain in {"methylated", "meth", "hypermethylated", "positive", "pos", "m", "mgmtmethylated"}:
        return 1.0
    if plain in {
        "unmethylated",
        "unmeth",
        "nonmethylated",
        "notmethylated",
        "negative",
        "neg",
        "u",
        "um",
        "mgmtunmethylated",
    }:
        return 0.0
    return _yes_no(text)


def read_codeletion(text: str) -> float:
    """Return 1 for a 1p/19q co-deletion (a relative one included), 0 for intact.

    Raises:
        NotUnderstoodError: any other text, such as a deletion of one arm only.

    Example:
        >>> [read_codeletion(text) for text in ("Co-deletion", "relative co-deletion", "intact", "non-codel")]
        [1.0, 1.0, 0.0, 0.0]
    """
    plain = _letters(text)
    if plain in {
        "intact",
        "noncodel",
        "noncodeleted",
        "notcodeleted",
        "nocodeletion",
        "negative",
        "neg",
        "nondeleted",
        "notdeleted",
        "wt",
    }:
        return 0.0
    if plain in {"codel", "codeletion", "codeleted", "relativecodeletion", "positive", "pos"}:
        return 1.0
    return _yes_no(text)


def read_grade(text: str) -> float:
    """Return the WHO grade, 1 to 4.

    Raises:
        AmbiguousError: `HGG` or `LGG`, which stand for two grades each.
        NotUnderstoodError: any other text.

    Example:
        >>> [read_grade(text) for text in ("G2", "III", "WHO grade IV", "4.0")]
        [2.0, 3.0, 4.0, 4.0]
    """
    plain = re.sub(r"(?i)who|cns|grade|grad|[\s._-]+(?=[^0-9])|^g(?=[0-9iv])", "", text.strip()).strip().lower()
    if plain in {"hgg", "lgg", "highglioma", "lowglioma", "high", "low"}:
        raise AmbiguousError(f"'{text}' stands for more than one grade")
    value = _ROMAN.get(plain)
    if value is None:
        value = _number(plain.lstrip("g"))
    if value not in (1.0, 2.0, 3.0, 4.0):
        raise NotUnderstoodError(text)
    return value


def read_sex(text: str) -> str:
    """Return `F` or `M`.

    Raises:
        NotUnderstoodError: any other text; bare 0 and 1 have no agreed meaning.
    """
    plain = _letters(text)
    if plain in {"f", "female", "woman", "w"}:
        return "F"
    if plain in {"m", "male", "man"}:
        return "M"
    raise NotUnderstoodError(text)


def read_event(text: str) -> float:
    """Return 1 for died, 0 for alive at last contact.

    Raises:
        NotUnderstoodError: any other text.
    """
    plain = _letters(text)
    if plain in {"dead", "deceased", "died", "death", "event", "deceasedbycause"}:
        return 1.0
    if plain in {"alive", "living", "censored", "lostfollowup"}:
        return 0.0
    return _yes_no(text)


def read_eor(text: str) -> str:
    """Return `GTR`, `STR` or `biopsy`.

    Raises:
        NotUnderstoodError: any other text.
    """
    plain = _letters(text)
    if plain not in _EOR:
        raise NotUnderstoodError(text)
    return _EOR[plain]


def read_age(text: str) -> float:
    """Return an age in years, 0 to 120."""
    return _ranged(text, 0.0, 120.0)


def read_kps(text: str) -> float:
    """Return a Karnofsky performance score, 0 to 100."""
    return _ranged(text, 0.0, 100.0)


def read_time(text: str) -> float:
    """Return a survival time in the unit of its column, zero or more; `ALIVE (361 days later)` gives 361.

    Example:
        >>> read_time("ALIVE (361 days later)")
        361.0
    """
    alive = alive_days(text)
    return _ranged(text, 0.0, math.inf) if alive is None else alive


def alive_days(text: str) -> float | None:
    """Return the days of BraTS 2020's 'ALIVE (361 days later)', or None for any other text."""
    match = re.fullmatch(r"(?i)\s*alive\s*\(\s*(\d+(?:\.\d+)?)\s*days?\s*later\s*\)\s*", text)
    return float(match.group(1)) if match else None


READERS: dict[str, Callable[[str], float | str]] = {
    "idh": read_idh, "mgmt": read_mgmt, "codeletion_1p19q": read_codeletion, "grade": read_grade, "age": read_age, "sex": read_sex, "kps": read_kps,
    "eor": read_eor, "os_days": read_time, "os_event": read_event,
}  # fmt: skip
"""Cohort column -> the function that reads one value of it."""

ACCEPTED = {
    "idh": "mutant, wildtype, a variant such as IDH1 p.R132H, 1, 0",
    "mgmt": "methylated, unmethylated, positive, negative, 1, 0",
    "codeletion_1p19q": "codel, non-codel, intact, 1, 0",
    "grade": "1 to 4, I to IV, G2",
    "age": "years, 0 to 120",
    "sex": "F, M, female, male",
    "kps": "0 to 100",
    "eor": "GTR, STR, biopsy",
    "os_days": "a time, zero or more",
    "os_event": "dead, alive, 1, 0",
}
"""Cohort column -> what is accepted, for messages."""


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def _yes_no(text: str) -> float:
    plain = _letters(text) if not re.fullmatch(r"\s*[01]\.0*\s*", text) else text.strip()[0]
    if plain in {"1", "yes", "y", "true"}:
        return 1.0
    if plain in {"0", "no", "n", "false"}:
        return 0.0
    raise NotUnderstoodError(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise NotUnderstoodError(text) from None
    if not math.isfinite(value):
        raise NotUnderstoodError(text)
    return value


def _ranged(text: str, low: float, high: float) -> float:
    value = _number(text)
    if not low <= value <= high:
        raise NotUnderstoodError(text)
    return value
