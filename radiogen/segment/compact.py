"""The network of the shipped weights: a residual U-Net that spends its work where a CPU does it fastest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


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
    """Residual U-Net with one convolution on each side at the finest level, and its blocks from the second level down.

    At the finest level a convolution with few channels is bound by memory: the same work half as fine with three times the channels takes half
    the time. Fine edges need only local contrast there; what is a tumour is decided below.

    Args:
        in_channels: sequences.
        out_channels: maps.
        features: channels of each level, finest first.
        blocks: residual blocks of each level below the first, on the way down; one on the way up.

    Source: He et al. 2016, doi:10.1007/978-3-319-46493-0_38 (pre-activation residual blocks); Ronneberger et al. 2015,
        doi:10.1007/978-3-319-24574-4_28 (U-Net).

    Example:
        >>> network = CompactUNet(4, 3, features=(4, 8, 8), blocks=(1, 1))
        >>> tuple(network(torch.zeros(1, 4, 16, 16, 16)).shape)
        (1, 3, 16, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (16, 48, 96, 128),
        blocks: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__()
        self.stem = nn.Conv3d(in_channels, features[0], 3, padding=1, bias=False)
        pairs = list(pairwise(features))
        self.shrink = nn.ModuleList(
            nn.Sequential(_normalised(fine), nn.Conv3d(fine, coarse, 3, stride=2, padding=1, bias=False))
            for fine, coarse in pairs
        )
        self.down = nn.ModuleList(
            nn.Sequential(*(_Residual(coarse) for _ in range(n))) for (_, coarse), n in zip(pairs, blocks, strict=True)
        )
        self.grow = nn.ModuleList(
            nn.Sequential(_normalised(coarse), nn.Conv3d(coarse, fine, 1, bias=False)) for fine, coarse in pairs
        )
        self.up = nn.ModuleList(_Residual(fine) for fine, _ in pairs[1:])
        self.head = nn.Sequential(
            _normalised(features[0]),
            nn.Conv3d(features[0], features[0], 3, padding=1, bias=False),
            _normalised(features[0]),
            nn.Conv3d(features[0], out_channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            x: (n, c, i, j, k); every axis a multiple of 2 to the number of levels less one.
        """
        levels = [self.stem(x)]
        for shrink, down in zip(self.shrink, self.down, strict=True):
            levels.append(down(shrink(levels[-1])))
        x = levels.pop()
        for level in reversed(range(len(levels))):
            coarse = self.grow[level](x)
            x = levels[level] + nn.functional.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=False)
            if level > 0:
                x = self.up[level - 1](x)
        logits: torch.Tensor = self.head(x)
        return logits
