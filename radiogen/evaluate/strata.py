"""The AUC inside strata: what is left of it once grade, IDH or site cannot help."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Integer

from radiogen.cohort.splits import UNKNOWN_SITE
from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.clinical import stratum_column
from radiogen.evaluate.columns import as_text, is_unknown, numbers
from radiogen.stats.auc import auc, delong_interval

TOO_FEW = "too few"


def strata_columns(
    cases: pd.DataFrame, facts: pd.DataFrame, clinical: pd.DataFrame | None, target: str, settings: EvaluateSettings
) -> pd.DataFrame:
    """Return the stratum that every case belongs to, as text, one column per stratification.

    Args:
        cases: one row per case.
        facts: tidy clinical facts of the same rows.
        clinical: the clinical table as the user gave it, for extra columns.
        target: what is predicted; it is never a stratum of itself.
        settings: extra strata, and how numbers are cut.

    Returns:
        Columns `grade`, `idh`, `site`, `age` (cut at its median) and `sex` where known and where they have two or more values, then the extra ones;
        None for unknown.

    Raises:
        CohortError: an extra column does not exist.
    """
    found: dict[str, pd.Series] = {}
    if "grade" in facts and target != "grade":
        found["grade"] = facts["grade"].map("{:g}".format, na_action="ignore")
    if "idh" in facts and target != "idh":
        found["idh"] = facts["idh"].map({0.0: "wildtype", 1.0: "mutated"})
    found["site"] = cases["site"].where(cases["site"] != UNKNOWN_SITE, None)
    if "age" in facts:
        found["age"] = cut(facts["age"], settings.stratum_max_values)
    if "sex_male" in facts:
        found["sex"] = facts["sex_male"].map({0.0: "female", 1.0: "male"})
    columns = {name: values for name, values in found.items() if values.nunique() > 1}
    for name in settings.strata:
        values = facts[name] if name in facts else stratum_column(name, cases, clinical)
        columns.setdefault(name, cut(values, settings.stratum_max_values))
    table = pd.DataFrame(columns, index=cases.index).astype(object)
    return table.where(table.notna(), None)


def cut(values: pd.Series, most_values: int) -> pd.Series:
    """Return values as text; numbers with more than `most_values` different values are cut at their median.

    Example:
        >>> cut(pd.Series([30, 40, 50, 60]), 3).tolist()
        ['up to 45', 'up to 45', 'above 45', 'above 45']
    """
    text = as_text(values)
    text = text.where(~text.map(is_unknown).astype(bool), None)
    number = numbers(text.fillna(""))
    if number.nunique() <= most_values or number.notna().sum() < text.notna().sum():
        return text
    median = float(number.median())
    sides = pd.Series(
        np.where(number <= median, f"up to {median:.4g}", f"above {median:.4g}"), index=values.index, dtype=object
    )
    return sides.where(number.notna(), None)


def auc_within(
    cases: pd.DataFrame, strata: pd.DataFrame, groups: Integer[np.ndarray, " n"], settings: EvaluateSettings
) -> list[dict[str, object]]:
    """Return the AUC inside every stratum.

    Args:
        cases: one row per case with `y_true` and `y_prob`.
        strata: as `strata_columns` returns it.
        groups: patient number per case.
        settings: coverage and the fewest cases per class.

    Returns:
        One mapping per stratum and value: `stratum, value, n, n_positive, auc, auc_ci, note`. The interval is DeLong's on the logit scale; a stratum
        with too few cases of a class has neither (None) and says so in `note`.
    """
    y, scores = cases["y_true"].to_numpy(dtype=np.int64), cases["y_prob"].to_numpy(dtype=float)
    rows: list[dict[str, object]] = []
    for name in strata.columns:
        for value in sorted(strata[name].dropna().unique()):
            inside = (strata[name] == value).to_numpy(dtype=bool)
            row = {"stratum": name, "value": str(value), "n": int(inside.sum()), "n_positive": int(y[inside].sum())}
            rows.append(row | _inside(y[inside], scores[inside], groups[inside], settings))
    return rows


def _inside(
    y: Integer[np.ndarray, " n"], scores: np.ndarray, groups: Integer[np.ndarray, " n"], settings: EvaluateSettings
) -> dict[str, object]:
    rarer = int(min(y.sum(), len(y) - y.sum()))
    if rarer < settings.stratum_min_per_class:
        return {"auc": None, "auc_ci": None, "note": f"{TOO_FEW}: {rarer} case(s) of the rarer class"}
    interval = delong_interval(y, scores, groups=groups, confidence=settings.confidence)
    return {"auc": auc(y, scores), "auc_ci": list(interval), "note": ""}
