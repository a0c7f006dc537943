"""Measures of a network, whole and with connections weakened: degree, strength, efficiency, betweenness, modularity."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float, Float64, Integer
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, shortest_path

Weights = Float64[np.ndarray, "n n"]
PerNode = Float64[np.ndarray, " n"]

GLOBAL_MEASURES = ("mean_strength", "global_efficiency", "local_efficiency", "modularity")
"""What is said about a network as a whole, in this order."""


@dataclass(frozen=True)
class NetworkMeasures:
    """Measures of one weighted network without direction.

    Args:
        degree: connections per node.
        strength: sum of the weights per node.
        efficiency: mean inverse distance to all other nodes, per node.
        local_efficiency: mean inverse distance among the neighbours of a node, without the node.
        betweenness: share of shortest ways between other nodes that pass a node.
        modularity: Newman's Q for the modules it was measured with.
        pieces: parts that are not connected with each other; a node by itself is one.
    """

    degree: PerNode
    strength: PerNode
    efficiency: PerNode
    local_efficiency: PerNode
    betweenness: PerNode
    modularity: float
    pieces: int

    def overall(self) -> dict[str, float]:
        """Return one number for the whole network for each of `GLOBAL_MEASURES`."""
        means = [float(values.mean()) for values in (self.strength, self.efficiency, self.local_efficiency)]
        return dict(zip(GLOBAL_MEASURES, [*means, self.modularity], strict=True))


def weight_matrix(n_nodes: int, edges: Integer[np.ndarray, "e 2"], weights: Float[np.ndarray, " e"]) -> Weights:
    """Return the symmetric matrix of connection weights.

    Args:
        n_nodes: number of nodes.
        edges: pairs of nodes from 0, each once.
        weights: at least 0; 0 is no connection.

    Example:
        >>> weight_matrix(3, np.array([[0, 2]]), np.array([0.5]))[2].tolist()
        [0.5, 0.0, 0.0]
    """
    matrix = np.zeros((n_nodes, n_nodes))
    matrix[edges[:, 0], edges[:, 1]] = weights
    return matrix + matrix.T


def measure(
    weights: Weights, modules: Integer[np.ndarray, " n"], neighbours: Bool[np.ndarray, "n n"], present: Weights
) -> NetworkMeasures:
    """Measure a network.

    The length of a connection is the inverse of its weight. Local efficiency looks at the neighbours that the whole network has, so that weaker
    connections never raise it.

    Args:
        weights: symmetric, at least 0, nothing on the diagonal.
        modules: module of every node, as `find_modules` returns them for the whole network.
        neighbours: which nodes are neighbours in the whole network.
        present: 1 for connections that count in the degree, else 0.

    Source: Rubinov and Sporns, NeuroImage 2010;52:1059 (weighted measures); Latora and Marchiori, Phys Rev Lett 2001;87:198701 (efficiency); Brandes,
    J Math Sociol 2001;25:163 (betweenness); Newman, Phys Rev E 2004;70:056131 (modularity of weighted networks).

    Example:
        >>> whole = weight_matrix(3, np.array([[0, 1], [1, 2]]), np.array([1.0, 1.0]))
        >>> found = measure(whole, np.zeros(3, dtype=int), whole > 0, whole)
        >>> found.efficiency.tolist(), found.betweenness.tolist()
        ([0.75, 1.0, 0.75], [0.0, 1.0, 0.0])
    """
    n = len(weights)
    ways = nx.betweenness_centrality(_as_graph(weights), weight="length")
    return NetworkMeasures(
        degree=present.sum(axis=1),
        strength=weights.sum(axis=1),
        efficiency=nodal_efficiency(weights),
        local_efficiency=np.array([_among(weights, neighbours[node]) for node in range(n)]),
        betweenness=np.array([float(ways[node]) for node in range(n)]),
        modularity=modularity(weights, modules),
        pieces=int(connected_components(csr_matrix(weights), directed=False)[0]),
    )


def nodal_efficiency(weights: Weights) -> PerNode:
    """Return the mean inverse distance of every node to all others; 0 where there is no way.

    Args:
        weights: symmetric, at least 0.

    Source: Latora and Marchiori, Phys Rev Lett 2001;87:198701.

    Example:
        >>> nodal_efficiency(np.array([[0.0, 0.5], [0.5, 0.0]])).tolist()
        [0.5, 0.5]
    """
    n = len(weights)
    if n < 2:
        return np.zeros(n)
    distance = shortest_path(_lengths(weights), method="D", directed=False)
    with np.errstate(divide="ignore"):
        closeness = np.where(np.eye(n, dtype=bool), 0.0, 1.0 / distance)
    return np.asarray(closeness.sum(axis=1) / (n - 1))


def find_modules(weights: Weights) -> Integer[np.ndarray, " n"]:
    """Return the module of every node: greedy merging, which has no random step.

    Args:
        weights: symmetric, at least 0.

    Source: Clauset, Newman and Moore, Phys Rev E 2004;70:066111.

    Example:
        >>> pairs = weight_matrix(4, np.array([[0, 1], [2, 3]]), np.array([1.0, 1.0]))
        >>> modules = find_modules(pairs)
        >>> bool(modules[0] == modules[1] != modules[2] == modules[3])
        True
    """
    modules = np.arange(len(weights))
    if not weights.any():
        return modules
    found = nx.community.greedy_modularity_communities(_as_graph(weights), weight="weight")
    for number, nodes in enumerate(found):
        modules[list(nodes)] = number
    return modules


def modularity(weights: Weights, modules: Integer[np.ndarray, " n"]) -> float:
    """Return Newman's Q of a weighted network for given modules; 0 for a network without connections.

    Args:
        weights: symmetric, at least 0.
        modules: module of every node.

    Source: Newman, Phys Rev E 2004;70:056131.

    Example:
        >>> modularity(weight_matrix(4, np.array([[0, 1], [2, 3]]), np.array([1.0, 1.0])), np.array([0, 0, 1, 1]))
        0.5
    """
    total = float(weights.sum())
    if total == 0:
        return 0.0
    strength = weights.sum(axis=1)
    same = modules[:, None] == modules[None, :]
    return float(((weights - np.outer(strength, strength) / total) * same).sum() / total)


def _lengths(weights: Weights) -> csr_matrix:
    rows, columns = np.nonzero(weights)
    return csr_matrix((1.0 / weights[rows, columns], (rows, columns)), shape=weights.shape)


def _among(weights: Weights, chosen: Bool[np.ndarray, " n"]) -> float:
    inside = np.flatnonzero(chosen)
    return float(nodal_efficiency(weights[np.ix_(inside, inside)]).mean()) if len(inside) > 1 else 0.0


def _as_graph(weights: Weights) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(len(weights)))
    for first, second in np.argwhere(np.triu(weights) > 0).tolist():
        weight = float(weights[first, second])
        graph.add_edge(first, second, weight=weight, length=1.0 / weight)
    return graph
