"""Colours, fonts and byte-stable saving of every figure."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radiogen.run.atomic import writing

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
"""Eight colours that colour-blind readers tell apart.

Source: Okabe & Ito 2008, Color Universal Design, jfly.uni-koeln.de/color.
"""

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Cycle for lines on white; yellow is left out because it vanishes there."""

LINE_STYLES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)), (0, (1, 1)), (0, (4, 4)))
"""Cycle beside `COLOURS`, so that lines differ in print without colour as well."""

REGION_COLOURS = {"wt": SKY, "tc": YELLOW, "et": VERMILLION}
"""Outline of each tumour region on a dark picture."""

REGION_WORDS = {"wt": "whole tumour", "tc": "tumour core", "et": "enhancing tumour"}

SEQUENCE_WORDS = {"t1n": "T1 native", "t1c": "T1 contrast", "t2w": "T2", "t2f": "T2 FLAIR"}

INK, QUIET, HAIR, PAPER = "#1F2328", "#59636E", "#D5D9DE", "#FFFFFF"
DARK_PAPER, DARK_INK, DARK_QUIET = "#0B0D10", "#F2F4F7", "#A9B3BF"

PICTURE_DPI = 110
"""Resolution of pictures with MR images; everything else is drawn as vectors."""

_RC: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "svg.hashsalt": "radiogen",
    "svg.fonttype": "path",
    "svg.image_inline": True,
    "savefig.facecolor": "auto",
    "savefig.edgecolor": "auto",
    "savefig.bbox": None,
    "savefig.transparent": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with radiogen's fonts whatever the user's own matplotlib settings are; they are put back afterwards."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(width_in: float = 6.4, height_in: float = 4.4, *, dark: bool = False) -> Figure:
    """Return an empty figure that lays itself out.

    Args:
        width_in: width, inches.
        height_in: height, inches.
        dark: on a dark ground, for MR images.
    """
    return Figure(
        figsize=(width_in, height_in), layout="constrained", dpi=PICTURE_DPI, facecolor=DARK_PAPER if dark else PAPER
    )


def quiet_axes(axes: Axes, *, grid: Literal["both", "x", "y"] = "both") -> None:
    """Take away every line of an axes that carries no information, and draw a faint grid.

    Args:
        axes: to change.
        grid: which lines of the grid to draw.
    """
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
    axes.tick_params(labelsize=9, color=QUIET, labelcolor=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(visible=True, axis=grid, color=HAIR, linewidth=0.6)
    axes.set_axisbelow(True)


def svg(fig: Figure) -> str:
    """Return a figure as SVG text; the same figure gives the same bytes, without a date.

    Args:
        fig: a figure made without pyplot.
    """
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with drawing():
        fig.savefig(buffer, format="svg", metadata=nothing)
    return buffer.getvalue()


def png(fig: Figure) -> bytes:
    """Return a figure as PNG bytes, without software name or date.

    Args:
        fig: a figure made without pyplot.
    """
    buffer = io.BytesIO()
    with drawing():
        fig.savefig(buffer, format="png", dpi=fig.dpi, metadata={"Software": None})
    return buffer.getvalue()


def save_png(fig: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically, without software name or date.

    Args:
        fig: a figure made without pyplot.
        path: the file.

    Raises:
        OutputError: the file cannot be written.
    """
    content = png(fig)
    with writing(path) as beside:
        beside.write_bytes(content)
