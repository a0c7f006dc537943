"""Classification at a threshold, and the precision-recall curve in one number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from radiogen.types import Labels01, Scores


@dataclass(frozen=True)
class AtThreshold:
    """How a score sorts rows at one threshold; a score equal to the threshold counts as positive.

    Args:
        threshold: the threshold.
        true_positive: positives at or above it.
        false_positive: negatives at or above it.
        true_negative: negatives below it.
        false_negative: positives below it.
    """

    threshold: float
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int

    @property
    def sensitivity(self) -> float:
        """Return the share of positives found; NaN without positives."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """Return the share of negatives cleared; NaN without negatives."""
        return _ratio(self.true_negative, self.true_negative + self.false_positive)

    @property
    def positive_predictive_value(self) -> float:
        """Return the share of positives among the rows called positive; NaN where none is."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def negative_predictive_value(self) -> float:
        """Return the share of negatives among the rows called negative; NaN where none is."""
        return _ratio(self.true_negative, self.true_negative + self.false_negative)

    @property
    def matthews_correlation(self) -> float:
        """Return Matthews' correlation of call and outcome, -1 to 1; NaN where all calls or all outcomes are the same.

        Source: Matthews 1975, Biochimica et Biophysica Acta 405:442.
        """
        found, alarms = self.true_positive, self.false_positive
        cleared, missed = self.true_negative, self.false_negative
        sides = (found + alarms) * (found + missed) * (cleared + alarms) * (cleared + missed)
        return (found * cleared - alarms * missed) / math.sqrt(sides) if sides else math.nan

    @property
    def accuracy(self) -> float:
        """Return the share of rows sorted right."""
        right = self.true_positive + self.true_negative
        return _ratio(right, right + self.false_positive + self.false_negative)

    @property
    def balanced_accuracy(self) -> float:
        """Return the mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2


def at_threshold(y: Labels01, scores: Scores, threshold: float | Scores = 0.5) -> AtThreshold:
    """Return the four counts of a two-class decision at a threshold.

    Args:
        y: 0/1 outcome per row.
        scores: higher means more positive.
        threshold: rows at or above it are called positive; one for all rows, or each row's own (the result then names their mean).

    Source: Altman & Bland 1994, BMJ 308:1552 (sensitivity and specificity).

    Example:
        >>> found = at_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.8]))
        >>> found.sensitivity, found.specificity
        (1.0, 0.5)
    """
    called, positive = scores >= threshold, y == 1
    return AtThreshold(
        float(np.mean(threshold)),
        int(np.sum(called & positive)),
        int(np.sum(called & ~positive)),
        int(np.sum(~called & ~positive)),
        int(np.sum(~called & positive)),
    )


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion; NaN where `n` is zero.

    Source: Wilson 1927, JASA 22:209; recommended by Brown, Cai & DasGupta 2001, Statistical Science 16:101.

    Example:
        >>> [round(end, 3) for end in wilson_interval(81, 263)]
        [0.255, 0.366]
    """
    if n == 0:
        return math.nan, math.nan
    z = float(norm.ppf(0.5 + confidence / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def average_precision(y: Labels01, scores: Scores) -> float:
    """Return the area under the precision-recall curve as average precision; NaN where a class is absent.

    Its chance level is the share of positives, not 0.5.

    Args:
        y: 0/1 outcome per row.
        scores: higher means more positive.

    Source: scikit-learn's `average_precision_score`, sum over thresholds of (R_n - R_(n-1)) P_n; Saito & Rehmsmeier 2015, PLoS One 10:e0118432.

    Example:
        >>> round(average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 4)
        0.8333
    """
    if len(np.unique(y)) < 2:
        return math.nan
    return float(average_precision_score(y, scores))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
