"""The columns of the network branch: one case's graph in numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from radiogen.branches.network.base import NetworkTemplate, PatientGraph
from radiogen.branches.network.disconnection import (
    TUMOUR_REGIONS,
    WholeNetwork,
    disconnected,
    groups_of_connections,
    strength_loss,
    weight_lost,
)
from radiogen.branches.network.measures import GLOBAL_MEASURES
from radiogen.branches.network.words import nodes_of_lobes

_COUNTS = (
    "regions_touched",
    "connections_touched",
    "connections_severed",
    "connections_touched_fraction",
    "connections_severed_fraction",
    "pieces",
    "largest_strength_loss",
    "betweenness_change_mean",
)


def column_names(template: NetworkTemplate) -> list[str]:
    """Return the columns that a template gives, in the order of the table.

    Args:
        template: any; node names are part of the columns.
    """
    measures = [f"{name}{end}" for name in GLOBAL_MEASURES for end in ("", "_loss")]
    parts = [f"weight_lost_in_{region}" for region in TUMOUR_REGIONS]
    groups = [f"weight_lost_{name}" for name in groups_of_connections(template, nodes_of_lobes(template))]
    nodes = [f"{what}_{name}" for what in ("destroyed", "strength_loss") for name in template.node_names]
    return [f"network_{name}" for name in (*_COUNTS, *measures, *parts, *groups, *nodes)]


def graph_values(graph: PatientGraph, whole: WholeNetwork, severed: float, *, whole_only: bool) -> dict[str, float]:
    """Return the columns of one case.

    Losses of measures are shares of the whole network's value; that of modularity is a difference, because Q may be near 0. Weights lost are
    shares of the weight of all connections, or of those within a half, between the halves, or with an end in a lobe.

    Args:
        graph: of the case.
        whole: the network of the template.
        severed: a connection counts as severed above this share.
        whole_only: the mask shows the whole tumour only: what its parts destroy is blank.
    """
    template, destroyed = whole.template, graph.destroyed_edges
    left, _ = disconnected(whole, destroyed, severed)
    loss = strength_loss(whole, destroyed)
    n_severed = int((destroyed > severed).sum())
    n_touched = int((destroyed > 0).sum())
    found = {
        "regions_touched": float((graph.destroyed_nodes > 0).sum()),
        "connections_touched": float(n_touched),
        "connections_severed": float(n_severed),
        "connections_touched_fraction": n_touched / template.n_edges,
        "connections_severed_fraction": n_severed / template.n_edges,
        "pieces": float(left.pieces),
        "largest_strength_loss": float(loss.max()),
        "betweenness_change_mean": float(np.abs(left.betweenness - whole.measures.betweenness).mean()),
    }
    before = whole.measures.overall()
    for name, value in left.overall().items():
        lost = before[name] - value
        share = lost if name == "modularity" else (lost / before[name] if before[name] > 0 else 0.0)
        found |= {name: value, f"{name}_loss": share}
    for region in TUMOUR_REGIONS:
        if region == "wt" or not whole_only:
            found[f"weight_lost_in_{region}"] = weight_lost(template, destroyed_by(graph, region))
    for name, of in groups_of_connections(template, nodes_of_lobes(template)).items():
        found[f"weight_lost_{name}"] = weight_lost(template, destroyed, of)
    for node, name in enumerate(template.node_names):
        found[f"destroyed_{name}"] = float(graph.destroyed_nodes[node])
        found[f"strength_loss_{name}"] = float(loss[node])
    return {f"network_{name}": value for name, value in found.items()}


def destroyed_by(graph: PatientGraph, region: str) -> Float32[np.ndarray, " e"]:
    """Return the share of every connection inside a tumour region.

    Args:
        graph: of a case.
        region: one of `TUMOUR_REGIONS`.
    """
    return np.ascontiguousarray(graph.edge_values[:, graph.edge_columns.index(f"destroyed_{region}")])
