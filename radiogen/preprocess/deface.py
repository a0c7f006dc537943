"""Taking the face away: a plane beside the brain, and nothing kept in front of and below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError

from radiogen.cohort.nifti import Image
from radiogen.errors import GeometryError, ImageError
from radiogen.types import Affine, Mask, Volume

BUFFER_MM = 10.0
"""How far the plane stays away from the brain: what Quickshear uses."""

_FACE_DIRECTION = np.array([1.0, -1.0]) / np.sqrt(2)
"""Where the face lies from the brain, in the plane of the anterior and the superior axis: forward and down alike."""

_MOST_ASIDE_DEG = 20.0
"""How far the plane may turn from that direction: a mask that reaches down the neck must not tilt it until the nose is left."""


@dataclass(frozen=True)
class FacePlane:
    """A plane that runs from ear to ear between brain and face.

    Args:
        anterior: component of its unit normal along the world's anterior axis; positive.
        superior: component along the superior axis; negative.
        offset_mm: distance of the plane from the world's origin along the normal, mm.
    """

    anterior: float
    superior: float
    offset_mm: float

    def beyond_mm(self, shape: tuple[int, int, int], affine: Affine) -> Float[np.ndarray, "i j k"]:
        """Return how far beyond the plane, on the side of the face, each voxel centre lies, mm.

        Args:
            shape: of a volume.
            affine: its voxel index -> world, mm.
        """
        weights = self.anterior * affine[1] + self.superior * affine[2]
        i, j, k = (np.arange(n, dtype=float) * weight for n, weight in zip(shape, weights[:3], strict=True))
        return i[:, None, None] + j[None, :, None] + k[None, None, :] + (weights[3] - self.offset_mm)


def face_plane(brain: Mask, affine: Affine, *, buffer_mm: float = BUFFER_MM) -> FacePlane:
    """Return the plane that divides the face from the brain.

    The brain is seen from the side. Of the edges of its convex hull that face forward and down, the longest carries the plane; it is then moved away
    from the brain by the buffer. Quickshear takes the edge that starts at the foremost point; on a hull of small voxels that edge is one voxel long
    and says nothing.

    Args:
        brain: brain mask, canonical.
        affine: its voxel index -> world, mm.
        buffer_mm: between plane and brain.

    Raises:
        ImageError: the mask is empty or flat.

    Source: Schimke & Hale 2011, Quickshear defacing for neuroimages, USENIX HealthSec.
    """
    points = _outline(brain, affine)
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError) as error:
        raise ImageError(
            f"The brain mask with {int(brain.sum())} voxel(s) has no outline to put a plane beside.",
            hint="Give a mask of the whole brain.",
        ) from error
    corners = points[hull.simplices]
    lengths = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)
    normals = hull.equations[:, :2]
    # An edge may face the neck or the forehead; where none has the face before it, a plane that touches the hull in that direction serves as well.
    faces = normals @ _FACE_DIRECTION >= np.cos(np.radians(_MOST_ASIDE_DEG))
    normal = normals[np.where(faces, lengths, 0.0).argmax()] if faces.any() else _FACE_DIRECTION
    offset = float((points @ normal).max()) + buffer_mm
    return FacePlane(float(normal[0]), float(normal[1]), offset)


def deface(image: Image, brain: Mask, *, buffer_mm: float = BUFFER_MM) -> Volume:
    """Return an image without the face: all that lies in front of and below a plane beside the brain is background.

    Forehead, ears and the back of the head stay; what is left is not proof against every attempt to recognise a person.

    Args:
        image: with the skull on.
        brain: brain mask on its canonical voxels; not one of them is changed.
        buffer_mm: between plane and brain.

    Returns:
        Intensities as in `image.data`, with its lowest value where the face was.

    Raises:
        GeometryError: mask and image do not share their voxels.
        ImageError: the mask is empty or flat.

    Source: Schimke & Hale 2011, Quickshear defacing for neuroimages, USENIX HealthSec.

    Example:
        >>> from radiogen.cohort.nifti import Grid
        >>> image = Image(np.ones((9, 9, 9), np.float32), Grid((9, 9, 9), np.diag([10.0, 10.0, 10.0, 1.0])))
        >>> image.data[0, 0, 0] = 0
        >>> brain = np.zeros((9, 9, 9), bool)
        >>> brain[2:7, 0:6, 4:9] = True
        >>> defaced = deface(image, brain)
        >>> float(defaced[4, 8, 0]), bool((defaced[brain] == 1).all())
        (0.0, True)
    """
    if brain.shape != image.data.shape:
        raise GeometryError(
            f"The brain mask has the shape {brain.shape} and the image {image.data.shape}.",
            hint="Give the mask on the voxels of the image.",
        )
    plane = face_plane(brain, image.affine, buffer_mm=buffer_mm)
    face = (plane.beyond_mm(image.data.shape, image.affine) > 0) & ~brain
    return np.where(face, image.data.min(), image.data).astype(np.float32)


def _outline(brain: Mask, affine: Affine) -> Float[np.ndarray, "n 2"]:
    """Return the brain's outermost voxels along the first axis's lines, as world coordinates along the anterior and superior axes, mm."""
    if not brain.any():
        raise ImageError("The brain mask is empty.", hint="Give a mask of the whole brain.")
    columns = np.argwhere(brain.any(axis=0))
    first = brain.argmax(axis=0)[tuple(columns.T)]
    last = brain.shape[0] - 1 - brain[::-1].argmax(axis=0)[tuple(columns.T)]
    # On an oblique grid a line of voxels is not seen end on, so that both of its ends count.
    voxels = np.vstack([np.column_stack([end, columns]) for end in (first, last)])
    return np.asarray(voxels @ affine[1:3, :3].T + affine[1:3, 3], dtype=float)
