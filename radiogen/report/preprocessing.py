"""One picture per preprocessed case: three planes, four sequences, the brain's outline, the reference's edges, what is wrong in words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import gaussian_filter

from radiogen.errors import GeometryError
from radiogen.preprocess.quality import CaseQuality
from radiogen.report.slices import PLANES, intensity_window, outline, plane_slice, slice_size_mm, slices_to_show
from radiogen.report.style import (
    DARK_INK,
    DARK_QUIET,
    ORANGE,
    SEQUENCE_WORDS,
    SKY,
    YELLOW,
    drawing,
    new_figure,
    save_png,
)
from radiogen.types import SEQUENCES, Mask, Volume

REFERENCES = ("t1c", "t1n", "t2f", "t2w")
"""The first of these that a case has gives the edges drawn on the others, unless the caller names another."""

_CONVENTION = "radiological: R = patient's right; sagittal: front on the left"
_SIDES = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}
_CELL_IN, _GAP_IN, _SIDE_IN, _LINE_IN, _FOOT_IN = 2.2, 0.05, 0.3, 0.17, 0.45
_MARGIN_MM = 12.0
_EDGE_SHARE = 0.06
_MOST_FLAGS = 8
_Box = tuple[slice, slice, slice]


def write_case_sheet(
    path: str | Path,
    case: str,
    images: Mapping[str, Volume],
    brain: Mask,
    quality: CaseQuality,
    before: Mapping[str, Volume] | None = None,
    choices: Mapping[str, str] | None = None,
    *,
    voxel_mm: float = 1.0,
    reference: str = "",
) -> None:
    """Write the picture of one case as PNG, atomically; see `case_sheet`.

    Raises:
        OutputError: the file cannot be written.
        GeometryError: there is no sequence, or images and brain are not on the same voxels.
    """
    figure = case_sheet(case, images, brain, quality, before, choices, voxel_mm=voxel_mm, reference=reference)
    save_png(figure, path)


def case_sheet(
    case: str,
    images: Mapping[str, Volume],
    brain: Mask,
    quality: CaseQuality,
    before: Mapping[str, Volume] | None = None,
    choices: Mapping[str, str] | None = None,
    *,
    voxel_mm: float = 1.0,
    reference: str = "",
) -> Figure:
    """Draw one case after preprocessing: rows are planes, columns the four sequences; a missing one is a box that says so.

    Args:
        case: case id.
        images: sequence -> image on the common grid, RAS.
        brain: on the same voxels; its outline is drawn.
        quality: flags are written above the pictures.
        before: sequence -> the same images with the head on; shown instead of `images` where given, so that the outline can be judged.
        choices: sequence -> how it was identified, a few words.
        voxel_mm: voxel edge, mm.
        reference: the sequence whose edges are drawn on the others.

    Returns:
        A figure on a dark ground.

    Raises:
        GeometryError: there is no sequence, or images and brain are not on the same voxels.

    Example:
        >>> brain = np.zeros((30, 34, 28), bool); brain[5:-5, 5:-5, 5:-5] = True
        >>> image = np.where(brain, np.random.default_rng(0).random(brain.shape), 0).astype(np.float32)
        >>> sheet = case_sheet("case 7", {"t1c": image}, brain, CaseQuality({}, ("t1n, t2w, t2f missing.",)))
        >>> len(sheet.axes)
        12
    """
    shown = {name: (before or {}).get(name, image) for name, image in images.items()}
    _check(shown, brain)
    reference = (
        reference if reference in shown else next((name for name in REFERENCES if name in shown), next(iter(shown)))
    )
    edges = _edges(images[reference], brain, voxel_mm)
    index = slices_to_show({"brain": brain.astype(np.float32)}, None)
    box = _box(brain, voxel_mm)
    lines = _header(quality, choices or {})
    size_mm = (voxel_mm, voxel_mm, voxel_mm)
    seen_mm = {plane: slice_size_mm(box, size_mm, plane) for plane in PLANES}
    inches_per_mm = _CELL_IN / max(max(size) for size in seen_mm.values())
    width_in = inches_per_mm * max(size[0] for size in seen_mm.values())
    heights_in = {plane: inches_per_mm * size[1] for plane, size in seen_mm.items()}
    head_in = 0.62 + _LINE_IN * len(lines)
    with drawing():
        figure = new_figure(
            _SIDE_IN + len(SEQUENCES) * (width_in + _GAP_IN) + 0.1,
            head_in + sum(heights_in.values()) + 2 * _GAP_IN + _FOOT_IN,
            dark=True,
        )
        figure.set_layout_engine("none")
        top_in = figure.get_figheight() - head_in
        for plane, axis in PLANES.items():
            for column, name in enumerate(SEQUENCES):
                corner = (_SIDE_IN + column * (width_in + _GAP_IN), top_in - heights_in[plane])
                axes = _axes(figure, corner, (width_in, heights_in[plane]))
                if plane == "axial":
                    axes.set_title(_column(name, reference), fontsize=8.5, color=DARK_INK, pad=4)
                if name not in shown:
                    _missing(axes)
                    continue
                drawn = None if name == reference else edges
                _slice(axes, shown[name], brain, drawn, plane, index[axis], size_mm, box)
            middle = (top_in - heights_in[plane] / 2) / figure.get_figheight()
            figure.text(0.2 / figure.get_figwidth(), middle, plane, fontsize=8, color=DARK_QUIET, rotation=90, ha="center", va="center")  # fmt: skip
            top_in -= heights_in[plane] + _GAP_IN
        _words(figure, case, lines, reference)
    return figure


def thumbnail(image: Volume, brain: Mask, *, pixels: int = 110) -> Figure:
    """Draw the middle axial slice of a case with its brain's outline, small, without words.

    Args:
        image: one sequence, RAS.
        brain: on the same voxels.
        pixels: width and height.
    """
    _check({"image": image}, brain)
    index = slices_to_show({"brain": brain.astype(np.float32)}, None)[PLANES["axial"]]
    box = _box(brain, 1.0)
    with drawing():
        figure = new_figure(pixels / 110, pixels / 110, dark=True)
        figure.set_layout_engine("none")
        axes = _axes(figure, (0.0, 0.0), (figure.get_figwidth(), figure.get_figheight()))
        _slice(axes, image, brain, None, "axial", index, (1.0, 1.0, 1.0), box, letters=False)
    return figure


def _check(images: Mapping[str, Volume], brain: Mask) -> None:
    problems = [
        f"{name}: {image.shape}, brain: {brain.shape}" for name, image in images.items() if image.shape != brain.shape
    ]
    if problems or not images:
        raise GeometryError(
            "A case sheet needs at least one sequence, on the voxels of the brain:",
            problems=problems,
            hint="Bring the sequences onto one grid first.",
        )


def _edges(image: Volume, brain: Mask, voxel_mm: float) -> Bool[np.ndarray, "i j k"]:
    """Return the sharpest edges of the reference inside the brain: what a registration must bring into line."""
    # Clipped, so that vessels and enhancement do not take all of the share that is drawn.
    low, high = np.percentile(image[brain], [2, 90]) if brain.any() else (0.0, 1.0)
    smooth = gaussian_filter(np.clip(image, low, high), 1.0 / voxel_mm)
    strength = np.sqrt(sum(np.gradient(smooth, axis=axis) ** 2 for axis in range(3)))
    if not brain.any():
        return np.zeros(brain.shape, bool)
    inner = gaussian_filter(brain.astype(np.float32), 3.0 / voxel_mm) > 0.9  # its rim would repeat the brain's outline
    inner = inner if inner.any() else brain
    return np.asarray(inner & (strength > np.quantile(strength[inner], 1 - _EDGE_SHARE)))


def _box(brain: Mask, voxel_mm: float) -> _Box:
    margin = round(_MARGIN_MM / voxel_mm)
    slices = []
    for axis in range(3):
        along = np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(along[0]), int(along[-1])) if along.size else (0, brain.shape[axis] - 1)
        slices.append(slice(max(first - margin, 0), min(last + margin + 1, brain.shape[axis])))
    return slices[0], slices[1], slices[2]


def _axes(figure: Figure, corner_in: tuple[float, float], size_in: tuple[float, float]) -> Axes:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((corner_in[0] / width, corner_in[1] / height, size_in[0] / width, size_in[1] / height))
    axes.set(xticks=[], yticks=[], facecolor="none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _slice(
    axes: Axes,
    image: Volume,
    brain: Mask,
    edges: Mask | None,
    plane: str,
    index: int,
    size_mm: tuple[float, float, float],
    box: _Box,
    *,
    letters: bool = True,
) -> None:
    width_mm, height_mm = slice_size_mm(box, size_mm, plane)
    position = index - box[PLANES[plane]].start
    low, high = intensity_window(np.where(brain, image, image.min()) if brain.any() else image)
    pixels = plane_slice(image[box], plane, position)
    axes.imshow(pixels, cmap="gray", vmin=low, vmax=high, extent=(0, width_mm, height_mm, 0), aspect="equal")
    if edges is not None:
        marked = plane_slice(edges[box], plane, position)
        overlay = np.ma.masked_where(~marked, marked.astype(float))
        axes.imshow(
            overlay,
            cmap=ListedColormap([SKY]),
            extent=(0, width_mm, height_mm, 0),
            aspect="equal",
            interpolation="nearest",
            alpha=0.7,
        )
    segments = outline(plane_slice(brain[box], plane, position), (size_mm[0], size_mm[0]))
    axes.add_collection(LineCollection(list(segments), colors=YELLOW, linewidths=0.8), autolim=False)
    if letters:
        for where, letter, side in ((0.02, _SIDES[plane][0], "left"), (0.98, _SIDES[plane][1], "right")):
            axes.text(where, 0.98, letter, transform=axes.transAxes, fontsize=8, color=DARK_QUIET, ha=side, va="top")


def _missing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "missing", transform=axes.transAxes, fontsize=9, color=DARK_QUIET, ha="center", va="center")
    for spine in axes.spines.values():
        spine.set(visible=True, color=DARK_QUIET, linestyle=(0, (4, 4)), linewidth=0.8)


def _column(name: str, reference: str) -> str:
    words = f"{name}  ({SEQUENCE_WORDS[name]})"
    return f"{words}, reference" if name == reference else words


def _header(quality: CaseQuality, choices: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the lines above the pictures with their colours: flags first, then how sequences were identified."""
    lines = []
    for flag in quality.flags[:_MOST_FLAGS]:
        lines += [(f"! {part}" if i == 0 else f"   {part}", ORANGE) for i, part in enumerate(textwrap.wrap(flag, 118))]
    if len(quality.flags) > _MOST_FLAGS:
        lines.append((f"! and {len(quality.flags) - _MOST_FLAGS} more; see the table of quality.", ORANGE))
    if not quality.flags:
        lines.append(("No limit was exceeded.", DARK_QUIET))
    facts = _facts(quality)
    lines += [(facts, DARK_QUIET)] if facts else []
    told = "; ".join(f"{name}: {choices[name]}" for name in SEQUENCES if name in choices)
    lines += [(part, DARK_QUIET) for part in textwrap.wrap(f"Identified by {told}.", 124)] if told else []
    return lines


