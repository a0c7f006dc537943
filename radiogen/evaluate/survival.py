"""Survival of a cohort: curves, comparison, Cox models and what must be said beside them, from one table."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError
from radiogen.evaluate.survival_groups import Grouping, make_groups
from radiogen.evaluate.survival_input import DAYS_PER, FollowUp, column_name, is_blank, read_follow_up
from radiogen.evaluate.survival_models import cox_models
from radiogen.evaluate.survival_text import summary_text
from radiogen.stats.survival import (
    KaplanMeier,
    at_risk_table,
    common_horizon,
    kaplan_meier,
    log_rank,
    median_follow_up,
    pairwise_log_rank,
    restricted_mean,
    restricted_mean_difference,
    stratified_log_rank,
)
from radiogen.stats.survival_tests import WEIGHTINGS, weighted_log_rank

MONTH = DAYS_PER["months"]
_AXIS_STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 36, 60, 120)
_MAX_INTERVALS = 8
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


@dataclass(frozen=True)
class SurvivalResult:
    """Everything a survival report needs.

    Args:
        metrics: JSON-able; see `survival_analysis`.
        km_table: `group, time_days, time_months, at_risk, events, censored, survival, lower, upper`, one row per distinct time of each group.
        at_risk: `group, start_days, start_months, at_risk, events, censored`: counts at the start of each interval.
    """

    metrics: dict[str, Any]
    km_table: pd.DataFrame
    at_risk: pd.DataFrame


def survival_analysis(
    table: pd.DataFrame, settings: SurvivalSettings, *, predictions: pd.DataFrame | None = None
) -> SurvivalResult:
    """Analyse the survival of a cohort.

    Args:
        table: index case; follow-up and event columns, and the columns of groups and covariates (`read_cohort` gives one).
        settings: what to compare and how the table is read.
        predictions: a predictions table, for `group_by="model"`.

    Returns:
        The result. `metrics` holds `n, n_events, median_follow_up_days, input, group_by, groups` (per group `n, n_events, median_days, median_ci,
        landmarks, restricted_mean`), `log_rank`, `log_rank_stratified`, `log_rank_weighted`, `best_cut`, `pairwise`, `restricted_mean`, `cox`,
        `notes` and `summary`. Days everywhere; a missing median means that it was not reached.

    Raises:
        CohortError: the follow-up, the grouping or a covariate cannot be used, or nobody died.

    Example:
        >>> days = [100.0, 200.0, 300.0, 400.0, 900.0, 950.0, 990.0, 999.0]
        >>> table = pd.DataFrame({"os_days": days, "os_event": 1.0, "idh": [0.0] * 4 + [1.0] * 4}, index=list("abcdefgh"))
        >>> survival_analysis(table, SurvivalSettings(group_by="idh")).metrics["groups"][0]["median_days"]
        200.0
    """
    follow_up = read_follow_up(table, settings)
    if follow_up.table.empty:
        raise CohortError(
            "No patient has both a follow-up time and an event status.",
            hint="Fill os_days and os_event, or name other columns with --time-column and --event-column.",
        )
    follow_up = _from_landmark(follow_up, settings)
    grouping = make_groups(follow_up.table, settings, predictions)
    follow_up = _grouped(follow_up, grouping)
    days, died = follow_up.days, follow_up.died
    groups = grouping.labels.loc[follow_up.table.index].to_numpy(dtype=str)
    curves = {name: kaplan_meier(days[groups == name], died[groups == name]) for name in grouping.order}
    cox, cox_notes = cox_models(follow_up, grouping, settings)
    metrics: dict[str, Any] = {
        "n": len(days), "n_events": int(died.sum()), "median_follow_up_days": median_follow_up(days, died),
        "group_by": settings.group_by, "group_title": grouping.title, "input": follow_up.facts,
        "groups": [_group(name, curves[name], settings) for name in grouping.order],
        **_comparison(days, died, groups, grouping),
        **_further_tests(follow_up, groups, grouping, settings),
        "restricted_mean": _restricted_means(days, died, groups, grouping), "cox": cox,
    }  # fmt: skip
    metrics["notes"] = [
        *follow_up.notes,
        *grouping.notes,
        *_immortal_notes(grouping, settings),
        *_test_notes(metrics),
        *_group_notes(metrics, curves, grouping, settings),
        *cox_notes,
    ]
    metrics["notes"] += _model_notes(metrics)
    metrics = rounded(metrics)
    metrics["summary"] = summary_text(metrics)
    return SurvivalResult(metrics, _km_table(curves), _at_risk(days, died, groups, grouping))


def _from_landmark(follow_up: FollowUp, settings: SurvivalSettings) -> FollowUp:
    """Return the patients who are followed beyond the landmark, counted from there (Anderson, Cain, Gelber 1983, J Clin Oncol 1:710)."""
    if settings.from_months is None:
        return follow_up
    start = settings.from_months * MONTH
    table = follow_up.table
    kept = table[table["days"] > start]
    if kept.empty:
        raise CohortError(
            f"No patient is followed for more than {settings.from_months:g} months.",
            hint="Choose an earlier --from-months.",
        )
    note = (
        f"Landmark at {settings.from_months:g} months: {len(table) - len(kept)} of {len(table)} patients had died or were lost by then and are"
        " left out; time is counted from the landmark."
    )
    kept = kept.assign(days=kept["days"] - start)
    return FollowUp(kept, {**follow_up.facts, "from_months": settings.from_months}, [*follow_up.notes, note])


def _immortal_notes(grouping: Grouping, settings: SurvivalSettings) -> list[str]:
    """Return a warning where the groups are made by something that happens after time zero."""
    words = set(re.split(r"[^a-z]+", (grouping.column or "").lower()))
    if settings.from_months is not None or not words & _LATER:
        return []
    return [
        f"'{grouping.column}' is decided after time zero: whoever had it lived long enough to get it, which makes that group look better"
        " (immortal time). Compare those alive at a landmark instead: --from-months."
    ]


def _grouped(follow_up: FollowUp, grouping: Grouping) -> FollowUp:
    follow_up = FollowUp(
        follow_up.table.loc[follow_up.table.index.isin(grouping.labels.index)], follow_up.facts, follow_up.notes
    )
    if not follow_up.died.any():
        raise CohortError(
            f"None of the {len(follow_up.table)} patients died during follow-up, so there is nothing to estimate.",
            hint="If they did, the event column is turned round: see --died-value.",
        )
    return follow_up


def rounded(value: Any, digits: int = 8) -> Any:
    """Return JSON-able values with floats to `digits` significant digits, so that the last bits of an arithmetic library do not change a file."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def _group(name: str, curve: KaplanMeier, settings: SurvivalSettings) -> dict[str, Any]:
    landmarks = []
    for months in settings.landmarks_months:
        if months * MONTH <= curve.last_time:
            survival, low, high = curve.at(months * MONTH)
            at_risk = int(curve.table.loc[curve.table["time"] >= months * MONTH, "at_risk"].iloc[0])
            landmarks.append({"months": months, "survival": survival, "ci": [low, high], "at_risk": at_risk})
    return {
        "name": name,
        "n": int(curve.table["at_risk"].iloc[0]),
        "n_events": int(curve.table["events"].sum()),
        "median_days": curve.median,
        "median_ci": list(curve.median_ci),
        "last_follow_up_days": curve.last_time,
        "landmarks": landmarks,
    }


