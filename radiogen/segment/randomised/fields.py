"""Random numbers of one made-up patient: scalars, smooth fields, and the smoothing filters that share their grid."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional

Field = Float32[torch.Tensor, "i j k"]
"""One map on the patient's grid."""


_STORE_SIZE = 144
_STEPS_PER_OCTAVE = 4


class Draws:
    """Everything random in one patient, from one seed.

    Args:
        seed: seeds of the patient, non-negative whole numbers.
        shape: voxels of the patient's grid.
        spacing_mm: voxel edge, mm.

    Example:
        >>> draws = Draws((0, 1), (8, 8, 8), 2.0)
        >>> tuple(draws.field(6.0).shape)
        (8, 8, 8)
    """

    def __init__(self, seed: Sequence[int], shape: tuple[int, int, int], spacing_mm: float) -> None:
        self.rng = np.random.default_rng(list(seed))
        self.torch = torch.Generator().manual_seed(int(self.rng.integers(2**62)))
        self.shape = shape
        self.spacing_mm = spacing_mm

    def between(self, low: float, high: float) -> float:
        """Return a number drawn evenly between two limits."""
        return float(self.rng.uniform(low, high))

    def log_between(self, low: float, high: float) -> float:
        """Return a number whose logarithm is drawn evenly between the limits' logarithms."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.rng.random() < probability)

    def white(self) -> Field:
        """Return independent standard normal values in every voxel."""
        return torch.randn(self.shape, generator=self.torch)

    def field(self, scale_mm: float, shape: tuple[int, int, int] | None = None) -> Field:
        """Return a smooth random field of mean 0 and variance near 1.

        A piece of a large ready-made field, from a random place, mirrored and turned at random: many times faster than a new field, which is
        what makes drawing a patient at every step possible. Grids larger than the store get a field of their own.

        Args:
            scale_mm: about the size of its blobs, mm.
            shape: voxels; the patient's grid by default.
        """
        shape = shape or self.shape
        scale = max(scale_mm / self.spacing_mm, 1.5)
        order = [int(axis) for axis in self.rng.permutation(3)]
        if max(shape) > _STORE_SIZE - 8:
            return _new_field(self.torch, shape, scale)
        store = _store(int(np.clip(round(_STEPS_PER_OCTAVE * np.log2(scale)), 1, 30)))
        starts = [int(self.rng.integers(_STORE_SIZE - size + 1)) for size in shape]
        piece = store.permute(order)[tuple(slice(at, at + size) for at, size in zip(starts, shape, strict=True))]
        mirrored = [axis for axis in range(3) if self.rng.random() < 0.5]
        sign = 1.0 if self.rng.random() < 0.5 else -1.0
        return (piece.flip(mirrored) if mirrored else piece) * sign


@lru_cache(maxsize=32)
def _store(step: int) -> Field:
    """Return the ready-made field of one scale; the same in every process."""
    generator = torch.Generator().manual_seed(7_000 + step)
    return _new_field(generator, (_STORE_SIZE,) * 3, 2 ** (step / _STEPS_PER_OCTAVE))


def _new_field(generator: torch.Generator, shape: tuple[int, int, int], scale_voxels: float) -> Field:
    step = max(scale_voxels / 2, 1.0)
    knots = [int(np.ceil(size / step)) + 3 for size in shape]
    smooth = torch.randn((1, 1, *knots), generator=generator)
    for axis in (2, 3, 4):
        left = smooth.shape[axis] - 2
        smooth = smooth.narrow(axis, 0, left) + smooth.narrow(axis, 1, left) + smooth.narrow(axis, 2, left)
    # Sums over 27 knots have a standard deviation of sqrt(27); linear interpolation takes about an eighth of it.
    smooth = smooth * (1.15 / 27**0.5)
    size = [max(n, round((k - 2) * step)) for n, k in zip(shape, knots, strict=True)]
    grown = functional.interpolate(smooth, size=size, mode="trilinear", align_corners=True)[0, 0]
    return grown[: shape[0], : shape[1], : shape[2]].contiguous()


def blur(maps: torch.Tensor, sigma_voxels: Sequence[float]) -> torch.Tensor:
    """Return maps smoothed with a Gaussian, one width per axis.

    Args:
        maps: (c, i, j, k), float32.
        sigma_voxels: standard deviation along i, j, k in voxels; below 0.2 the axis is left alone.
    """
    for axis, sigma in enumerate(sigma_voxels):
        if sigma < 0.2:
            continue
        reach = max(1, int(np.ceil(2.5 * sigma)))
        taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
        taps = taps / taps.sum()
        # Shifted sums are several times faster than a convolution with so few taps.
        total = maps * taps[reach]
        size = maps.shape[axis + 1]
        for shift in range(1, reach + 1):
            there = maps.narrow(axis + 1, shift, size - shift)
            here = maps.narrow(axis + 1, 0, size - shift)
            total.narrow(axis + 1, 0, size - shift).add_(there, alpha=float(taps[reach + shift]))
            total.narrow(axis + 1, shift, size - shift).add_(here, alpha=float(taps[reach - shift]))
        maps = total
    return maps


def length(vectors: torch.Tensor) -> Field:
    """Return the length of the vectors along the first axis (several times faster than `torch.linalg.vector_norm` there).

    Args:
        vectors: (3, i, j, k).
    """
    x, y, z = vectors
    return (x * x).addcmul_(y, y).addcmul_(z, z).sqrt_()


def soft_step(distance: torch.Tensor, width: float) -> torch.Tensor:
    """Return a soft step: 1 where the distance is far below zero, 0 where it is far above.

    Args:
        distance: any shape, mm.
        width: standard length of the transition, mm.
    """
    return torch.sigmoid(distance / -max(width, 1e-3))
