"""Names of graph operators, without importing torch."""

from __future__ import annotations

from radiogen.registry import Registry

GRAPH_OPERATORS = Registry(
    "graph_operators",
    {
        "gat": "radiogen.branches.network.operators:gat",
        "gin": "radiogen.branches.network.operators:gin",
        "graph-transformer": "radiogen.branches.network.operators:graph_transformer",
        "graphconv": "radiogen.branches.network.operators:graphconv",
        "latent-convolution": "radiogen.branches.network.operators:per_latent",
        "latent-convolution-shared": "radiogen.branches.network.operators:shared",
        "nnconv": "radiogen.branches.network.operators:nnconv",
    },
)
"""Operator name -> function of (node features in, features out, edge features) that returns a `GraphOperator`."""

SUMMING_OPERATORS = ("graphconv", "latent-convolution", "latent-convolution-shared")
"""Operators whose messages are multiples of the connections' values and are summed, not averaged."""
