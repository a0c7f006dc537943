"""U-Net in the shape of an image-translation generator, with refined skips and a densely joined bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

_SLOPE = 0.3


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm3d(channels, affine=True), nn.LeakyReLU(_SLOPE)]


def _same(in_channels: int, out_channels: int, dropout: float = 0.0) -> nn.Sequential:
    """Return convolution with a kernel of 4 at stride 1, padded to keep the size."""
    drop: list[nn.Module] = [nn.Dropout3d(dropout)] if dropout > 0 else []
    norm, act = _normalised(out_channels)
    return nn.Sequential(nn.ConstantPad3d((1, 2) * 3, 0.0), nn.Conv3d(in_channels, out_channels, 4), norm, *drop, act)


class TranslationUNet(nn.Module):
    """Strided convolutions down, one refining convolution per level, three joined blocks at the bottom, transposed convolutions up.

    Args:
        in_channels: sequences.
        out_channels: maps.
        features: channels of the four levels, finest (half resolution) first.
        dropout: share of channels zeroed in the bottleneck.

    Source: methods part 2, B1 (BraTS 2021), after Vox2Vox, Cirillo et al. 2020, arXiv 2003.13653.

    Example:
        >>> network = TranslationUNet(4, 4, features=(4, 4, 8, 8)).eval()
        >>> tuple(network(torch.zeros(1, 4, 32, 32, 32)).shape)
        (1, 4, 32, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (64, 128, 256, 512),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        inputs = [in_channels, *features[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv3d(inside, outside, 4, stride=2, padding=1), *_normalised(outside))
            for inside, outside in zip(inputs, features, strict=True)
        )
        self.refine = nn.ModuleList(_same(channels, channels) for channels in features)
        bottom = features[-1]
        self.bottleneck = nn.ModuleList(_same(n * bottom, bottom, dropout) for n in (1, 2, 2))
        ups = list(zip(features[::-1], features[-2::-1], strict=False))
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose3d(coarse if n == 0 else 2 * coarse, fine, 4, stride=2, padding=1), *_normalised(fine)
            )
            for n, (coarse, fine) in enumerate(ups)
        )
        self.head = nn.ConvTranspose3d(2 * features[0], out_channels, 4, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            x: (n, c, i, j, k); every axis a multiple of 16, at least 32.
        """
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        skips = [refine(level) for refine, level in zip(self.refine, levels, strict=True)]
        x, before = self.bottleneck[0](skips[-1]), skips[-1]
        for block in list(self.bottleneck)[1:]:
            x, before = block(torch.cat([x, before], dim=1)), x
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = torch.cat([up(x), skip], dim=1)
        logits: torch.Tensor = self.head(x)
        return logits
