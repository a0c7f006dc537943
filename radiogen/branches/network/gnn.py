"""The graph network: convolutions, sum read-out, fully connected layers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Integer
from torch import nn

from radiogen.branches.network.names import GRAPH_OPERATORS, SUMMING_OPERATORS
from radiogen.branches.network.operators import EdgeIndex, EdgeTensor, NodeTensor
from radiogen.config.network_model import GraphNetworkSettings


class GraphNetwork(nn.Module):
    """A graph in, one logit out; the order of nodes and connections does not matter.

    The read-out is the paper's: a linear map of every node, summed. A node here receives some fifty messages and a graph has 90 nodes; so that
    neither grows without bound, connections of operators that sum messages are divided by a fixed number, the mean degree, and the read-out by the
    number of nodes. Both are constants of the template that the matrices could take in.

    Args:
        n_node: features per node.
        n_edge: features per connection.
        mean_degree: connections per node.
        settings: layers.

    Source: layers of the IDH brain-network paper; the constants are ours.
    """

    def __init__(self, n_node: int, n_edge: int, mean_degree: float, settings: GraphNetworkSettings) -> None:
        super().__init__()
        make = GRAPH_OPERATORS.load(settings.operator)
        sizes = [n_node] + [settings.width] * settings.convolutions
        self.convolutions = nn.ModuleList([make(a, b, n_edge) for a, b in pairwise(sizes)])
        self.readout = nn.Linear(settings.width, settings.embedding, bias=False)
        self.hidden = nn.Linear(settings.embedding, settings.width)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Linear(settings.width, 1)
        self.divisor = max(1.0, mean_degree) if settings.operator in SUMMING_OPERATORS else 1.0

    def embed(
        self, x: NodeTensor, edge_index: EdgeIndex, edge_values: EdgeTensor, nodes_per_case: int
    ) -> Float[torch.Tensor, "b d"]:
        """Return one embedding per case; arguments as those of `GraphOperator.forward`."""
        for convolution in self.convolutions:
            x = torch.relu(convolution(x, edge_index, edge_values / self.divisor, nodes_per_case))
        summed = self.readout(x).reshape(-1, nodes_per_case, self.readout.out_features).sum(1)
        return torch.as_tensor(summed / nodes_per_case)

    def forward(
        self, x: NodeTensor, edge_index: EdgeIndex, edge_values: EdgeTensor, nodes_per_case: int
    ) -> Float[torch.Tensor, " b"]:
        """Return one logit per case; arguments as those of `GraphOperator.forward`."""
        hidden = torch.relu(self.hidden(self.embed(x, edge_index, edge_values, nodes_per_case)))
        return torch.as_tensor(self.out(self.dropout(hidden))[:, 0])


def stack_cases(
    node_values: Float32[np.ndarray, "b n f"],
    edge_values: Float32[np.ndarray, "b e g"],
    edges: Integer[np.ndarray, "e 2"],
    keep: Bool[np.ndarray, "b e"] | None = None,
) -> tuple[NodeTensor, EdgeIndex, EdgeTensor]:
    """Return the graphs of several cases as one: nodes stacked, both directions of every connection.

    Args:
        node_values: of every case.
        edge_values: of every case.
        edges: pairs of nodes from 0, the same for all.
        keep: connections that are there; None: all.

    Returns:
        Node features, from and to, features of every direction; first all connections one way, then all the other way.

    Example:
        >>> x, index, values = stack_cases(np.zeros((2, 2, 1), "f"), np.ones((2, 1, 3), "f"), np.array([[0, 1]]))
        >>> index.tolist()
        [[0, 2, 1, 3], [1, 3, 0, 2]]
    """
    n_cases, n_nodes, n_features = node_values.shape
    pairs = (edges[None] + n_nodes * np.arange(n_cases)[:, None, None]).reshape(-1, 2)
    # Copies: the last bit of a product of matrices depends on where they lie in memory, and torch lays its own out alike each time.
    values = torch.tensor(edge_values).reshape(len(pairs), -1)
    index = torch.from_numpy(np.ascontiguousarray(pairs.T.astype(np.int64)))
    if keep is not None:
        kept = torch.from_numpy(keep.reshape(-1))
        index, values = index[:, kept], values[kept]
    x = torch.tensor(node_values).reshape(-1, n_features)
    return x, torch.cat([index, index.flip(0)], 1), torch.cat([values, values])
