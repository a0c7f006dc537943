"""Rigid and affine poses as 4 x 4 matrices: how far one turns and shifts, and poses to start a search from."""

from __future__ import annotations

from itertools import product

import numpy as np
from jaxtyping import Float

from radiogen.types import Affine

Point = Float[np.ndarray, " 3"]

_TURNS_DEG = (-20.0, 0.0, 20.0)
_LIFTS_MM = (-40.0, -20.0, 0.0, 20.0, 40.0)


def pose(matrix: Affine, centre_mm: Point | None = None) -> tuple[float, float]:
    """Return how far a transform turns, in degrees, and how far it moves a point, in mm.

    Args:
        matrix: world -> world, mm.
        centre_mm: the point that is followed; the middle of the head tells most. The world's origin by default.

    Source: the rotation is that of the polar decomposition, Higham 1986, doi:10.1137/0907079.

    Example:
        >>> pose(rigid((0.0, 0.0, 10.0), (3.0, 4.0, 0.0)))
        (10.0, 5.0)
    """
    left, _, right = np.linalg.svd(matrix[:3, :3])
    turn = left @ right
    # The antisymmetric part keeps small angles exact, where the arc cosine of the trace loses them.
    sine = np.linalg.norm([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    angle = float(np.degrees(np.arctan2(sine, (np.trace(turn) - 1) / 2)))
    centre = np.zeros(3) if centre_mm is None else centre_mm
    moved = matrix[:3, :3] @ centre + matrix[:3, 3]
    return round(angle, 9), round(float(np.linalg.norm(moved - centre)), 9)


def rigid(
    rotation_deg: tuple[float, float, float], shift_mm: tuple[float, float, float], centre_mm: Point | None = None
) -> Affine:
    """Return the matrix that turns about a point and then shifts.

    Args:
        rotation_deg: about the axes R, A, S, in this order.
        shift_mm: along R, A, S.
        centre_mm: the point that is turned about; the world's origin by default.

    Example:
        >>> rigid((0.0, 0.0, 90.0), (0.0, 0.0, 0.0)).round(6)[:3, 0].tolist()
        [0.0, 1.0, 0.0]
    """
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(rotation_deg)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[j, i] = np.sin(angle)
        step[i, j] = -step[j, i]
        turn = step @ turn
    centre = np.zeros(3) if centre_mm is None else centre_mm
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = centre + np.array(shift_mm) - turn @ centre
    return matrix


def scaling(matrix: Affine) -> tuple[float, float]:
    """Return the smallest and largest factor by which a transform stretches.

    Example:
        >>> scaling(np.diag([1.0, 0.5, 2.0, 1.0]))
        (0.5, 2.0)
    """
    factors = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    return float(factors.min()), float(factors.max())


def starting_poses(fixed_centre_mm: Point, moving_centre_mm: Point) -> list[Affine]:
    """Return poses to start from: the files' own, and the centres on one another, turned and lifted.

    Two images of one session lie in one world already; otherwise the centres of mass are near, but a neck or a cut field of view pulls one
    of them up or down.

    Args:
        fixed_centre_mm: middle of the head in the fixed image.
        moving_centre_mm: middle of the head in the moving image.

    Example:
        >>> len(starting_poses(np.zeros(3), np.ones(3)))
        162
    """
    shift = moving_centre_mm - fixed_centre_mm
    turns = [(x, y, z) for x, y, z in product(_TURNS_DEG, repeat=3)]
    poses = [np.eye(4)] + [rigid(turn, (0.0, 0.0, 0.0), fixed_centre_mm) for turn in turns if any(turn)]
    for lift, turn in product(_LIFTS_MM, turns):
        x, y, z = (float(value) for value in shift + np.array([0.0, 0.0, lift]))
        poses.append(rigid(turn, (x, y, z), fixed_centre_mm))
    return poses
