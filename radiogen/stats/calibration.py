"""Do probabilities mean what they say: Brier score, logistic recalibration, expected calibration error."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from radiogen.types import Labels01, Scores

CLIP = 1e-6
"""Probabilities of exactly 0 or 1 have no logit; for the recalibration fit all are clipped to [1e-6, 1 - 1e-6]."""


def brier_score(y: Labels01, probabilities: Scores) -> float:
    """Return the mean squared distance between probability and outcome (0 is perfect).

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, 0 to 1.

    Source: Brier 1950, Monthly Weather Review 78:1.

    Example:
        >>> brier_score(np.array([0, 1]), np.array([0.5, 0.5]))
        0.25
    """
    return float(np.mean((probabilities - y) ** 2))


def recalibration(y: Labels01, probabilities: Scores) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of the outcome on the logit of the probability.

    Slope 1 and intercept 0 are perfect; a slope below 1 means probabilities that are too extreme. Probabilities are clipped to
    [1e-6, 1 - 1e-6] first.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, 0 to 1.

    Returns:
        Slope and intercept, fitted together; NaN where they do not exist (one class, constant probability, or classes that the
        probability separates completely, for which the slope grows without bound).

    Source: Cox 1958, Biometrika 45:562; Van Calster et al. 2019, BMC Medicine 17:230. Fitted by Newton's method.
    """
    logits = _logits(probabilities)
    if not _overlap(y, logits):
        return math.nan, math.nan
    design = np.column_stack([np.ones_like(logits), logits])
    weights = _newton(y, design, np.zeros(len(y)))
    return float(weights[1]), float(weights[0])


def calibration_in_the_large(y: Labels01, probabilities: Scores) -> float:
    """Return the intercept of the recalibration with the slope held at 1: above 0 the probabilities are too low on average.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, 0 to 1; clipped to [1e-6, 1 - 1e-6].

    Returns:
        The intercept; NaN where only one class is there.

    Source: Van Calster et al. 2019, BMC Medicine 17:230 (weak calibration).
    """
    if len(np.unique(y)) < 2:
        return math.nan
    return float(_newton(y, np.ones((len(y), 1)), _logits(probabilities))[0])


def reliability(y: Labels01, probabilities: Scores, *, bins: int = 10) -> pd.DataFrame:
    """Return the reliability curve over bins that hold equally many rows; equal probabilities share a bin.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, 0 to 1.
        bins: number of bins; empty ones are left out.

    Returns:
        One row per bin, lowest probability first: `n`, `mean_probability`, `share_positive`.

    Source: Nixon et al. 2019, Measuring Calibration in Deep Learning, CVPR Workshops (adaptive bins).
    """
    number = np.floor((rankdata(probabilities) - 0.5) * bins / max(len(y), 1)).astype(int)
    table = pd.DataFrame({"bin": number, "probability": probabilities, "outcome": y})
    grouped = table.groupby("bin", sort=True)
    return pd.DataFrame(
        {
            "n": grouped.size(),
            "mean_probability": grouped["probability"].mean(),
            "share_positive": grouped["outcome"].mean(),
        }
    ).reset_index(drop=True)


def expected_calibration_error(y: Labels01, probabilities: Scores, *, bins: int = 10) -> float:
    """Return the mean distance between probability and share of positives over equal-count bins, weighted by rows.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, 0 to 1.
        bins: number of bins.

    Source: Naeini, Cooper & Hauskrecht 2015, AAAI; equal-count bins after Nixon et al. 2019.

    Example:
        >>> expected_calibration_error(np.array([0, 1, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75]), bins=2)
        0.25
    """
    curve = reliability(y, probabilities, bins=bins)
    gap = (curve["mean_probability"] - curve["share_positive"]).abs()
    return float((gap * curve["n"]).sum() / curve["n"].sum())


def _logits(probabilities: Scores) -> Scores:
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.log(clipped / (1 - clipped))


def _overlap(y: Labels01, logits: Scores) -> bool:
    positive, negative = logits[y == 1], logits[y == 0]
    if len(positive) == 0 or len(negative) == 0 or np.ptp(logits) == 0:
        return False
    return bool(positive.min() < negative.max() and negative.min() < positive.max())


def _newton(y: Labels01, design: np.ndarray, offset: Scores, *, steps: int = 100) -> np.ndarray:
    weights = np.zeros(design.shape[1])
    loss = _log_loss(y, design @ weights + offset)
    for _ in range(steps):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights + offset, -500, 500)))
        gradient = design.T @ (y - probability)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        scale = 1.0
        while (new := _log_loss(y, design @ (weights + scale * step) + offset)) > loss and scale > 1e-8:
            scale /= 2  # Newton's full step can overshoot where probabilities are extreme
        weights, improved, loss = weights + scale * step, loss - new, new
        if improved < 1e-12 * (1 + abs(loss)):
            break
    return weights


def _log_loss(y: Labels01, logits: Scores) -> float:
    return float(np.sum(np.logaddexp(0.0, logits) - y * logits))