def _facts(quality: CaseQuality) -> str:
    volume = quality.values.get("brain_ml")
    parts = [f"brain {volume:.0f} ml"] if isinstance(volume, float) else []
    for name in SEQUENCES:
        value = quality.values.get(f"{name}_similarity")
        parts += [f"{name} similarity {value:.3f}"] if isinstance(value, float) else []
    return ", ".join(parts)


def _words(figure: Figure, case: str, lines: list[tuple[str, str]], reference: str) -> None:
    width, height = figure.get_size_inches()
    left = _SIDE_IN / width
    size = min(11.0, 72 * (width - 2 * _SIDE_IN) / (0.62 * max(len(case), 1)))
    figure.text(left, 1 - 0.1 / height, case, fontsize=size, color=DARK_INK, va="top", parse_math=False)
    for number, (line, colour) in enumerate(lines):
        figure.text(left, 1 - (0.36 + _LINE_IN * number) / height, line, fontsize=7.5, color=colour, va="top", parse_math=False)  # fmt: skip
    handles = [
        Line2D([], [], color=YELLOW, linewidth=1.5, label="outline of the brain"),
        Line2D([], [], color=SKY, linewidth=3, alpha=0.7, label=f"edges of {reference}, drawn on the others"),
    ]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(left, 0.05 / height), ncols=2, frameon=False, fontsize=7.5,
        labelcolor=DARK_INK, borderpad=0, borderaxespad=0, handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip
    figure.text(1 - 0.08 / width, 0.13 / height, _CONVENTION, fontsize=7.5, color=DARK_QUIET, ha="right", va="center")
