"""SegNet's remembered pooling inside nnU-Net's frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from radiogen.segment.architectures.blocks import layers


class UnpoolingUNet(nn.Module):
    """U-Net whose decoder puts values back where max-pooling took them from, instead of learning how to enlarge.

    With the defaults, four sequences and three maps it has 27,663,648 weights, as published.

    Args:
        in_channels: sequences.
        out_channels: maps.
        features: channels of each level, finest first.
        deep_supervision: in training mode return a list of maps, finest first, each at its own resolution; the heads exist in any case.

    Source: methods part 2, B8 (BraTS 2021), after SegNet, Badrinarayanan et al. 2017, arXiv 1511.00561, and nnU-Net, Isensee et al. 2021,
        Nat Methods 18:203.

    Example:
        >>> network = UnpoolingUNet(4, 3, features=(4, 8)).eval()
        >>> tuple(network(torch.zeros(1, 4, 8, 8, 8)).shape)
        (1, 3, 8, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (32, 64, 128, 256, 320, 320),
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()

        def pair(inside: int, between: int, outside: int) -> nn.Sequential:
            return nn.Sequential(
                layers("cna", inside, between, act="leakyrelu"), layers("cna", between, outside, act="leakyrelu")
            )

        self.deep_supervision = deep_supervision
        inputs = [in_channels, *features[:-1]]
        # Unpooling keeps the channels, so what comes up has as many as the next finer level.
        ends = [*features[:-1], features[-2]]
        self.encoder = nn.ModuleList(pair(a, b, end) for a, b, end in zip(inputs, features, ends, strict=True))
        self.pool = nn.MaxPool3d(2, return_indices=True)
        self.unpool = nn.MaxUnpool3d(2)
        outputs = [features[0], *features[:-2]]
        self.decoder = nn.ModuleList(pair(2 * f, f, out) for f, out in zip(features[:-1], outputs, strict=True))
        self.heads = nn.ModuleList(nn.Conv3d(channels, out_channels, 1, bias=False) for channels in outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Return logits; with deep supervision and in training mode those of every level of the decoder.

        Args:
            x: (n, c, i, j, k); every axis a multiple of 2 to the number of levels less one.
        """
        levels, places = [], []
        for stage in list(self.encoder)[:-1]:
            x = stage(x)
            levels.append(x)
            x, place = self.pool(x)
            places.append(place)
        x = self.encoder[-1](x)
        maps: list[torch.Tensor] = []
        for level in reversed(range(len(levels))):
            x = self.decoder[level](torch.cat([self.unpool(x, places[level]), levels[level]], dim=1))
            if level == 0 or (self.deep_supervision and self.training):
                maps.insert(0, self.heads[level](x))
        return maps if len(maps) > 1 else maps[0]
