"""Curves of one classifier: ROC, calibration, scores by class, net benefit, features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from radiogen.report.style import BLUE, COLOURS, INK, LINE_STYLES, ORANGE, QUIET, drawing, new_figure, quiet_axes
from radiogen.report.words import bounds, interval, known, label, number, target_words
from radiogen.stats.calibration import reliability
from radiogen.stats.calibration_curve import calibration_curve
from radiogen.stats.classification import wilson_interval
from radiogen.stats.decision import decision_curve
from radiogen.types import Labels01, Scores

BASELINE_PREFIX = "baseline:"
_MOST_BASELINES = 3
_MOST_FEATURES = 20
_RESAMPLES, _CELLS = 500, 5_000_000
_WIDTH_IN, _HEIGHT_IN = 5.2, 4.6
"""Narrow enough that the letters stay readable on a phone."""


def roc_figure(metrics: Mapping[str, Any], scores: pd.DataFrame, *, seed: int = 0) -> Figure:
    """Draw the ROC curve with a pointwise 95 % bootstrap band, and those of the three strongest baselines.

    Args:
        metrics: of `evaluate.audit`.
        scores: one row per case: `patient, y_true, y_prob` and one column `baseline:<name>` per baseline (NaN: not known).
        seed: of the bootstrap.

    Source: pointwise (threshold-averaged over false-positive rates) band, Fawcett 2006, Pattern Recognition Letters 27:861, section 8.
    """
    y, probability = _outcome(scores), scores["y_prob"].to_numpy(dtype=np.float64)
    rates = np.linspace(0.0, 1.0, 101)
    curves = resampled_roc(
        y, probability, resample_weights(y, patients_of(scores), np.random.default_rng([seed, 11])), rates
    )
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN + 0.5)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.fill_between(rates, low, high, color=BLUE, alpha=0.15, linewidth=0)
        _draw_roc(axes, y, probability, _named("model", metrics), 0)
        for position, row in enumerate(_strongest(metrics, scores), 1):
            values = scores[BASELINE_PREFIX + row["name"]].to_numpy(dtype=np.float64)
            inside = ~np.isnan(values)
            _draw_roc(axes, y[inside], values[inside], _named(label(row["name"]), row), position)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set_xlabel("False-positive rate (1 - specificity)")
        axes.set_ylabel("True-positive rate (sensitivity)")
        quiet_axes(axes)
        axes.legend(
            title="AUC (95 % interval)", title_fontsize=9, alignment="left",
            loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9,
        )  # fmt: skip
    return figure


def calibration_figure(metrics: Mapping[str, Any], scores: pd.DataFrame, *, bins: int = 10, seed: int = 0) -> Figure:
    """Draw what the probabilities promise against what came true: bins with Wilson intervals, and a smooth curve where cases suffice.

    Args:
        metrics: of `evaluate.audit`.
        scores: one row per case: `y_true, y_prob`, optionally `patient`.
        bins: equal-count bins.
        seed: of the bootstrap.
    """
    y, probability = _outcome(scores), scores["y_prob"].to_numpy(dtype=np.float64)
    curve = reliability(y, probability, bins=bins)
    weights = resample_weights(y, patients_of(scores), np.random.default_rng([seed, 13]))
    smooth = calibration_curve(y, probability, weights[:200])
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN + 0.5)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)), label="perfect")
        ends = [
            wilson_interval(round(share * n), int(n))
            for share, n in zip(curve["share_positive"], curve["n"], strict=True)
        ]
        if smooth is not None:
            axes.fill_between(smooth["probability"], smooth["low"], smooth["high"], color=BLUE, alpha=0.15, linewidth=0)
            axes.plot(smooth["probability"], smooth["share"], color=BLUE, linewidth=1.8, label="model, smooth")
        axes.vlines(
            curve["mean_probability"], [end[0] for end in ends], [end[1] for end in ends], color=BLUE, linewidth=1.3
        )
        axes.plot(
            curve["mean_probability"],
            curve["share_positive"],
            "o" if smooth is not None else "o-",
            color=BLUE,
            linewidth=1.3,
            markersize=4.5,
            label="model" if smooth is None else "model, bins",
        )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_ylabel(f"Share {target_words(str(metrics.get('target', ''))).positive}")
        axes.legend(loc="upper left", frameon=False, fontsize=9)
        below.hist(probability, bins=np.linspace(0, 1, 21), color=BLUE, alpha=0.75)
        below.set_ylabel("Cases")
        below.set_xlabel("Predicted probability")
        quiet_axes(axes)
        quiet_axes(below, grid="y")
        figure.align_ylabels()
    return figure


def distribution_figure(metrics: Mapping[str, Any], scores: pd.DataFrame) -> Figure:
    """Draw how the model's probabilities lie in each class, one histogram above the other on one axis.

    Args:
        metrics: of `evaluate.audit`.
        scores: one row per case: `y_true, y_prob`.
    """
    words = target_words(str(metrics.get("target", "")))
    y, probability = _outcome(scores), scores["y_prob"].to_numpy(dtype=np.float64)
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        both = figure.subplots(2, 1, sharex=True)
        for axes, value, name, colour in zip(
            both, (1, 0), (words.positive, words.negative), (BLUE, ORANGE), strict=True
        ):
            inside = probability[y == value]
            axes.hist(inside, bins=np.linspace(0, 1, 26), color=colour, alpha=0.8)
            if len(inside):
                axes.axvline(float(np.median(inside)), color=INK, linewidth=1.2)
            axes.set_title(f"{name}, n = {len(inside)}", loc="left", fontsize=9.5, color=INK, parse_math=False)
            axes.set_ylabel("Cases")
            axes.set_xlim(-0.01, 1.01)
            quiet_axes(axes, grid="y")
        threshold = metrics.get("threshold")
        for axes in both if known(threshold) else ():
            axes.axvline(float(str(threshold)), color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        both[1].set_xlabel(f"Predicted probability of: {words.positive}", parse_math=False)
    return figure


def decision_figure(metrics: Mapping[str, Any], scores: pd.DataFrame, *, seed: int = 0) -> Figure:
    """Draw the net benefit of acting on the model against acting on everybody or nobody, with a 95 % bootstrap band.

    Args:
        metrics: of `evaluate.audit`.
        scores: one row per case: `patient, y_true, y_prob` (probabilities).
        seed: of the bootstrap.

    Source: Vickers & Elkin 2006, Medical Decision Making 26:565: true positives / n - false positives / n x t / (1 - t) at threshold t.
    """
    y, probability = _outcome(scores), scores["y_prob"].to_numpy(dtype=np.float64)
    weights = resample_weights(y, patients_of(scores), np.random.default_rng([seed, 12]))
    curve = decision_curve(y, probability, np.linspace(0.01, 0.99, 99), weights)
    thresholds = curve["threshold"]
    share = float(y.mean())
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        axes = figure.add_subplot()
        axes.fill_between(thresholds, curve["low"], curve["high"], color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(thresholds, curve["model"], color=BLUE, linewidth=1.8, label="act on the model")
        axes.plot(
            thresholds,
            curve["everybody"],
            color=COLOURS[1],
            linewidth=1.3,
            linestyle=LINE_STYLES[1],
            label="act on everybody",
        )
        axes.axhline(0, color=INK, linewidth=1.0, linestyle=LINE_STYLES[2], label="act on nobody")
        axes.set(xlim=(0, 1), ylim=(-0.15 * max(share, 0.1), 1.12 * max(share, 0.1)))
        axes.set_xlabel("Probability from which one would act")
        axes.set_ylabel("Net benefit (true positives per case)")
        quiet_axes(axes)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, frameon=False, fontsize=9, columnspacing=1.2
        )
    return figure


def importance_figure(importance: pd.DataFrame) -> Figure | None:
    """Draw the features that weigh most, and the share of folds that used each; None where no feature was used.

    Args:
        importance: columns `feature, importance`, optionally `selected_share` (0 to 1), `coefficient_mean`, `branch`; extra rows are left out.
    """
    used = importance[pd.to_numeric(importance["importance"], errors="coerce") > 0]
    top = used.sort_values(["importance", "feature"], ascending=[False, True], kind="stable").head(_MOST_FEATURES)
    if top.empty:
        return None
    names = [_shortened(str(name)) for name in top["feature"]]
    with drawing():
        figure = new_figure(_WIDTH_IN + 1.2, 1.0 + 0.29 * len(top))
        axes = figure.add_subplot()
        places = np.arange(len(top))
        axes.barh(places, top["importance"], color=[_sign_colour(row) for _, row in top.iterrows()], height=0.68)
        axes.set_yticks(places, names)
        for tick in axes.get_yticklabels():
            tick.set_parse_math(False)
        axes.set_ylim(len(top) - 0.4, -0.6)
        axes.set_xlabel("Mean share of the models' total weight")
        quiet_axes(axes, grid="x")
        axes.tick_params(axis="y", length=0, labelsize=9)
        if "selected_share" in top:
            for place, share in zip(places.tolist(), top["selected_share"], strict=True):
                axes.text(
                    1.02,
                    place,
                    f"{100 * share:.0f} %",
                    transform=axes.get_yaxis_transform(),
                    fontsize=9,
                    color=QUIET,
                    va="center",
                )
            axes.text(1.02, -0.75, "folds", transform=axes.get_yaxis_transform(), fontsize=9, color=QUIET, va="bottom")
    return figure


def resampled_roc(
    y: Labels01, scores: Scores, weights: Float[np.ndarray, "b n"], rates: Float[np.ndarray, " g"]
) -> Float[np.ndarray, "b g"]:
    """Return the true-positive rate at given false-positive rates in every resample.

    Args:
        y: 0/1 outcome per row, both classes present.
        scores: higher means more positive.
        weights: how often every row is drawn, one line per resample.
        rates: false-positive rates, ascending.

    Example:
        >>> y, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8])
        >>> resampled_roc(y, scores, np.ones((1, 4)), np.array([0.0, 0.5])).tolist()
        [[1.0, 1.0]]
    """
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    sorted_weights, positive = weights[:, order], y[order] == 1
    true = np.cumsum(sorted_weights * positive, axis=1)[:, last_of_ties]
    false = np.cumsum(sorted_weights * ~positive, axis=1)[:, last_of_ties]
    found = np.empty((len(weights), len(rates)))
    for place, (hits, alarms) in enumerate(zip(true / true[:, -1:], false / false[:, -1:], strict=True)):
        # At a vertical step np.interp takes the last of the equal abscissae, which is the upper end of the step.
        found[place] = np.interp(rates, np.append(0.0, alarms), np.append(0.0, hits))
    return found


def resample_weights(
    y: Labels01, patients: Integer[np.ndarray, " n"], rng: np.random.Generator
) -> Float[np.ndarray, "b n"]:
    """Return how often every row is drawn when patients are drawn with replacement within their class; 500 resamples, fewer for huge tables.

    Args:
        y: 0/1 outcome per row.
        patients: patient number (0, 1, ...) per row.
        rng: source of randomness.
    """
    n_resamples = int(np.clip(_CELLS // max(len(y), 1), 50, _RESAMPLES))
    n_patients = int(patients.max()) + 1
    share = np.bincount(patients, weights=y, minlength=n_patients) / np.bincount(patients, minlength=n_patients)
    kind = (share > 0).astype(int) + (share == 1)
    drawn = np.zeros((n_resamples, n_patients))
    for value in np.unique(kind):
        members = np.flatnonzero(kind == value)
        drawn[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=n_resamples)
    return drawn[:, patients]


def patients_of(scores: pd.DataFrame) -> Integer[np.ndarray, " n"]:
    """Return the patient number of every row; without a column `patient` every row is its own."""
    if "patient" not in scores.columns:
        return np.arange(len(scores))
    return np.unique(scores["patient"].astype(str).to_numpy(dtype=object), return_inverse=True)[1]


def calibration_caption(metrics: Mapping[str, Any]) -> str:
    """Return slope, intercept and calibration error in one sentence."""
    parts = [
        f"slope {_with_interval(metrics, 'calibration_slope', 2)} (1 is perfect; below 1: too extreme)",
        f"intercept {_with_interval(metrics, 'calibration_intercept', 2)} (0 is perfect)",
        f"expected calibration error {_with_interval(metrics, 'ece')}",
        f"Brier score {_with_interval(metrics, 'brier')}",
    ]
    return "; ".join(parts) + "."


def _with_interval(metrics: Mapping[str, Any], name: str, digits: int = 3) -> str:
    ends = metrics.get(f"{name}_ci")
    told = number(metrics.get(name), digits)
    return f"{told} [{interval(ends, digits)}]" if bounds(ends) else told


def _outcome(scores: pd.DataFrame) -> Labels01:
    return scores["y_true"].to_numpy(dtype=np.int64)


def _strongest(metrics: Mapping[str, Any], scores: pd.DataFrame) -> list[Mapping[str, Any]]:
    drawn = [
        row
        for row in metrics.get("baselines") or []
        if BASELINE_PREFIX + str(row["name"]) in scores.columns and known(row.get("auc"))
    ]
    return sorted(drawn, key=lambda row: (-float(row["auc"]), str(row["name"])))[:_MOST_BASELINES]


def _named(name: str, row: Mapping[str, Any]) -> str:
    area = f"{name}: {number(row.get('auc'), 2)}"
    return f"{area} ({interval(row.get('auc_ci'), 2)})" if bounds(row.get("auc_ci")) else area


def _draw_roc(axes: Axes, y: Labels01, scores: Scores, name: str, position: int) -> None:
    if len(np.unique(y)) < 2:
        return
    false, true, _ = roc_curve(y, scores)
    width = 2.0 if position == 0 else 1.3
    axes.plot(
        false,
        true,
        color=COLOURS[position],
        linestyle=LINE_STYLES[position],
        linewidth=width,
        label=name,
        zorder=3 - 0.1 * position,
    )


def _shortened(name: str, most: int = 44) -> str:
    short = name.replace("original_", "", 1) if "_original_" in name else name
    return short if len(short) <= most else f"{short[: most // 2 - 1]}\u2026{short[-(most // 2) :]}"


def _sign_colour(row: pd.Series) -> str:
    direction = row.get("coefficient_mean")
    if direction is None or not known(direction) or direction == 0:
        return QUIET
    return BLUE if direction > 0 else ORANGE
