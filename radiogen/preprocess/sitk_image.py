"""Volumes to SimpleITK and back; its world is read as RAS millimetres throughout, so no axis is flipped on the way."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its own manual uses
from jaxtyping import Shaped

from radiogen.types import Affine


def to_sitk(data: Shaped[np.ndarray, "i j k"], affine: Affine) -> sitk.Image:
    """Return a SimpleITK image of a canonical volume.

    Args:
        data: the volume; float32 or uint8.
        affine: voxel -> world, mm.

    Example:
        >>> to_sitk(np.zeros((4, 5, 6), np.float32), np.diag([1.0, 2.0, 3.0, 1.0])).GetSpacing()
        (1.0, 2.0, 3.0)
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    spacing = nib.affines.voxel_sizes(affine)
    image.SetSpacing(tuple(float(value) for value in spacing))
    image.SetDirection(tuple(float(value) for value in (affine[:3, :3] / spacing).ravel()))
    image.SetOrigin(tuple(float(value) for value in affine[:3, 3]))
    return image


def from_sitk(image: sitk.Image) -> Shaped[np.ndarray, "i j k"]:
    """Return the voxels of a SimpleITK image, first axis first.

    Example:
        >>> from_sitk(to_sitk(np.zeros((4, 5, 6), np.float32), np.eye(4))).shape
        (4, 5, 6)
    """
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0))


def affine_transform(matrix: Affine) -> sitk.AffineTransform:
    """Return a SimpleITK transform of a 4 x 4 world matrix."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(tuple(float(value) for value in matrix[:3, :3].ravel()))
    transform.SetTranslation(tuple(float(value) for value in matrix[:3, 3]))
    return transform
