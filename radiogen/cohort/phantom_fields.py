"""Smooth random fields: the randomness of anatomy, tumour shape, texture and scanner drift."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from radiogen.types import Volume


def smooth_field(rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: float, scale_mm: float) -> Volume:
    """Return a smooth Gaussian random field of mean 0 and variance 1 in every voxel.

    White noise on a lattice of knots `scale_mm` apart is interpolated with cubic B-splines, one axis after the other. The sparse products are
    sequential, so the bytes do not depend on the number of threads.

    Args:
        rng: the generator to draw the knots from.
        shape: voxels along each axis.
        spacing_mm: voxel edge, mm.
        scale_mm: distance of the knots, mm: about the size of the blobs.

    Returns:
        float32 field of the given shape, no unit.

    Source: Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing Magazine 16(6), 1999.

    Example:
        >>> smooth_field(np.random.default_rng(0), (4, 5, 6), 2.0, 8.0).shape
        (4, 5, 6)
    """
    bases = [_spline_basis(size, spacing_mm / scale_mm) for size in shape]
    field = rng.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
    for basis in bases:
        flat = basis @ field.reshape(field.shape[0], -1)
        # The axis just interpolated goes last, so that after three rounds the axes stand in their own order again.
        field = np.moveaxis(flat.reshape(basis.shape[0], *field.shape[1:]), 0, -1)
    return np.ascontiguousarray(field, dtype=np.float32)


def _spline_basis(size: int, step: float) -> csr_array:
    position = np.arange(size) * step
    cell = np.floor(position).astype(int)
    t = position - cell
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    # Rows of unit length keep the variance at exactly 1 in every voxel.
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    rows = np.repeat(np.arange(size), 4)
    columns = (cell[:, None] + np.arange(4)).ravel()
    return csr_array((weights.ravel().astype(np.float32), (rows, columns)), shape=(size, int(cell[-1]) + 4))
