"""Decision curves: what acting on a model is worth against acting on everybody or on nobody."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.types import Labels01, Scores


def net_benefit(
    y: Labels01, probability: Scores, thresholds: Float[np.ndarray, " t"], weights: Float[np.ndarray, "b n"]
) -> Float[np.ndarray, "b t"]:
    """Return the net benefit at every threshold in every resample.

    Args:
        y: 0/1 outcome per row.
        probability: predicted probability; at or above the threshold one acts.
        thresholds: between 0 and 1, exclusive.
        weights: how often every row is drawn, one line per resample.

    Source: Vickers & Elkin 2006, Medical Decision Making 26:565.

    Example:
        >>> net_benefit(np.array([1, 0]), np.array([0.9, 0.6]), np.array([0.5]), np.ones((1, 2))).tolist()
        [[0.0]]
    """
    acted = (probability[:, None] >= thresholds[None, :]).astype(np.float64)
    total = weights.sum(axis=1, keepdims=True)
    hits = (weights * (y == 1)) @ acted / total
    alarms = (weights * (y == 0)) @ acted / total
    return hits - alarms * (thresholds / (1 - thresholds))


def decision_curve(
    y: Labels01,
    probability: Scores,
    thresholds: Float[np.ndarray, " t"],
    weights: Float[np.ndarray, "b n"],
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the decision curve of a model with pointwise intervals.

    Args:
        y: 0/1 outcome per row.
        probability: predicted probability.
        thresholds: between 0 and 1, exclusive.
        weights: how often every row is drawn, one line per resample.
        confidence: coverage.

    Returns:
        One row per threshold: `threshold`, net benefit of `model` (`low`, `high`), of acting on `everybody`, on `nobody` (0), and the model's `gain`
        over the better of these two (`gain_low`, `gain_high`).

    Source: Vickers & Elkin 2006, Medical Decision Making 26:565; intervals by bootstrap: Vickers et al. 2008, BMC Med Inform Decis Mak 8:53.
    """
    everyone, once = np.ones(len(y)), np.ones((1, len(y)))
    model, everybody = (net_benefit(y, values, thresholds, once)[0] for values in (probability, everyone))
    drawn, drawn_everybody = (net_benefit(y, values, thresholds, weights) for values in (probability, everyone))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(drawn, tails, axis=0)
    gain_low, gain_high = np.quantile(drawn - np.maximum(drawn_everybody, 0.0), tails, axis=0)
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "model": model,
            "low": low,
            "high": high,
            "everybody": everybody,
            "nobody": 0.0,
            "gain": model - np.maximum(everybody, 0.0),
            "gain_low": gain_low,
            "gain_high": gain_high,
        }
    )
