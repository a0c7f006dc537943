"""A closed surface that grows until it meets the edge of the brain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Integer
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.spatial import cKDTree

from radiogen.types import Mask, Volume

Points = Float[np.ndarray, "n 3"]
Triangles = Integer[np.ndarray, "m 3"]

_SMALLEST_RADIUS_MM, _LARGEST_RADIUS_MM = 3.33, 10.0
_SEARCH_MM = 20.0


@dataclass(frozen=True)
class Sphere:
    """A triangulated unit sphere.

    Args:
        points: the corners.
        triangles: corner indices, outward.
        edges: corner indices of every edge, once.
        neighbours: row-normalised adjacency, so that `neighbours @ points` is the mean of each corner's neighbours.
    """

    points: Points
    triangles: Triangles
    edges: Integer[np.ndarray, "e 2"]
    neighbours: csr_matrix


@dataclass(frozen=True)
class Levels:
    """Intensities that steer the surface.

    Args:
        low: what counts as background.
        foreground: what counts as head.
        brain: typical of the brain.
    """

    low: float
    foreground: float
    brain: float


@lru_cache(maxsize=2)
def icosphere(subdivisions: int) -> Sphere:
    """Return an icosahedron whose triangles were split in four `subdivisions` times.

    Example:
        >>> len(icosphere(2).points)
        162
    """
    g = (1 + 5**0.5) / 2
    points = np.array(
        [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g],
         [0, -1, -g], [0, 1, -g], [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]]
    )  # fmt: skip
    triangles = np.array(
        [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8],
         [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]]
    )  # fmt: skip
    for _ in range(subdivisions):
        edges, which = np.unique(_edges(triangles), axis=0, return_inverse=True)
        ab, bc, ca = which.reshape(3, -1) + len(points)
        a, b, c = triangles.T
        points = np.vstack([points, points[edges].mean(axis=1)])
        triangles = np.vstack([np.c_[a, ab, ca], np.c_[b, bc, ab], np.c_[c, ca, bc], np.c_[ab, bc, ca]])
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    edges = np.unique(_edges(triangles), axis=0)
    both = np.vstack([edges, edges[:, ::-1]])
    adjacency = coo_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(len(points),) * 2).tocsr()
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    return Sphere(points, triangles, edges, csr_matrix(diags(1 / degree) @ adjacency))


def _edges(triangles: Triangles) -> Integer[np.ndarray, "e 2"]:
    return np.sort(np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)


def grow_surface(
    image: Volume,
    voxel_mm: float,
    centre: Float[np.ndarray, " 3"],
    radius_mm: float,
    levels: Levels,
    *,
    tightness: float,
    steps: int,
) -> Points:
    """Return the corners of a surface grown from a small sphere to the edge of the brain.

    Args:
        image: isotropic volume with the skull on.
        voxel_mm: its voxel edge, mm.
        centre: where to start, voxels.
        radius_mm: of the starting sphere, mm.
        levels: intensities that steer it.
        tightness: 0 to 1; the larger, the darker a voxel may be relative to the tissue behind it before the surface stops.
        steps: iterations.

    Returns:
        Corner positions, voxels.

    Source: Smith 2002, Fast robust automated brain extraction, doi:10.1002/hbm.10062, equations 1 to 13.
    """
    sphere = icosphere(4)
    points = sphere.points * (radius_mm / voxel_mm) + centre
    length_mm = 1.0
    for step in range(steps):
        if step % 25 == 0:
            ends = points[sphere.edges]
            length_mm = float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).mean()) * voxel_mm
        points = points + _step_mm(image, voxel_mm, points, sphere, levels, tightness, length_mm) / voxel_mm
    return points


def _step_mm(
    image: Volume, voxel_mm: float, points: Points, sphere: Sphere, levels: Levels, tightness: float, length_mm: float
) -> Points:
    normals = _normals(points, sphere.triangles)
    to_mean = (sphere.neighbours @ points - points) * voxel_mm
    along = (to_mean * normals).sum(axis=1, keepdims=True)
    tangential = to_mean - along * normals
    radius_mm = length_mm**2 / (2 * np.abs(along) + 1e-9)
    middle = (1 / _SMALLEST_RADIUS_MM + 1 / _LARGEST_RADIUS_MM) / 2
    steep = 6 / (1 / _SMALLEST_RADIUS_MM - 1 / _LARGEST_RADIUS_MM)
    smoothing = (1 + np.tanh(steep * (1 / radius_mm - middle))) / 2
    push = _push(image, voxel_mm, points, normals, levels, tightness)
    return 0.5 * tangential + smoothing * along * normals + 0.05 * push[:, None] * length_mm * normals


def _push(
    image: Volume, voxel_mm: float, points: Points, normals: Points, levels: Levels, tightness: float
) -> Float[np.ndarray, " n"]:
    """Return how strongly the intensities behind each corner push it out (positive) or pull it in."""
    depths = np.arange(0, _SEARCH_MM / voxel_mm + 0.01)
    inward = np.rint(points[:, None] - normals[:, None] * depths[None, :, None]).astype(int)
    last = np.array(image.shape) - 1
    inside = ((inward >= 0) & (inward <= last)).all(axis=2)
    i, j, k = np.moveaxis(np.clip(inward, 0, last), 2, 0)
    values = np.where(inside, image[i, j, k], levels.low)
    near = depths <= _SEARCH_MM / 2 / voxel_mm + 1e-6
    darkest = np.maximum(levels.low, np.minimum(levels.brain, values.min(axis=1)))
    brightest = np.minimum(levels.brain, np.maximum(levels.foreground, values[:, near].max(axis=1)))
    stop = (brightest - levels.low) * tightness + levels.low
    return np.asarray(2 * (darkest - stop) / np.maximum(brightest - levels.low, 1e-6))


def _normals(points: Points, triangles: Triangles) -> Points:
    a, b, c = points[triangles[:, 0]], points[triangles[:, 1]], points[triangles[:, 2]]
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(triangles[:, corner], faces[:, axis], len(points))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def fill_surface(points: Points, shape: tuple[int, int, int]) -> Mask:
    """Return the voxels inside a star-shaped surface.

    Args:
        points: corners, voxels.
        shape: of the volume.
    """
    centre = points.mean(axis=0)
    arms = points - centre
    lengths = np.linalg.norm(arms, axis=1)
    tree = cKDTree(arms / lengths[:, None])
    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, np.array(shape))
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, low, np.array(shape))
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    voxels = (
        np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1)
        - centre
    )
    distance = np.linalg.norm(voxels, axis=-1)
    near = distance.ravel() <= lengths.max()
    directions = voxels.reshape(-1, 3)[near] / np.maximum(distance.ravel()[near], 1e-9)[:, None]
    gap, which = tree.query(directions, k=3)
    weight = 1 / (gap + 1e-6)
    reach = (lengths[which] * weight).sum(axis=1) / weight.sum(axis=1)
    inside = np.zeros(distance.size, dtype=bool)
    inside[near] = distance.ravel()[near] <= reach
    mask = np.zeros(shape, dtype=bool)
    mask[box] = inside.reshape(distance.shape)
    return mask
