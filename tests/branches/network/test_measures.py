"""Network measures: values by hand, an independent implementation, and what must not change them."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.network.disconnection import (
    disconnected,
    share_inside,
    sides,
    strength_loss,
    weight_lost,
    whole_network,
)
from radiogen.branches.network.measures import (
    NetworkMeasures,
    find_modules,
    measure,
    modularity,
    nodal_efficiency,
    weight_matrix,
)
from tests.branches.network.made_up import EDGES, WEIGHTS, made_up_template, permuted

ORDER = [3, 0, 5, 2, 4, 1]


def random_weights(seed: int, n: int = 14, share: float = 0.4) -> np.ndarray:
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.uniform(0.1, 1, (n, n)) * (generator.uniform(size=(n, n)) < share), 1)
    return upper + upper.T


def measured(weights: np.ndarray) -> NetworkMeasures:
    return measure(weights, find_modules(weights), weights > 0, (weights > 0).astype(float))


@pytest.mark.parametrize("seed", range(3))
def test_measures_are_those_of_networkx(seed: int) -> None:
    weights = random_weights(seed)
    graph = nx.from_numpy_array(weights)
    for first, second, facts in graph.edges(data=True):
        facts["length"] = 1 / weights[first, second]
    found = measured(weights)
    distances = dict(nx.all_pairs_dijkstra_path_length(graph, weight="length"))
    expected = [sum(1 / d for other, d in distances[node].items() if other != node) / 13 for node in range(14)]
    assert found.efficiency.tolist() == pytest.approx(expected)
    assert found.strength.tolist() == pytest.approx([graph.degree(node, weight="weight") for node in range(14)])
    assert found.degree.tolist() == [graph.degree(node) for node in range(14)]
    assert found.pieces == nx.number_connected_components(graph)
    groups = [set(np.flatnonzero(find_modules(weights) == module)) for module in np.unique(find_modules(weights))]
    assert found.modularity == pytest.approx(nx.community.modularity(graph, groups, weight="weight"))


def test_local_efficiency_by_hand() -> None:
    # Node 0 has the neighbours 1 and 2, which weight 0.5 joins; 1 and 2 each have one neighbour besides 0.
    weights = weight_matrix(3, np.array([[0, 1], [0, 2], [1, 2]]), np.array([1.0, 1.0, 0.5]))
    assert measured(weights).local_efficiency.tolist() == [0.5, 1.0, 1.0]
    star = weight_matrix(3, np.array([[0, 1], [0, 2]]), np.array([1.0, 1.0]))
    assert measured(star).local_efficiency.tolist() == [0.0, 0.0, 0.0]


def test_a_network_without_connections_is_all_zeros() -> None:
    found = measured(np.zeros((4, 4)))
    assert found.pieces == 4
    assert found.modularity == 0.0
    assert not np.concatenate(
        [found.degree, found.strength, found.efficiency, found.local_efficiency, found.betweenness]
    ).any()
    assert nodal_efficiency(np.zeros((1, 1))).tolist() == [0.0]


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(14)), st.integers(0, 5))
def test_the_order_of_nodes_does_not_matter(order: list[int], seed: int) -> None:
    weights = random_weights(seed)
    found, again = measured(weights), measured(weights[np.ix_(order, order)])
    assert again.overall() == pytest.approx(found.overall(), abs=1e-9)
    assert again.betweenness.tolist() == pytest.approx(found.betweenness[order].tolist(), abs=1e-9)
    assert again.local_efficiency.tolist() == pytest.approx(found.local_efficiency[order].tolist(), abs=1e-9)


def test_the_order_of_a_templates_nodes_does_not_matter() -> None:
    template = made_up_template()
    other = permuted(template, ORDER)
    assert sides(other).tolist() == sides(template)[ORDER].tolist() == [1, -1, 1, -1, -1, 1]
    destroyed = np.array([0.2, 0.9, 0, 0, 1, 0, 0.3], dtype=np.float32)
    moved = dict(zip(map(frozenset, np.array(ORDER).argsort()[template.edges].tolist()), destroyed, strict=True))
    here, there = whole_network(template), whole_network(other)
    after = disconnected(here, destroyed, 0.5)[0]
    again = disconnected(
        there, np.array([moved[frozenset(pair)] for pair in other.edges.tolist()], dtype=np.float32), 0.5
    )[0]
    assert again.overall() == pytest.approx(after.overall())
    assert again.degree.tolist() == after.degree[ORDER].tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=7, max_size=7))
def test_disconnection_never_raises_strength_or_efficiency(shares: list[float]) -> None:
    whole = whole_network(made_up_template())
    after, left = disconnected(whole, np.array(shares, dtype=np.float32), 0.5)
    before = whole.measures
    for name in ("degree", "strength", "efficiency", "local_efficiency"):
        assert (getattr(after, name) <= getattr(before, name) + 1e-9).all(), name
    assert after.pieces >= before.pieces
    assert left.sum() == pytest.approx(2 * float((WEIGHTS * (1 - np.array(shares, dtype=np.float32))).sum()))


def test_nothing_destroyed_changes_nothing() -> None:
    whole = whole_network(made_up_template())
    after, left = disconnected(whole, np.zeros(7, dtype=np.float32), 0.5)
    assert after is whole.measures
    assert np.array_equal(left, whole.weights)


def test_everything_destroyed_leaves_nothing() -> None:
    template = made_up_template()
    whole = whole_network(template)
    ones = np.ones(7, dtype=np.float32)
    after, _ = disconnected(whole, ones, 0.5)
    assert after.pieces == 6
    assert set(after.overall().values()) == {0.0}
    assert strength_loss(whole, ones).tolist() == [1.0] * 6
    assert weight_lost(template, ones) == 1.0


def test_losses_by_hand() -> None:
    template = made_up_template()
    destroyed = np.array([0, 0, 0, 0, 0.5, 0, 0], dtype=np.float32)  # half of the 0.8 between nodes 2 and 4
    whole = whole_network(template)
    loss = strength_loss(whole, destroyed)
    assert loss.tolist() == pytest.approx([0, 0, 0.4 / 2.05, 0, 0.4 / 1.2, 0])
    assert weight_lost(template, destroyed) == pytest.approx(0.4 / WEIGHTS.sum())
    assert weight_lost(template, destroyed, (EDGES == 4).any(axis=1)) == pytest.approx(0.4 / 1.2)
    assert np.isnan(weight_lost(template, destroyed, np.zeros(7, dtype=bool)))
    assert disconnected(whole, destroyed, 0.5)[0].degree.tolist() == [2, 2, 3, 3, 2, 2]  # not more than half is gone
    assert disconnected(whole, destroyed, 0.4)[0].degree.tolist() == [2, 2, 2, 3, 1, 2]


def test_modules_are_the_separate_parts() -> None:
    weights = np.kron(np.eye(3), np.ones((4, 4))) - np.eye(12)
    assert [len(set(find_modules(weights)[part : part + 4])) for part in (0, 4, 8)] == [1, 1, 1]
    assert modularity(weights, find_modules(weights)) == pytest.approx(2 / 3)  # 1 - 1 / number of equal parts


def test_shares_of_no_region_are_none() -> None:
    assert share_inside(np.ones(3, dtype=np.float32), np.zeros(0, dtype=int), np.array([0])).shape == (0,)