def _comparison(days: np.ndarray, died: np.ndarray, groups: np.ndarray, grouping: Grouping) -> dict[str, Any]:
    if len(grouping.order) < 2:
        return {"log_rank": None, "pairwise": []}
    test = log_rank(days, died, groups)
    pairs = pairwise_log_rank(days, died, groups, grouping.order) if len(grouping.order) > 2 else pd.DataFrame()
    return {
        "log_rank": {"statistic": test.statistic, "degrees_of_freedom": test.degrees_of_freedom, "p": test.p},
        "pairwise": pairs.to_dict("records"),
    }


def _further_tests(
    follow_up: FollowUp, groups: np.ndarray, grouping: Grouping, settings: SurvivalSettings
) -> dict[str, Any]:
    """Return the tests that were asked for beside the plain log-rank test: stratified, weighted, corrected for a cut that was looked for."""
    found: dict[str, Any] = {"log_rank_stratified": None, "log_rank_weighted": None, "best_cut": None}
    if grouping.best is not None:
        found["best_cut"] = dataclasses.asdict(grouping.best)
    if len(grouping.order) < 2:
        return found
    if settings.strata is not None:
        name = column_name(follow_up.table, settings.strata, "--strata")
        strata = follow_up.table[name].where(~is_blank(follow_up.table[name]), "unknown").astype(str)
        test = stratified_log_rank(follow_up.days, follow_up.died, groups, strata.to_numpy(dtype=str))
        found["log_rank_stratified"] = {"by": name, "n_strata": int(strata.nunique()), **dataclasses.asdict(test)}
    if settings.weighting is not None:
        test = weighted_log_rank(follow_up.days, follow_up.died, groups, settings.weighting)
        found["log_rank_weighted"] = {"weighting": settings.weighting, **dataclasses.asdict(test)}
    return found


