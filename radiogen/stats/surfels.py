"""Area of a mask's surface, cell by cell: what weighs each surface point in a distance between surfaces.

A cell is the 2 x 2 x 2 block of voxels around a corner of the voxel grid. Its code is an 8-bit number, one bit per voxel inside the mask. The surface
within it is that of marching cubes through the middles of the edges between inside and outside.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from jaxtyping import Float, UInt8

from radiogen.types import Mask

_Corner = tuple[int, int, int]
_Edge = tuple[_Corner, _Corner]

_CORNERS: tuple[_Corner, ...] = tuple((i, j, k) for i, j, k in product((0, 1), repeat=3))
_AROUND = ((0, 0), (0, 1), (1, 1), (1, 0))
INSIDE = 255
"""Code of a cell whose voxels are all in the mask; 0 is that of a cell outside."""


def cell_codes(mask: Mask) -> UInt8[np.ndarray, "p q r"]:
    """Return the code of every cell of a mask, one more along each axis than it has voxels; beyond the border is outside.

    Example:
        >>> cell_codes(np.ones((1, 1, 1), bool)).ravel().tolist()
        [128, 64, 32, 16, 8, 4, 2, 1]
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros(tuple(side - 1 for side in padded.shape), dtype=np.uint8)
    for bit, corner in enumerate(_CORNERS):
        shifted = tuple(slice(start, start + side) for start, side in zip(corner, codes.shape, strict=True))
        codes |= padded[shifted] << np.uint8(bit)
    return codes


@lru_cache(maxsize=16)
def surface_areas_mm2(voxel_size_mm: tuple[float, float, float]) -> Float[np.ndarray, " 256"]:
    """Return the surface area within a cell for each of the 256 codes, mm2.

    Where a face of the cell can be cut in two ways, the fewer kind of voxels (inside or outside) is kept apart.

    Args:
        voxel_size_mm: voxel size along the three axes, mm.

    Source: Lorensen and Cline 1987, doi:10.1145/37402.37422; the areas at 1 mm are those of Nikolov et al. 2021, J Med Internet Res 23:e26151
        (google-deepmind/surface-distance).

    Example:
        >>> areas = surface_areas_mm2((1.0, 1.0, 1.0))
        >>> [round(float(areas[code]), 4) for code in (0, 1, 0b11, 0b1111)]
        [0.0, 0.2165, 0.7071, 1.0]
    """
    size = np.array(voxel_size_mm)
    areas = np.zeros(256)
    for code in range(256):
        for loop in _loops(code):
            areas[code] += _area([size * (np.array(edge[0]) + np.array(edge[1])) / 2 for edge in loop])
    return areas


def _loops(code: int) -> list[list[_Edge]]:
    """Return the closed lines in which the surface meets the faces of a cell, each as the cut edges it goes through."""
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(_CORNERS)}
    keep_apart = sum(inside.values()) <= len(_CORNERS) // 2
    near: dict[_Edge, list[_Edge]] = {}
    for face in _faces():
        edges = [_edge(face[n], face[(n + 1) % 4]) for n in range(4)]
        cut = [edge for edge in edges if inside[edge[0]] != inside[edge[1]]]
        lines = [cut] if len(cut) == 2 else []
        if len(cut) == 4:
            lines = [[edges[n - 1], edges[n]] for n in range(4) if inside[face[n]] == keep_apart]
        for one, other in lines:
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    loops, left = [], set(near)
    while left:
        loop = [min(left)]
        left.remove(loop[0])
        while further := [edge for edge in near[loop[-1]] if edge in left]:
            loop.append(further[0])
            left.remove(further[0])
        loops.append(loop)
    return loops


def _faces() -> list[list[_Corner]]:
    faces = []
    for axis, side in product(range(3), (0, 1)):
        around = [list(pair) for pair in _AROUND]
        for pair in around:
            pair.insert(axis, side)
        faces.append([(i, j, k) for i, j, k in around])
    return faces


def _edge(one: _Corner, other: _Corner) -> _Edge:
    return (one, other) if one < other else (other, one)


def _area(loop: list[np.ndarray]) -> float:
    """Return the area of a closed line's triangles from one of its points; of the points, the one that gives the largest."""
    return max(
        sum(float(np.linalg.norm(np.cross(b - first, c - first))) / 2 for b, c in pairwise([*rest, *before]))
        for first, rest, before in ((loop[n], loop[n + 1 :], loop[:n]) for n in range(len(loop)))
    )
