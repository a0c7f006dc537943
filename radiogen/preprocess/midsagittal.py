"""The midsagittal plane of a head, and what lies on its other side.

The plane is the one about which the head is most like its own mirror image; the tumour and its mirror image do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import minimize

from radiogen.cohort.nifti import Grid
from radiogen.errors import CaseError
from radiogen.preprocess.intensity import foreground
from radiogen.types import Affine, LabelVolume, Mask, Volume

_ORDER = ("t1n", "t2w", "t1c", "t2f")
_SMOOTHING_MM = 3.0
_POINTS = 8_000
_ANGLES = np.deg2rad([-16.0, -8.0, 0.0, 8.0, 16.0])
_OFFSETS_MM = (-12.0, -6.0, 0.0, 6.0, 12.0)
_LEAST_SHARE_SEEN = 0.5
_LEAST_SYMMETRY = 0.5
_LARGEST_ANGLE = np.deg2rad(30.0)

Points = Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class Midplane:
    """A plane in world coordinates: the points with `normal . x = offset_mm`.

    Args:
        normal: unit vector towards the right (RAS).
        offset_mm: distance from the origin along the normal, mm.
        symmetry: correlation of the head with its mirror image, tumour left out.
    """

    normal: tuple[float, float, float]
    offset_mm: float
    symmetry: float

    def mirrored(self, points: Points) -> Points:
        """Return the mirror images of points, mm.

        Example:
            >>> Midplane((1.0, 0.0, 0.0), 2.0, 1.0).mirrored(np.array([[5.0, 1.0, 1.0]])).tolist()
            [[-1.0, 1.0, 1.0]]
        """
        normal = np.array(self.normal)
        return points - 2 * np.outer(points @ normal - self.offset_mm, normal)


def find_midplane(images: Mapping[str, Volume], tumour: Mask, grid: Grid) -> Midplane:
    """Return the plane of symmetry of a head.

    Args:
        images: sequence name -> canonical volume, any intensity unit, skull on or off; one of them is used.
        tumour: voxels that do not count.
        grid: of the volumes.

    Raises:
        CaseError: the head has no plane of symmetry near the middle of its field of view.

    Source: Ardekani et al. 1997, IEEE TMI 16:947 (correlation with the mirror image); Liu, Collins & Rothfus 2001, IEEE TMI 20:175 (with tumours).
    """
    name = next(name for name in _ORDER if name in images)
    image, affine = images[name], grid.canonical_affine
    smooth = gaussian_filter(image, [_SMOOTHING_MM / size for size in voxel_size_mm(affine)])
    points, values = _samples(smooth, foreground(image), tumour, affine)
    inside = foreground(image)
    centre = _world(affine, np.argwhere(inside)).mean(axis=0)
    search = _Search(smooth, tumour.astype(np.uint8), np.linalg.inv(affine), points, values, centre)
    rough = replace(search, points=points[::4], values=values[::4])
    coarse = [(rough((yaw, roll, off)), yaw, roll, off) for yaw in _ANGLES for roll in _ANGLES for off in _OFFSETS_MM]
    start = np.array(min(coarse)[1:], dtype=float)
    steps = np.vstack([start, *(start + step for step in np.diag([0.07, 0.07, 3.0]))])
    found = minimize(
        search, start, method="Nelder-Mead", options={"initial_simplex": steps, "xatol": 1e-3, "fatol": 1e-6}
    )
    yaw, roll, off = (float(value) for value in found.x)
    symmetry = -float(found.fun)
    if symmetry < _LEAST_SYMMETRY or max(abs(yaw), abs(roll)) > _LARGEST_ANGLE:
        raise CaseError(
            f"No plane of symmetry was found (correlation with the mirror image {symmetry:.2f}).",
            hint="Look at the images: is the whole head in the field of view?",
        )
    normal = _normal(yaw, roll)
    return Midplane((float(normal[0]), float(normal[1]), float(normal[2])), float(normal @ centre) + off, symmetry)


def mirror_labels(labels: LabelVolume, grid: Grid, plane: Midplane) -> LabelVolume:
    """Return a label map on the other side of a plane; nearest voxel.

    Args:
        labels: canonical.
        grid: of the labels.
        plane: to mirror about.

    Example:
        >>> grid = Grid((4, 2, 2), np.eye(4))
        >>> labels = np.zeros((4, 2, 2), dtype=np.uint8)
        >>> labels[0] = 3
        >>> mirror_labels(labels, grid, Midplane((1.0, 0.0, 0.0), 1.5, 1.0))[:, 0, 0].tolist()
        [0, 0, 0, 3]
    """
    affine = grid.canonical_affine
    out = np.zeros_like(labels)
    there = np.argwhere(labels > 0)
    if len(there) == 0:
        return out
    to_index = np.linalg.inv(affine)
    # Only the box that the mirror image can fill is asked for.
    reached = _world(to_index, plane.mirrored(_world(affine, there)))
    low = np.maximum(np.floor(reached.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(reached.max(axis=0)).astype(int) + 2, labels.shape)
    if (low >= high).any():
        return out
    box = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    wanted = box.reshape(-1, 3)
    source = _world(to_index, plane.mirrored(_world(affine, wanted)))
    found = map_coordinates(labels, source.T, order=0, mode="constant", cval=0)
    out[wanted[:, 0], wanted[:, 1], wanted[:, 2]] = found
    return out


def voxel_size_mm(affine: Affine) -> tuple[float, float, float]:
    """Return the edge lengths of a voxel, mm."""
    size = np.linalg.norm(affine[:3, :3], axis=0)
    return float(size[0]), float(size[1]), float(size[2])


@dataclass(frozen=True)
class _Search:
    image: Volume
    tumour: UInt8[np.ndarray, "i j k"]
    to_index: Affine
    points: Points
    values: Float[np.ndarray, " n"]
    centre: Float[np.ndarray, " 3"]

    def __call__(self, pose: tuple[float, float, float] | np.ndarray) -> float:
        """Return minus the correlation of the head with its mirror image."""
        normal = _normal(float(pose[0]), float(pose[1]))
        plane = Midplane(
            (float(normal[0]), float(normal[1]), float(normal[2])), float(normal @ self.centre + pose[2]), 0.0
        )
        index = _world(self.to_index, plane.mirrored(self.points)).T
        shape = np.array(self.image.shape)[:, None]
        inside = np.asarray(((index >= 0) & (index <= shape - 1)).all(axis=0))
        seen = inside & (map_coordinates(self.tumour, index, order=0) == 0)
        if seen.mean() < _LEAST_SHARE_SEEN:
            return 1.0
        other = map_coordinates(self.image, index[:, seen], order=1)
        here = self.values[seen]
        if np.ptp(other) == 0 or np.ptp(here) == 0:
            return 1.0
        return -float(np.corrcoef(here, other)[0, 1])


def _samples(image: Volume, inside: Mask, tumour: Mask, affine: Affine) -> tuple[Points, Float[np.ndarray, " n"]]:
    """Return points in the box around the head (its outline counts too) and the image's values there."""
    where = np.argwhere(inside)
    box = np.zeros(image.shape, dtype=bool)
    box[tuple(slice(a, b + 1) for a, b in zip(where.min(axis=0), where.max(axis=0), strict=True))] = True
    index = np.argwhere(box & ~tumour)
    index = index[:: max(1, len(index) // _POINTS)]
    return _world(affine, index), image[tuple(index.T)].astype(np.float64)


def _world(affine: Affine, index: np.ndarray) -> Points:
    return np.asarray(index, dtype=np.float64) @ affine[:3, :3].T + affine[:3, 3]


def _normal(yaw: float, roll: float) -> Float[np.ndarray, " 3"]:
    return np.array([np.cos(yaw) * np.cos(roll), np.sin(yaw) * np.cos(roll), np.sin(roll)])
