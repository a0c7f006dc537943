"""Volumes on other voxel sizes: separable linear interpolation, averaging where the new voxels are larger."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from scipy.sparse import csr_matrix

from radiogen.types import Volume

VoxelSize = tuple[float, float, float]


def resized_shape(
    shape: tuple[int, ...], voxel_size_mm: VoxelSize, new_voxel_size_mm: VoxelSize
) -> tuple[int, int, int]:
    """Return how many voxels of a new size cover the same box.

    Args:
        shape: voxels along the three axes.
        voxel_size_mm: their size, mm.
        new_voxel_size_mm: the new size, mm.

    Example:
        >>> resized_shape((240, 240, 155), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
        (120, 120, 78)
    """
    sizes = zip(shape, voxel_size_mm, new_voxel_size_mm, strict=True)
    i, j, k = (max(1, round(n * old / new)) for n, old, new in sizes)
    return i, j, k


def resample(
    data: Volume, voxel_size_mm: VoxelSize, new_voxel_size_mm: VoxelSize, shape: tuple[int, int, int]
) -> Float32[np.ndarray, "a b c"]:
    """Return a volume on other voxels that share its centre and axes.

    The kernel is a triangle as wide as the larger of the two voxels, so that coarser voxels average what they cover and finer ones interpolate. It is
    symmetric about the centre: a mirrored volume gives the mirrored result.

    Args:
        data: the volume.
        voxel_size_mm: its voxel size, mm.
        new_voxel_size_mm: the new voxel size, mm.
        shape: the new shape; see `resized_shape`.

    Example:
        >>> float(resample(np.ones((4, 4, 4), np.float32), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (2, 2, 2)).mean())
        1.0
    """
    for axis in range(3):
        weights = _weights(data.shape[axis], voxel_size_mm[axis], shape[axis], new_voxel_size_mm[axis])
        moved = np.ascontiguousarray(np.moveaxis(data, axis, 0))
        # A sparse product adds in a fixed order, whatever the number of threads: the same input gives the same bytes.
        product = weights @ moved.reshape(moved.shape[0], -1)
        data = np.moveaxis(product.reshape(shape[axis], *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(data, dtype=np.float32)


def _weights(n: int, size_mm: float, n_new: int, new_size_mm: float) -> csr_matrix:
    """Return the `n_new` x `n` matrix of one axis; every row sums to 1."""
    centres = (np.arange(n_new) - (n_new - 1) / 2) * (new_size_mm / size_mm) + (n - 1) / 2
    centres = np.clip(centres, 0, n - 1)
    width = max(1.0, new_size_mm / size_mm)
    weights = np.clip(1 - np.abs(centres[:, None] - np.arange(n)[None]) / width, 0, None)
    return csr_matrix((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))
