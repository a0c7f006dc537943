"""Corridors between made-up regions: along the tract, around a barrier, the same however regions are numbered."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.network.compare import compare_connections
from radiogen.branches.network.corridors import choose_pairs, find_ways
from radiogen.config.network import CorridorSettings

SIZE = (1.0, 1.0, 1.0)
NARROW = CorridorSettings(reach_mm=1.0, tolerance=0.01, tolerance_mm=0.0)


def straight() -> tuple[np.ndarray, np.ndarray]:
    """Two blobs and one straight tract, one voxel thick, in matter that costs ten times as much."""
    nodes, white = np.zeros((20, 11, 3), np.uint16), np.full((20, 11, 3), 0.1, np.float32)
    nodes[:2, 4:7], nodes[18:, 4:7] = 1, 2
    white[:, 5, 1] = 1.0
    return nodes, white


def test_the_corridor_is_the_tract_and_costs_its_length() -> None:
    nodes, white = straight()
    ways = find_ways(nodes, white, SIZE, NARROW)
    i, j, k = np.unravel_index(ways.corridor(0, 1, NARROW), nodes.shape)
    assert set(j.tolist()) == {5}
    assert set(k.tolist()) == {1}
    # Inside a region a way costs nothing: between them lie the 17 steps from voxel 1 to 18.
    assert ways.pair_cost[0, 1] == pytest.approx(17.0, abs=2.0)
    assert {*range(2, 18)} <= set(i.tolist())


def test_a_barrier_bends_the_corridor() -> None:
    nodes, white = straight()
    white[:] = 1.0
    white[10, :9] = 0.0  # a wall with a gap at j = 9, 10
    ways = find_ways(nodes, white, SIZE, NARROW)
    i, j, _ = np.unravel_index(ways.corridor(0, 1, NARROW), nodes.shape)
    assert (j[i == 10] >= 9).all()
    assert (i == 10).any()
    open_cost = find_ways(nodes, np.ones_like(white), SIZE, NARROW).pair_cost[0, 1]
    assert ways.pair_cost[0, 1] > open_cost + 1


def test_no_way_through_a_closed_wall() -> None:
    nodes, white = straight()
    white[10] = 0.0
    ways = find_ways(nodes, white, SIZE, NARROW)
    assert np.isinf(ways.pair_cost[0, 1])
    assert ways.corridor(0, 1, NARROW).size == 0
    assert choose_pairs(ways.pair_cost, 1.0).shape == (0, 2)


def test_a_region_is_not_entered_from_the_other_side() -> None:
    nodes, white = np.zeros((7, 5, 1), np.uint16), np.ones((7, 5, 1), np.float32)
    nodes[2, 2], nodes[6, 2] = 1, 2
    white[3] = 0.0
    side = np.sign(np.arange(7) - 3).astype(np.int8)[:, None, None] * np.ones((1, 5, 1), np.int8)
    reach = CorridorSettings(reach_mm=3.0)
    assert np.isfinite(find_ways(nodes, white, SIZE, reach).pair_cost[0, 1])
    assert np.isinf(find_ways(nodes, white, SIZE, reach, side=side).pair_cost[0, 1])


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 50))
def test_renumbered_regions_have_the_same_ways(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes, white = np.zeros((8, 8, 4), np.uint16), rng.uniform(0.05, 1, (8, 8, 4)).astype(np.float32)
    for node, place in enumerate(((0, 0), (0, 6), (6, 0), (6, 6))):
        nodes[place[0] : place[0] + 2, place[1] : place[1] + 2] = node + 1
    table = np.array([0, *(new + 1 for new in order)], dtype=np.uint16)
    before, after = (find_ways(labels, white, SIZE, NARROW) for labels in (nodes, table[nodes]))
    assert np.allclose(before.pair_cost, after.pair_cost[np.ix_(order, order)])
    first, second = (choose_pairs(ways.pair_cost, 0.5) for ways in (before, after))
    moved = {tuple(sorted((order[a], order[b]))) for a, b in first.tolist()}
    assert moved == {tuple(pair) for pair in second.tolist()}
    for a, b in first.tolist():
        assert np.array_equal(before.corridor(a, b, NARROW), after.corridor(order[a], order[b], NARROW))


def test_a_connectome_chooses_its_strongest_pairs() -> None:
    cost = np.ones((4, 4))
    strength = np.zeros((4, 4))
    strength[0, 3] = strength[3, 0] = 5
    strength[1, 2] = strength[2, 1] = 2
    assert choose_pairs(cost, 1 / 6, strength).tolist() == [[0, 3]]
    assert choose_pairs(cost, 1.0, strength).tolist() == [[0, 3], [1, 2]]


def test_agreement_of_equal_and_of_unlike_networks() -> None:
    pairs = np.array(sorted(tuple(sorted(pair)) for pair in nx.random_regular_graph(4, 30, seed=1).edges))
    weights = np.linspace(0.1, 1, len(pairs))
    same = compare_connections(pairs, weights, pairs, weights)
    assert (same.dice, same.jaccard, same.n_shared) == (1.0, 1.0, len(pairs))
    assert same.weight_correlation == pytest.approx(1.0)
    assert same.null_dice_most < 0.5
    other = np.array(sorted(tuple(sorted(pair)) for pair in nx.random_regular_graph(4, 30, seed=2).edges))
    unlike = compare_connections(pairs, weights, other, weights)
    assert abs(unlike.dice - unlike.null_dice) < 0.15
