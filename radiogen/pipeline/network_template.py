"""`radiogen network template`: the regions and connections that every patient's graph is built on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from scipy.ndimage import center_of_mass

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.space import brain_space
from radiogen.branches.network.template import build_template, save_template
from radiogen.config.network import NetworkTemplateSettings
from radiogen.errors import InputError
from radiogen.report.connectome import connectome_figure
from radiogen.report.style import save_png
from radiogen.run.provenance import Provenance

STAGE = "network-template"

log = logging.getLogger(__name__)


def run_network_template(
    settings: NetworkTemplateSettings, out: Path, *, progress: bool = False
) -> tuple[NetworkTemplate, dict[str, Any]]:
    """Build a network template and write it, its picture (`.png`) and its sidecar (`.json`).

    Args:
        settings: of the template.
        out: the file, `.npz`.
        progress: show a progress bar.

    Returns:
        The template and its numbers, as `template_numbers` gives them.

    Raises:
        InputError: the output is not named .npz, or an input cannot be used.
    """
    if out.suffix != ".npz":
        raise InputError(f"The output is named '{out.name}'; a name ending in .npz is accepted.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        # How many regions there are is known only when the atlas is read.
        task = bar.add_task(
            "tractograms" if settings.tractograms else "regions", total=len(settings.tractograms) or None
        )
        template = build_template(settings, lambda done: bar.advance(task, done))
    numbers = template_numbers(template)
    save_template(out, template)
    picture = out.with_suffix(".png")
    draw_template(template, settings.voxel_mm, picture)
    # Names, not paths: a sidecar says nothing of the machine it was made on; the content's hashes are in the provenance.
    paths = {"tractograms", "connectome", "node_names", "nodes"}
    kept = settings.model_dump(mode="json", exclude=paths)
    facts = {"numbers": numbers, "provenance": dict(template.provenance)}
    Provenance(STAGE, kept).record([out, picture], **facts)
    log.info("network template: %d regions, %d connections", template.n_nodes, template.n_edges)
    return template, numbers


def template_numbers(template: NetworkTemplate) -> dict[str, Any]:
    """Return what describes a template: regions, connections, density, degrees, volumes of the connections' regions.

    Args:
        template: any.
    """
    degree = np.bincount(template.edges.ravel(), minlength=template.n_nodes)
    voxels = np.diff(template.roi_start)
    voxel_ml = float(np.prod(template.grid.voxel_size_mm)) / 1000
    low, middle, high = np.percentile(voxels, [5, 50, 95])
    n = template.n_nodes
    return {
        "name": template.name,
        "n_nodes": n,
        "n_edges": template.n_edges,
        "density": template.n_edges / max(1, n * (n - 1) // 2),
        "degree_least": int(degree.min()),
        "degree_mean": float(degree.mean()),
        "degree_most": int(degree.max()),
        "isolated_nodes": [template.node_names[node] for node in np.flatnonzero(degree == 0)],
        "edge_voxels_5_50_95": [float(low), float(middle), float(high)],
        "edge_ml_median": float(middle) * voxel_ml,
        "covered_ml": len(np.unique(template.roi_voxels)) * voxel_ml,
    }


def draw_template(template: NetworkTemplate, voxel_mm: int, path: Path) -> None:
    """Write a picture of a template: three projections through a glass brain.

    Args:
        template: on the grid of `brain_space(voxel_mm)`.
        voxel_mm: voxel size, mm.
        path: the PNG.
    """
    brain = brain_space(voxel_mm).brain
    affine = template.grid.canonical_affine
    voxels = np.array(center_of_mass(template.nodes > 0, template.nodes, np.arange(1, template.n_nodes + 1)))
    centres_mm = voxels @ affine[:3, :3].T + affine[:3, 3]
    degree = np.bincount(template.edges.ravel(), minlength=template.n_nodes).astype(float)
    title = f"{template.name}: {template.n_nodes} regions, {template.n_edges} connections"
    figure = connectome_figure(
        brain, affine, template.grid.voxel_size_mm, centres_mm, degree, template.edges, template.weights, title
    )
    save_png(figure, path)
