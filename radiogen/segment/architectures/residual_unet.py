"""Residual U-Net with group normalisation before the convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from radiogen.segment.architectures.blocks import convolution, layers, max_pool


class _Block(nn.Module):
    """Three convolutions; the output of the first is added to that of the third."""

    def __init__(self, in_channels: int, out_channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.first = layers("nca", in_channels, out_channels, spatial_dims=spatial_dims, norm="group")
        self.second = layers("nca", out_channels, out_channels, spatial_dims=spatial_dims, norm="group")
        self.third = convolution(spatial_dims, out_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        return torch.relu(first + self.third(self.second(first)))


class ResidualUNet(nn.Module):
    """U-Net of residual blocks, max-pooling down, transposed convolutions up, skips by concatenation.

    Args:
        in_channels: sequences.
        out_channels: maps.
        spatial_dims: 2 or 3.
        features: channels of each level, finest first.

    Source: methods part 2, B10, after Lee et al. 2017, arXiv 1706.00120 (SNEMI3D).

    Example:
        >>> network = ResidualUNet(4, 1, features=(4, 8))
        >>> tuple(network(torch.zeros(1, 4, 8, 8, 8)).shape)
        (1, 1, 8, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        features: Sequence[int] = (64, 128, 256, 512, 1024),
    ) -> None:
        super().__init__()
        steps = list(pairwise(features))
        transposed = Conv[Conv.CONVTRANS, spatial_dims]
        self.first = _Block(in_channels, features[0], spatial_dims)
        self.shrink = max_pool(spatial_dims)
        self.down = nn.ModuleList(_Block(fine, coarse, spatial_dims) for fine, coarse in steps)
        self.grow = nn.ModuleList(
            transposed(coarse, fine, 3, stride=2, padding=1, output_padding=1) for fine, coarse in steps
        )
        self.up = nn.ModuleList(_Block(2 * fine, fine, spatial_dims) for fine, _ in steps)
        self.head = convolution(spatial_dims, features[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            x: (n, c, i, j[, k]); every axis a multiple of 2 to the number of levels less one.
        """
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(self.shrink(levels[-1])))
        x = levels.pop()
        for level in reversed(range(len(levels))):
            x = self.up[level](torch.cat([levels[level], self.grow[level](x)], dim=1))
        logits: torch.Tensor = self.head(x)
        return logits