def _restricted_means(days: np.ndarray, died: np.ndarray, groups: np.ndarray, grouping: Grouping) -> dict[str, Any]:
    horizon = common_horizon(days, groups)
    means = {
        name: restricted_mean(days[groups == name], died[groups == name], horizon)
        for name in grouping.order
        if horizon > 0
    }
    differences = []
    for name in grouping.order[1:] if means else []:
        difference, interval, p = restricted_mean_difference(means[grouping.order[0]], means[name])
        differences.append(
            {"a": grouping.order[0], "b": name, "difference_days": difference, "ci": list(interval), "p": p}
        )
    return {
        "horizon_days": horizon,
        "groups": [{"name": name, "mean_days": mean.mean, "ci": list(mean.ci)} for name, mean in means.items()],
        "differences": differences,
    }


def _group_notes(
    metrics: dict[str, Any], curves: dict[str, KaplanMeier], grouping: Grouping, settings: SurvivalSettings
) -> list[str]:
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
            f"{name}: {float(enough.iloc[-1]) / MONTH:.0f} months" if len(enough) else f"{name}: from the start"
        )
    notes.append(
        f"Fewer than {_FEW_AT_RISK} patients are at risk beyond ({'; '.join(thin)}): do not read the curves after that."
    )
    return notes


def _test_notes(metrics: dict[str, Any]) -> list[str]:
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


def _model_notes(metrics: dict[str, Any]) -> list[str]:
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


def _km_table(curves: dict[str, KaplanMeier]) -> pd.DataFrame:
    parts = []
    for name, curve in curves.items():
        part = curve.table.rename(columns={"time": "time_days"})
        part.insert(0, "group", name)
        part.insert(2, "time_months", part["time_days"] / MONTH)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return table.astype(dict.fromkeys(("at_risk", "events", "censored"), int)).round(8)


def _at_risk(days: np.ndarray, died: np.ndarray, groups: np.ndarray, grouping: Grouping) -> pd.DataFrame:
    longest = days.max() / MONTH
    step = next((step for step in _AXIS_STEPS_MONTHS if longest <= step * _MAX_INTERVALS), _AXIS_STEPS_MONTHS[-1])
    months = np.arange(0, longest + 1e-9, step)
    parts = []
    for name in grouping.order:
        part = at_risk_table(days[groups == name], died[groups == name], [float(month * MONTH) for month in months])
        part = part.rename(columns={"start": "start_days"})
        part.insert(0, "group", name)
        part.insert(2, "start_months", months)
        parts.append(part)
    return pd.concat(parts, ignore_index=True).round(8)
