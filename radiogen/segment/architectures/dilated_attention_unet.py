"""A shallow U-Net that sees far by dilation instead of by pooling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from radiogen.segment.architectures.blocks import convolution, enlarge, layers


class _Gate(nn.Module):
    """Attention gate: what of a map is let through, decided together with a guiding map of the same size."""

    def __init__(self, guide_channels: int, channels: int) -> None:
        super().__init__()
        self.guide = convolution(3, guide_channels, channels, kernel_size=1)
        self.own = convolution(3, channels, channels, kernel_size=1)
        self.share = layers("cn", channels, channels, kernel_size=1, norm="group")

    def forward(self, guide: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        gated: torch.Tensor = x * torch.sigmoid(self.share(torch.relu(self.guide(guide) + self.own(x))))
        return gated


class _Block(nn.Module):
    """Pre-activated convolutions with dilation 1, 2, 4, 8, as many as the block's level; their sum, gated by itself."""

    def __init__(self, level: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            layers("nac", in_channels if n == 0 else out_channels, out_channels, dilation=2**n, norm="group")
            for n in range(level)
        )
        self.gate = _Gate(out_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = []
        for conv in self.convolutions:
            x = conv(x)
            outputs.append(x)
        merged = torch.stack(outputs).sum(0) + outputs[0]
        gated: torch.Tensor = self.gate(merged, merged)
        return gated


class DilatedAttentionUNet(nn.Module):
    """U-Net of atrous attention blocks with two poolings and a feature pyramid before the head.

    Args:
        in_channels: sequences.
        out_channels: maps.
        features: channels of the three resolutions, finest first.
        dropout: share of input sequences zeroed in training.

    Source: methods part 1, 15 (multiple atrous convolution attention blocks, BraTS 2021).

    Example:
        >>> network = DilatedAttentionUNet(4, 3, features=(4, 4, 8)).eval()
        >>> tuple(network(torch.zeros(1, 4, 8, 8, 8)).shape)
        (1, 3, 8, 8, 8)
    """

    def __init__(
        self, in_channels: int, out_channels: int, features: Sequence[int] = (16, 32, 64), dropout: float = 0.2
    ) -> None:
        super().__init__()
        fine, middle, coarse = features
        self.drop, self.shrink = nn.Dropout3d(dropout), nn.MaxPool3d(2)
        self.first = nn.Sequential(_Block(1, in_channels, fine), _Block(2, fine, fine))
        self.second = _Block(3, fine, middle)
        self.third = nn.Sequential(_Block(4, middle, coarse), _Block(4, coarse, coarse))
        self.grow_second = nn.ConvTranspose3d(coarse, middle, 2, stride=2)
        self.gate_second = _Gate(middle, middle)
        self.up_second = _Block(3, 2 * middle, middle)
        self.grow_first = nn.ConvTranspose3d(middle, fine, 2, stride=2)
        self.gate_first = _Gate(fine, fine)
        self.up_first = _Block(2, 2 * fine, fine)
        self.pyramid_second = convolution(3, middle, middle)
        self.pyramid_third = convolution(3, coarse, coarse)
        self.last = _Block(1, fine + middle + coarse, coarse)
        self.head = convolution(3, coarse, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            x: (n, c, i, j, k); every axis a multiple of 4.
        """
        first = self.first(self.drop(x))
        second = self.second(self.shrink(first))
        third = self.third(self.shrink(second))
        grown = self.grow_second(third)
        middle = self.up_second(torch.cat([self.gate_second(grown, second), grown], dim=1))
        grown = self.grow_first(middle)
        fine = self.up_first(torch.cat([self.gate_first(grown, first), grown], dim=1))
        size = x.shape[2:]
        pyramid = [enlarge(self.pyramid_second(middle), size), enlarge(self.pyramid_third(third), size)]
        logits: torch.Tensor = self.head(self.last(torch.cat([fine, *pyramid], dim=1)))
        return logits
