"""U-Net with max-pooling as it is drawn in most papers: what differs between them are arguments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from radiogen.segment.architectures.blocks import ConvolutionalAttention, Up, convolution, enlarge, layers, max_pool


class PlainUNet(nn.Module):
    """Two convolutions per level, max-pooling down, skips by concatenation.

    Args:
        in_channels: sequences.
        out_channels: maps.
        spatial_dims: 2 or 3.
        features: channels of each level, finest first.
        order: what stands around each convolution, see `radiogen.segment.architectures.blocks.layers`.
        norm: `batch`, `instance`, `group` or `none`.
        act: MONAI name of the activation.
        dropout: share of channels zeroed where `order` has a `d`.
        up: `deconv` or `linear`.
        attention: convolutional block attention on every skip.
        bottleneck_dilation: dilation of the two convolutions of the coarsest level.
        deep_supervision: in training mode return a list of maps, finest first, all of the input's size.

    Source: Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28; Cicek et al. 2016, doi:10.1007/978-3-319-46723-8_49.

    Example:
        >>> network = PlainUNet(4, 3, features=(4, 8), norm="batch").eval()
        >>> tuple(network(torch.zeros(1, 4, 8, 8, 8)).shape)
        (1, 3, 8, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        order: str = "cna",
        norm: str = "instance",
        act: str = "relu",
        dropout: float = 0.0,
        up: str = "deconv",
        attention: bool = False,
        bottleneck_dilation: int = 1,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()

        def pair(inside: int, outside: int, dilation: int = 1) -> nn.Sequential:
            return nn.Sequential(
                *(
                    layers(
                        order, channels, outside, spatial_dims=spatial_dims, dilation=dilation, norm=norm, act=act, dropout=dropout,
                    )
                    for channels in (inside, outside)
                )
            )  # fmt: skip

        steps = list(pairwise(features))
        dilations = [1] * (len(steps) - 1) + [bottleneck_dilation]
        self.first = pair(in_channels, features[0])
        self.shrink = max_pool(spatial_dims)
        self.down = nn.ModuleList(pair(fine, coarse, d) for (fine, coarse), d in zip(steps, dilations, strict=True))
        self.grow = nn.ModuleList(Up(up, coarse, fine, spatial_dims) for fine, coarse in steps)
        self.skips = nn.ModuleList(
            ConvolutionalAttention(fine, spatial_dims, combine="multiply") if attention else nn.Identity()
            for fine in features[:-1]
        )
        self.up = nn.ModuleList(pair(2 * fine, fine) for fine in features[:-1])
        supervised = len(steps) if deep_supervision else 1
        self.heads = nn.ModuleList(
            convolution(spatial_dims, fine, out_channels, kernel_size=1) for fine in features[:supervised]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Return logits; with deep supervision and in training mode those of every level of the decoder.

        Args:
            x: (n, c, i, j[, k]); every axis a multiple of 2 to the number of levels less one.
        """
        size = x.shape[2:]
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(self.shrink(levels[-1])))
        x = levels.pop()
        maps: list[torch.Tensor] = []
        for level in reversed(range(len(levels))):
            x = self.up[level](torch.cat([self.skips[level](levels[level]), self.grow[level](x)], dim=1))
            if level == 0 or (self.training and level < len(self.heads)):
                maps.insert(0, enlarge(self.heads[level](x), size) if level else self.heads[level](x))
        return maps if self.training and len(self.heads) > 1 else maps[0]
