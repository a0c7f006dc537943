"""Precision and recall, and chance: what shuffled labels reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from radiogen.evaluate.verdict import judged_auc
from radiogen.report.figures import patients_of, resample_weights
from radiogen.report.style import BLUE, INK, QUIET, VERMILLION, drawing, new_figure, quiet_axes
from radiogen.report.words import bounds, interval, known, number
from radiogen.types import Labels01, Scores

_WIDTH_IN, _HEIGHT_IN = 5.2, 4.6


def precision_recall_figure(metrics: Mapping[str, Any], scores: pd.DataFrame, *, seed: int = 0) -> Figure:
    """Draw the precision-recall curve with a pointwise 95 % bootstrap band.

    Args:
        metrics: of `evaluate.audit`.
        scores: one row per case: `y_true, y_prob`, optionally `patient`; both classes present.
        seed: of the bootstrap.

    Source: Saito & Rehmsmeier 2015, PLoS One 10:e0118432.
    """
    y, probability = scores["y_true"].to_numpy(dtype=np.int64), scores["y_prob"].to_numpy(dtype=np.float64)
    recalls = np.linspace(0.01, 1.0, 100)
    weights = resample_weights(y, patients_of(scores), np.random.default_rng([seed, 14]))
    low, high = np.quantile(resampled_precision(y, probability, weights, recalls), [0.025, 0.975], axis=0)
    curve = resampled_precision(y, probability, np.ones((1, len(y))), recalls)[0]
    share = float(y.mean())
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        axes = figure.add_subplot()
        axes.axhline(share, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)), label=f"chance, {number(share, 2)}")
        axes.fill_between(recalls, low, high, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(
            recalls,
            curve,
            color=BLUE,
            linewidth=2.0,
            label=_named("model, AUPRC", metrics.get("auprc"), metrics.get("auprc_ci")),
        )
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        axes.set_xlabel("Recall (sensitivity)")
        axes.set_ylabel("Precision (positive predictive value)")
        quiet_axes(axes)
        axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    return figure


def resampled_precision(
    y: Labels01, scores: Scores, weights: Float[np.ndarray, "b n"], recalls: Float[np.ndarray, " g"]
) -> Float[np.ndarray, "b g"]:
    """Return the precision at the highest threshold that reaches each recall, in every resample.

    Args:
        y: 0/1 outcome per row, both classes present.
        scores: higher means more positive.
        weights: how often every row is drawn, one line per resample.
        recalls: above 0, ascending.

    Example:
        >>> resampled_precision(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.7]), np.ones((1, 3)), np.array([0.5, 1.0])).round(3).tolist()
        [[1.0, 0.667]]
    """
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    drawn = weights[:, order]
    found = np.cumsum(drawn * (y[order] == 1), axis=1)[:, last_of_ties]
    called = np.cumsum(drawn, axis=1)[:, last_of_ties]
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    reached = found / found[:, -1:]
    places = np.stack([np.searchsorted(line, recalls - 1e-12) for line in reached])
    return np.take_along_axis(precision, places, axis=1)


def chance_figure(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the AUCs that shuffled labels reach, and the model's; None where the metrics hold no permutations.

    Args:
        metrics: of `evaluate.audit`; AUCs of the refitted pipeline (`permutation_refit_aucs`) are drawn where there are any.
    """
    refitted = [float(value) for value in metrics.get("permutation_refit_aucs") or [] if known(value)]
    held = metrics.get("permutation_histogram") or {}
    if refitted:
        counts, edges = np.histogram(refitted, bins=np.linspace(0, 1, 41))
    elif held.get("counts"):
        counts, edges = np.array(held["counts"], dtype=float), np.array(held["edges"], dtype=float)
    else:
        return None
    area, ends = judged_auc(metrics)
    with drawing():
        figure = new_figure(_WIDTH_IN, 3.2)
        axes = figure.add_subplot()
        axes.bar(edges[:-1], counts / counts.sum(), width=np.diff(edges), align="edge", color=QUIET, alpha=0.6)
        axes.axvline(0.5, color=INK, linewidth=1.0)
        if known(area):
            axes.axvline(float(area), color=VERMILLION, linewidth=2.0, label=_named("model, AUC", area, ends))
            # The frame covers the line of chance behind the words.
            axes.legend(loc="upper left", frameon=True, framealpha=1, edgecolor="none", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(top=1.22 * float((counts / counts.sum()).max()))  # room for the legend
        axes.set_xlabel("AUC with shuffled labels")
        axes.set_ylabel("Share of shuffles")
        quiet_axes(axes, grid="y")
    return figure


def _named(name: str, value: Any, ends: Any) -> str:
    told = f"{name} {number(value, 2)}"
    return f"{told} ({interval(ends, 2)})" if bounds(ends) else told
