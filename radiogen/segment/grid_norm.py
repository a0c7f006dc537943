"""Group normalisation of a crop with the statistics of the whole volume that its publisher ran the network on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import torch
from torch import nn

_INSET = 8
"""Voxels between the crop's corner and the voxel that stands for the background: far enough from the padding at the border."""


class GridGroupNorm(nn.Module):
    """Group normalisation over a volume of which only a crop is there.

    A network that was run on whole volumes took its means and variances over much empty background; a crop of the brain alone has others, and the
    outputs drift. Outside the crop every layer's map is constant but for its border, so the statistics of the whole volume follow from those of
    the crop and one background voxel.

    Args:
        norm: the network's own layer; its weights are shared.

    Source: Wu and He 2018, doi:10.1007/978-3-030-01261-8_1 (group normalisation); pooled mean and variance of two parts: Chan et al. 1983,
        doi:10.1080/00031305.1983.10483115.

    Example:
        >>> norm = GridGroupNorm(nn.GroupNorm(1, 1))
        >>> volume = torch.zeros(1, 1, 16, 16, 16); volume[..., 10:14, 10:14, 10:14] = 1.0
        >>> whole = norm(volume)
        >>> with norm.part_of((16, 16, 16), (14, 14, 14), (0, 0, 0)):
        ...     crop = norm(volume[..., :14, :14, :14])
        >>> bool(torch.allclose(crop, whole[..., :14, :14, :14], atol=1e-5))
        True
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm
        self._share = 1.0
        self._crop = (0, 0, 0)
        self._corner = (0, 0, 0)

    @contextmanager
    def part_of(self, grid: Sequence[int], crop: Sequence[int], corner: Sequence[int]) -> Iterator[None]:
        """Let the inputs be maps of a crop of a larger grid.

        Args:
            grid: voxels of the whole volume.
            crop: voxels of the network's input.
            corner: which corner of the crop is background: 0 or 1 (the far end) for each axis.
        """
        share = 1.0
        for part, whole in zip(crop, grid, strict=True):
            share *= part / max(part, whole)
        self._share, self._crop = share, (crop[0], crop[1], crop[2])
        self._corner = (corner[0], corner[1], corner[2])
        try:
            yield
        finally:
            self._share = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised map, of any shape (1, c, i, j, k)."""
        norm, share = self.norm, self._share
        if share >= 1 or x.shape[0] != 1:
            return torch.as_tensor(norm(x))
        channels, groups = x.shape[1], norm.num_groups
        weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
        out, mean, rstd = torch.native_group_norm(x, weight, bias, 1, channels, x[0, 0].numel(), groups, norm.eps)
        mean, rstd = mean.reshape(-1).float(), rstd.reshape(-1).float()
        empty = self._background(x).reshape(groups, -1)
        whole_mean = share * mean + (1 - share) * empty.mean(1)
        square = share * (rstd**-2 - norm.eps + mean**2) + (1 - share) * (empty**2).mean(1)
        whole_rstd = ((square - whole_mean**2).clamp(min=0) + norm.eps).rsqrt()
        per = channels // groups
        gain = (whole_rstd / rstd).repeat_interleave(per)
        offset = norm.bias.float() * (1 - gain)
        offset = offset + ((mean - whole_mean) * whole_rstd).repeat_interleave(per) * norm.weight.float()
        return _scale_and_shift(out, gain.to(out.dtype), offset.to(out.dtype))

    def _background(self, x: torch.Tensor) -> torch.Tensor:
        at = []
        for size, full, far in zip(x.shape[2:], self._crop, self._corner, strict=True):
            inset = min(_INSET * size // full, size - 1)
            at.append(size - 1 - inset if far else inset)
        return x[0, :, at[0], at[1], at[2]].float()


def _scale_and_shift(x: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Return a map with each channel multiplied and added to, in place.

    Adding a channel's number to a bfloat16 map whose channels are last takes torch 15 times as long as multiplying by it, unless the numbers are
    repeated into rows long enough for its vector instructions.
    """
    rows = x.movedim(1, -1)
    if not rows.is_contiguous():
        shape = (1, -1, 1, 1, 1)
        return x.mul_(gain.reshape(shape)).add_(offset.reshape(shape))
    across = x.shape[-1]
    flat = rows.view(-1, across * x.shape[1])
    flat.mul_(gain.repeat(across)).add_(offset.repeat(across))
    return x


def with_grid_norm(network: nn.Module) -> list[GridGroupNorm]:
    """Put `GridGroupNorm` in the place of every group normalisation of a network, and return them; without a crop nothing changes.

    Args:
        network: changed in place.
    """
    found = [
        (module, name, child)
        for module in network.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.GroupNorm) and child.affine
    ]
    wide = []
    for module, name, child in found:
        setattr(module, name, GridGroupNorm(child))
        wide.append(getattr(module, name))
    return wide


def empty_corner(batch: torch.Tensor) -> tuple[int, int, int] | None:
    """Return a corner of a batch whose surroundings are background (zero in every channel); None where there is none.

    Args:
        batch: (1, c, i, j, k), the network's input.
    """
    for corner in product((0, 1), repeat=3):
        box = tuple(
            slice(size - 2 * _INSET, None) if far else slice(0, 2 * _INSET)
            for size, far in zip(batch.shape[2:], corner, strict=True)
        )
        if not bool(batch[(slice(None), slice(None), *box)].any()):
            return corner[0], corner[1], corner[2]
    return None
