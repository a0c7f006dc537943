import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.geometric import importing_geometric
from radiogen.branches.network.gnn import GraphNetwork, stack_cases
from radiogen.branches.network.names import GRAPH_OPERATORS
from radiogen.branches.network.operators import LatentConvolution
from radiogen.config.network_model import GraphNetworkSettings
from radiogen.errors import ConfigError
from tests.branches.network.graphs import cohort, edges_of

with importing_geometric():
    from torch_geometric.nn import GraphConv


def graphs(n_cases=3, n_nodes=12, n_features=5, n_latents=4, seed=0):
    rng = np.random.default_rng(seed)
    edges = edges_of(n_nodes)
    nodes = rng.normal(size=(n_cases, n_nodes, n_features)).astype(np.float32)
    values = rng.random((n_cases, len(edges), n_latents)).astype(np.float32)
    return stack_cases(nodes, values, edges), nodes, values, edges


def test_shared_reading_is_graphconv_with_summed_weights():
    (x, index, values), *_ = graphs()
    torch.manual_seed(0)
    ours, theirs = LatentConvolution(5, 7, 4, shared=True), GraphConv(5, 7)
    with torch.no_grad():
        theirs.lin_rel.weight.copy_(ours.others.weight)
        theirs.lin_rel.bias.copy_(ours.own.bias)
        theirs.lin_root.weight.copy_(ours.own.weight)
    expected = theirs(x, index, edge_weight=values.sum(-1))
    assert torch.allclose(ours(x, index, values, 12), expected, atol=1e-5)


def test_per_latent_reading_by_hand():
    (x, index, values), nodes, edge_values, edges = graphs()
    torch.manual_seed(0)
    layer = LatentConvolution(5, 7, 4, shared=False)
    theta_1, bias = layer.own.weight.detach().numpy(), layer.own.bias.detach().numpy()
    theta_2 = layer.others.weight.detach().numpy().reshape(4, 7, 5)
    expected = nodes @ theta_1.T + bias
    for case in range(3):
        for (a, b), latents in zip(edges, edge_values[case], strict=True):
            for to, sender in ((a, b), (b, a)):
                for latent in range(4):
                    expected[case, to] += latents[latent] * (theta_2[latent] @ nodes[case, sender])
    assert np.allclose(layer(x, index, values, 12).detach().numpy().reshape(3, 12, 7), expected, atol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_messages_and_full_matrices_agree(shared):
    (x, index, values), *_ = graphs()
    layer = LatentConvolution(5, 7, 4, shared=shared)
    dense = layer(x, index, values, 12)
    layer.explain = True
    layer._edge_mask, layer._loop_mask, layer._apply_sigmoid = (
        torch.ones(index.shape[1]),
        torch.ones(index.shape[1], dtype=torch.bool),
        False,
    )
    assert torch.allclose(layer(x, index, values, 12), dense, atol=1e-5)


@pytest.mark.parametrize("name", GRAPH_OPERATORS.names())
def test_every_operator_learns_from_connections(name):
    (x, index, values), *_ = graphs()
    values.requires_grad_()
    layer = GRAPH_OPERATORS.load(name)(5, 7, 4)
    new = layer(x, index, values, 12)
    new.square().sum().backward()
    assert new.shape == (36, 7)
    assert float(values.grad.abs().sum()) > 0


def test_the_papers_layers():
    network = GraphNetwork(12, 12, 51.3, GraphNetworkSettings())
    assert [layer.others.weight.shape for layer in network.convolutions] == [(144, 12)] * 3
    assert network.readout.weight.shape == (12, 12)
    assert [network.hidden.weight.shape, network.out.weight.shape] == [(12, 12), (1, 12)]


def test_a_dropped_connection_is_not_there():
    _, nodes, values, edges = graphs()
    keep = np.ones((3, len(edges)), bool)
    keep[:, 4] = False
    network = GraphNetwork(5, 4, 5.0, GraphNetworkSettings()).eval()
    without = np.delete(values, 4, axis=1)
    dropped = network(*stack_cases(nodes, values, edges, keep), 12)
    assert torch.allclose(dropped, network(*stack_cases(nodes, without, np.delete(edges, 4, axis=0)), 12), atol=1e-6)
    assert not torch.allclose(dropped, network(*stack_cases(nodes, values, edges), 12), atol=1e-4)


@pytest.fixture(scope="module")
def fitted():
    rows, y, _ = cohort(40)
    return {
        name: GraphClassifier(GraphNetworkSettings(operator=name, epochs=3)).fit(rows, y)
        for name in GRAPH_OPERATORS.names()
    }


@given(st.sampled_from(GRAPH_OPERATORS.names()), st.permutations(range(12)), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_nodes_and_connections_changes_nothing(fitted, name, order, seed):
    rows, *_ = cohort(40)
    other = rows.permuted(np.array(order))
    shuffle = np.random.default_rng(seed).permutation(len(rows.edges))
    mixed = type(other)(
        other.cases,
        other.node_values,
        other.edge_values[:, shuffle],
        other.edges[shuffle][:, ::-1].copy(),
        other.node_context,
    )
    model = fitted[name]
    assert np.abs(model.predict_proba(mixed) - model.predict_proba(rows)).max() < 1e-5
    assert np.abs(model.transform(mixed) - model.transform(rows)).max() < 1e-5


def test_an_unknown_operator_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'graphconv'"):
        GraphNetwork(5, 4, 5.0, GraphNetworkSettings(operator="graphcon"))
