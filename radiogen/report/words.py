"""How numbers, targets and baselines are put into words, the same on every page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DASH = "\u2013"
MINUS = "\u2212"
SPACE = "\u00a0"
"""A space that no line is broken at."""


@dataclass(frozen=True)
class TargetWords:
    """What a target is called.

    Args:
        name: for headings.
        positive: the positive class.
        negative: the negative class.
    """

    name: str
    positive: str
    negative: str


_TARGETS = {
    "idh": TargetWords("IDH mutation", "IDH-mutated", "IDH wild-type"),
    "mgmt": TargetWords("MGMT promoter methylation", "methylated", "unmethylated"),
    "codeletion": TargetWords("1p/19q codeletion", "co-deleted", "not co-deleted"),
    "grade": TargetWords("WHO grade 4", "grade 4", "grade 2 or 3"),
}

_BASELINES = {
    "age": "The patient's age and nothing else.",
    "sex": "The patient's sex and nothing else.",
    "age+sex": "Age and sex together.",
    "volume": "The size of the whole tumour and nothing else.",
    "grade": "The WHO grade, which the pathologist knows from the same tissue.",
    "idh": "The IDH status, which the pathologist knows from the same tissue.",
    "location": "The lobe and side of the tumour and nothing else.",
    "scanner": "Which scanner, maker or field strength the images come from: no medicine at all.",
    "site": "Which hospital or collection the case comes from: no medicine at all.",
    "all clinical": "Every known clinical fact above together.",
    "all together": "Every known fact above together, with scanner and site.",
}

_LABELS = {"idh": "IDH", "mgmt": "MGMT", "age+sex": "age and sex"}


def target_words(target: str) -> TargetWords:
    """Return what a target and its classes are called.

    Example:
        >>> target_words("idh").positive
        'IDH-mutated'
    """
    name = "Predictions" if target in {"", "unnamed"} else target
    return _TARGETS.get(target, TargetWords(name, "positive", "negative"))


def baseline_meaning(name: str) -> str:
    """Return one sentence on what a baseline knows; empty for one that radiogen does not know."""
    return _BASELINES.get(name, "")


def label(name: str) -> str:
    """Return how a baseline or stratum is written.

    Example:
        >>> label("idh"), label("age+sex"), label("volume")
        ('IDH', 'age and sex', 'volume')
    """
    return _LABELS.get(name, name)


def known(value: Any) -> bool:
    """Return whether a value is a finite number: metrics read back from JSON hold None where there was none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 3, *, signed: bool = False) -> str:
    """Return a number with a true minus sign, or a dash where there is none.

    Example:
        >>> number(0.5), number(None), number(-0.25, 2), number(0.1, 2, signed=True)
        ('0.500', '–', '−0.25', '+0.10')
    """
    if not known(value):
        return DASH
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(ci: Any, digits: int = 3, *, signed: bool = False) -> str:
    """Return an interval as `low to high`, or a dash where there is none.

    Example:
        >>> [interval(ci).replace(SPACE, " ") for ci in ([0.7, 0.85], None)], interval([-0.1, 0.2], 2, signed=True).replace(SPACE, " ")
        (['0.700 to 0.850', '–'], '−0.10 to +0.20')
    """
    ends = bounds(ci)
    return DASH if ends is None else f"{SPACE}to{SPACE}".join(number(end, digits, signed=signed) for end in ends)


def bounds(ci: Any) -> tuple[float, float] | None:
    """Return the two ends of an interval, or None where one is unknown."""
    if isinstance(ci, list | tuple) and len(ci) == 2 and all(known(end) for end in ci):
        return float(ci[0]), float(ci[1])
    return None


def p_value(p: Any) -> str:
    """Return a p-value as it is printed.

    Example:
        >>> p_value(0.0421), p_value(0.00004).replace(SPACE, ' '), p_value(0.0031), p_value(None)
        ('0.042', '< 0.0001', '0.0031', '–')
    """
    if not known(p):
        return DASH
    if p < 0.0001:
        return f"<{SPACE}0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def count(n: int, one: str, many: str = "") -> str:
    """Return a count with its noun.

    Example:
        >>> count(1, "case"), count(0, "case"), count(3, "class", "classes")
        ('1 case', '0 cases', '3 classes')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


def split_words(split: str, n_sites: Any) -> str:
    """Return how cases were held out, in words.

    Args:
        split: the `split` of a metrics file.
        n_sites: number of known sites, or None.
    """
    sites = f" ({count(int(n_sites), 'site')})" if known(n_sites) else ""
    words = {
        "site-held-out": f"whole sites{sites}: each was predicted by models that never saw it",
        "grouped-kfold": f"patients, in folds{sites}: the model has seen other patients of the same sites",
        "external": f"an external test set{sites}",
        "unknown": f"not known from the table{sites}",
    }
    return words.get(split, split + sites)


def rule_of(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of the evaluation from a page's provenance; empty where it does not name them.

    Args:
        provenance: with `settings` that are, or hold under `evaluate`, those of the evaluation.
    """
    settings = (provenance or {}).get("settings", {})
    settings = settings if isinstance(settings, Mapping) else {}
    inner = settings.get("evaluate", settings)
    return dict(inner) if isinstance(inner, Mapping) and "useful_auc" in inner else {}
