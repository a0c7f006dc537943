"""A smooth calibration curve: what came true at every promised probability, with its band."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from radiogen.stats.weighted import fit_logistic
from radiogen.types import Labels01, Scores

_KNOT_SHARES = {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}
_CLIP = 1e-6


def spline_basis(values: Float[np.ndarray, " n"], knots: Float[np.ndarray, " k"]) -> Float[np.ndarray, "n c"]:
    """Return the restricted cubic spline basis: the value itself and k - 2 columns that are linear beyond the outer knots.

    Args:
        values: where to evaluate.
        knots: ascending, 3 or more.

    Source: Harrell 2015, Regression Modeling Strategies, 2nd ed., eq. 2.25, divided by the squared distance of the outer knots.

    Example:
        >>> spline_basis(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])).tolist()
        [[0.0, 0.0], [1.0, 0.25], [2.0, 1.5]]
    """
    last, before = knots[-1], knots[-2]
    columns = [values]
    for knot in knots[:-2]:
        cubes = [np.maximum(values - place, 0.0) ** 3 for place in (knot, before, last)]
        bent = cubes[0] - cubes[1] * (last - knot) / (last - before) + cubes[2] * (before - knot) / (last - before)
        columns.append(bent / (last - knots[0]) ** 2)
    return np.column_stack(columns)


def calibration_curve(
    y: Labels01,
    probabilities: Scores,
    weights: Float[np.ndarray, "b n"],
    *,
    points: int = 50,
    knots: int = 4,
    confidence: float = 0.95,
) -> pd.DataFrame | None:
    """Return the smooth calibration curve: a logistic regression of the outcome on a spline of the probability's logit.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, 0 to 1.
        weights: how often every row is drawn, one line per resample.
        points: points of the curve, from the 1st to the 99th percentile of the probabilities.
        knots: knots of the spline, 3 to 5.
        confidence: coverage of the pointwise band.

    Returns:
        One row per point: `probability`, `share`, `low`, `high`; None where a curve cannot be fitted (one class, or fewer than ten different
        probabilities, or fewer than 20 rows of a class).

    Source: Harrell 2015, Regression Modeling Strategies, 2nd ed., sections 2.4.6 (knots) and 10.11; Austin & Steyerberg 2014, Statistics in
        Medicine 33:517.
    """
    clipped = np.clip(probabilities, _CLIP, 1 - _CLIP)
    logits = np.log(clipped / (1 - clipped))
    places = np.quantile(logits, _KNOT_SHARES[knots])
    if len(np.unique(probabilities)) < 10 or min(y.sum(), len(y) - y.sum()) < 20 or (np.diff(places) < 1e-6).any():
        return None
    low_end, high_end = np.quantile(logits, [0.01, 0.99])
    ends = 1 / (1 + np.exp(-np.array([low_end, high_end])))
    grid = np.linspace(ends[0], ends[1], points)
    design = np.column_stack([np.ones(len(y)), spline_basis(logits, places)])
    at = np.column_stack([np.ones(points), spline_basis(np.log(grid / (1 - grid)), places)])
    # A trace of ridge keeps resamples in which the classes separate finite.
    fitted = fit_logistic(y, design, np.ones((1, len(y))), ridge=1e-3)
    drawn = fit_logistic(y, design, weights, ridge=1e-3)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(_expit(drawn @ at.T), tails, axis=0)
    return pd.DataFrame({"probability": grid, "share": _expit(fitted[0] @ at.T), "low": low, "high": high})


def _expit(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))
