"""Survival curves and their comparison: Kaplan-Meier, log-rank, restricted mean survival time. With `survival_cox`, the only home of lifelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import restricted_mean_survival_time
from scipy.stats import norm

Times = Float[np.ndarray, " n"]
"""Follow-up per patient, from time zero to death or last contact."""

Died = Bool[np.ndarray, " n"]
"""Whether the follow-up ended with the event; False is censored."""

GroupLabels = Shaped[np.ndarray, " n"]
"""Group of each patient."""

Z95 = float(norm.ppf(0.975))


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


def kaplan_meier(times: Times, died: Died) -> KaplanMeier:
    """Estimate the survival curve of one group.

    Args:
        times: (n,) follow-up, zero or more, any unit.
        died: (n,) whether it ended with the event.

    Returns:
        The curve, with pointwise log-log intervals and the median with its interval by inversion of those.

    Source:
        Kaplan and Meier 1958, J Am Stat Assoc 53:457; log(-log) interval: Kalbfleisch and Prentice 1980; interval of the median: Brookmeyer and
        Crowley 1982, Biometrics 38:29.

    Example:
        >>> curve = kaplan_meier(np.array([2.0, 4.0, 4.0, 9.0]), np.array([True, True, False, False]))
        >>> [float(x) for x in curve.table["survival"]]
        [1.0, 0.75, 0.5, 0.5]
        >>> curve.median
        4.0
    """
    fitter = KaplanMeierFitter().fit(times, died)
    # The product is computed through logarithms: without rounding, a curve at exactly one half could miss its median.
    interval = fitter.confidence_interval_.set_axis(["lower", "upper"], axis=1).round(12)
    survival = fitter.survival_function_["KM_estimate"].round(12)
    table = fitter.event_table.assign(survival=survival).join(interval).rename_axis("time").reset_index()
    table = table.rename(columns={"observed": "events"})
    median, low, high = (_first_at_half(table["time"], table[name]) for name in ("survival", "lower", "upper"))
    table.loc[table["survival"] <= 0, ["lower", "upper"]] = np.nan
    names = ["time", "at_risk", "events", "censored", "survival", "lower", "upper"]
    return KaplanMeier(table[names], median, (low, high))


def _first_at_half(times: pd.Series, curve: pd.Series) -> float:
    reached = times[curve <= 0.5]
    return float(reached.iloc[0]) if len(reached) else float("inf")


def at_risk_table(times: Times, died: Died, edges: Sequence[float]) -> pd.DataFrame:
    """Count who is at risk at the START of each interval, and who died or was censored before the next one starts.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        edges: starts of the intervals, increasing; the last one has no end.

    Returns:
        Columns `start`, `at_risk` (follow-up reaches the start, which includes it), `events`, `censored` (both from the start on, before the next).

    Example:
        >>> at_risk_table(np.array([2.0, 4.0, 4.0, 9.0]), np.array([True, True, False, False]), [0.0, 4.0, 8.0]).to_numpy().tolist()
        [[0.0, 4.0, 1.0, 0.0], [4.0, 3.0, 1.0, 1.0], [8.0, 1.0, 0.0, 1.0]]
    """
    starts = np.asarray(edges, dtype=float)
    ends = np.append(starts[1:], np.inf)
    inside = (times[None, :] >= starts[:, None]) & (times[None, :] < ends[:, None])
    return pd.DataFrame(
        {
            "start": starts,
            "at_risk": (times[None, :] >= starts[:, None]).sum(axis=1),
            "events": (inside & died[None, :]).sum(axis=1),
            "censored": (inside & ~died[None, :]).sum(axis=1),
        }
    )


def median_follow_up(times: Times, died: Died) -> float:
    """Return the median follow-up by the reverse Kaplan-Meier method: deaths censor, last contacts count. Infinite where not reached.

    Source:
        Schemper and Smith 1996, Control Clin Trials 17:343.

    Example:
        >>> median_follow_up(np.array([5.0, 10.0, 20.0]), np.array([False, False, False]))
        10.0
    """
    return kaplan_meier(times, ~died).median


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


def log_rank(times: Times, died: Died, groups: GroupLabels) -> LogRank:
    """Test whether two or more groups share one survival curve.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        groups: (n,) label of each patient; at least two different ones.

    Source:
        Mantel 1966, Cancer Chemother Rep 50:163; Peto and Peto 1972, J R Stat Soc A 135:185.

    Example:
        >>> times = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
        >>> round(log_rank(times, np.ones(6, bool), np.array(["a", "a", "a", "b", "b", "b"])).p, 3)
        0.025
    """
    result = multivariate_logrank_test(times, groups, died)
    return LogRank(float(result.test_statistic), len(np.unique(groups)) - 1, float(result.p_value))


def pairwise_log_rank(times: Times, died: Died, groups: GroupLabels, order: Sequence[str]) -> pd.DataFrame:
    """Test every pair of groups, with p values adjusted for the number of pairs.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        groups: (n,) label of each patient.
        order: the labels, in the order in which pairs are listed.

    Returns:
        Columns `a`, `b`, `statistic`, `p`, `p_holm`.
    """
    rows = []
    for a, b in combinations(order, 2):
        chosen = (groups == a) | (groups == b)
        test = log_rank(times[chosen], died[chosen], groups[chosen])
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


def restricted_mean(times: Times, died: Died, horizon: float) -> RestrictedMean:
    """Estimate the mean time lived up to `horizon`: needs no proportional hazards.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        horizon: not beyond the group's follow-up.

    Source:
        Royston and Parmar 2013, BMC Med Res Methodol 13:152; variance: Klein and Moeschberger 2003, Survival Analysis, eq. 4.5.2.

    Example:
        >>> result = restricted_mean(np.array([2.0, 4.0, 6.0]), np.ones(3, bool), 6.0)
        >>> round(result.mean, 9)
        4.0
    """
    fitter = KaplanMeierFitter().fit(times, died)
    mean = float(restricted_mean_survival_time(fitter, t=horizon))
    events = fitter.event_table.loc[fitter.event_table["observed"] > 0]
    events = events.loc[events.index <= horizon]
    dead, at_risk = events["observed"].to_numpy(dtype=float), events["at_risk"].to_numpy(dtype=float)
    knots = np.append(events.index.to_numpy(dtype=float), horizon)
    survival = fitter.survival_function_["KM_estimate"].loc[events.index].to_numpy(dtype=float)
    area_after = np.cumsum((survival * np.diff(knots))[::-1])[::-1]
    spread = at_risk > dead  # a curve that has reached zero has no area left, and adds nothing
    variance = np.sum(area_after[spread] ** 2 * dead[spread] / (at_risk[spread] * (at_risk[spread] - dead[spread])))
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
