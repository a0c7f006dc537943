"""Area under the ROC curve: estimate, DeLong variance, intervals and the paired test, and what a sample size can show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from scipy.stats import norm, rankdata

from radiogen.types import Labels01, Scores


@dataclass(frozen=True)
class PairedTest:
    """Result of a paired comparison of two AUCs on the same rows.

    Args:
        auc_a: AUC of the first score.
        auc_b: AUC of the second score.
        difference: `auc_a - auc_b`.
        standard_error: of the difference.
        p: two-sided p-value.
    """

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    p: float


def auc(y: Labels01, scores: Scores) -> float:
    """Return the AUC: the chance that a random positive scores above a random negative, ties counted half.

    Args:
        y: 0/1 outcome per row.
        scores: higher means more positive.

    Returns:
        AUC from 0 to 1; NaN where a class is absent.

    Source: Hanley & McNeil 1982, Radiology 143:29 (equivalence with the Mann-Whitney statistic, midranks for ties).

    Example:
        >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        0.75
    """
    n_positive = int(np.count_nonzero(y == 1))
    n_negative = len(y) - n_positive
    if n_positive == 0 or n_negative == 0:
        return math.nan
    rank_sum = rankdata(scores)[y == 1].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def auc_influence(y: Labels01, scores: Scores) -> Float[np.ndarray, " n"]:
    """Return every row's contribution to the AUC: its structural component minus the AUC, divided by its class size.

    Summed squares of these are the DeLong variance (up to n/(n-1) per class); they also give BCa's acceleration.

    Args:
        y: 0/1 outcome per row, both classes present.
        scores: higher means more positive.

    Returns:
        One value per row; they sum to zero within each class.

    Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837, eq. 4-5; computed with midranks after Sun & Xu 2014, IEEE SPL 21:1389.

    Example:
        >>> auc_influence(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).tolist()
        [0.125, -0.125, -0.125, 0.125]
    """
    positive = y == 1
    n_positive = int(positive.sum())
    n_negative = len(y) - n_positive
    ranks = rankdata(scores)
    influence = np.empty(len(y), dtype=np.float64)
    v10 = (ranks[positive] - rankdata(scores[positive])) / n_negative
    v01 = 1.0 - (ranks[~positive] - rankdata(scores[~positive])) / n_positive
    influence[positive] = (v10 - v10.mean()) / n_positive
    influence[~positive] = (v01 - v01.mean()) / n_negative
    return influence


def auc_covariance(
    y: Labels01, scores: Float[np.ndarray, "k n"], groups: Integer[np.ndarray, " n"] | None = None
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """Return the AUCs of `k` scores on the same rows and their covariance.

    Args:
        y: 0/1 outcome per row.
        scores: one row per score.
        groups: patient number per row; rows of one patient are not independent. None: every row is its own patient.

    Returns:
        AUCs and covariance matrix; the covariance is NaN where a class comes from fewer than two patients.

    Source: DeLong et al. 1988, Biometrics 44:837; with several rows per patient Obuchowski 1997, Biometrics 53:567, which equals DeLong's
        where every patient has one row.
    """
    aucs = np.array([auc(y, row) for row in scores])
    codes = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    positive = y == 1
    n_groups = int(codes.max()) + 1 if len(codes) else 0
    n_with_positive, n_with_negative = len(np.unique(codes[positive])), len(np.unique(codes[~positive]))
    if min(n_with_positive, n_with_negative) < 2:
        return aucs, np.full((len(scores), len(scores)), np.nan)
    influence = np.stack([auc_influence(y, row) for row in scores])
    of_positives = np.stack([np.bincount(codes, np.where(positive, row, 0.0), n_groups) for row in influence])
    of_negatives = np.stack([np.bincount(codes, np.where(positive, 0.0, row), n_groups) for row in influence])
    cross = of_positives @ of_negatives.T
    covariance = (
        n_with_positive / (n_with_positive - 1) * of_positives @ of_positives.T
        + n_with_negative / (n_with_negative - 1) * of_negatives @ of_negatives.T
        + n_groups / (n_groups - 1) * (cross + cross.T)
    )
    return aucs, covariance


def delong_interval(
    y: Labels01, scores: Scores, *, groups: Integer[np.ndarray, " n"] | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the DeLong confidence interval of the AUC on the logit scale, so that it stays inside 0-1.

    An AUC of exactly 0 or 1 has a DeLong variance of zero; its interval is then `perfect_auc_interval`, not a single point.

    Args:
        y: 0/1 outcome per row.
        scores: higher means more positive.
        groups: patient number per row.
        confidence: coverage.

    Returns:
        Lower and upper end; NaN where a class comes from fewer than two patients.

    Source: DeLong et al. 1988; logit transformation: Pepe 2003, The Statistical Evaluation of Medical Tests, section 5.2.
    """
    aucs, covariance = auc_covariance(y, scores[None, :], groups)
    area, variance = float(aucs[0]), float(covariance[0, 0])
    if area in (0.0, 1.0):
        return perfect_auc_interval(area, _smaller_class(y, groups), confidence)
    if math.isnan(variance):
        return math.nan, math.nan
    width = norm.ppf(0.5 + confidence / 2) * math.sqrt(max(variance, 0.0)) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return _expit(centre - width), _expit(centre + width)


