"""Connections without a tractogram: for every pair of regions, the cheapest ways through the white matter of a template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Float32, Int8, Integer, UInt16
from scipy.ndimage import distance_transform_edt, find_objects
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from radiogen.config.network import CorridorSettings
from radiogen.types import Mask, Volume

VoxelSize = tuple[float, float, float]

_REGIONS_AT_ONCE = 5
_ENTRY_COST = 1e-3
"""scipy's graphs take a weight of 0 for no edge; a thousandth of a millimetre is none."""


@dataclass(frozen=True)
class Ways:
    """What it costs to get from every region to every open voxel.

    Args:
        voxels: flat indices (C order) of the open voxels.
        cost: of the cheapest way from a region to a voxel, mm of pure white matter; infinity where there is none.
        pair_cost: of the cheapest way between two regions, the same unit.
    """

    voxels: Integer[np.ndarray, " v"]
    cost: Float32[np.ndarray, "n v"]
    pair_cost: Float[np.ndarray, "n n"]

    def corridor(self, first: int, second: int, settings: CorridorSettings) -> Integer[np.ndarray, " m"]:
        """Return the flat indices of the voxels that nearly cheapest ways between two regions pass.

        Args:
            first: region, from 0.
            second: another one.
            settings: tolerances.

        Returns:
            Sorted; empty where there is no way.
        """
        limit = self.pair_cost[first, second] * (1 + settings.tolerance) + settings.tolerance_mm
        if not np.isfinite(limit):
            return self.voxels[:0]
        # float32 sums of the very path that sets the limit may lie a rounding error above it.
        return self.voxels[self.cost[first] + self.cost[second] <= limit * (1 + 1e-5)]


def find_ways(
    nodes: UInt16[np.ndarray, "i j k"],
    white: Volume,
    voxel_size_mm: VoxelSize,
    settings: CorridorSettings,
    advance: Callable[[int], None] = lambda done: None,
    side: Int8[np.ndarray, "i j k"] | None = None,
) -> Ways:
    """Find the cheapest ways from every region through white matter (Dijkstra, steps to all 26 neighbours).

    A step of d mm between two voxels costs d times the mean of 1 / white matter in them; to enter the white matter near a region costs the
    distance to the region, mm.

    Args:
        nodes: label map, node n has label n + 1.
        white: share of white matter, 0 to 1.
        voxel_size_mm: of both.
        settings: `least_white`, `reach_mm`.
        advance: told how many regions were done.
        side: -1 left, 1 right, 0 midline; a region is not entered from the other side, nor at the midline: the fissure between the hemispheres is
            narrower than `reach_mm`. None: there are no sides.

    Source: minimal paths as connections, Iturria-Medina et al., NeuroImage 2007;36:645 (there on diffusion data; here on the white matter of
    a template); Dijkstra, Numerische Mathematik 1959;1:269.
    """
    n_nodes = int(nodes.max())
    open_ = white >= settings.least_white
    number = np.full(nodes.shape, -1, dtype=np.int64)
    voxels = np.flatnonzero(open_)
    number[open_] = np.arange(len(voxels))
    start, end, cost = _steps(open_, number, 1 / np.clip(white, settings.least_white, 1).astype(float), voxel_size_mm)
    entry, entered, entry_cost = _entries(
        nodes, open_, number, voxel_size_mm, settings.reach_mm, np.ones(nodes.shape, np.int8) if side is None else side
    )
    # Every region is a vertex of its own with ways out and none in: no way leads through another region's vertex.
    size = len(voxels) + n_nodes
    graph = csr_matrix(
        (
            np.concatenate([cost, cost, entry_cost]),
            (
                np.concatenate([start, end, len(voxels) + entry]),
                np.concatenate([end, start, entered]),
            ),
        ),
        shape=(size, size),
    )
    from_region = np.empty((n_nodes, len(voxels)), dtype=np.float32)
    for first in range(0, n_nodes, _REGIONS_AT_ONCE):
        sources = np.arange(first, min(first + _REGIONS_AT_ONCE, n_nodes))
        from_region[sources] = dijkstra(graph, indices=len(voxels) + sources)[:, : len(voxels)]
        advance(len(sources))
    return Ways(voxels, from_region, _pair_costs(from_region))


