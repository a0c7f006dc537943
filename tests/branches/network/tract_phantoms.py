"""Made-up patients whose label depends on which tracts the tumour crosses, and on nothing else."""

from __future__ import annotations

import numpy as np

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.disconnection import share_inside
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid

AFFINE = np.array([[4.0, 0, 0, -80.0], [0, 4, 0, -112], [0, 0, 4, -60], [0, 0, 0, 1]])
SHAPE = (41, 49, 37)
GRID = Grid(SHAPE, AFFINE)
WORLD_MM = np.moveaxis(np.indices(SHAPE) * 4.0 + AFFINE[:3, 3].reshape(3, 1, 1, 1), 0, -1)

_LEFT_MM = [
    (-24, 52, 8),
    (-48, 24, 20),
    (-28, 4, 52),
    (-56, -16, -8),
    (-40, 8, -24),
    (-52, -44, 24),
    (-24, -60, 48),
    (-20, -84, 4),
]
_WITHIN = [(0, 1), (0, 4), (1, 2), (1, 3), (2, 6), (3, 4), (3, 5), (4, 7), (5, 6), (5, 7), (6, 7), (1, 5)]
_DECIDING = [(1, 5), (4, 7)]


def tract_template() -> NetworkTemplate:
    """Eight regions per side, twelve straight tracts within each side, mirror images of each other, and four between the sides."""
    left = np.array(_LEFT_MM, dtype=float)
    places = np.concatenate([left, left * [-1, 1, 1]])
    pairs = _WITHIN + [(a + 8, b + 8) for a, b in _WITHIN] + [(node, node + 8) for node in (0, 2, 6, 7)]
    nodes = np.zeros(SHAPE, dtype=np.uint16)
    for number, place in enumerate(places):
        nodes[np.linalg.norm(WORLD_MM - place, axis=-1) <= 9.0] = number + 1
    edges = np.array(sorted(pairs))
    regions = [_tube(places[first], places[second]) for first, second in edges]
    return NetworkTemplate(
        name="tracts",
        grid=GRID,
        nodes=nodes,
        node_names=tuple(f"Region_{number % 8}_{'LR'[number // 8]}" for number in range(16)),
        edges=edges,
        weights=np.ones(len(edges)),
        roi_voxels=np.concatenate(regions),
        roi_start=np.concatenate([[0], np.cumsum([len(region) for region in regions])]),
        provenance={"builder": "made up"},
    )


def deciding(template: NetworkTemplate) -> np.ndarray:
    """Which connections decide: two tracts and their mirror images."""
    wanted = {*_DECIDING, *((a + 8, b + 8) for a, b in _DECIDING)}
    return np.array([tuple(pair) in wanted for pair in template.edges.tolist()])


def phantoms(
    template: NetworkTemplate, n_cases: int, seed: int
) -> tuple[list[CaseImages], list[np.ndarray], np.ndarray]:
    """Images, masks and labels; one half has a tumour that fills a quarter or more of a deciding tract, the other one that fills none of it.

    Tumours are balls in noise. Size, side and brightness are drawn before the label's place is looked for, so they tell nothing of it.
    """
    rng = np.random.default_rng(seed)
    tracts = np.unique(template.roi_voxels)
    decides = deciding(template)
    flat = WORLD_MM.reshape(-1, 3)
    head = np.linalg.norm((flat - [0, -16, 10]) / [76, 92, 66], axis=1) < 1
    images, masks, labels = [], [], np.tile([0, 1], n_cases // 2)
    for number in range(n_cases):
        radius, side, bright = rng.uniform(9, 18), rng.choice([-1, 1]), rng.uniform(1, 4)
        nearby = tracts[np.sign(flat[tracts, 0]) == side]
        while True:
            centre = flat[rng.choice(nearby)] + rng.uniform(-2, 2, 3)
            inside = np.linalg.norm(flat - centre, axis=1) <= radius
            if (inside & ~head).any():  # a ball cut by the edge of the head would tell its place by its shape
                continue
            share = share_inside(inside.astype(np.float32), template.roi_voxels, template.roi_start)[decides].max()
            if share >= 0.25 if labels[number] else share <= 0.02:
                break
        image = np.where(head, 100 + 10 * rng.normal(size=len(flat)) + 10 * bright * inside, 0).astype(np.float32)
        images.append(CaseImages(f"case-{number:03d}", {"t1c": image.reshape(SHAPE)}, GRID))
        masks.append((3 * inside).astype(np.uint8).reshape(SHAPE))
    return images, masks, labels


def _tube(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    way = second - first
    along = np.clip((WORLD_MM - first) @ way / (way @ way), 0, 1)
    return np.flatnonzero(np.linalg.norm(WORLD_MM - first - along[..., None] * way, axis=-1) <= 5.0)
