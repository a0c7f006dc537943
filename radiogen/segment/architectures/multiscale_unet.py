"""U-Net whose double convolutions are replaced by three scales side by side, weighted by block attention."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from radiogen.segment.architectures.blocks import ConvolutionalAttention, Up, convolution, layers, max_pool


class _Block(nn.Module):
    """Three convolutions one after the other, their outputs side by side, weighted, added to themselves, and brought to the wanted width."""

    def __init__(self, in_channels: int, out_channels: int, spatial_dims: int) -> None:
        super().__init__()
        inputs = (in_channels, out_channels, out_channels)
        self.scales = nn.ModuleList(
            layers("cna", channels, out_channels, spatial_dims=spatial_dims, norm="batch") for channels in inputs
        )
        self.attention = ConvolutionalAttention(3 * out_channels, spatial_dims)
        self.narrow = convolution(spatial_dims, 3 * out_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = []
        for scale in self.scales:
            x = scale(x)
            scales.append(x)
        joined = torch.cat(scales, dim=1)
        narrowed: torch.Tensor = self.narrow(joined + self.attention(joined))
        return narrowed


class MultiscaleUNet(nn.Module):
    """U-Net of multi-scale blocks recalibrated by attention to channels and places.

    Args:
        in_channels: sequences.
        out_channels: maps.
        spatial_dims: 2 or 3.
        features: channels of each level, finest first.

    Source: methods part 1, 18 (MSFR-Net, BraTS 2021).

    Example:
        >>> network = MultiscaleUNet(4, 4, spatial_dims=2, features=(4, 8)).eval()
        >>> tuple(network(torch.zeros(1, 4, 16, 16)).shape)
        (1, 4, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        features: Sequence[int] = (32, 64, 128, 256, 512),
    ) -> None:
        super().__init__()
        steps = list(pairwise(features))
        self.first = _Block(in_channels, features[0], spatial_dims)
        self.shrink = max_pool(spatial_dims)
        self.down = nn.ModuleList(_Block(fine, coarse, spatial_dims) for fine, coarse in steps)
        self.grow = nn.ModuleList(Up("deconv", coarse, fine, spatial_dims) for fine, coarse in steps)
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
