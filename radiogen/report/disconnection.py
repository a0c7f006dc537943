"""What a tumour disconnects, on one page: through glass, over the case's own slices, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from radiogen.report.page import Figure as PageFigure
from radiogen.report.page import Section, Table, write_page
from radiogen.report.slices import VoxelSize, head_box, intensity_window, outline, plane_slice, slice_size_mm
from radiogen.report.style import DARK_INK, DARK_PAPER, DARK_QUIET, SKY, drawing, new_figure
from radiogen.types import LabelVolume, Volume

_COLUMNS, _ROWS, _CELL_IN = 4, 2, 2.2
_SHOWN_FROM = 0.05
_ASSUMPTION = (
    "The connections are those of a template, not of this patient: no diffusion image was looked at. That whatever lies inside the tumour is cut, "
    "and all else is not, is an assumption; brain that a tumour pushes aside is not moved back."
)


def density_figure(
    image: Volume,
    labels: LabelVolume,
    density: Volume,
    voxel_size_mm: VoxelSize,
    title: str = "",
    *,
    measure: str = "disconnected weight",
) -> Figure:
    """Draw axial slices of a case with the density of disconnected tracts over it and the outline of the whole tumour.

    Args:
        image: RAS intensities.
        labels: mask in radiogen's labels on the same voxels.
        density: 0 and above on the same voxels; the largest value is the brightest.
        voxel_size_mm: voxel size along the RAS axes, mm.
        title: written on top.
        measure: what the density is, for the scale.

    Example:
        >>> brain = np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)
        >>> figure = density_figure(brain, (brain > 0.9).astype(np.uint8), brain, (1.0, 1.0, 1.0))
        >>> len(figure.axes) >= 8
        True
    """
    box = head_box({"image": image}, labels, voxel_size_mm)
    width_mm, height_mm = slice_size_mm(box, voxel_size_mm, "axial")
    most = max(float(density.max(initial=0.0)), 1e-9)
    low, high = intensity_window(image)
    with drawing():
        figure = new_figure(_COLUMNS * _CELL_IN + 0.9, _ROWS * _CELL_IN * height_mm / width_mm + 0.7, dark=True)
        figure.suptitle(title, color=DARK_INK, fontsize=10)
        cells = np.ravel(figure.subplots(_ROWS, _COLUMNS))
        for axes, index in zip(cells, _slices(density, labels), strict=True):
            position = index - box[2].start
            extent = (0, width_mm, height_mm, 0)
            axes.imshow(plane_slice(image[box], "axial", position), cmap="gray", vmin=low, vmax=high, extent=extent)
            seen = np.ma.masked_less(plane_slice(density[box], "axial", position) / most, _SHOWN_FROM)
            axes.imshow(seen, cmap="inferno", vmin=0, vmax=1, extent=extent, alpha=0.75)
            inside = plane_slice((labels[box] > 0) & (labels[box] < 4), "axial", position)
            segments = outline(inside, (voxel_size_mm[0], voxel_size_mm[1]))
            axes.add_collection(LineCollection(list(segments), colors=SKY, linewidths=0.9), autolim=False)
            _letters(axes, f"{index + 1}/{image.shape[2]}")
        colours = ScalarMappable(Normalize(0, 1), "inferno")
        bar = figure.colorbar(colours, ax=cells.tolist(), shrink=0.7)
        bar.set_label(f"{measure}, share of the largest", color=DARK_INK, fontsize=8)
        bar.ax.tick_params(colors=DARK_QUIET, labelsize=8)
    return figure


def _slices(density: Volume, labels: Shaped[np.ndarray, "i j k"]) -> list[int]:
    """Return eight axial slices, evenly over where density is high or the tumour lies."""
    most = float(density.max(initial=0.0))
    seen = (density >= 0.1 * most).any(axis=(0, 1)) if most > 0 else np.zeros(density.shape[2], dtype=bool)
    filled = np.flatnonzero(seen | (labels > 0).any(axis=(0, 1)))
    first, last = (int(filled[0]), int(filled[-1])) if len(filled) else (0, density.shape[2] - 1)
    return [round(place) for place in np.linspace(first, last, _COLUMNS * _ROWS + 2)[1:-1].tolist()]


def _letters(axes: Axes, text: str) -> None:
    axes.set(xticks=[], yticks=[], facecolor=DARK_PAPER)
    for spine in axes.spines.values():
        spine.set_visible(False)
    style: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 8, "color": DARK_QUIET, "va": "top"}
    axes.text(0.02, 0.98, "R", ha="left", **style)
    axes.text(0.98, 0.98, "L", ha="right", **style)
    axes.text(0.5, 0.98, text, ha="center", **style)


def write_disconnection_page(
    path: str | Path,
    case: str,
    lead: str,
    figures: Mapping[str, tuple[Figure, str]],
    tables: Mapping[str, tuple[pd.DataFrame, str]],
    notes: list[str],
    provenance: Mapping[str, Any],
) -> None:
    """Write the page of one case.

    Args:
        path: the page.
        case: case id.
        lead: what the tumour disconnects, one sentence.
        figures: heading -> drawing and its caption.
        tables: heading -> table and its caption.
        notes: how the case was placed, what is missing.
        provenance: for the page's foot.

    Raises:
        OutputError: the page cannot be written.
    """
    sections = [Section(title, figures=[PageFigure(*drawn)]) for title, drawn in figures.items()]
    sections += [Section(title, tables=[Table(*told)]) for title, told in tables.items()]
    sections.append(Section("What this rests on", text=[_ASSUMPTION, *notes]))
    write_page(path, f"What the tumour disconnects: {case}", sections, lead=lead, provenance=provenance)
