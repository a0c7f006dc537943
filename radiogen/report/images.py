"""Pictures of cases: three planes, every sequence, the outline of the mask.

Pictures follow the radiological convention, and say so with the letters R and L: the patient's right is on the left of the picture, as if seen
from the feet (axial) or from the front (coronal). In sagittal slices the front of the head is on the left. Voxels keep their physical shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radiogen.errors import GeometryError
from radiogen.report.slices import (
    AXES_SEEN,
    PLANES,
    VoxelSize,
    head_box,
    intensity_window,
    labelled_regions,
    outline,
    plane_slice,
    regions_present,
    slice_size_mm,
    slices_to_show,
)
from radiogen.report.style import (
    DARK_INK,
    DARK_QUIET,
    PICTURE_DPI,
    REGION_COLOURS,
    REGION_WORDS,
    SEQUENCE_WORDS,
    drawing,
    new_figure,
)
from radiogen.types import SEQUENCES, LabelVolume, Volume

_EDGES = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}
_LINE_WIDTHS = {"tc": 2.4, "et": 0.9}  # their outlines often coincide: the wide one stays visible under the narrow one
_CONVENTION = "radiological: R = patient's right"
_CELL_IN, _GAP_IN, _SIDE_IN, _HEAD_IN, _FOOT_IN = 2.1, 0.05, 0.3, 0.72, 0.36
_SHEET_CELL_IN, _SHEET_SIDE_IN, _MOST_ROWS = 1.45, 1.5, 100


def case_picture(
    images: Mapping[str, Volume], labels: LabelVolume | None, voxel_size_mm: VoxelSize, title: str = ""
) -> Figure:
    """Draw one case: rows are planes, columns are the sequences it has, lines are the outlines of the tumour regions.

    Args:
        images: sequence name -> intensities, RAS, all of one shape, at least one.
        labels: mask in radiogen's labels on the same voxels, or None.
        voxel_size_mm: voxel size along the RAS axes, mm.
        title: written on top, usually the case id.

    Returns:
        A figure on a dark ground, for `style.save_png` or `page.Figure`.

    Raises:
        GeometryError: there is no sequence, or the sequences are not on the same voxels.

    Example:
        >>> import numpy as np
        >>> brain = np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)
        >>> len(case_picture({"t1c": brain}, None, (1.0, 1.0, 1.0), "case 7").axes)
        3
    """
    names = _ordered(images)
    shape = next(iter(images.values())).shape
    index = slices_to_show(images, labels)
    box = head_box(images, labels, voxel_size_mm)
    seen_mm = {plane: slice_size_mm(box, voxel_size_mm, plane) for plane in PLANES}
    inches_per_mm = _CELL_IN / max(max(size) for size in seen_mm.values())
    width_in = inches_per_mm * max(size[0] for size in seen_mm.values())
    heights_in = {plane: inches_per_mm * size[1] for plane, size in seen_mm.items()}
    left_in = _SIDE_IN + 0.5 * max(0.0, 4.2 - _SIDE_IN - len(names) * (width_in + _GAP_IN))  # room for the legend
    with drawing():
        figure = new_figure(
            2 * left_in - _SIDE_IN + len(names) * (width_in + _GAP_IN),
            _HEAD_IN + sum(heights_in.values()) + 2 * _GAP_IN + _FOOT_IN,
            dark=True,
        )
        figure.set_layout_engine("none")
        top_in = figure.get_figheight() - _HEAD_IN
        for plane, axis in PLANES.items():
            for column, name in enumerate(names):
                corner = (left_in + column * (width_in + _GAP_IN), top_in - heights_in[plane])
                axes = _add_axes(figure, corner, (width_in, heights_in[plane]))
                _draw_slice(axes, images[name], labels, plane, index[axis], voxel_size_mm, box)
                if plane == "axial":
                    _name_column(axes, name)
            middle_in = top_in - heights_in[plane] / 2
            _name_plane(figure, f"{plane} {index[axis] + 1}/{shape[axis]}", left_in, middle_in)
            top_in -= heights_in[plane] + _GAP_IN
        _scale_bar(figure.axes[0])
        _title_and_legend(figure, title, regions_present([labels]))
    return figure


def contact_sheet(
    cases: Mapping[str, tuple[Mapping[str, Volume], LabelVolume | None, VoxelSize]], *, title: str = ""
) -> Figure:
    """Draw many cases on one sheet: one row per case, one column per sequence, axial; an absent sequence is a box that says so.

    Args:
        cases: case id -> its images (RAS, one shape), its mask in radiogen's labels or None, and its voxel size, mm. Of more than 100 cases the
            first 100 are drawn, and the sheet says so.
        title: written on top.

    Returns:
        A figure on a dark ground; its height grows with the number of cases.

    Raises:
        ValueError: no case is given.
        GeometryError: the sequences of a case are not on the same voxels.
    """
    if not cases:
        raise ValueError("contact_sheet needs at least one case.")
    shown = dict(islice(cases.items(), _MOST_ROWS))
    columns = [*SEQUENCES, *sorted({name for images, _, _ in shown.values() for name in images} - set(SEQUENCES))]
    cell_in = _SHEET_CELL_IN if len(shown) <= 60 else 0.8
    if len(shown) < len(cases):
        title = f"{title} (first {len(shown)} of {len(cases)} cases)".strip()
    with drawing():
        figure = new_figure(
            _SHEET_SIDE_IN + len(columns) * (cell_in + _GAP_IN) + 0.1,
            _HEAD_IN + len(shown) * (cell_in + _GAP_IN) + _FOOT_IN,
            dark=True,
        )
        figure.set_layout_engine("none")
        for row, (case, (images, labels, voxel_size_mm)) in enumerate(shown.items()):
            _ = _ordered(images) if images else []  # checks the shapes
            bottom_in = figure.get_figheight() - _HEAD_IN - (row + 1) * (cell_in + _GAP_IN) + _GAP_IN
            for column, name in enumerate(columns):
                corner = (_SHEET_SIDE_IN + column * (cell_in + _GAP_IN), bottom_in)
                axes = _add_axes(figure, corner, (cell_in, cell_in))
                _draw_cell(axes, images, labels, voxel_size_mm, name)
                if row == 0:
                    _name_column(axes, name)
            _name_row(figure, case, bottom_in + cell_in / 2)
        _title_and_legend(figure, title, regions_present([labels for _, labels, _ in shown.values()]))
    return figure


def _ordered(images: Mapping[str, Volume]) -> list[str]:
    shapes = {name: image.shape for name, image in images.items()}
    if len(set(shapes.values())) != 1:
        problems = [f"{name}: {'x'.join(map(str, shape))} voxels" for name, shape in shapes.items()]
        raise GeometryError(
            "A picture needs sequences on the same voxels, at least one:",
            problems=problems,
            hint="Co-register them first.",
        )
    return [*(name for name in SEQUENCES if name in images), *sorted(set(images) - set(SEQUENCES))]


def _add_axes(figure: Figure, corner_in: tuple[float, float], size_in: tuple[float, float]) -> Axes:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((corner_in[0] / width, corner_in[1] / height, size_in[0] / width, size_in[1] / height))
    axes.set(xticks=[], yticks=[], facecolor="none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _draw_slice(
    axes: Axes,
    image: Volume,
    labels: LabelVolume | None,
    plane: str,
    index: int,
    voxel_size_mm: VoxelSize,
    box: tuple[slice, slice, slice],
) -> None:
    width_mm, height_mm = slice_size_mm(box, voxel_size_mm, plane)
    scale = min(1.0, axes.bbox.width / PICTURE_DPI / _CELL_IN)
    low, high = intensity_window(image)
    position = index - box[PLANES[plane]].start
    pixels = plane_slice(image[box], plane, position)
    axes.imshow(pixels, cmap="gray", vmin=low, vmax=high, extent=(0, width_mm, height_mm, 0), aspect="equal")
    if labels is not None:
        across, up = AXES_SEEN[plane]
        pixel_mm = (voxel_size_mm[across], voxel_size_mm[up])
        for name, region in labelled_regions(labels[box]).items():
            segments = outline(plane_slice(region, plane, position), pixel_mm)
            width = scale * _LINE_WIDTHS.get(name, 1.1)
            lines = LineCollection(list(segments), colors=_colour(name), linewidths=width, capstyle="projecting")
            axes.add_collection(lines, autolim=False)
    first, last = _EDGES[plane]
    axes.text(0.02, 0.98, first, transform=axes.transAxes, fontsize=8, color=DARK_QUIET, ha="left", va="top")
    axes.text(0.98, 0.98, last, transform=axes.transAxes, fontsize=8, color=DARK_QUIET, ha="right", va="top")


def _draw_cell(
    axes: Axes, images: Mapping[str, Volume], labels: LabelVolume | None, voxel_size_mm: VoxelSize, name: str
) -> None:
    if name not in images:
        axes.text(0.5, 0.5, "missing", transform=axes.transAxes, fontsize=9, color=DARK_QUIET, ha="center", va="center")
        for spine in axes.spines.values():
            spine.set(visible=True, color=DARK_QUIET, linestyle=(0, (4, 4)), linewidth=0.8)
        return
    index = slices_to_show(images, labels)[PLANES["axial"]]
    _draw_slice(axes, images[name], labels, "axial", index, voxel_size_mm, head_box(images, labels, voxel_size_mm))


def _name_column(axes: Axes, name: str) -> None:
    words = SEQUENCE_WORDS.get(name)
    axes.set_title(
        name if words is None else f"{name}  ({words})", fontsize=8.5, color=DARK_INK, pad=4, parse_math=False
    )


def _name_plane(figure: Figure, words: str, right_in: float, middle_in: float) -> None:
    position = ((right_in - 0.08) / figure.get_figwidth(), middle_in / figure.get_figheight())
    figure.text(*position, words, fontsize=8, color=DARK_QUIET, rotation=90, ha="right", va="center")


def _name_row(figure: Figure, case: str, middle_in: float) -> None:
    shown = case[:96]
    width = math.ceil(len(shown) / max(1, math.ceil(len(shown) / 24)))
    lines = [shown[start : start + width] for start in range(0, len(shown), max(width, 1))]
    figure.text(
        (_SHEET_SIDE_IN - 0.08) / figure.get_figwidth(), middle_in / figure.get_figheight(), "\n".join(lines),
        fontsize=7, color=DARK_INK, ha="right", va="center", parse_math=False,
    )  # fmt: skip


def _scale_bar(axes: Axes) -> None:
    width, height = axes.get_xlim()[1], max(axes.get_ylim())
    length = next(mm for mm in (50, 20, 10, 5, 2, 1, width / 4) if mm <= width / 2.5)
    x, y = 0.04 * width, 0.965 * height
    axes.plot([x, x + length], [y, y], color=DARK_INK, linewidth=1.6, solid_capstyle="butt")
    axes.text(x, y - 0.02 * height, f"{length / 10:g} cm", fontsize=7, color=DARK_INK, ha="left", va="bottom")


def _title_and_legend(figure: Figure, title: str, regions: list[str]) -> None:
    height = figure.get_figheight()
    size = min(11.0, 72 * (figure.get_figwidth() - 2 * _SIDE_IN) / (0.62 * max(len(title), 1)))
    figure.text(
        _SIDE_IN / figure.get_figwidth(),
        1 - 0.12 / height,
        title,
        fontsize=size,
        color=DARK_INK,
        va="top",
        parse_math=False,
    )
    foot = 0.13 / height
    figure.text(
        1 - 0.08 / figure.get_figwidth(), foot, _CONVENTION, fontsize=7.5, color=DARK_QUIET, ha="right", va="center"
    )
    handles = [
        Line2D([], [], color=_colour(name), linewidth=2, label=REGION_WORDS.get(name, "resection cavity"))
        for name in regions
    ]
    if handles:
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(_SIDE_IN / figure.get_figwidth(), 1 - 0.3 / height), ncols=len(handles),
            frameon=False, fontsize=7.5, labelcolor=DARK_INK, borderpad=0, borderaxespad=0, handlelength=1.4, columnspacing=1.2,
        )  # fmt: skip
    else:
        figure.text(
            _SIDE_IN / figure.get_figwidth(), 1 - 0.36 / height, "no mask", fontsize=7.5, color=DARK_QUIET, va="center"
        )


def _colour(region: str) -> str:
    return REGION_COLOURS.get(region, DARK_INK)
