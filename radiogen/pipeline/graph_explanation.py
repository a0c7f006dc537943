"""Which connections a study's graph networks look at: table, maps, pictures and checks, beside the report and in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.explain import (
    edge_map,
    importance_table,
    random_weights_check,
    shuffled_label_check,
    write_importance_map,
)
from radiogen.branches.network.words import plain_connection
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.pipeline.graph_folds import GraphTrainings
from radiogen.pipeline.network_pages import region_centres_mm
from radiogen.preprocess.register import resample_onto
from radiogen.preprocess.template import load_template
from radiogen.report.connectome import connectome_figure
from radiogen.report.disconnection import density_figure
from radiogen.report.explained_network import ExplainedClass
from radiogen.report.style import save_png, svg
from radiogen.report.words import target_words
from radiogen.run.atomic import write_csv, write_text

TABLE = "connections.csv"
MAPS = ("tracts_0.nii.gz", "tracts_1.nii.gz")
PICTURES = ("connections_0.svg", "connections_1.svg", "tracts_0.png", "tracts_1.png")

_ROWS = 25
_LEAST_SEEN = 0.75
"""Strength at which the least important of the kept connections is drawn; weaker lines are too faint to see when there are few."""


def write_connections(
    out: Path,
    template: NetworkTemplate,
    importance: Mapping[int, Float[np.ndarray, " e"]],
    settings: GraphModelSettings,
) -> None:
    """Write `connections.csv` (every connection of some importance, by name and class) and `tracts_<class>.nii.gz` (those that are kept, summed).

    Args:
        out: folder.
        template: of the graphs.
        importance: class -> importance of every connection.
        settings: how much is kept.

    Raises:
        OutputError: the folder cannot be written.
    """
    tables = [importance_table(template, values).assign(label=label) for label, values in importance.items()]
    write_csv(out / TABLE, pd.concat(tables, ignore_index=True), index=False)
    for name, values in zip(MAPS, importance.values(), strict=True):
        write_importance_map(out / name, template, values, settings.explanation.keep)


def write_pictures(
    out: Path, template: NetworkTemplate, importance: Mapping[int, Float[np.ndarray, " e"]], keep: float, target: str
) -> list[ExplainedClass]:
    """Write `connections_<class>.svg` (through glass) and `tracts_<class>.png` (axial slices), and return them with their tables.

    Args:
        out: folder.
        template: of the graphs.
        importance: class -> importance of every connection, 0 to 1.
        keep: connections with no larger importance are not shown.
        target: for the titles.

    Raises:
        OutputError: the folder cannot be written.
    """
    words = target_words(target)
    shown = []
    for label, values in importance.items():
        name = f"{words.positive if label else words.negative} cases"
        drawn = ExplainedClass(
            label,
            named_connections(template, values, keep),
            glass_figure(template, values, keep, name),
            slices_figure(template, values, keep, name),
        )
        write_text(out / f"connections_{label}.svg", svg(drawn.glass))
        save_png(drawn.slices, out / f"tracts_{label}.png")
        shown.append(drawn)
    return shown


def named_connections(template: NetworkTemplate, importance: Float[np.ndarray, " e"], keep: float) -> pd.DataFrame:
    """Return the most important of the kept connections in words: at most 25.

    Args:
        template: names of the regions.
        importance: per connection, 0 to 1.
        keep: only connections with a larger one.
    """
    whole = importance_table(template, importance).set_index("connection", drop=False)
    order = np.argsort(-importance, kind="stable")
    order = order[importance[order] > max(keep, 0.0)][:_ROWS]
    rows = whole.iloc[: len(order)]
    table = pd.DataFrame(
        {
            "connection": [plain_connection(template, int(edge)) for edge in order],
            "side": rows["side"].to_numpy(),
            "lobes": rows["lobes"].to_numpy(),
            "volume, ml": rows["volume_ml"].to_numpy(),
            "importance": np.round(importance[order], 2),
        }
    )
    # Only AAL's names tell the lobe.
    return table if (table["lobes"] != "").any() else table.drop(columns="lobes")


def glass_figure(template: NetworkTemplate, importance: Float[np.ndarray, " e"], keep: float, name: str) -> Figure:
    """Draw the kept connections into the outline of MNI152's brain.

    Args:
        template: regions and connections.
        importance: per connection, 0 to 1.
        keep: only connections with a larger one.
        name: of the cases, for the title.
    """
    kept, brain = importance > keep, load_template()
    strength = _LEAST_SEEN + (1 - _LEAST_SEEN) * (importance[kept] - keep) / max(1 - keep, 1e-9)
    sizes: Float[np.ndarray, " n"] = np.zeros(template.n_nodes)
    np.add.at(sizes, template.edges[kept].ravel(), np.repeat(importance[kept], 2))
    return connectome_figure(
        brain.brain[::2, ::2, ::2],
        brain.image.affine @ np.diag([2.0, 2, 2, 1]),
        (2.0, 2.0, 2.0),
        region_centres_mm(template),
        sizes,
        template.edges[kept],
        strength,
        f"{name}: {int(kept.sum())} of {template.n_edges} connections kept (importance above {keep:g})",
    )


def slices_figure(template: NetworkTemplate, importance: Float[np.ndarray, " e"], keep: float, name: str) -> Figure:
    """Draw the density of the kept connections over axial slices of MNI152.

    Args:
        template: regions and connections.
        importance: per connection, 0 to 1.
        keep: only connections with a larger one.
        name: of the cases, for the title.
    """
    head = resample_onto(load_template().image, template.grid, np.eye(4))
    density = edge_map(template, np.where(importance > keep, importance, 0.0), "sum")
    nothing = np.zeros(head.shape, dtype=np.uint8)
    size_mm = template.grid.voxel_size_mm
    return density_figure(head, nothing, density, size_mm, f"{name}, kept connections", measure="summed importance")


def learned_checks(trainings: GraphTrainings, trained: GraphClassifier, seed: int) -> dict[str, float]:
    """Return the rank correlations of the importance with that of networks that learned nothing; one more training is needed.

    Args:
        trainings: of the study.
        trained: on every case.
        seed: of the shuffle and the random weights.

    Returns:
        `shuffled_labels, random_weights`: -1 to 1.

    Raises:
        InputError: a class has too few patients.
    """
    rows, y, chosen = trainings.prepared.rows, trainings.y, trainings.settings.explanation
    return {
        "shuffled_labels": shuffled_label_check(trained, rows, y, chosen, seed),
        "random_weights": random_weights_check(trained, rows, y, chosen, seed),
    }
