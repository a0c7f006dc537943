"""Two network templates, or a template and a connectome, on the same regions: do they agree more than chance?"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
from jaxtyping import Float, Integer
from scipy.stats import spearmanr

from radiogen.branches.network.base import NetworkTemplate
from radiogen.errors import InputError

_SWAPS_PER_EDGE = 10


@dataclass(frozen=True)
class Agreement:
    """How far two sets of connections between the same regions agree.

    Args:
        n_first: connections of the first.
        n_second: connections of the second.
        n_shared: connections of both.
        dice: 2 * shared / (first + second).
        jaccard: shared / in either.
        null_dice: mean Dice with copies of the first whose connections were exchanged, every region keeping its number of them.
        null_dice_most: the largest of these.
        weight_correlation: Spearman's rho of the weights of shared connections; NaN where there are fewer than three.
        null_correlation_most: largest absolute rho when the weights of the first are shuffled.
    """

    n_first: int
    n_second: int
    n_shared: int
    dice: float
    jaccard: float
    null_dice: float
    null_dice_most: float
    weight_correlation: float
    null_correlation_most: float


def compare_connections(
    first: Integer[np.ndarray, "e 2"],
    first_weights: Float[np.ndarray, " e"],
    second: Integer[np.ndarray, "f 2"],
    second_weights: Float[np.ndarray, " f"],
    *,
    n_null: int = 20,
    seed: int = 0,
) -> Agreement:
    """Compare two sets of connections, beside what chance gives.

    Args:
        first: pairs of regions, the first smaller than the second.
        first_weights: one per pair.
        second: pairs of the same regions.
        second_weights: one per pair.
        n_null: random networks with the degrees of the first.
        seed: of these.

    Source: degree-preserving rewiring, Maslov and Sneppen, Science 2002;296:910 (networkx `double_edge_swap`); Spearman 1904.

    Example:
        >>> pairs, weights = np.array([[0, 1], [0, 2], [1, 2]]), np.array([1.0, 2.0, 3.0])
        >>> compare_connections(pairs, weights, pairs, weights, n_null=0).dice
        1.0
    """
    ours = {(int(a), int(b)): float(w) for (a, b), w in zip(first, first_weights, strict=True)}
    theirs = {(int(a), int(b)): float(w) for (a, b), w in zip(second, second_weights, strict=True)}
    shared = sorted(ours.keys() & theirs.keys())
    together = len(ours) + len(theirs)
    nulls = [2 * len(edges & theirs.keys()) / together for edges in _rewired(set(ours), n_null, seed)]
    weights = np.array([[ours[pair], theirs[pair]] for pair in shared]).reshape(-1, 2)
    rng = np.random.default_rng(seed)
    shuffled = [abs(_spearman(rng.permutation(weights[:, 0]), weights[:, 1])) for _ in range(n_null)]
    return Agreement(
        n_first=len(ours),
        n_second=len(theirs),
        n_shared=len(shared),
        dice=2 * len(shared) / max(1, together),
        jaccard=len(shared) / max(1, together - len(shared)),
        null_dice=float(np.mean(nulls)) if nulls else float("nan"),
        null_dice_most=max(nulls, default=float("nan")),
        weight_correlation=_spearman(weights[:, 0], weights[:, 1]),
        null_correlation_most=max(shuffled, default=float("nan")),
    )


def _spearman(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float:
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)


def _rewired(edges: set[tuple[int, int]], n_copies: int, seed: int) -> list[set[tuple[int, int]]]:
    copies = []
    for number in range(n_copies):
        graph = nx.Graph(sorted(edges))
        # A graph with too few edges or none free to swap has no other with the same degrees: it is its own null.
        try:
            tries = 100 * _SWAPS_PER_EDGE * len(edges)
            nx.double_edge_swap(graph, _SWAPS_PER_EDGE * len(edges), max_tries=tries, seed=seed + number)
        except nx.NetworkXException:
            graph = nx.Graph(sorted(edges))
        copies.append({(min(pair), max(pair)) for pair in graph.edges})
    return copies


def strongest(
    edges: Integer[np.ndarray, "e 2"], weights: Float[np.ndarray, " e"], n: int
) -> tuple[Integer[np.ndarray, "f 2"], Float[np.ndarray, " f"]]:
    """Return the n strongest connections and their weights, in the order of the connections; of equals the first.

    Args:
        edges: pairs of regions.
        weights: one per pair.
        n: how many; all where there are fewer.

    Example:
        >>> strongest(np.array([[0, 1], [0, 2], [1, 2]]), np.array([0.1, 0.9, 0.5]), 2)[0].tolist()
        [[0, 2], [1, 2]]
    """
    chosen = np.sort(np.argsort(-weights, kind="stable")[:n])
    return edges[chosen], weights[chosen]


def connections_of_matrix(
    matrix: Float[np.ndarray, "n n"],
) -> tuple[Integer[np.ndarray, "e 2"], Float[np.ndarray, " e"]]:
    """Return the connections of a symmetric matrix that are stronger than 0, and their strength.

    Args:
        matrix: as `read_connectome` returns it.

    Example:
        >>> connections_of_matrix(np.array([[0, 2.0], [2, 0]]))
        (array([[0, 1]]), array([2.]))
    """
    pairs = np.argwhere(np.triu(matrix, 1) > 0)
    return pairs, matrix[tuple(pairs.T)]


def roi_overlap(
    first: NetworkTemplate, second: NetworkTemplate, *, shuffled: bool = False, seed: int = 0
) -> Float[np.ndarray, "s 2"]:
    """Return how the regions of shared connections lie to each other.

    Args:
        first: such as corridors.
        second: on the same grid and regions, such as tracts.
        shuffled: beside each connection of the first lies the region of a random other shared connection of the second: what chance gives.
        seed: of that.

    Returns:
        Per shared connection: share of the second's voxels inside the first's, and the Dice of both.

    Raises:
        InputError: different grids or regions.
    """
    if not first.grid.same_space(second.grid) or first.node_names != second.node_names:
        raise InputError("Two templates on different grids or regions cannot be compared.", hint="Build both anew.")
    place = {(int(a), int(b)): number for number, (a, b) in enumerate(second.edges)}
    shared = [number for number, (a, b) in enumerate(first.edges) if (int(a), int(b)) in place]
    partner = np.array([place[int(a), int(b)] for a, b in first.edges[shared]], dtype=np.int64)
    if shuffled:
        # A round through all of them in random order: none keeps its own.
        order = np.random.default_rng(seed).permutation(len(partner))
        partner[order] = partner[np.roll(order, 1)]
    rows = []
    for number, other in zip(shared, partner.tolist(), strict=True):
        ours, theirs = first.edge_voxels(number), second.edge_voxels(other)
        common = len(np.intersect1d(ours, theirs, assume_unique=True))
        rows.append((common / len(theirs), 2 * common / (len(ours) + len(theirs))))
    return np.array(rows, dtype=float).reshape(-1, 2)
