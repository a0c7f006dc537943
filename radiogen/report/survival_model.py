"""Figures and page sections of a survival model: concordance of each model, accuracy over time, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from radiogen.evaluate.survival import MONTH
from radiogen.report.page import Figure, Section, Table
from radiogen.report.style import COLOURS, HAIR, LINE_STYLES, QUIET, new_figure, quiet_axes

_ORDER = ("image", "clinical", "clinical+image", "everybody alike")


def risk_model_figures(judged: Mapping[str, Any]) -> Canvas:
    """Draw concordance with intervals, Brier score over time, and the image model's calibration at every horizon.

    Args:
        judged: of `evaluate.survival_risk.judge_risks`.
    """
    figure = new_figure(9.6, 3.5)
    axes = figure.subplots(1, 3)
    models = _ordered(judged)
    _draw_concordance(axes[0], models)
    _draw_brier(axes[1], models, judged["horizons_days"])
    _draw_calibration(axes[2], next((row for row in models if row["model"] == "image"), {}))
    return figure


def _ordered(judged: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    by_name = {row["model"]: row for row in judged["models"]}
    return [by_name[name] for name in _ORDER if name in by_name]


def _draw_concordance(axes: Axes, models: list[Mapping[str, Any]]) -> None:
    shown = [row for row in models if "c_index" in row]
    for place, row in enumerate(shown):
        low, high = row["c_index_ci"]
        axes.plot([low, high], [place, place], color=COLOURS[_ORDER.index(row["model"])], linewidth=1.6)
        axes.plot(row["c_index"], place, "o", color=COLOURS[_ORDER.index(row["model"])], markersize=6)
    axes.axvline(0.5, color=QUIET, linewidth=0.9)
    axes.set_yticks(range(len(shown)), [row["model"] for row in shown])
    axes.set(xlabel="Harrell's C, out of fold [95 % CI]", ylim=(len(shown) - 0.4, -0.6), xlim=(0.4, 1.0))
    quiet_axes(axes, grid="x")


def _draw_brier(axes: Axes, models: list[Mapping[str, Any]], horizons: list[float]) -> None:
    months = [horizon / MONTH for horizon in horizons]
    for row in models:
        number = _ORDER.index(row["model"])
        axes.plot(
            months, row["brier"], marker="o", markersize=4, color=COLOURS[number], linestyle=LINE_STYLES[number], label=row["model"]
        )  # fmt: skip
        for month, (low, high) in zip(months, row["brier_ci"], strict=True):
            beside = month + (number - 1.5) * 0.35  # so that intervals do not cover one another
            axes.plot([beside, beside], [low, high], color=COLOURS[number], linewidth=0.9)
    axes.set(xlabel="Months since time zero", ylabel="Brier score [95 % CI]; 0 is perfect", ylim=(0, None))
    axes.set_xticks(months, [f"{month:.0f}" for month in months])
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    quiet_axes(axes)


def _draw_calibration(axes: Axes, image: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color=HAIR, linewidth=1)
    for number, item in enumerate(image.get("calibration", [])):
        groups = [row for row in item["groups"] if row["observed"] is not None]
        label = f"{item['horizon_days'] / MONTH:.0f} months"
        for row in groups:
            axes.plot([row["predicted"]] * 2, [row["lower"], row["upper"]], color=COLOURS[number], linewidth=0.9)
        axes.plot(
            [row["predicted"] for row in groups], [row["observed"] for row in groups],
            marker="os^Dv"[number % 5], color=COLOURS[number], linewidth=1, markersize=4.5, label=label,
        )  # fmt: skip
    axes.set(
        xlabel="Probability predicted by the image", ylabel="Share alive, observed [95 % CI]", xlim=(0, 1), ylim=(0, 1)
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    quiet_axes(axes)


def risk_model_sections(judged: Mapping[str, Any]) -> list[Section]:
    """Return the page's sections on a risk model.

    Args:
        judged: of `evaluate.survival_risk.judge_risks`, with `kind`, `split`, `n_features`, `notes`.
    """
    held = "whole sites held out" if judged["split"] == "site-held-out" else "patients held out in folds"
    text = [
        f"Model {judged['kind']} on {judged['n_features']} columns, {held}; preparation, penalty, slope, baseline hazard and the cut of the"
        " groups come from each training side alone.",
        *_adds(judged["image_adds"]),
        *judged["notes"],
    ]
    caption = (
        "Left: concordance with 95 % bootstrap intervals. Middle: error of predicted survival; 'everybody alike' is the Kaplan-Meier curve of"
        " the training side. Right: predicted against observed survival in fifths of the patients."
    )
    figures = [Figure(risk_model_figures(judged), caption)]
    return [
        Section(
            "What the risk model is worth",
            text=text,
            figures=figures,
            tables=[
                Table(_table(judged), "All out of fold, with 95 % intervals (patients resampled)."),
                Table(
                    _horizon_table(judged),
                    "At each horizon. Observed / expected deaths: 1 is right, above 1 too few were expected.",
                ),
            ],
        )
    ]


def _adds(adds: Mapping[str, Any] | None) -> list[str]:
    if adds is None:
        return ["No clinical fact was known for enough patients: whether the image adds to them cannot be said."]
    low, high = adds["c_index_change_ci"]
    p = adds["likelihood_ratio_p"]
    tested = (
        ""
        if p is None
        else f"; likelihood-ratio test of the image's out-of-fold risk in one Cox model with them: p = {p:.2g}"
    )
    return [
        f"Beside {'; '.join(adds['clinical'])}: change in C {adds['c_index_change']:+.3f} [{low:+.3f}, {high:+.3f}]{tested}."
    ]


def _table(judged: Mapping[str, Any]) -> pd.DataFrame:
    rows = [
        {
            "model": model["model"],
            "n (deaths)": f"{model['n']} ({model['n_events']})",
            "Harrell's C [95 % CI]": _with_interval(model, "c_index"),
            "Uno's C [95 % CI]": _with_interval(model, "uno_c"),
            "integrated Brier [95 % CI]": _with_interval(model, "integrated_brier"),
        }
        for model in _ordered(judged)
    ]
    return pd.DataFrame(rows)


def _horizon_table(judged: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for place, horizon in enumerate(judged["horizons_days"]):
        for model in _ordered(judged):
            at = {
                **{key: model[key][place] for key in ("auc", "auc_ci", "brier", "brier_ci") if key in model},
                **model.get("calibration", [{}] * (place + 1))[place],
            }
            rows.append(
                {
                    "months": f"{horizon / MONTH:.0f}",
                    "model": model["model"],
                    "AUC [95 % CI]": _with_interval(at, "auc"),
                    "Brier score [95 % CI]": _with_interval(at, "brier"),
                    "observed / expected deaths [95 % CI]": _with_interval(at, "observed_to_expected"),
                }
            )
    return pd.DataFrame(rows)


def _with_interval(found: Mapping[str, Any], key: str) -> str:
    if found.get(key) is None:
        return ""
    low, high = found[f"{key}_ci"]
    return f"{found[key]:.3f}" if low is None else f"{found[key]:.3f} [{low:.3f}, {high:.3f}]"
