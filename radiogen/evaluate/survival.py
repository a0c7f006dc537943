"""Survival of a cohort: curves, comparison, Cox models and what must be said beside them, from one table."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radiogen.config.survival import SurvivalSettings
from radiogen.errors import CohortError
from radiogen.evaluate.survival_groups import Grouping, make_groups
from radiogen.evaluate.survival_input import DAYS_PER, ENTRY, FollowUp, column_name, is_blank, read_follow_up
from radiogen.evaluate.survival_models import cox_models
from radiogen.evaluate.survival_notes import group_notes, immortal_notes, model_notes, test_notes
from radiogen.evaluate.survival_text import summary_text
from radiogen.stats.survival import (
    KaplanMeier,
    NotEstimableError,
    at_risk,
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
from radiogen.stats.survival_tests import weighted_log_rank

MONTH = DAYS_PER["months"]
_AXIS_STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 36, 60, 120)
_MAX_INTERVALS = 8


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
    _check_late_entry(follow_up, settings)
    follow_up = _from_landmark(follow_up, settings)
    grouping = make_groups(follow_up.table, settings, predictions)
    follow_up = _grouped(follow_up, grouping)
    days, died = follow_up.days, follow_up.died
    groups = grouping.labels.loc[follow_up.table.index].to_numpy(dtype=str)
    curves = {name: _curve(follow_up, groups == name, name) for name in grouping.order}
    cox, cox_notes = cox_models(follow_up, grouping, settings)
    metrics: dict[str, Any] = {
        "n": len(days), "n_events": int(died.sum()), "median_follow_up_days": _median_follow_up(follow_up),
        "group_by": settings.group_by, "group_title": grouping.title, "input": follow_up.facts,
        "groups": [_group(name, curves[name], follow_up, groups == name, settings) for name in grouping.order],
        **_comparison(follow_up, groups, grouping),
        **_further_tests(follow_up, groups, grouping, settings),
        "restricted_mean": _restricted_means(follow_up, groups, grouping), "cox": cox,
    }  # fmt: skip
    metrics["notes"] = [
        *follow_up.notes,
        *grouping.notes,
        *immortal_notes(grouping, settings),
        *test_notes(metrics),
        *group_notes(metrics, curves, grouping, settings),
        *cox_notes,
    ]
    metrics["notes"] += model_notes(metrics)
    metrics = rounded(metrics)
    metrics["summary"] = summary_text(metrics)
    return SurvivalResult(metrics, _km_table(curves), _at_risk(follow_up, groups, grouping))


def _check_late_entry(follow_up: FollowUp, settings: SurvivalSettings) -> None:
    asked = {"--weighting": settings.weighting is not None, "--cut best": settings.cut == "best"}
    refused = [option for option, given in asked.items() if given]
    if follow_up.entry is not None and refused:
        raise CohortError(
            f"{' and '.join(refused)} cannot be had where patients enter late ('{follow_up.facts['entry_column']}').",
            hint="Their null distributions hold for patients who are all followed from time zero; leave the option out.",
        )


def _curve(follow_up: FollowUp, chosen: np.ndarray, name: str) -> KaplanMeier:
    try:
        return kaplan_meier(follow_up.days[chosen], follow_up.died[chosen], _some(follow_up.entry, chosen))
    except NotEstimableError as error:
        raise CohortError(
            f"No survival curve of {name}: {error}", hint="Give --from-months MONTHS, when enough have entered."
        ) from error


def _median_follow_up(follow_up: FollowUp) -> float:
    try:
        return median_follow_up(follow_up.days, follow_up.died, follow_up.entry)
    except NotEstimableError:
        return float("nan")  # with late entries nobody may be left before the last one has come


def _some(entry: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
    return None if entry is None else entry[chosen]


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
    if ENTRY in kept.columns:
        kept[ENTRY] = (kept[ENTRY] - start).clip(lower=0)
    return FollowUp(kept, {**follow_up.facts, "from_months": settings.from_months}, [*follow_up.notes, note])


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


def _group(
    name: str, curve: KaplanMeier, follow_up: FollowUp, chosen: np.ndarray, settings: SurvivalSettings
) -> dict[str, Any]:
    landmarks = []
    days, entry = follow_up.days[chosen], _some(follow_up.entry, chosen)
    for months in settings.landmarks_months:
        if months * MONTH <= curve.last_time:
            survival, low, high = curve.at(months * MONTH)
            held = int(at_risk(days, entry, months * MONTH).sum())
            landmarks.append({"months": months, "survival": survival, "ci": [low, high], "at_risk": held})
    return {
        "name": name,
        "n": len(days),
        "n_events": int(curve.table["events"].sum()),
        "median_days": curve.median,
        "median_ci": list(curve.median_ci),
        "last_follow_up_days": curve.last_time,
        "landmarks": landmarks,
    }


def _comparison(follow_up: FollowUp, groups: np.ndarray, grouping: Grouping) -> dict[str, Any]:
    days, died, entry = follow_up.days, follow_up.died, follow_up.entry
    if len(grouping.order) < 2:
        return {"log_rank": None, "pairwise": []}
    test = log_rank(days, died, groups, entry)
    pairs = pairwise_log_rank(days, died, groups, grouping.order, entry) if len(grouping.order) > 2 else pd.DataFrame()
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
        test = stratified_log_rank(follow_up.days, follow_up.died, groups, strata.to_numpy(dtype=str), follow_up.entry)
        found["log_rank_stratified"] = {"by": name, "n_strata": int(strata.nunique()), **dataclasses.asdict(test)}
    if settings.weighting is not None:
        test = weighted_log_rank(follow_up.days, follow_up.died, groups, settings.weighting)
        found["log_rank_weighted"] = {"weighting": settings.weighting, **dataclasses.asdict(test)}
    return found


def _restricted_means(follow_up: FollowUp, groups: np.ndarray, grouping: Grouping) -> dict[str, Any]:
    days, died, entry = follow_up.days, follow_up.died, follow_up.entry
    horizon = common_horizon(days, groups)
    means = {
        name: restricted_mean(days[groups == name], died[groups == name], horizon, _some(entry, groups == name))
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


def _km_table(curves: dict[str, KaplanMeier]) -> pd.DataFrame:
    parts = []
    for name, curve in curves.items():
        part = curve.table.rename(columns={"time": "time_days"})
        part.insert(0, "group", name)
        part.insert(2, "time_months", part["time_days"] / MONTH)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return table.astype(dict.fromkeys(("at_risk", "events", "censored"), int)).round(8)


def _at_risk(follow_up: FollowUp, groups: np.ndarray, grouping: Grouping) -> pd.DataFrame:
    days, died, entry = follow_up.days, follow_up.died, follow_up.entry
    longest = days.max() / MONTH
    step = next((step for step in _AXIS_STEPS_MONTHS if longest <= step * _MAX_INTERVALS), _AXIS_STEPS_MONTHS[-1])
    months = np.arange(0, longest + 1e-9, step)
    parts = []
    for name in grouping.order:
        inside, starts = groups == name, [float(month * MONTH) for month in months]
        part = at_risk_table(days[inside], died[inside], starts, _some(entry, inside))
        part = part.rename(columns={"start": "start_days"})
        part.insert(0, "group", name)
        part.insert(2, "start_months", months)
        parts.append(part)
    return pd.concat(parts, ignore_index=True).round(8)
