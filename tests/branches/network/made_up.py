"""A made-up network with straight connections, symmetric about x = 0, and tumours at known places."""

from __future__ import annotations

import numpy as np

from radiogen.branches.network.base import NetworkTemplate
from radiogen.cohort.nifti import Grid

SHAPE = (21, 21, 9)
AFFINE = np.array([[4.0, 0, 0, -40.0], [0, 4, 0, -50], [0, 0, 4, 0], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)
"""Voxels of 4 mm in the middle of the brain of MNI152; x = 0 is voxel 10."""

CENTRES = {
    "Frontal_Sup_L": (3, 17, 4),
    "Frontal_Sup_R": (17, 17, 4),
    "Temporal_Mid_L": (3, 10, 4),
    "Temporal_Mid_R": (17, 10, 4),
    "Occipital_Mid_L": (3, 3, 4),
    "Occipital_Mid_R": (17, 3, 4),
}
EDGES = np.array([[0, 1], [0, 2], [1, 3], [2, 3], [2, 4], [3, 5], [4, 5]])
WEIGHTS = np.array([0.5, 1.0, 1.0, 0.25, 0.8, 0.8, 0.4])


def made_up_template() -> NetworkTemplate:
    """Six regions of 3 x 3 x 3 voxels, two rows of three; connections are the voxels of the straight lines between their centres."""
    nodes = np.zeros(SHAPE, dtype=np.uint16)
    for number, (i, j, k) in enumerate(CENTRES.values()):
        nodes[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = number + 1
    centres = np.array(list(CENTRES.values()))
    regions = [line(centres[first], centres[second]) for first, second in EDGES]
    return NetworkTemplate(
        name="made-up",
        grid=GRID,
        nodes=nodes,
        node_names=tuple(CENTRES),
        edges=EDGES.astype(np.int64),
        weights=WEIGHTS.copy(),
        roi_voxels=np.concatenate(regions),
        roi_start=np.concatenate([[0], np.cumsum([len(region) for region in regions])]),
        provenance={"builder": "made up"},
    )


def line(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flat voxels of a straight line along one axis, both ends included."""
    length = int(np.abs(second - first).max())
    places = np.rint(np.linspace(first, second, length + 1)).astype(int)
    return np.sort(np.ravel_multi_index(tuple(places.T), SHAPE))


def permuted(template: NetworkTemplate, order: list[int]) -> NetworkTemplate:
    """The same network with its nodes in another order: node n of the result is node order[n]."""
    new_of_old = np.argsort(order)
    pairs = np.sort(new_of_old[template.edges], axis=1)
    ranked = np.lexsort((pairs[:, 1], pairs[:, 0]))
    regions = [template.edge_voxels(int(edge)) for edge in ranked]
    labels = np.concatenate([[0], new_of_old + 1]).astype(np.uint16)
    return NetworkTemplate(
        name="permuted",
        grid=template.grid,
        nodes=labels[template.nodes],
        node_names=tuple(template.node_names[node] for node in order),
        edges=pairs[ranked],
        weights=template.weights[ranked],
        roi_voxels=np.concatenate(regions),
        roi_start=np.concatenate([[0], np.cumsum([len(region) for region in regions])]),
    )


def block(low: tuple[int, int, int], high: tuple[int, int, int], label: int = 3) -> np.ndarray:
    """A tumour that fills the voxels from `low` up to, not including, `high`."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = label
    return labels


def intensities(seed: int = 0) -> np.ndarray:
    """Positive noise everywhere but on the six faces, which are 0."""
    image = np.zeros(SHAPE, dtype=np.float32)
    image[1:-1, 1:-1, 1:-1] = np.random.default_rng(seed).normal(100, 10, (19, 19, 7))
    return image


def spheres(places_mm: dict[str, tuple[int, int, int]], radius_mm: float = 9.0) -> NetworkTemplate:
    """Balls on 4 mm voxels of the whole brain; first and second, third and fourth, ... are connected by straight tubes 5 mm in radius."""
    affine = np.array([[4.0, 0, 0, -80.0], [0, 4, 0, -112], [0, 0, 4, -60], [0, 0, 0, 1]])
    shape = (41, 49, 37)
    world = np.moveaxis(np.indices(shape) * 4.0 + affine[:3, 3].reshape(3, 1, 1, 1), 0, -1)
    nodes = np.zeros(shape, dtype=np.uint16)
    places = np.array(list(places_mm.values()), dtype=float)
    for number, place in enumerate(places):
        nodes[np.linalg.norm(world - place, axis=-1) <= radius_mm] = number + 1
    regions = []
    for first, second in zip(places[::2], places[1::2], strict=True):
        way = second - first
        along = np.clip((world - first) @ way / (way @ way), 0, 1)
        regions.append(np.flatnonzero(np.linalg.norm(world - first - along[..., None] * way, axis=-1) <= 5.0))
    return NetworkTemplate(
        name="spheres",
        grid=Grid(shape, affine),
        nodes=nodes,
        node_names=tuple(places_mm),
        edges=np.arange(len(places)).reshape(-1, 2),
        weights=np.ones(len(regions)),
        roi_voxels=np.concatenate(regions),
        roi_start=np.concatenate([[0], np.cumsum([len(region) for region in regions])]),
    )
