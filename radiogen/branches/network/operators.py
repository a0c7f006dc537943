"""Graph operators by name. All of them take the graphs of several cases as one: nodes stacked, connections numbered through."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import nn

from radiogen.branches.network.geometric import importing_geometric

with importing_geometric():
    from torch_geometric.nn import GATv2Conv, GINEConv, GraphConv, MessagePassing, NNConv, TransformerConv

_DENSE_NODES = 512
"""Graphs up to this size are worked on as full matrices: with more than half of all pairs connected that is several times faster."""

NodeTensor = Float[torch.Tensor, "all_nodes _"]
EdgeIndex = Integer[torch.Tensor, "2 all_ends"]
EdgeTensor = Float[torch.Tensor, "all_ends _"]


class GraphOperator(nn.Module):
    """A layer of torch-geometric in the form that all operators here have.

    Args:
        layer: a layer over (nodes, connections, values of connections).
        weighted: the layer takes one weight per connection, the sum of its values, rather than the values.
    """

    def __init__(self, layer: nn.Module, *, weighted: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.weighted = weighted

    def forward(self, x: NodeTensor, edge_index: EdgeIndex, edge_values: EdgeTensor, nodes_per_case: int) -> NodeTensor:
        """Return new node features.

        Args:
            x: node features, one case after another.
            edge_index: from and to, both directions of every connection.
            edge_values: features of every direction.
            nodes_per_case: nodes of each case.
        """
        new: torch.Tensor = self.layer(x, edge_index, edge_values.sum(-1) if self.weighted else edge_values)
        return new


class LatentConvolution(MessagePassing):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """The convolution of the IDH brain-network paper: `x'_i = Theta1 x_i + sum_z Theta2_z sum_j e_jiz x_j`.

    The paper prints one Theta2. With one, the sum over the latents z is a plain edge weight; with one per latent, each latent can mean something
    else. Both readings are here.

    Args:
        n_in: node features.
        n_out: node features after it.
        n_edge: latents per connection.
        shared: one Theta2 for all latents.

    Source: methods of the IDH brain-network paper; with `shared` it is GraphConv of Morris et al. 2019, AAAI 33:4602, with summed edge weights.
    """

    def __init__(self, n_in: int, n_out: int, n_edge: int, *, shared: bool) -> None:
        super().__init__(aggr="add")
        self.n_out, self.shared = n_out, shared
        self.own = nn.Linear(n_in, n_out)
        self.others = nn.Linear(n_in, n_out if shared else n_out * n_edge, bias=False)

    def forward(self, x: NodeTensor, edge_index: EdgeIndex, edge_values: EdgeTensor, nodes_per_case: int) -> NodeTensor:
        """Return new node features; see `GraphOperator.forward`."""
        values = edge_values.sum(-1, keepdim=True) if self.shared else edge_values
        sent = self.others(x)
        # An explainer puts its mask on messages, which full matrices have none of.
        if self.explain or nodes_per_case > _DENSE_NODES:
            received: torch.Tensor = self.propagate(edge_index, x=sent, values=values)
        else:
            received = self._dense(sent, edge_index, values, nodes_per_case)
        return torch.as_tensor(self.own(x) + received)

    def message(self, x_j: EdgeTensor, values: EdgeTensor) -> EdgeTensor:
        """Return what every connection carries: the sender's features of each latent times the latent, summed."""
        each = x_j.reshape(len(x_j), values.shape[1], self.n_out)
        return (each * values[:, :, None]).sum(1)

    def _dense(self, sent: NodeTensor, edge_index: EdgeIndex, values: EdgeTensor, n: int) -> NodeTensor:
        n_latents, n_cases = values.shape[1], len(sent) // n
        place = edge_index[1] * n + edge_index[0] % n
        full = values.new_zeros(n_cases * n * n, n_latents).index_add(0, place, values)
        received = torch.bmm(full.view(n_cases, n, n * n_latents), sent.view(n_cases, n * n_latents, self.n_out))
        return received.reshape(-1, self.n_out)


def per_latent(n_in: int, n_out: int, n_edge: int) -> nn.Module:
    """Return the paper's convolution with one Theta2 per latent."""
    return LatentConvolution(n_in, n_out, n_edge, shared=False)


def shared(n_in: int, n_out: int, n_edge: int) -> nn.Module:
    """Return the paper's convolution with one Theta2 for all latents."""
    return LatentConvolution(n_in, n_out, n_edge, shared=True)


def graphconv(n_in: int, n_out: int, n_edge: int) -> nn.Module:
    """Return GraphConv weighted by the sum of each connection's features.

    Source: Morris et al. 2019, AAAI 33:4602.
    """
    return GraphOperator(GraphConv(n_in, n_out), weighted=True)


def gat(n_in: int, n_out: int, n_edge: int) -> nn.Module:
    """Return graph attention over nodes and connections, with a residual.

    Source: Brody et al. 2022, ICLR (GATv2).
    """
    return GraphOperator(GATv2Conv(n_in, n_out, edge_dim=n_edge, add_self_loops=False, residual=True))


def gin(n_in: int, n_out: int, n_edge: int) -> nn.Module:
    """Return the graph isomorphism network with edge features; the mean over neighbours, as sums over some fifty of them explode.

    Source: Xu et al. 2019, ICLR; with edges Hu et al. 2020, ICLR.
    """
    inner = nn.Sequential(nn.Linear(n_in, n_out), nn.ReLU(), nn.Linear(n_out, n_out))
    return GraphOperator(GINEConv(inner, edge_dim=n_edge, aggr="mean"))


def nnconv(n_in: int, n_out: int, n_edge: int) -> nn.Module:
    """Return the edge-conditioned convolution: every connection's features make a matrix of their own; mean over neighbours.

    Source: Gilmer et al. 2017, ICML; Simonovsky and Komodakis 2017, CVPR.
    """
    return GraphOperator(NNConv(n_in, n_out, nn.Linear(n_edge, n_in * n_out), aggr="mean"))


def graph_transformer(n_in: int, n_out: int, n_edge: int) -> nn.Module:
    """Return the graph transformer layer with edge features.

    Source: Shi et al. 2021, IJCAI (UniMP).
    """
    layer: Any = TransformerConv(n_in, n_out, edge_dim=n_edge)
    return GraphOperator(layer)
