"""What a tumour does to a network: how much of every region and connection it destroys, and what the network is without that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.measures import NetworkMeasures, Weights, find_modules, measure, weight_matrix

TUMOUR_REGIONS = ("wt", "tc", "et", "ed")
"""Regions whose share in nodes and connections is told: whole tumour, tumour core, enhancing tumour, oedema."""


@dataclass(frozen=True)
class WholeNetwork:
    """The network of a template before anything is destroyed.

    Args:
        template: the template.
        modules: module of every node.
        measures: of the whole network.
    """

    template: NetworkTemplate
    modules: Integer[np.ndarray, " n"]
    measures: NetworkMeasures

    @property
    def weights(self) -> Weights:
        """Return the matrix of weights."""
        template = self.template
        return weight_matrix(template.n_nodes, template.edges, template.weights)


def whole_network(template: NetworkTemplate) -> WholeNetwork:
    """Measure a template's network.

    Args:
        template: any.
    """
    weights = weight_matrix(template.n_nodes, template.edges, template.weights)
    modules = find_modules(weights)
    return WholeNetwork(template, modules, measure(weights, modules, weights > 0, (weights > 0).astype(np.float64)))


def disconnected(
    whole: WholeNetwork, destroyed: Float32[np.ndarray, " e"], severed: float
) -> tuple[NetworkMeasures, Weights]:
    """Measure a network whose connections lost the share of their weight that is destroyed.

    Args:
        whole: the network before.
        destroyed: share of each connection, 0 to 1.
        severed: connections of which more than this share is destroyed do not count in the degree.

    Returns:
        Measures, with the modules and the neighbours of the whole network; and the matrix of weights that are left.

    Source: the share of a tract inside a lesion as its disconnection, Foulon et al., GigaScience 2018;7:giy004.
    """
    template = whole.template
    left = template.weights * (1.0 - destroyed.astype(np.float64))
    counted = np.where(destroyed > severed, 0.0, 1.0)
    weights = weight_matrix(template.n_nodes, template.edges, left)
    present = weight_matrix(template.n_nodes, template.edges, counted)
    if not destroyed.any():
        return whole.measures, weights
    return measure(weights, whole.modules, whole.weights > 0, present), weights


def share_inside(
    occupied: Float32[np.ndarray, " m"], voxels: Integer[np.ndarray, " v"], start: Integer[np.ndarray, " s"]
) -> Float32[np.ndarray, " r"]:
    """Return how much of each region a tumour fills.

    Args:
        occupied: share of every voxel of the grid (flat) inside the tumour, 0 to 1.
        voxels: flat voxels of the regions, one region after another; no region is empty.
        start: where each region begins, and the end.

    Example:
        >>> share_inside(np.array([0, 1, 1], "f"), np.array([0, 1, 1, 2]), np.array([0, 2, 4])).tolist()
        [0.5, 1.0]
    """
    if len(start) < 2:
        return np.zeros(0, dtype=np.float32)
    sums = np.add.reduceat(occupied[voxels].astype(np.float64), start[:-1])
    return np.asarray(np.clip(sums / np.diff(start), 0, 1), dtype=np.float32)


def weight_lost(
    template: NetworkTemplate,
    destroyed: Float32[np.ndarray, " e"],
    of: Bool[np.ndarray, " e"] | None = None,
) -> float:
    """Return the share of the weight of connections that is destroyed; NaN where there is no such connection.

    Args:
        template: the connections.
        destroyed: share of each.
        of: connections that are meant; None: all.
    """
    chosen = np.ones(template.n_edges, dtype=bool) if of is None else of
    total = float(template.weights[chosen].sum())
    return float((template.weights * destroyed)[chosen].sum()) / total if total > 0 else float("nan")


def strength_loss(whole: WholeNetwork, destroyed: Float32[np.ndarray, " e"]) -> Float[np.ndarray, " n"]:
    """Return the share of every node's strength that is destroyed; 0 for nodes without connections."""
    template = whole.template
    lost = weight_matrix(template.n_nodes, template.edges, template.weights * destroyed).sum(axis=1)
    before = whole.measures.strength
    return np.divide(lost, before, out=np.zeros(template.n_nodes), where=before > 0)


def sides(template: NetworkTemplate) -> Integer[np.ndarray, " n"]:
    """Return the side of every node by the mean x of its voxels: -1 left, 1 right.

    Args:
        template: any.
    """
    flat = template.nodes.reshape(-1)
    inside = np.flatnonzero(flat)
    affine = template.grid.canonical_affine
    voxels = np.stack(np.unravel_index(inside, template.nodes.shape))
    x = affine[0, :3] @ voxels + affine[0, 3]
    labels = flat[inside].astype(np.int64) - 1
    mean = np.bincount(labels, x, template.n_nodes) / np.maximum(np.bincount(labels, minlength=template.n_nodes), 1)
    return np.where(mean < 0, -1, 1)


def groups_of_connections(
    template: NetworkTemplate, lobes: Mapping[str, Bool[np.ndarray, " n"]]
) -> dict[str, Bool[np.ndarray, " e"]]:
    """Return the connections within the left and the right half, between the halves, and of every lobe (either end in it).

    Args:
        template: any.
        lobes: lobe -> its nodes.
    """
    side = sides(template)
    first, second = template.edges[:, 0], template.edges[:, 1]
    same = side[first] == side[second]
    halves = {"left": same & (side[first] < 0), "right": same & (side[first] > 0), "between_halves": ~same}
    return {**halves, **{name: inside[first] | inside[second] for name, inside in lobes.items()}}


def lost_density(template: NetworkTemplate, destroyed: Float32[np.ndarray, " e"]) -> Float32[np.ndarray, "i j k"]:
    """Return how much disconnected weight passes through every voxel: over connections, weight times the share of it that is destroyed.

    Args:
        template: the connections and their voxels.
        destroyed: share of each connection, 0 to 1.

    Returns:
        On the template's grid, 0 and above.

    Source: a map of disconnected tracts, Foulon et al., GigaScience 2018;7:giy004 (there from a healthy group's streamlines).
    """
    lost = np.repeat(template.weights * destroyed, np.diff(template.roi_start))
    total = np.bincount(template.roi_voxels, lost, minlength=template.nodes.size)
    return total.reshape(template.nodes.shape).astype(np.float32)
