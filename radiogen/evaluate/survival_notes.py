"""What must be said beside survival results, one sentence each."""

from __future__ import annotations

import re
from typing import Any

from radiogen.config.survival import SurvivalSettings
from radiogen.evaluate.survival_groups import Grouping
from radiogen.evaluate.survival_input import DAYS_PER
from radiogen.stats.survival import KaplanMeier
from radiogen.stats.survival_tests import WEIGHTINGS

_MONTH = DAYS_PER["months"]
_FEW_AT_RISK = 10
_LATER = {
    "therapy",
    "treatment",
    "treated",
    "chemo",
    "chemotherapy",
    "radiation",
    "radiotherapy",
    "tmz",
    "temozolomide",
    "progression",
    "recurrence",
}
"""Words in the name of a column that say that it happens during follow-up."""
_VIOLATED = 0.05


def immortal_notes(grouping: Grouping, settings: SurvivalSettings) -> list[str]:
    """Return a warning where the groups are made by something that happens after time zero.

    Args:
        grouping: the groups.
        settings: `from_months`.
    """
    words = set(re.split(r"[^a-z]+", (grouping.column or "").lower()))
    if settings.from_months is not None or not words & _LATER:
        return []
    return [
        f"'{grouping.column}' is decided after time zero: whoever had it lived long enough to get it, which makes that group look better"
        " (immortal time). Compare those alive at a landmark instead: --from-months."
    ]


def group_notes(
    metrics: dict[str, Any], curves: dict[str, KaplanMeier], grouping: Grouping, settings: SurvivalSettings
) -> list[str]:
    """Return what is thin about the groups: few deaths, few patients at risk, one group only.

    Args:
        metrics: of `survival_analysis`.
        curves: group -> its curve.
        grouping: the groups.
        settings: `min_events`.
    """
    notes = []
    if len(grouping.order) == 1 and settings.group_by is not None:
        notes.append(f"Every patient is in one group ({grouping.order[0]}): nothing can be compared.")
    few = [
        f"{group['name']} ({group['n_events']})"
        for group in metrics["groups"]
        if group["n_events"] < settings.min_events
    ]
    if few:
        notes.append(
            f"Fewer than {settings.min_events} deaths in: {', '.join(few)}. Their curves, and every comparison with them, are unreliable."
        )
    thin = []
    for name, curve in curves.items():
        enough = curve.table.loc[curve.table["at_risk"] >= _FEW_AT_RISK, "time"]
        thin.append(
            f"{name}: {float(enough.iloc[-1]) / _MONTH:.0f} months" if len(enough) else f"{name}: from the start"
        )
    early = [f"{name}: {first:.1f} months" for name, curve in curves.items() if (first := _crowded_from(curve)) > 0]
    if early:
        notes.append(
            f"Patients enter late: fewer than {_FEW_AT_RISK} are at risk before ({'; '.join(early)}), and every death there moves the whole curve."
        )
    notes.append(
        f"Fewer than {_FEW_AT_RISK} patients are at risk beyond ({'; '.join(thin)}): do not read the curves after that."
    )
    return notes


def _crowded_from(curve: KaplanMeier) -> float:
    """Return from which month on enough patients are at risk; zero where that is so at the first time."""
    few = curve.table["at_risk"].iloc[1:] < _FEW_AT_RISK
    enough = curve.table["time"].iloc[1:][~few]
    late = few.any() and bool(few.iloc[0]) and len(enough) > 0
    return float(enough.iloc[0]) / _MONTH if late else 0.0


def test_notes(metrics: dict[str, Any]) -> list[str]:
    """Return the log-rank tests that were asked for beside the plain one.

    Args:
        metrics: of `survival_analysis`.
    """
    notes = []
    if (test := metrics["log_rank_stratified"]) is not None:
        notes.append(
            f"Log-rank test inside the {test['n_strata']} values of {test['by']} only: chi-square {test['statistic']:.2f} on"
            f" {test['degrees_of_freedom']} df, p = {test['p']:.3g}."
        )
    if (test := metrics["log_rank_weighted"]) is not None:
        notes.append(
            f"Weighted log-rank test ({WEIGHTINGS[test['weighting']][1]}): chi-square {test['statistic']:.2f} on"
            f" {test['degrees_of_freedom']} df, p = {test['p']:.3g}."
        )
    return notes


def model_notes(metrics: dict[str, Any]) -> list[str]:
    """Return what limits the Cox models: hazards that are not proportional, ratios without bounds, whose C index it is.

    Args:
        metrics: of `survival_analysis`.
    """
    together = metrics["cox"]["multivariable"]
    tested = together["rows"] if together else metrics["cox"]["univariable"]
    bent = [row["term"] for row in tested if (row["proportional_hazards_p"] or 1.0) < _VIOLATED]
    unbounded = [row["term"] for row in metrics["cox"]["univariable"] if row["hazard_ratio"] is None]
    notes = []
    if bent:
        notes.append(
            f"The hazard ratio is not constant over time (p < {_VIOLATED:g}) for: {'; '.join(bent)}. It is then an average over this follow-up;"
            " the restricted mean survival time does not need that assumption."
        )
    if unbounded:
        notes.append(
            f"No hazard ratio can be given, because one side has no deaths to compare, for: {'; '.join(unbounded)}."
        )
    if together and together["c_index"] is not None:
        notes.append(
            "The C index is cross-validated (10 folds); the apparent one, of a model scored on the patients it was fitted to, is"
            f" {together['c_index_apparent']:.3f}."
        )
    return notes
