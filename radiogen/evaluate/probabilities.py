"""What the probabilities are worth: calibration and its curve, Brier score and its parts, net benefit, all with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from radiogen.config.evaluate import EvaluateSettings
from radiogen.stats.brier import brier_parts, scaled_brier
from radiogen.stats.calibration import brier_score, calibration_in_the_large, expected_calibration_error, recalibration
from radiogen.stats.classification import average_precision
from radiogen.stats.resampling import bca_interval
from radiogen.stats.weighted import (
    resample_weights,
    weighted_average_precision,
    weighted_brier,
    weighted_calibration_error,
    weighted_large_calibration,
    weighted_recalibration,
)
from radiogen.types import Labels01, Scores

NAMES = [
    "brier", "brier_ci", "brier_scaled", "brier_parts", "calibration_slope", "calibration_slope_ci", "calibration_intercept",
    "calibration_intercept_ci", "calibration_in_the_large", "calibration_in_the_large_ci", "ece", "ece_ci",
]  # fmt: skip
"""Keys of `calibration`; all None where the scores are no probabilities."""


def secondary_weights(
    y: Labels01, groups: Integer[np.ndarray, " n"], settings: EvaluateSettings, rng: np.random.Generator
) -> Float[np.ndarray, "b n"]:
    """Return the resamples of patients that all measures of one table share."""
    return resample_weights(y, groups, settings.bootstrap_resamples, rng)


def precision_interval(
    y: Labels01, scores: Scores, weights: Float[np.ndarray, "b n"], settings: EvaluateSettings
) -> list[float]:
    """Return the bootstrap interval of the average precision.

    Args:
        y: 0/1 outcome per case, both classes present.
        scores: higher means more positive.
        weights: of `secondary_weights`.
        settings: coverage.
    """
    return _interval(average_precision(y, scores), weighted_average_precision(y, scores, weights), settings)


def calibration(
    y: Labels01, probability: Scores, weights: Float[np.ndarray, "b n"], settings: EvaluateSettings
) -> dict[str, Any]:
    """Return Brier score and parts, slope, intercept, calibration in the large and ECE, with bias-corrected bootstrap intervals.

    Args:
        y: 0/1 outcome per case.
        probability: probability per case.
        weights: of `secondary_weights`.
        settings: bins and coverage.

    Source: intervals: Efron 1987, JASA 82:171, with the acceleration left at 0.
    """
    slope, intercept = recalibration(y, probability)
    slopes, intercepts = weighted_recalibration(y, probability, weights)
    parts = brier_parts(y, probability, bins=settings.calibration_bins)
    bins = settings.calibration_bins
    large = calibration_in_the_large(y, probability)
    brier, ece = brier_score(y, probability), expected_calibration_error(y, probability, bins=bins)
    return {
        "brier": brier,
        "brier_ci": _interval(brier, weighted_brier(y, probability, weights), settings),
        "brier_scaled": scaled_brier(y, probability),
        "brier_parts": {
            "reliability": parts.reliability,
            "resolution": parts.resolution,
            "uncertainty": parts.uncertainty,
            "within_bins": parts.within,
        },
        "calibration_slope": slope,
        "calibration_slope_ci": _interval(slope, slopes, settings),
        "calibration_intercept": intercept,
        "calibration_intercept_ci": _interval(intercept, intercepts, settings),
        "calibration_in_the_large": large,
        "calibration_in_the_large_ci": _interval(large, weighted_large_calibration(y, probability, weights), settings),
        "ece": ece,
        "ece_ci": _interval(ece, weighted_calibration_error(y, probability, weights, bins=bins), settings),
    }


def _interval(estimate: float, resamples: Float[np.ndarray, " b"], settings: EvaluateSettings) -> list[float]:
    if np.isnan(estimate):
        return [float("nan"), float("nan")]
    return list(bca_interval(estimate, resamples, 0.0, settings.confidence))
