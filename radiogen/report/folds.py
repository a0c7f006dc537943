"""Picture of clusters and folds: who is near whom, and how the number of clusters was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radiogen.report.style import BLUE, COLOURS, PAPER, QUIET, VERMILLION, drawing, new_figure, quiet_axes

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_WIDTH_IN, _HEIGHT_IN = 10.4, 4.6


def folds_figure(
    scores: pd.DataFrame,
    cluster: pd.Series,
    fold: pd.Series,
    explained: Sequence[float],
    silhouettes: Mapping[int, float],
    refused: Mapping[int, str],
) -> Figure:
    """Draw the first two principal components of every case, and the silhouette of every number of clusters.

    Args:
        scores: principal components, one row per case.
        cluster: per case; its colour.
        fold: per case; its marker.
        explained: share of the variance per component.
        silhouettes: number of clusters -> mean silhouette.
        refused: numbers of clusters that could not be chosen -> why.

    Example:
        >>> scores = pd.DataFrame({"pc1": [0.0, 1.0, 2.0], "pc2": [0.0, 1.0, 0.5]})
        >>> numbers = pd.Series([0, 0, 1])
        >>> len(folds_figure(scores, numbers, numbers, (0.7, 0.3), {2: 0.4}, {}).axes)
        2
    """
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _scatter(left, scores, cluster, fold)
        _name_axes(left, explained)
        _silhouette(right, silhouettes, refused, int(cluster.nunique()))
    return figure


def _scatter(axes: Axes, scores: pd.DataFrame, cluster: pd.Series, fold: pd.Series) -> None:
    x = scores.iloc[:, 0].to_numpy()
    y = scores.iloc[:, 1].to_numpy() if scores.shape[1] > 1 else np.zeros(len(scores))
    clusters, folds = sorted(map(int, cluster.unique())), sorted(map(int, fold.unique()))
    for number in folds:
        for name in clusters:
            here = ((fold == number) & (cluster == name)).to_numpy()
            axes.scatter(
                x[here], y[here], s=34, color=_colour(name), marker=_marker(number), edgecolors=PAPER, linewidths=0.5
            )
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            color=_colour(name),
            label=f"cluster {name} ({int((cluster == name).sum())})",
        )
        for name in clusters
    ]
    handles += [
        Line2D(
            [],
            [],
            linestyle="",
            marker=_marker(number),
            color=QUIET,
            label=f"fold {number} ({int((fold == number).sum())})",
        )
        for number in folds
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    axes.set_title("Tumours by their radiomics", loc="left", fontsize=10)
    quiet_axes(axes)


def _name_axes(axes: Axes, explained: Sequence[float]) -> None:
    names = [f"component {number} ({share:.0%} of the variance)" for number, share in enumerate(explained[:2], start=1)]
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1] if len(names) > 1 else "")


def _silhouette(axes: Axes, silhouettes: Mapping[int, float], refused: Mapping[int, str], chosen: int) -> None:
    axes.set_title("Number of clusters", loc="left", fontsize=10)
    if not silhouettes:
        axes.text(0.5, 0.5, f"not chosen by silhouette: {chosen}", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    tried = sorted(silhouettes)
    axes.plot(tried, [silhouettes[k] for k in tried], color=BLUE, linewidth=1.3)
    for k in tried:
        face = PAPER if k in refused else BLUE
        axes.plot([k], [silhouettes[k]], marker="o", color=BLUE, markerfacecolor=face, markersize=6)
    if chosen in silhouettes:
        axes.plot([chosen], [silhouettes[chosen]], marker="o", color=VERMILLION, markersize=9)
    words = f"chosen: {chosen}" + ("; hollow: too uneven to spread over the folds" if refused else "")
    axes.set(xlabel=f"clusters\n{words}", ylabel="mean silhouette", xticks=tried)
    quiet_axes(axes)


def _colour(cluster: int) -> str:
    return COLOURS[cluster % len(COLOURS)]


def _marker(fold: int) -> str:
    return _MARKERS[fold % len(_MARKERS)]