def perfect_auc_interval(area: float, n_smaller_class: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return a conservative interval for an AUC that came out as exactly 0 or 1.

    With m rows in the smaller class there are m independent positive-negative pairs; all of them are in order with probability AUC^m.

    Args:
        area: 0.0 or 1.0.
        n_smaller_class: patients in the smaller class.
        confidence: coverage.

    Returns:
        Lower and upper end.

    Source: Clopper & Pearson 1934, Biometrika 26:404, applied to disjoint pairs.

    Example:
        >>> [round(end, 3) for end in perfect_auc_interval(1.0, 10)]
        [0.692, 1.0]
    """
    if n_smaller_class < 1:
        return math.nan, math.nan
    bound = ((1 - confidence) / 2) ** (1 / n_smaller_class)
    return (bound, 1.0) if area == 1.0 else (0.0, 1.0 - bound)


def delong_test(
    y: Labels01, scores_a: Scores, scores_b: Scores, *, groups: Integer[np.ndarray, " n"] | None = None
) -> PairedTest:
    """Return DeLong's paired test of two AUCs on the same rows.

    Args:
        y: 0/1 outcome per row.
        scores_a: first score.
        scores_b: second score.
        groups: patient number per row.

    Returns:
        Both AUCs, their difference, its standard error and the two-sided p-value (1 for scores that rank alike, NaN where a class comes
        from fewer than two patients).

    Source: DeLong et al. 1988, Biometrics 44:837, eq. 9; Obuchowski 1997 where patients have several rows.
    """
    aucs, covariance = auc_covariance(y, np.stack([scores_a, scores_b]), groups)
    difference = float(aucs[0] - aucs[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if math.isnan(variance):
        return PairedTest(float(aucs[0]), float(aucs[1]), difference, math.nan, math.nan)
    error = math.sqrt(max(variance, 0.0))
    # Two scores that rank alike leave only rounding error in the variance.
    alike = error < 1e-9
    p = float(abs(difference) < 1e-9) if alike else float(2 * norm.sf(abs(difference) / error))
    return PairedTest(float(aucs[0]), float(aucs[1]), difference, error, p)


def hanley_mcneil_error(area: float, n_positive: int, n_negative: int) -> float:
    """Return the standard error of an AUC from its value and the class sizes alone.

    Args:
        area: AUC.
        n_positive: rows of the positive class.
        n_negative: rows of the negative class.

    Source: Hanley & McNeil 1982, Radiology 143:29, eq. 1 with Q1 = A/(2-A), Q2 = 2A^2/(1+A).

    Example:
        >>> round(hanley_mcneil_error(0.893, 51, 58), 4)
        0.0325
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n_positive - 1) * (q1 - area**2) + (n_negative - 1) * (q2 - area**2)
    return math.sqrt(variance / (n_positive * n_negative))


def smallest_detectable_auc(n_positive: int, n_negative: int, *, alpha: float = 0.05) -> float:
    """Return the AUC that a sample must exceed to be told from chance at the two-sided level `alpha`.

    Args:
        n_positive: rows of the positive class, at least 1.
        n_negative: rows of the negative class, at least 1.
        alpha: two-sided level.

    Returns:
        0.5 plus the normal quantile times the standard error at AUC 0.5, at most 1.

    Source: Hanley & McNeil 1982, eq. 1 at A = 0.5, which is the null variance of Mann & Whitney 1947, (m + n + 1) / (12 m n).

    Example:
        >>> round(smallest_detectable_auc(30, 30), 3)
        0.647
    """
    return min(1.0, 0.5 + float(norm.ppf(1 - alpha / 2)) * hanley_mcneil_error(0.5, n_positive, n_negative))


def sample_size_statement(n_positive: int, n_negative: int, *, alpha: float = 0.05) -> str:
    """Return one sentence that says which AUC this many rows cannot tell from chance.

    Example:
        >>> sample_size_statement(30, 30)
        'With n=60 (30 positive, 30 negative) an AUC below 0.65 cannot be told from chance.'
    """
    area = smallest_detectable_auc(n_positive, n_negative, alpha=alpha)
    return (
        f"With n={n_positive + n_negative} ({n_positive} positive, {n_negative} negative) "
        f"an AUC below {area:.2f} cannot be told from chance."
    )


def _smaller_class(y: Labels01, groups: Integer[np.ndarray, " n"] | None) -> int:
    codes = np.arange(len(y)) if groups is None else groups
    return min(len(np.unique(codes[y == 1])), len(np.unique(codes[y != 1])))


def _expit(value: float) -> float:
    return float(1 / (1 + math.exp(-value))) if value > -700 else 0.0
