"""Where DICOM frames lie in the world: planes, stacks of planes, and what is wrong with them. Knows nothing of DICOM files.

Source: DICOM PS3.3 C.7.6.2 (Image Plane module). DICOM's patient coordinates are LPS, radiogen's are RAS: x and y change sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from radiogen.cohort.nifti import Grid

Triple = tuple[float, float, float]

SAME_POSITION_MM = 0.05
"""Two frames nearer than this along the slice normal lie at the same place: below any slice spacing of MRI, above rounding."""
SAME_DIRECTION = 5e-4
"""Largest difference between direction cosines of one stack: 0.1 mm at the edge of a 400 mm field of view."""
UNEVEN_SPACING = 0.10
"""A slice distance further than this fraction from the usual one is a gap."""
LARGEST_EXTENT = 4096
"""Rows or columns beyond this are a damaged header: no MRI is sampled so finely."""
LARGEST_COORDINATE_MM = 1e4
OBLIQUE_COSINE = 0.8
"""A stack whose normal is less than this along every body axis (37 degrees from the nearest) has no plane name."""


@dataclass(frozen=True)
class Plane:
    """One frame in DICOM's patient coordinates (LPS, mm).

    Args:
        position_mm: centre of the first voxel.
        row_direction: unit vector along which the column index grows.
        column_direction: unit vector along which the row index grows.
        spacing_mm: distance between rows, distance between columns.
        shape: rows, columns.
    """

    position_mm: Triple
    row_direction: Triple
    column_direction: Triple
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> Triple:
        """Return the unit vector at right angles to the frame, LPS."""
        x, y, z = np.cross(self.row_direction, self.column_direction)
        return float(x), float(y), float(z)

    def in_stack_with(self, other: Plane) -> bool:
        """Return whether two frames may be slices of one volume: same directions, spacing and shape."""
        directions = np.subtract(
            (self.row_direction, self.column_direction), (other.row_direction, other.column_direction)
        )
        spacing = np.subtract(self.spacing_mm, other.spacing_mm)
        return bool(
            self.shape == other.shape and np.abs(directions).max() < SAME_DIRECTION and np.abs(spacing).max() < 1e-3
        )


def plane_problem(plane: Plane) -> str:
    """Return why a frame cannot be placed in the world, or an empty text."""
    rows, columns = plane.shape
    if not (1 <= rows <= LARGEST_EXTENT and 1 <= columns <= LARGEST_EXTENT):
        return f"{rows} rows and {columns} columns: 1 to {LARGEST_EXTENT} of each are accepted"
    numbers = (*plane.position_mm, *plane.row_direction, *plane.column_direction, *plane.spacing_mm)
    if not all(math.isfinite(number) for number in numbers):
        return "its position, orientation or pixel spacing is not a finite number"
    if max(abs(number) for number in plane.position_mm) > LARGEST_COORDINATE_MM:
        return f"its position is further than {LARGEST_COORDINATE_MM:g} mm from the scanner's centre"
    if not all(0.01 < spacing < 100 for spacing in plane.spacing_mm):
        return f"its pixel spacing is {plane.spacing_mm[0]:g} x {plane.spacing_mm[1]:g} mm: 0.01 to 100 mm is accepted"
    lengths = [math.hypot(*plane.row_direction), math.hypot(*plane.column_direction)]
    cosine = float(np.dot(plane.row_direction, plane.column_direction))
    if max(abs(length - 1) for length in lengths) > 1e-2 or abs(cosine) > 1e-2:
        return "its row and column directions are not two unit vectors at right angles"
    return ""


def plane_name(plane: Plane) -> str:
    """Return `axial`, `sagittal`, `coronal`, or `oblique` when no body axis is near the slice normal.

    Example:
        >>> plane_name(Plane((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0), (2, 2)))
        'axial'
    """
    along = np.abs(plane.normal)
    return ("sagittal", "coronal", "axial")[int(along.argmax())] if along.max() >= OBLIQUE_COSINE else "oblique"


def heights_mm(planes: Sequence[Plane]) -> Float[np.ndarray, " n"]:
    """Return the position of every frame along the slice normal of the first one, mm."""
    if not planes:
        return np.zeros(0)
    return np.array([plane.position_mm for plane in planes], dtype=float) @ np.array(planes[0].normal)


def stack_problems(planes: Sequence[Plane]) -> list[str]:
    """Return what keeps frames, sorted and each at its own place, from being one evenly spaced volume.

    Args:
        planes: of one stack, sorted along the normal.
    """
    if len(planes) < 2:
        return ["it has one slice; a volume has two or more"]
    heights = heights_mm(planes)
    distances = np.diff(heights)
    usual = float(np.median(distances))
    problems = [
        f"uneven slice spacing: {distance:.2f} mm between slice {index + 1} and {index + 2} where {usual:.2f} mm is usual"
        + (f" ({round(distance / usual) - 1} slice(s) missing)" if distance > 1.5 * usual else "")
        for index, distance in enumerate(distances)
        if abs(distance - usual) > UNEVEN_SPACING * usual
    ]
    if len(problems) > 3:
        problems = [*problems[:3], f"uneven slice spacing at {len(problems) - 3} more place(s)"]
    return problems + _drift_problems(planes, heights)


def _drift_problems(planes: Sequence[Plane], heights: Float[np.ndarray, " n"]) -> list[str]:
    positions = np.array([plane.position_mm for plane in planes], dtype=float)
    normal = np.array(planes[0].normal)
    sideways = np.linalg.norm(positions - positions[0] - np.outer(heights - heights[0], normal), axis=1)
    allowed = np.maximum(0.1, 0.02 * np.abs(heights - heights[0]))
    if (sideways <= allowed).all():
        return []
    return [f"slices are shifted sideways against each other by up to {sideways.max():.1f} mm (a sheared stack)"]


def stack_grid(planes: Sequence[Plane]) -> Grid:
    """Return the grid of a stack: axes column index, row index, slice; world in RAS mm.

    The slice step is taken from the positions of the first and the last slice, never from SliceThickness, which leaves out gaps.

    Args:
        planes: two or more frames of one stack, sorted along the normal.

    Source: DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1.
    """
    first, last = planes[0], planes[-1]
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.row_direction) * first.spacing_mm[1]
    affine[:3, 1] = np.array(first.column_direction) * first.spacing_mm[0]
    affine[:3, 2] = np.subtract(last.position_mm, first.position_mm) / (len(planes) - 1)
    affine[:3, 3] = first.position_mm
    rows, columns = first.shape
    return Grid((columns, rows, len(planes)), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def same_places(heights: Sequence[float]) -> list[list[int]]:
    """Return the indices of frames, in order of height, those at the same place together.

    Example:
        >>> same_places([5.0, 0.0, 5.0, 10.0])
        [[1], [0, 2], [3]]
    """
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    places = [[order[0]]] if order else []
    for before, index in pairwise(order):
        if heights[index] - heights[before] < SAME_POSITION_MM:
            places[-1].append(index)
        else:
            places.append([index])
    return places
