"""Regions without any atlas: the grey matter of MNI152 cut into pieces of equal size, the same on both sides."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt16

from radiogen.branches.network.space import BrainSpace, world_of
from radiogen.errors import GeometryError
from radiogen.types import Mask

PIECES_PER_SIDE = 45
"""As many as AAL has in the cerebrum."""

_LEAST_GREY = 0.5


def geometric_parcels(
    space: BrainSpace, per_side: int = PIECES_PER_SIDE
) -> tuple[UInt16[np.ndarray, "i j k"], tuple[str, ...]]:
    """Cut the cerebral grey matter of the template into pieces, left first, each followed by its mirror image.

    The pieces are geometric: they follow no anatomical border, and their names (`left-frontal-03`) only say where their centre lies.

    Args:
        space: the template brain; its left and right halves have to mirror each other.
        per_side: pieces in each hemisphere.

    Returns:
        Label map (1 and up) and the names.

    Raises:
        GeometryError: the grid is not symmetric about x = 0.
    """
    x = world_of(space.grid)[0][:, 0, 0]
    if not np.allclose(x, -x[::-1], atol=1e-3):
        raise GeometryError(f"The template's grid is not symmetric about x = 0: {space.grid.describe()}.")
    left = cerebral_grey(space) & (world_of(space.grid)[0] < 0)
    points_mm = world_of(space.grid)[:, left].T
    piece = bisect_points(points_mm, per_side)
    centres_mm = np.stack([points_mm[piece == number].mean(axis=0) for number in range(per_side)])
    # From front to back, so that neighbouring numbers lie near each other.
    order = np.lexsort((centres_mm[:, 2], -centres_mm[:, 1]))
    rank = np.empty(per_side, dtype=np.int64)
    rank[order] = np.arange(per_side)
    labels = np.zeros(left.shape, dtype=np.uint16)
    labels[left] = 2 * rank[piece] + 1
    mirrored = labels[::-1]
    labels = np.where(mirrored > 0, mirrored + np.uint16(1), labels).astype(np.uint16)
    counts: dict[str, int] = {}
    names: list[str] = []
    for centre in centres_mm[order]:
        place = place_name(centre)
        counts[place] = counts.get(place, 0) + 1
        names += [f"{side}-{place}-{counts[place]:02d}" for side in ("left", "right")]
    return labels, tuple(names)


def cerebral_grey(space: BrainSpace) -> Mask:
    """Return the template's grey matter without cerebellum and brainstem, split off by planes.

    The planes were set by looking at MNI152: 1.6 % of the grey matter of AAL's cerebral regions is lost, 5 % of that of its cerebellar ones stays.

    Args:
        space: the template brain.
    """
    x, y, z = world_of(space.grid)
    under_tentorium = (y < -36) & (z < -8 - 0.3 * np.abs(x))
    stem = (np.abs(x) < 22) & (y < -14) & (z < -22)
    return np.asarray(space.brain & (space.grey > _LEAST_GREY) & ~under_tentorium & ~stem)


def bisect_points(points: Float[np.ndarray, "n d"], n_pieces: int) -> Integer[np.ndarray, " n"]:
    """Cut points into pieces of equal size, again and again across the direction of their largest spread.

    Nothing is random, and sizes differ by no more than rounding at each cut.

    Args:
        points: coordinates.
        n_pieces: how many; at most as many as points.

    Returns:
        Piece of every point, from 0.

    Raises:
        ValueError: fewer points than pieces.

    Source: recursive inertial bisection, Simon, Computing Systems in Engineering 1991;2:135.

    Example:
        >>> bisect_points(np.array([[0.0], [9.0], [1.0], [8.0]]), 2).tolist()
        [0, 1, 0, 1]
    """
    if len(points) < n_pieces:
        raise ValueError(f"{len(points)} points cannot make {n_pieces} pieces")
    if n_pieces == 1:
        return np.zeros(len(points), dtype=np.int64)
    lower = n_pieces // 2
    centred = points - points.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    # The sign of an eigenvector is arbitrary; rounding keeps points of equal height in their own order on every machine.
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    in_order = np.argsort(np.round(centred @ direction, 6), kind="stable")
    first: Bool[np.ndarray, " n"] = np.zeros(len(points), dtype=bool)
    first[in_order[: round(len(points) * lower / n_pieces)]] = True
    piece = np.empty(len(points), dtype=np.int64)
    piece[first] = bisect_points(points[first], lower)
    piece[~first] = lower + bisect_points(points[~first], n_pieces - lower)
    return piece


def place_name(centre_mm: Float[np.ndarray, " 3"]) -> str:
    """Return a word for where a centre lies, by coordinates alone: `deep`, `frontal`, `parietal`, `occipital` or `temporal`.

    Args:
        centre_mm: MNI152 world, mm.

    Example:
        >>> place_name(np.array([-40.0, 40.0, 10.0])), place_name(np.array([-50.0, -20.0, -20.0]))
        ('frontal', 'temporal')
    """
    x, y, z = (float(value) for value in centre_mm)
    if abs(x) < 32 and -34 < y < 20 and -16 < z < 20:
        return "deep"
    if y < -74 or (y < -66 and z < 10):
        return "occipital"
    if z < 4 and y < 12 and (abs(x) > 20 or z < -16):
        return "temporal"
    return "parietal" if y < -26 else "frontal"
