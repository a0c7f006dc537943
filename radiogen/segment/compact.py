"""The network of the shipped weights: a residual U-Net that spends its work where a CPU does it fastest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

_SHUFFLE = 2


def _normalised(channels: int) -> nn.Sequential:
    # Instance normalisation trains several times faster than group normalisation with the channels last on a CPU.
    return nn.Sequential(nn.InstanceNorm3d(channels, affine=True), nn.LeakyReLU(0.01, inplace=True))


class _Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _normalised(channels),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            _normalised(channels),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


class CompactUNet(nn.Module):
    """Residual U-Net that works at half the resolution of its input and output.

    At full resolution a convolution with few channels is bound by memory: the same multiplications half as fine, with more channels, take half
    the time. A strided convolution packs the fine detail into channels at the start, a sub-pixel shuffle unpacks it at the end.

    Args:
        in_channels: sequences.
        out_channels: maps.
        features: channels of each level, finest first; the first is half as fine as the input.
        blocks: residual blocks of each level on the way down; on the way up there is one.

    Source: He et al. 2016, doi:10.1007/978-3-319-46493-0_38 (pre-activation residual blocks); Ronneberger et al. 2015,
        doi:10.1007/978-3-319-24574-4_28 (U-Net); Shi et al. 2016, doi:10.1109/CVPR.2016.207 (sub-pixel convolution).

    Example:
        >>> network = CompactUNet(4, 3, features=(8, 8), blocks=(1, 1))
        >>> tuple(network(torch.zeros(1, 4, 16, 16, 16)).shape)
        (1, 3, 16, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (48, 96, 128),
        blocks: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        pairs = list(zip(features, features[1:], strict=False))
        self.stem = nn.Conv3d(in_channels, features[0], 2 * _SHUFFLE, stride=_SHUFFLE, padding=1, bias=False)
        self.down = nn.ModuleList(
            nn.Sequential(*(_Residual(channels) for _ in range(n)))
            for channels, n in zip(features, blocks, strict=True)
        )
        self.shrink = nn.ModuleList(
            nn.Sequential(_normalised(fine), nn.Conv3d(fine, coarse, 3, stride=2, padding=1, bias=False))
            for fine, coarse in pairs
        )
        self.grow = nn.ModuleList(
            nn.Sequential(_normalised(coarse), nn.Conv3d(coarse, fine, 1, bias=False)) for fine, coarse in pairs
        )
        self.up = nn.ModuleList(_Residual(fine) for fine, _ in pairs)
        self.head = nn.Sequential(
            _normalised(features[0]), nn.Conv3d(features[0], out_channels * _SHUFFLE**3, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            x: (n, c, i, j, k); every axis a multiple of 2 to the number of levels.
        """
        x = self.stem(x)
        levels = []
        for down, shrink in zip(self.down, [*self.shrink, None], strict=True):
            x = down(x)
            if shrink is not None:
                levels.append(x)
                x = shrink(x)
        for level in reversed(range(len(levels))):
            coarse = self.grow[level](x)
            x = levels[level] + nn.functional.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=False)
            x = self.up[level](x)
        return _shuffled(self.head(x), self.out_channels)


def _shuffled(x: torch.Tensor, channels: int) -> torch.Tensor:
    """Return channels unpacked into voxels: (n, c * 8, i, j, k) -> (n, c, 2 i, 2 j, 2 k)."""
    n, _, i, j, k = x.shape
    s = _SHUFFLE
    parts = x.reshape(n, channels, s, s, s, i, j, k).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(n, channels, s * i, s * j, s * k)