def _pair_costs(from_region: Float32[np.ndarray, "n v"]) -> Float[np.ndarray, "n n"]:
    n_nodes = len(from_region)
    pair = np.zeros((n_nodes, n_nodes))
    for i in range(n_nodes):
        for j in range(i + 1, n_nodes):
            pair[i, j] = pair[j, i] = (from_region[i] + from_region[j]).min(initial=np.inf)
    return pair


def _steps(
    open_: Mask, number: Integer[np.ndarray, "i j k"], cost_per_mm: Float[np.ndarray, "i j k"], size_mm: VoxelSize
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every step between two open neighbours once: from, to, cost."""
    found = []
    for shift in (shift for shift in product((-1, 0, 1), repeat=3) if shift > (0, 0, 0)):
        here, there = zip(*(_overlap(step, count) for step, count in zip(shift, open_.shape, strict=True)), strict=True)
        both = open_[here] & open_[there]
        length_mm = float(np.linalg.norm(np.multiply(shift, size_mm)))
        cost = length_mm * (cost_per_mm[here][both] + cost_per_mm[there][both]) / 2
        found.append((number[here][both], number[there][both], cost))
    start, end, costs = (np.concatenate(part) for part in zip(*found, strict=True))
    return start, end, costs


def _overlap(step: int, count: int) -> tuple[slice, slice]:
    return slice(max(0, -step), count - max(0, step)), slice(max(0, step), count - max(0, -step))


def _entries(
    nodes: UInt16[np.ndarray, "i j k"],
    open_: Mask,
    number: Integer[np.ndarray, "i j k"],
    size_mm: VoxelSize,
    reach_mm: float,
    side: Int8[np.ndarray, "i j k"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each region touches white matter: region, voxel, cost."""
    found = []
    for node, box in _boxes(nodes, size_mm, reach_mm):
        for one_side in (-1, 1):
            here = side[box] == one_side
            inside = here & (nodes[box] == node + 1)
            if inside.any():
                distance_mm = distance_transform_edt(~inside, sampling=size_mm)
                near = open_[box] & here & (distance_mm <= reach_mm)
                found.append((np.full(int(near.sum()), node), number[box][near], distance_mm[near] + _ENTRY_COST))
    regions, voxels, costs = (np.concatenate(part) for part in zip(*found, strict=True))
    return regions, voxels, costs


def _boxes(
    nodes: UInt16[np.ndarray, "i j k"], size_mm: VoxelSize, reach_mm: float
) -> Iterator[tuple[int, tuple[slice, ...]]]:
    for node, box in enumerate(find_objects(nodes.astype(np.int32))):
        if box is not None:
            margin = [int(np.ceil(reach_mm / size)) for size in size_mm]
            yield node, tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(box, margin, strict=True))


def choose_pairs(
    pair_cost: Float[np.ndarray, "n n"], density: float, connectome: Float[np.ndarray, "n n"] | None = None
) -> Integer[np.ndarray, "e 2"]:
    """Return the pairs of regions that are connected: the strongest of a connectome, or the cheapest to reach.

    Args:
        pair_cost: cost of the cheapest way; infinity where there is none.
        density: share of all pairs that is kept.
        connectome: symmetric strengths; pairs of strength 0 are not kept.

    Returns:
        Pairs, the first smaller than the second, sorted. Pairs as good as the last one that fits are kept too.

    Example:
        >>> cost = np.array([[0, 1, 5], [1, 0, 2], [5, 2, 0.0]])
        >>> choose_pairs(cost, 0.67).tolist()
        [[0, 1], [1, 2]]
    """
    first, second = np.triu_indices(len(pair_cost), 1)
    rank = pair_cost[first, second] if connectome is None else -connectome[first, second]
    allowed = np.isfinite(pair_cost[first, second]) & (rank != 0 if connectome is not None else True)
    wanted = max(1, round(density * len(rank)))
    ordered = np.sort(rank[allowed])
    if len(ordered):
        allowed &= rank <= ordered[min(wanted, len(ordered)) - 1]
    return np.stack([first[allowed], second[allowed]], axis=1)
