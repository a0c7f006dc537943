"""Picture of a network in the brain: regions and connections in three projections, as through glass."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from radiogen.report.slices import AXES_SEEN, PLANES, VoxelSize
from radiogen.report.style import BLUE, HAIR, INK, QUIET, VERMILLION, drawing, new_figure
from radiogen.types import Affine, Mask

_WIDTH_IN, _HEIGHT_IN = 11.0, 4.3
_LEAST_ALPHA, _MOST_ALPHA = 0.04, 0.9


def connectome_figure(
    brain: Mask,
    affine: Affine,
    voxel_size_mm: VoxelSize,
    centres_mm: Float[np.ndarray, "n 3"],
    node_sizes: Float[np.ndarray, " n"],
    edges: Integer[np.ndarray, "e 2"],
    strength: Float[np.ndarray, " e"],
    title: str,
) -> Figure:
    """Draw a network into the outline of a brain, seen from the side, from the front and from above.

    The patient's left is on the left of the picture here, as is usual for networks; strong connections are drawn last and darkest, in vermillion
    where they cross the midline.

    Args:
        brain: canonical mask.
        affine: its canonical affine, mm.
        voxel_size_mm: of the mask.
        centres_mm: centre of every region, world, mm.
        node_sizes: area of every region's disc, relative.
        edges: pairs of regions, from 0.
        strength: of every connection, 0 to 1.
        title: above the picture.

    Example:
        >>> figure = connectome_figure(
        ...     np.ones((3, 3, 3), bool), np.eye(4), (1.0, 1.0, 1.0), np.eye(3), np.ones(3), np.array([[0, 1]]), np.ones(1), "made up"
        ... )
        >>> len(figure.axes)
        3
    """
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        figure.suptitle(title, color=INK, fontsize=11)
        views = {plane: AXES_SEEN[plane] for plane in ("sagittal", "coronal", "axial")}
        widths = [brain.shape[across] * voxel_size_mm[across] for across, _ in views.values()]
        all_axes = figure.subplots(1, 3, width_ratios=widths)
        for axes, (plane, seen) in zip(np.ravel(all_axes), views.items(), strict=True):
            _outline(axes, np.asarray(brain.any(axis=PLANES[plane])), affine, seen)
            _connections(axes, centres_mm, edges, strength, seen)
            size = 6 + 60 * node_sizes / max(float(node_sizes.max(initial=0)), 1e-9)
            points = centres_mm[:, list(seen)].T
            axes.scatter(*points, s=size, c=INK, edgecolors="white", linewidths=0.4, zorder=3)
            _tidy(axes, plane)
    return figure


def _outline(axes: Axes, shadow: np.ndarray, affine: Affine, seen: tuple[int, int]) -> None:
    across, up = (affine[axis, 3] + affine[axis, axis] * np.arange(shadow.shape[n]) for n, axis in enumerate(seen))
    if min(shadow.shape) > 1:
        axes.contour(across, up, shadow.T.astype(float), levels=[0.5], colors=[QUIET], linewidths=0.8)


def _connections(
    axes: Axes,
    centres_mm: Float[np.ndarray, "n 3"],
    edges: Integer[np.ndarray, "e 2"],
    strength: Float[np.ndarray, " e"],
    seen: tuple[int, int],
) -> None:
    if not len(edges):
        return
    order = np.argsort(strength, kind="stable")
    ends = centres_mm[edges[order]]
    alpha = _LEAST_ALPHA + (_MOST_ALPHA - _LEAST_ALPHA) * strength[order] ** 4
    crossing = (ends[:, 0, 0] * ends[:, 1, 0] < 0).tolist()
    colours = [VERMILLION if is_crossing else BLUE for is_crossing in crossing]
    lines = LineCollection(list(ends[:, :, list(seen)]), colors=colours, alpha=alpha.tolist(), linewidths=0.3 + alpha)
    axes.add_collection(lines)


def _tidy(axes: Axes, plane: str) -> None:
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(HAIR)
    words = {"sagittal": "sagittal: front on the right", "coronal": "coronal: left on the left"}
    axes.set_xlabel(words.get(plane, "axial: left on the left"), color=QUIET, fontsize=9)
