"""A small encoder and decoder without skip connections: the weakest baseline there is."""

from __future__ import annotations

import torch
from torch import nn


class EncoderDecoder(nn.Sequential):
    """Convolutions 4-32-64, pooling, 64-128-128, pooling, and transposed convolutions back; nothing leads past the bottleneck.

    Args:
        in_channels: sequences.
        out_channels: maps.
        width: channels of the first convolution; the others are twice and four times as many.

    Source: methods part 2, C1 (a course report on BraTS 2024), as printed, without its softmax: logits are returned.

    Example:
        >>> tuple(EncoderDecoder(4, 5, width=4)(torch.zeros(1, 4, 8, 8, 8)).shape)
        (1, 5, 8, 8, 8)
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 32) -> None:
        def conv(inside: int, outside: int) -> list[nn.Module]:
            return [nn.Conv3d(inside, outside, 3, padding=1), nn.ReLU()]

        super().__init__(
            *conv(in_channels, width),
            *conv(width, 2 * width),
            nn.MaxPool3d(2),
            *conv(2 * width, 4 * width),
            *conv(4 * width, 4 * width),
            nn.MaxPool3d(2),
            nn.ConvTranspose3d(4 * width, 2 * width, 2, stride=2),
            nn.ReLU(),
            *conv(2 * width, 2 * width),
            nn.ConvTranspose3d(2 * width, out_channels, 2, stride=2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            x: (n, c, i, j, k); every axis a multiple of 4.
        """
        logits: torch.Tensor = super().forward(x)
        return logits
