"""Picture of tuning: what it gains on cases that it was not tuned on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radiogen.report.style import BLUE, GREEN, INK, QUIET, REGION_WORDS, VERMILLION, drawing, new_figure, quiet_axes
from radiogen.types import REGIONS

VARIANT_WORDS = {"untuned": "untuned", "tuned": "tuned", "clustered": "tuned per cluster"}
_COLOURS = {"untuned": QUIET, "tuned": BLUE, "clustered": GREEN}
_METRICS = {"dice": "Dice", "lesion-dice": "lesion-wise Dice"}
_WIDTH_IN, _HEIGHT_IN = 9.6, 4.2


def tuning_figure(scores: pd.DataFrame, summary: Mapping[str, Any]) -> Figure:
    """Draw the out-of-fold means per region, and the change of every case with the mean change and its interval.

    Args:
        scores: `case, region, untuned, tuned` and perhaps `clustered`, one row per held-out case and region.
        summary: of `pipeline.tune.summarise`.

    Example:
        >>> scores = pd.DataFrame({"case": ["a"], "region": ["wt"], "untuned": [0.5], "tuned": [0.7]})
        >>> change = {"mean": 0.2, "ci": [0.1, 0.3]}
        >>> regions = {"wt": {"untuned": 0.5, "tuned": 0.7, "tuned_difference": change}}
        >>> len(tuning_figure(scores, {"metric": "dice", "out_of_fold": {"regions": regions}}).axes)
        2
    """
    metric = _METRICS[summary["metric"]]
    by_region = summary["out_of_fold"]["regions"]
    regions = [name for name in REGIONS if name in by_region]
    variants = [name for name in VARIANT_WORDS if name in scores.columns]
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        left, right = figure.subplots(1, 2)
        for position, name in enumerate(variants):
            left.plot(
                np.arange(len(regions)) + 0.14 * (position - (len(variants) - 1) / 2),
                [by_region[region][name] for region in regions],
                linestyle="", marker="o", markersize=7, color=_COLOURS[name], label=VARIANT_WORDS[name],
            )  # fmt: skip
        left.set(ylabel=f"mean {metric}")
        left.set_title("On cases not tuned on", loc="left", fontsize=10)
        left.legend(frameon=False, fontsize=9)
        _changes(right, scores, by_region, regions, variants[1:])
        right.set(ylabel=f"{metric} tuned less untuned")
        right.set_title("Change of every case; mean and 95 % interval", loc="left", fontsize=10)
        for axes in (left, right):
            axes.set_xticks(range(len(regions)), [REGION_WORDS[region] for region in regions])
            axes.set_xlim(-0.5, len(regions) - 0.5)
            quiet_axes(axes, grid="y")
    return figure


def _changes(
    axes: Axes, scores: pd.DataFrame, by_region: Mapping[str, Any], regions: list[str], variants: list[str]
) -> None:
    axes.axhline(0, color=INK, linewidth=0.8)
    rng = np.random.default_rng(0)  # spreads the dots sideways, nothing else
    for number, variant in enumerate(variants):
        offset = 0.3 * (number - (len(variants) - 1) / 2)
        for position, region in enumerate(regions):
            rows = scores[scores["region"] == region]
            change = (rows[variant] - rows["untuned"]).to_numpy(dtype=float)
            at = position + offset
            axes.plot(
                at + rng.uniform(-0.06, 0.06, len(change)), change,
                linestyle="", marker=".", color=_COLOURS[variant], alpha=0.5,
            )  # fmt: skip
            found = by_region[region][f"{variant}_difference"]
            low, high = found["ci"]
            if np.isfinite([low, high]).all():
                axes.plot([at + 0.11] * 2, [low, high], color=VERMILLION, linewidth=1.5)
            axes.plot([at + 0.11], [found["mean"]], marker="D", color=VERMILLION, markersize=5)
