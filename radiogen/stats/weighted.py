"""Measures of a predictions table in every bootstrap resample at once: rows are weighted by how often they were drawn."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from radiogen.stats.resampling import Patients, patient_weights
from radiogen.types import Labels01, Scores

_CELLS = 10_000_000
_LEAST_RESAMPLES = 200
_CLIP = 1e-6
_STEPS = 30


def resample_weights(
    y: Labels01, groups: np.ndarray | None, n_resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "b n"]:
    """Return how often every row is drawn when patients are drawn with replacement within their class.

    For very large tables fewer resamples are made (at least 200), so that they fit into memory.

    Args:
        y: 0/1 outcome per row.
        groups: patient number per row; None: every row is its own patient.
        n_resamples: resamples wanted.
        rng: source of randomness.

    Example:
        >>> resample_weights(np.array([0, 1]), None, 3, np.random.default_rng(0)).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    count = int(np.clip(_CELLS // max(len(y), 1), min(_LEAST_RESAMPLES, n_resamples), n_resamples))
    return np.concatenate(list(patient_weights(Patients.of(y, groups), count, rng)))


def weighted_brier(y: Labels01, probabilities: Scores, weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
    """Return the Brier score in every resample.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class.
        weights: how often every row is drawn, one line per resample.
    """
    return np.asarray(weights @ (probabilities - y) ** 2 / weights.sum(axis=1))


def weighted_average_precision(
    y: Labels01, scores: Scores, weights: Float[np.ndarray, "b n"]
) -> Float[np.ndarray, " b"]:
    """Return the average precision in every resample.

    Args:
        y: 0/1 outcome per row, both classes present.
        scores: higher means more positive.
        weights: how often every row is drawn, one line per resample.

    Source: sum over thresholds of (R_n - R_(n-1)) P_n, as scikit-learn's `average_precision_score`.

    Example:
        >>> weighted_average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]), np.ones((1, 4))).round(4).tolist()
        [0.8333]
    """
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    drawn = weights[:, order]
    found = np.cumsum(drawn * (y[order] == 1), axis=1)[:, last_of_ties]
    called = np.cumsum(drawn, axis=1)[:, last_of_ties]
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return np.asarray((np.diff(found, axis=1, prepend=0.0) * precision).sum(axis=1) / found[:, -1])


def weighted_calibration_error(
    y: Labels01, probabilities: Scores, weights: Float[np.ndarray, "b n"], *, bins: int = 10
) -> Float[np.ndarray, " b"]:
    """Return the expected calibration error in every resample, over the bins of the whole table.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class.
        weights: how often every row is drawn, one line per resample.
        bins: bins of equally many rows.
    """
    place = np.floor((rankdata(probabilities) - 0.5) * bins / max(len(y), 1)).astype(int)
    member = np.eye(int(place.max()) + 1)[place]
    gaps = np.abs((weights * (probabilities - y)) @ member)
    return np.asarray(gaps.sum(axis=1) / weights.sum(axis=1))


def weighted_recalibration(
    y: Labels01, probabilities: Scores, weights: Float[np.ndarray, "b n"]
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Return calibration slope and intercept in every resample; NaN where the resample's classes separate.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, clipped to [1e-6, 1 - 1e-6].
        weights: how often every row is drawn, one line per resample.

    Source: as `calibration.recalibration`.
    """
    clipped = np.clip(probabilities, _CLIP, 1 - _CLIP)
    logits = np.log(clipped / (1 - clipped))
    found = fit_logistic(y, np.column_stack([np.ones(len(y)), logits]), weights)
    return found[:, 1], found[:, 0]


def weighted_large_calibration(
    y: Labels01, probabilities: Scores, weights: Float[np.ndarray, "b n"]
) -> Float[np.ndarray, " b"]:
    """Return calibration in the large (the intercept with the slope held at 1) in every resample.

    Args:
        y: 0/1 outcome per row.
        probabilities: probability of the positive class, clipped to [1e-6, 1 - 1e-6].
        weights: how often every row is drawn, one line per resample.

    Source: as `calibration.calibration_in_the_large`.
    """
    clipped = np.clip(probabilities, _CLIP, 1 - _CLIP)
    offset = np.log(clipped / (1 - clipped))
    return fit_logistic(y, np.ones((len(y), 1)), weights, offset=offset)[:, 0]


def fit_logistic(
    y: Labels01,
    design: Float[np.ndarray, "n c"],
    weights: Float[np.ndarray, "b n"],
    *,
    offset: Scores | None = None,
    ridge: float = 0.0,
) -> Float[np.ndarray, "b c"]:
    """Return the coefficients of a weighted logistic regression for every line of weights, by Newton's method.

    Args:
        y: 0/1 outcome per row.
        design: one column per coefficient.
        weights: weight of every row, one line per fit.
        offset: known part of the logit per row.
        ridge: penalty on the squared coefficients.

    Returns:
        One line per fit; NaN where Newton's steps do not settle (separated classes).

    Source: McCullagh & Nelder 1989, Generalized Linear Models, section 4.4.
    """
    size = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(y), size * size)
    coefficients = np.zeros((len(weights), size))
    if len(weights) > 1:  # the mean resample's fit is near every other one
        middle = fit_logistic(y, design, weights.mean(axis=0, keepdims=True), offset=offset, ridge=ridge)
        coefficients += np.nan_to_num(middle)
    known = np.zeros(len(y)) if offset is None else offset
    open_fits = np.arange(len(weights))
    for _ in range(_STEPS):
        logit = np.clip(coefficients[open_fits] @ design.T + known, -30.0, 30.0)
        probability = 1 / (1 + np.exp(-logit))
        drawn = weights[open_fits]
        gradient = (drawn * (y - probability)) @ design - ridge * coefficients[open_fits]
        spread = drawn * probability * (1 - probability)
        curvature = (spread @ products).reshape(-1, size, size) + (ridge + 1e-9) * np.eye(size)
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, initial=0.0)
        coefficients[open_fits] += step * np.minimum(1.0, 4.0 / np.maximum(longest, 1e-300))[:, None]
        open_fits = open_fits[longest > 1e-8]
        if len(open_fits) == 0:
            break
    coefficients[open_fits] = math.nan
    return coefficients
