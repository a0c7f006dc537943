"""Random-effects pooling of what several hospitals found: how good on average, and how good at the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer
from scipy.stats import chi2
from scipy.stats import t as student_t

from radiogen.stats.auc import hanley_mcneil_error

HeterogeneityMethod = Literal["reml", "dl"]
"""`reml`: restricted maximum likelihood; `dl`: DerSimonian and Laird's moments."""

_STEPS, _CLOSE = 10_000, 1e-13


@dataclass(frozen=True)
class Pooled:
    """A random-effects mean.

    Args:
        k: number of estimates.
        estimate: the mean of the true effects.
        standard_error: of the mean (Hartung-Knapp).
        interval: of the mean.
        prediction_interval: where the true effect of one more site is expected.
        tau2: variance of the true effects between sites.
        i2: share of the estimates' variance that is due to it, 0 to 1.
        q: Cochran's heterogeneity statistic.
        q_p: its p-value.
    """

    k: int
    estimate: float
    standard_error: float
    interval: tuple[float, float]
    prediction_interval: tuple[float, float]
    tau2: float
    i2: float
    q: float
    q_p: float


def between_variance(
    effects: Float[np.ndarray, " k"], variances: Float[np.ndarray, " k"], *, method: HeterogeneityMethod = "reml"
) -> float:
    """Return tau2, the variance of the true effects, cut at 0.

    Args:
        effects: estimate per site.
        variances: sampling variance per site, above 0.
        method: estimator.

    Source: DerSimonian & Laird 1986, Controlled Clinical Trials 7:177; Viechtbauer 2005, J Educ Behav Stat 30:261 (REML).
    """
    if len(effects) < 2:
        return 0.0
    weights = 1 / variances
    total = float(weights.sum())
    scatter = _scatter(effects, weights)
    tau2 = max(0.0, (scatter - len(effects) + 1) / (total - float((weights**2).sum()) / total))
    if method == "dl":
        return tau2
    for _ in range(_STEPS):
        weights = 1 / (variances + tau2)
        residual = effects - _mean(effects, weights)
        new = float((weights**2 * (residual**2 - variances)).sum() / (weights**2).sum() + 1 / weights.sum())
        new = max(0.0, new)
        if abs(new - tau2) < _CLOSE * (1 + tau2):
            return new
        tau2 = new
    return tau2


def random_effects(
    effects: Float[np.ndarray, " k"],
    variances: Float[np.ndarray, " k"],
    *,
    method: HeterogeneityMethod = "reml",
    confidence: float = 0.95,
) -> Pooled:
    """Return the random-effects mean with Hartung and Knapp's interval, which stays honest with few sites.

    Their standard error is not let below the usual one, so that sites which agree by chance do not make the interval too narrow.

    Args:
        effects: estimate per site, 2 or more.
        variances: sampling variance per site, above 0.
        method: estimator of tau2.
        confidence: coverage.

    Source: Knapp & Hartung 2003, Statistics in Medicine 22:2693; floor: Rover, Knapp & Friede 2015, BMC Med Res Methodol 15:99; prediction
        interval: Higgins, Thompson & Spiegelhalter 2009, JRSS A 172:137, with k - 1 degrees of freedom as in R's metafor; I2: Higgins & Thompson
        2002, Statistics in Medicine 21:1539.

    Example:
        >>> found = random_effects(np.array([0.1, 0.2, 0.3]), np.array([0.01, 0.01, 0.01]))
        >>> round(found.estimate, 3), found.tau2
        (0.2, 0.0)
    """
    k = len(effects)
    tau2 = between_variance(effects, variances, method=method)
    weights = 1 / (variances + tau2)
    mean = _mean(effects, weights)
    total = float(weights.sum())
    stretch = max(1.0, _scatter(effects, weights) / (k - 1)) if k > 1 else math.nan
    error = math.sqrt(stretch / total)
    quantile = float(student_t.ppf(0.5 + confidence / 2, k - 1)) if k > 1 else math.nan
    fixed = 1 / variances
    typical = (k - 1) * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum()) if k > 1 else math.nan
    spread = quantile * math.sqrt(error**2 + tau2)
    q = _scatter(effects, fixed)
    return Pooled(
        k,
        mean,
        error,
        (mean - quantile * error, mean + quantile * error),
        (mean - spread, mean + spread),
        tau2,
        float(tau2 / (tau2 + typical)),
        q,
        float(chi2.sf(q, k - 1)) if k > 1 else math.nan,
    )


def pooled_auc(
    areas: Float[np.ndarray, " k"],
    variances: Float[np.ndarray, " k"],
    n_positive: Integer[np.ndarray, " k"],
    n_negative: Integer[np.ndarray, " k"],
    *,
    method: HeterogeneityMethod = "reml",
    confidence: float = 0.95,
) -> Pooled:
    """Return the random-effects mean of site AUCs, pooled on the logit scale and given back as AUCs; tau2, q and the error stay on the logit scale.

    An AUC of exactly 0 or 1 has no logit: half a pair in the wrong order is added, and Hanley and McNeil's variance is taken.

    Args:
        areas: AUC per site.
        variances: variance of the AUC per site (DeLong).
        n_positive: positives per site, at least 1.
        n_negative: negatives per site, at least 1.
        method: estimator of tau2.
        confidence: coverage.

    Source: Snell, Ensor, Debray, Moons & Riley 2018, Stat Methods Med Res 27:3505 (pooling of C statistics on the logit scale).

    Example:
        >>> sizes = np.array([50, 50, 50])
        >>> found = pooled_auc(np.array([0.75, 0.75, 0.75]), np.array([0.002, 0.002, 0.002]), sizes, sizes)
        >>> round(found.estimate, 2), found.k
        (0.75, 3)
    """
    inside, spread = areas.copy(), variances.copy()
    for place in np.flatnonzero((areas <= 0) | (areas >= 1) | ~(variances > 0)):
        positive, negative = int(n_positive[place]), int(n_negative[place])
        pairs = positive * negative
        inside[place] = (areas[place] * pairs + 0.5) / (pairs + 1)
        spread[place] = hanley_mcneil_error(float(inside[place]), positive, negative) ** 2
    logits = np.log(inside / (1 - inside))
    found = random_effects(logits, spread / (inside * (1 - inside)) ** 2, method=method, confidence=confidence)
    return Pooled(
        found.k,
        _expit(found.estimate),
        found.standard_error,
        (_expit(found.interval[0]), _expit(found.interval[1])),
        (_expit(found.prediction_interval[0]), _expit(found.prediction_interval[1])),
        found.tau2,
        found.i2,
        found.q,
        found.q_p,
    )


def _mean(effects: Float[np.ndarray, " k"], weights: Float[np.ndarray, " k"]) -> float:
    return float((weights * effects).sum() / weights.sum())


def _scatter(effects: Float[np.ndarray, " k"], weights: Float[np.ndarray, " k"]) -> float:
    return float((weights * (effects - _mean(effects, weights)) ** 2).sum())


def _expit(value: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(value, -700.0, 700.0))))
