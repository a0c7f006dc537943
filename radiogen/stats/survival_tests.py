"""Further tests of survival curves: weighted log-rank, and cut-points that were looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from lifelines.statistics import multivariate_logrank_test
from scipy.stats import chi2

from radiogen.errors import ConfigError
from radiogen.stats.survival import Died, GroupLabels, LogRank, Times

WEIGHTINGS: Mapping[str, tuple[str, str]] = {
    "gehan": ("wilcoxon", "Gehan-Breslow: early deaths count more"),
    "tarone-ware": ("tarone-ware", "Tarone-Ware: early deaths count somewhat more"),
    "peto": ("peto", "Peto-Peto: early deaths count more, whatever the censoring"),
    "late": ("fleming-harrington", "Fleming-Harrington (0, 1): late deaths count more"),
}
"""Weighting -> lifelines' name, and what it means."""


def weighted_log_rank(times: Times, died: Died, groups: GroupLabels, weighting: str) -> LogRank:
    """Test whether groups share one curve where deaths at different times count differently.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        groups: (n,) label of each patient; at least two different ones.
        weighting: one of `WEIGHTINGS`, chosen before the data were seen.

    Raises:
        ConfigError: the weighting is unknown.

    Source:
        Gehan 1965, Biometrika 52:203; Tarone and Ware 1977, Biometrika 64:156; Peto and Peto 1972, J R Stat Soc A 135:185; Fleming and Harrington
        1991, Counting Processes and Survival Analysis.

    Example:
        >>> times = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
        >>> round(weighted_log_rank(times, np.ones(6, bool), np.array(["a", "a", "a", "b", "b", "b"]), "gehan").statistic, 3)
        4.5
    """
    if weighting not in WEIGHTINGS:
        raise ConfigError(f"'{weighting}' is not a weighting; accepted: {', '.join(WEIGHTINGS)}.")
    extra = {"p": 0, "q": 1} if weighting == "late" else {}
    result = multivariate_logrank_test(times, groups, died, weightings=WEIGHTINGS[weighting][0], **extra)
    return LogRank(float(result.test_statistic), len(np.unique(groups)) - 1, float(result.p_value))


@dataclass(frozen=True)
class BestCut:
    """A cut-point that was looked for.

    Args:
        cut: patients above it form the high group.
        statistic: the largest absolute standardised log-rank statistic over all cuts.
        p: probability of one as large, over all cuts, where the score says nothing.
        naive_p: what the plain log-rank test at this cut would have claimed.
        n_high: patients above the cut.
    """

    cut: float
    statistic: float
    p: float
    naive_p: float
    n_high: int


def best_cut(
    times: Times,
    died: Died,
    score: Float[np.ndarray, " n"],
    *,
    seed: int,
    least_share: float = 0.1,
    n_permutations: int = 2000,
) -> BestCut:
    """Find the cut of a score that separates survival best, with a p value that knows that it was looked for.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.
        score: (n,) finite.
        seed: of the permutations.
        least_share: smallest share of patients on either side.
        n_permutations: how often the scores are dealt anew.

    Raises:
        ConfigError: no cut leaves that share on both sides.

    Source:
        Lausen and Schumacher 1992, Biometrics 48:73 (maximally selected rank statistics); Hothorn and Lausen 2003, Comput Stat Data Anal 43:121
        (conditional Monte Carlo p value).

    Example:
        >>> times = np.arange(1.0, 21.0)
        >>> found = best_cut(times, np.ones(20, bool), np.repeat([1.0, 0.0], 10), seed=0)
        >>> found.cut, found.n_high, found.p < 0.01
        (0.0, 10, True)
    """
    order = np.argsort(score, kind="stable")
    ranked, n = score[order], len(score)
    # A cut after place k (1-based) leaves k patients below; only between different scores.
    ends = np.flatnonzero(np.diff(ranked) > 0) + 1
    ends = ends[(ends >= least_share * n) & (n - ends >= least_share * n)]
    if not len(ends):
        raise ConfigError(
            f"No cut of the score leaves {least_share:.0%} of the {n} patients on both sides.",
            hint="Take a score with more different values.",
        )
    residual = log_rank_scores(times, died)
    residual = residual - residual.mean()
    spread = np.sqrt(ends * (n - ends) / n * residual.var(ddof=1))
    found = np.abs(np.cumsum(residual[order])[ends - 1]) / spread
    rng = np.random.default_rng(seed)
    reached = 0
    for _ in range(n_permutations):
        other = np.abs(np.cumsum(rng.permutation(residual))[ends - 1]) / spread
        reached += bool(other.max() >= found.max() - 1e-12)
    best = int(np.argmax(found))
    place = int(ends[best])
    return BestCut(
        float(ranked[place - 1]),
        float(found[best]),
        (1 + reached) / (1 + n_permutations),
        float(chi2.sf(found[best] ** 2, 1)),
        n - place,
    )


def log_rank_scores(times: Times, died: Died) -> Float[np.ndarray, " n"]:
    """Return the log-rank scores (null martingale residuals): whether a patient died, less the Nelson-Aalen hazard up to the patient's own time.

    Args:
        times: (n,) follow-up.
        died: (n,) whether it ended with the event.

    Source:
        Therneau et al. 1990, Biometrika 77:147.

    Example:
        >>> log_rank_scores(np.array([1.0, 2.0]), np.ones(2, bool)).tolist()
        [0.5, -0.5]
    """
    moments = np.unique(times[died])
    dead = np.array([(died & (times == moment)).sum() for moment in moments], dtype=float)
    at_risk = np.array([(times >= moment).sum() for moment in moments], dtype=float)
    hazard = np.concatenate([[0.0], np.cumsum(dead / at_risk)])
    return died.astype(float) - hazard[np.searchsorted(moments, times, side="right")]
