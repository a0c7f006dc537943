"""Survival curves and their comparison: Kaplan-Meier, log-rank, restricted mean survival time. With `survival_cox`, the only home of lifelines.

Where patients enter late (`entry`), a patient is at risk at a time when the entry lies before it and the follow-up reaches it, as in R's
`Surv(entry, time, died)`; an entry of zero is no late entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from scipy.stats import chi2, norm

from radiogen.errors import RadiogenError

Times = Float[np.ndarray, " n"]
"""Follow-up per patient, from time zero to death or last contact."""

Died = Bool[np.ndarray, " n"]
"""Whether the follow-up ended with the event; False is censored."""

GroupLabels = Shaped[np.ndarray, " n"]
"""Group of each patient."""

Z95 = float(norm.ppf(0.975))


class NotEstimableError(RadiogenError):
    """The data do not determine a number: no event, nobody at risk, a constant covariate, or covariates that repeat one another."""


def at_risk(times: Times, entry: Times | None, moment: float) -> Died:
    """Return who is at risk at a time: entered before it (or never late), and followed up to it."""
    reached = times >= moment
    return reached if entry is None else reached & ((entry < moment) | (entry == 0))


@dataclass(frozen=True)
class KaplanMeier:
    """One Kaplan-Meier curve.

    Args:
        table: one row per distinct time: `time`, `at_risk` (just before it), `events`, `censored`, `survival` (just after it), `lower` and `upper`:
            the pointwise 95 % log-log interval (missing once the curve is at zero, where it is not defined).
        median: the first time at which survival is 0.5 or less; infinite where that is not reached.
        median_ci: 95 % interval of the median; infinite where not reached.
    """

    table: pd.DataFrame
    median: float
    median_ci: tuple[float, float]

    @property
    def last_time(self) -> float:
        """Return the end of follow-up: the curve says nothing after it."""
        return float(self.table["time"].iloc[-1])

    def at(self, time: float) -> tuple[float, float, float]:
        """Return survival and its 95 % interval just after `time`; missing after the end of follow-up."""
        if time > self.last_time:
            return float("nan"), float("nan"), float("nan")
        row = self.table[self.table["time"] <= time].iloc[-1]
        return float(row["survival"]), float(row["lower"]), float(row["upper"])


def kaplan_meier(times: Times, died: Died, entry: Times | None = None) -> KaplanMeier:
    """Estimate the survival curve of one group.

    Args:
        times: (n,) follow-up, zero or more, any unit.
        died: (n,) whether it ended with the event.
        entry: (n,) when each patient came under observation, before the end of its follow-up; None: everybody at time zero.

    Returns:
        The curve, with pointwise log-log intervals and the median with its interval by inversion of those.

    Raises:
        NotEstimableError: with late entries, nobody is left at risk while others are still to come: the curve would be zero for ever after.

    Source:
        Kaplan and Meier 1958, J Am Stat Assoc 53:457; log(-log) interval: Kalbfleisch and Prentice 1980; interval of the median: Brookmeyer and
        Crowley 1982, Biometrics 38:29; late entry: Tsai, Jewell and Wang 1987, Biometrika 74:883.

    Example:
        >>> curve = kaplan_meier(np.array([2.0, 4.0, 4.0, 9.0]), np.array([True, True, False, False]))
        >>> [float(x) for x in curve.table["survival"]]
        [1.0, 0.75, 0.5, 0.5]
        >>> curve.median
        4.0
    """
    table = _fitted_table(times, died) if entry is None else _late_table(times, died, entry)
    median, low, high = (_first_at_half(table["time"], table[name]) for name in ("survival", "lower", "upper"))
    table.loc[table["survival"] <= 0, ["lower", "upper"]] = np.nan
    names = ["time", "at_risk", "events", "censored", "survival", "lower", "upper"]
    return KaplanMeier(table[names], median, (low, high))


def _fitted_table(times: Times, died: Died) -> pd.DataFrame:
    fitter = KaplanMeierFitter().fit(times, died)
    # The product is computed through logarithms: without rounding, a curve at exactly one half could miss its median.
    interval = fitter.confidence_interval_.set_axis(["lower", "upper"], axis=1).round(12)
    survival = fitter.survival_function_["KM_estimate"].round(12)
    table = fitter.event_table.assign(survival=survival).join(interval).rename_axis("time").reset_index()
    return table.rename(columns={"observed": "events"})


def _late_table(times: Times, died: Died, entry: Times) -> pd.DataFrame:
    """Return the product-limit estimate with late entries; lifelines counts who enters at the very time of a death as at risk, and R does not."""
    moments = np.unique(np.append(times, 0.0))
    held = np.array([at_risk(times, entry, moment).sum() for moment in moments], dtype=float)
    dead = np.array([(died & (times == moment)).sum() for moment in moments], dtype=float)
    gone = np.array([(~died & (times == moment)).sum() for moment in moments], dtype=float)
    emptied = (dead > 0) & (dead == held) & (moments < moments[-1])
    if emptied.any():
        raise NotEstimableError(
            f"At {moments[emptied][0]:g} all {held[emptied][0]:g} patient(s) at risk die while others enter later: the curve would stay at zero.",
            hint="Count from a later time, when more patients have entered.",
        )
    safe = np.maximum(held, 1.0)
    survival = np.cumprod(1 - dead / safe)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(np.where(dead > 0, dead / (safe * (safe - dead)), 0.0))
        half = Z95 * np.sqrt(greenwood) / np.log(survival)
        lower, upper = survival ** np.exp(-half), survival ** np.exp(half)
    ends = {"lower": np.where(survival < 1, lower, 1.0), "upper": np.where(survival < 1, upper, 1.0)}
    columns = {
        "time": moments, "at_risk": held, "events": dead, "censored": gone, "survival": survival,
        **{name: np.where(survival > 0, values, 0.0) for name, values in ends.items()},
    }  # fmt: skip
    return pd.DataFrame(columns).round({"survival": 12, "lower": 12, "upper": 12})


def _first_at_half(times: pd.Series, curve: pd.Series) -> float:
    reached = times[curve <= 0.5]
    return float(reached.iloc[0]) if len(reached) else float("inf")


def at_risk_table(times: Times, died: Died, edges: Sequence[float], entry: Times | None = None) -> pd.DataFrame:
    """Count who is at risk at the START of each interval, and who died or was censored before the next one starts.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        edges: starts of the intervals, increasing; the last one has no end.
        entry: (n,) when each patient came under observation; None: everybody at time zero.

    Returns:
        Columns `start`, `at_risk` (follow-up reaches the start, which includes it), `events`, `censored` (both from the start on, before the next);
        with `entry` also `entered` (late, likewise).

    Example:
        >>> at_risk_table(np.array([2.0, 4.0, 4.0, 9.0]), np.array([True, True, False, False]), [0.0, 4.0, 8.0]).to_numpy().tolist()
        [[0.0, 4.0, 1.0, 0.0], [4.0, 3.0, 1.0, 1.0], [8.0, 1.0, 0.0, 1.0]]
    """
    starts = np.asarray(edges, dtype=float)
    ends = np.append(starts[1:], np.inf)
    inside = (times[None, :] >= starts[:, None]) & (times[None, :] < ends[:, None])
    table = pd.DataFrame(
        {
            "start": starts,
            "at_risk": [int(at_risk(times, entry, start).sum()) for start in starts],
            "events": (inside & died[None, :]).sum(axis=1),
            "censored": (inside & ~died[None, :]).sum(axis=1),
        }
    )
    if entry is None:
        return table
    came = (entry[None, :] >= starts[:, None]) & (entry[None, :] < ends[:, None]) & (entry[None, :] > 0)
    return table.assign(entered=came.sum(axis=1))


def median_follow_up(times: Times, died: Died, entry: Times | None = None) -> float:
    """Return the median follow-up by the reverse Kaplan-Meier method: deaths censor, last contacts count. Infinite where not reached.

    Source:
        Schemper and Smith 1996, Control Clin Trials 17:343.

    Example:
        >>> median_follow_up(np.array([5.0, 10.0, 20.0]), np.array([False, False, False]))
        10.0
    """
    return kaplan_meier(times, ~died, entry).median


@dataclass(frozen=True)
class LogRank:
    """A log-rank test.

    Args:
        statistic: chi-square.
        degrees_of_freedom: number of groups minus one.
        p: probability of a statistic as large where all groups share one curve.
    """

    statistic: float
    degrees_of_freedom: int
    p: float


def log_rank(times: Times, died: Died, groups: GroupLabels, entry: Times | None = None) -> LogRank:
    """Test whether two or more groups share one survival curve.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        groups: (n,) label of each patient; at least two different ones.
        entry: (n,) when each patient came under observation; None: everybody at time zero.

    Source:
        Mantel 1966, Cancer Chemother Rep 50:163; Peto and Peto 1972, J R Stat Soc A 135:185; late entry: Klein and Moeschberger 2003, Survival
        Analysis, ch. 7.3.

    Example:
        >>> times = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
        >>> round(log_rank(times, np.ones(6, bool), np.array(["a", "a", "a", "b", "b", "b"])).p, 3)
        0.025
    """
    if entry is not None:
        return stratified_log_rank(times, died, groups, np.zeros(len(times), dtype=int), entry)
    result = multivariate_logrank_test(times, groups, died)
    return LogRank(float(result.test_statistic), len(np.unique(groups)) - 1, float(result.p_value))


def stratified_log_rank(
    times: Times, died: Died, groups: GroupLabels, strata: GroupLabels, entry: Times | None = None
) -> LogRank:
    """Test whether groups share one curve inside every stratum: patients are compared with those of their own stratum only.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        groups: (n,) label of each patient; at least two different ones.
        strata: (n,) stratum of each patient, such as its site.
        entry: (n,) when each patient came under observation; None: everybody at time zero.

    Source:
        Mantel 1966, Cancer Chemother Rep 50:163; the sum over strata as in R's `survival::survdiff`.

    Example:
        >>> times = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
        >>> groups = np.array(["a", "a", "a", "b", "b", "b"])
        >>> round(stratified_log_rank(times, np.ones(6, bool), groups, np.array(["s"] * 6)).p, 3)
        0.025
    """
    names = np.unique(groups)
    excess, variance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for stratum in np.unique(strata):
        inside = strata == stratum
        for moment in np.unique(times[inside & died]):
            held = inside & at_risk(times, entry, float(moment))
            dead = held & died & (times == moment)
            n, d = float(held.sum()), float(dead.sum())
            share = np.array([(groups[held] == name).sum() for name in names]) / n
            excess += np.array([(groups[dead] == name).sum() for name in names]) - d * share
            if n > 1:
                variance += d * (n - d) / (n - 1) * (np.diag(share) - np.outer(share, share))
    # Groups that never stand beside another one in their stratum add nothing, and no degree of freedom.
    statistic = float(excess @ np.linalg.pinv(variance, hermitian=True) @ excess)
    freedom = int(np.linalg.matrix_rank(variance, hermitian=True))
    return LogRank(statistic, freedom, float(chi2.sf(statistic, freedom)) if freedom else 1.0)


def pairwise_log_rank(
    times: Times, died: Died, groups: GroupLabels, order: Sequence[str], entry: Times | None = None
) -> pd.DataFrame:
    """Test every pair of groups, with p values adjusted for the number of pairs.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        groups: (n,) label of each patient.
        order: the labels, in the order in which pairs are listed.
        entry: (n,) when each patient came under observation; None: everybody at time zero.

    Returns:
        Columns `a`, `b`, `statistic`, `p`, `p_holm`.
    """
    rows = []
    for a, b in combinations(order, 2):
        chosen = (groups == a) | (groups == b)
        late = None if entry is None else entry[chosen]
        test = log_rank(times[chosen], died[chosen], groups[chosen], late)
        rows.append({"a": a, "b": b, "statistic": test.statistic, "p": test.p})
    table = pd.DataFrame(rows, columns=["a", "b", "statistic", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=float)))


def holm(p_values: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Return p values adjusted so that the chance of any false finding stays below the level they are read at.

    Source:
        Holm 1979, Scand J Stat 6:65.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors)) if len(p_values) else []
    return adjusted


@dataclass(frozen=True)
class RestrictedMean:
    """Mean time lived up to a horizon.

    Args:
        mean: area under the survival curve from zero to the horizon.
        standard_error: of that mean.
        horizon: where the counting stops; all in the unit of the times.
    """

    mean: float
    standard_error: float
    horizon: float

    @property
    def ci(self) -> tuple[float, float]:
        """Return the 95 % interval, inside what is possible."""
        half = Z95 * self.standard_error
        return max(0.0, self.mean - half), min(self.horizon, self.mean + half)


def restricted_mean(times: Times, died: Died, horizon: float, entry: Times | None = None) -> RestrictedMean:
    """Estimate the mean time lived up to `horizon`: needs no proportional hazards.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        horizon: not beyond the group's follow-up.
        entry: (n,) when each patient came under observation; None: everybody at time zero.

    Source:
        Royston and Parmar 2013, BMC Med Res Methodol 13:152; variance: Klein and Moeschberger 2003, Survival Analysis, eq. 4.5.2.

    Example:
        >>> result = restricted_mean(np.array([2.0, 4.0, 6.0]), np.ones(3, bool), 6.0)
        >>> round(result.mean, 9)
        4.0
    """
    curve = kaplan_meier(times, died, entry).table
    curve = curve[curve["time"] <= horizon]
    mean = float(np.sum(curve["survival"].to_numpy() * np.diff(np.append(curve["time"], horizon))))
    events = curve[curve["events"] > 0]
    dead, held = events["events"].to_numpy(dtype=float), events["at_risk"].to_numpy(dtype=float)
    knots = np.append(events["time"].to_numpy(dtype=float), horizon)
    survival = events["survival"].to_numpy(dtype=float)
    area_after = np.cumsum((survival * np.diff(knots))[::-1])[::-1]
    spread = held > dead  # a curve that has reached zero has no area left, and adds nothing
    variance = np.sum(area_after[spread] ** 2 * dead[spread] / (held[spread] * (held[spread] - dead[spread])))
    return RestrictedMean(mean, float(np.sqrt(variance)), float(horizon))


def restricted_mean_difference(a: RestrictedMean, b: RestrictedMean) -> tuple[float, tuple[float, float], float]:
    """Return mean of `b` minus mean of `a`, its 95 % interval and the two-sided p value.

    Source:
        Uno et al. 2014, J Clin Oncol 32:2380 (unadjusted comparison of restricted means).

    Example:
        >>> difference, ci, p = restricted_mean_difference(RestrictedMean(10.0, 1.0, 20.0), RestrictedMean(13.0, 1.0, 20.0))
        >>> difference, round(p, 3)
        (3.0, 0.034)
    """
    difference = b.mean - a.mean
    error = float(np.hypot(a.standard_error, b.standard_error))
    p = float(2 * norm.sf(abs(difference) / error)) if error > 0 else float("nan")
    return difference, (difference - Z95 * error, difference + Z95 * error), p


def common_horizon(times: Times, groups: GroupLabels) -> float:
    """Return the latest time that lies inside the follow-up of every group.

    Source:
        Uno et al. 2014, J Clin Oncol 32:2380 (the smallest of the groups' largest observed times).
    """
    return float(min(times[groups == name].max() for name in np.unique(groups)))
