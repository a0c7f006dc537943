"""The Brier score taken apart: what is bad calibration, what is discrimination, what no model could know."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from radiogen.stats.calibration import brier_score
from radiogen.types import Labels01, Scores


@dataclass(frozen=True)
class BrierParts:
    """Brier score = reliability - resolution + uncertainty + within.

    Args:
        reliability: mean squared distance between the probability and the share of positives where it is given; 0 is perfect.
        resolution: how far these shares lie from the overall share; more is better.
        uncertainty: share of positives times share of negatives: the score of always saying the overall share.
        within: what the bins hide: variance of the probabilities inside bins minus twice their covariance with the outcome; 0 without bins.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float

    @property
    def score(self) -> float:
        """Return the Brier score."""
        return self.reliability - self.resolution + self.uncertainty + self.within


def brier_parts(y: Labels01, probabilities: Scores, *, bins: int | None = 10) -> BrierParts:
    """Return Murphy's decomposition of the Brier score.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, 0 to 1.
        bins: bins of equally many rows; None: every different probability is its own bin, and then `within` is 0.

    Source: Murphy 1973, J Applied Meteorology 12:595; the terms inside bins: Stephenson, Coelho & Jolliffe 2008, Weather and Forecasting 23:752.

    Example:
        >>> parts = brier_parts(np.array([0, 1, 1, 1]), np.array([0.5, 0.5, 0.8, 0.8]), bins=None)
        >>> round(parts.reliability, 4), round(parts.resolution, 4), parts.uncertainty, round(parts.score, 4)
        (0.02, 0.0625, 0.1875, 0.145)
    """
    if bins is None:
        group = np.unique(probabilities, return_inverse=True)[1]
    else:
        place = np.floor((rankdata(probabilities) - 0.5) * bins / max(len(y), 1)).astype(int)
        group = np.unique(place, return_inverse=True)[1]
    counts = np.bincount(group)
    said = np.bincount(group, weights=probabilities) / counts
    came = np.bincount(group, weights=y) / counts
    share, inside = float(y.mean()), probabilities - said[group]
    return BrierParts(
        float((counts * (said - came) ** 2).sum() / len(y)),
        float((counts * (came - share) ** 2).sum() / len(y)),
        share * (1 - share),
        float(np.mean(inside**2) - 2 * np.mean(inside * (y - came[group]))),
    )


def scaled_brier(y: Labels01, probabilities: Scores) -> float:
    """Return the Brier skill score: 1 is perfect, 0 is no better than always saying the share of positives; NaN for one class.

    Source: Steyerberg et al. 2010, Epidemiology 21:128, 1 - Brier / Brier_max.

    Example:
        >>> scaled_brier(np.array([0, 1]), np.array([0.25, 0.75]))
        0.75
    """
    share = float(y.mean())
    largest = share * (1 - share)
    return 1 - brier_score(y, probabilities) / largest if largest > 0 else math.nan
