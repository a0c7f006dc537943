"""Pictures of a training: its curves, and what the network makes of one case."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radiogen.report.slices import intensity_window, labelled_regions, outline, plane_slice, slices_to_show
from radiogen.report.style import (
    BLUE,
    COLOURS,
    DARK_INK,
    GREEN,
    LINE_STYLES,
    REGION_COLOURS,
    REGION_WORDS,
    drawing,
    new_figure,
    quiet_axes,
)
from radiogen.types import REGIONS, LabelVolume, Volume

_WIDTH_IN, _HEIGHT_IN = 6.4, 7.2
_CELL_IN, _HEAD_IN = 2.4, 0.9


def curves_figure(log: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw loss, learning rate and, where it was measured, the held-out Dice of every region over the epochs.

    Args:
        log: one row per epoch: `epoch, learning_rate, loss` and a column per region; NaN where nothing was measured.
        title: written on top.

    Example:
        >>> log = pd.DataFrame({"epoch": [1, 2], "learning_rate": [0.1, 0.05], "loss": [1.0, 0.5], "wt": [None, 0.7]})
        >>> len(curves_figure(log).axes)
        3
    """
    measured = [name for name in REGIONS if name in log.columns and log[name].notna().any()]
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN if measured else _HEIGHT_IN * 2 / 3)
        rows = figure.subplots(3 if measured else 2, 1, sharex=True)
        _line(rows[0], log, "loss", "Loss", BLUE)
        if measured:
            for position, name in enumerate(measured):
                known = log[log[name].notna()]
                rows[1].plot(
                    known["epoch"],
                    known[name].astype(float),
                    color=COLOURS[position],
                    linestyle=LINE_STYLES[position],
                    marker="o",
                    markersize=3,
                    label=REGION_WORDS[name],
                )
            rows[1].set(ylabel="Held-out Dice", ylim=(0, 1))
            rows[1].legend(loc="lower right", frameon=False, fontsize=9)
            quiet_axes(rows[1])
        _line(rows[-1], log, "learning_rate", "Learning rate", GREEN)
        rows[-1].set_xlabel("Epoch")
        rows[-1].xaxis.get_major_locator().set_params(integer=True)
        if title:
            rows[0].set_title(title, loc="left", fontsize=10, parse_math=False)
        figure.align_ylabels()
    return figure


def sample_picture(
    images: Mapping[str, Volume], truth: LabelVolume, prediction: LabelVolume, *, title: str = ""
) -> Figure:
    """Draw the axial slice where the tumour is largest: image, image with the true outlines, image with the network's.

    Args:
        images: sequence -> image on the network's voxels, RAS, all of one shape; the last is drawn (FLAIR where there is one).
        truth: reference labels.
        prediction: the network's labels.
        title: written on top.

    Example:
        >>> brain = np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)
        >>> labels = np.zeros((12, 14, 10), np.uint8); labels[4:8, 5:9, 3:6] = 3
        >>> len(sample_picture({"t2f": brain}, labels, labels).axes)
        3
    """
    name = list(images)[-1]
    image = images[name]
    index = slices_to_show({name: image}, truth if truth.any() else prediction)[2]
    pixels = plane_slice(image, "axial", index)
    height = _CELL_IN * pixels.shape[0] / pixels.shape[1]
    with drawing():
        figure = new_figure(3 * _CELL_IN, height + _HEAD_IN, dark=True)
        cells = figure.subplots(1, 3)
        for axes, words, labels in zip(cells, (name, "reference", "network"), (None, truth, prediction), strict=True):
            _slice(axes, pixels, intensity_window(image))
            axes.set_title(words, fontsize=9, color=DARK_INK)
            if labels is not None:
                _outlines(axes, labels, index)
        figure.suptitle(title, fontsize=10, color=DARK_INK, parse_math=False)
        handles = [Line2D([], [], color=REGION_COLOURS[region], label=REGION_WORDS[region]) for region in REGIONS]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=DARK_INK
        )
    return figure


def _line(axes: Axes, log: pd.DataFrame, column: str, words: str, colour: str) -> None:
    axes.plot(log["epoch"], log[column].astype(float), color=colour, linewidth=1.3)
    axes.set_ylabel(words)
    quiet_axes(axes)


def _slice(axes: Axes, pixels: np.ndarray, window: tuple[float, float]) -> None:
    rows, columns = pixels.shape
    axes.imshow(pixels, cmap="gray", vmin=window[0], vmax=window[1], extent=(0, columns, rows, 0), aspect="equal")
    axes.set(xticks=[], yticks=[], facecolor="none")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _outlines(axes: Axes, labels: LabelVolume, index: int) -> None:
    for name, region in labelled_regions(labels).items():
        if name in REGION_COLOURS:
            segments = outline(plane_slice(region, "axial", index), (1.0, 1.0))
            axes.add_collection(
                LineCollection(list(segments), colors=REGION_COLOURS[name], linewidths=1.1), autolim=False
            )
