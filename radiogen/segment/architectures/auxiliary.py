"""Networks whose training adds a loss of their own to the loss of the segmentation."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from monai.networks import nets
from torch import nn


class WithAuxiliaryLoss(NamedTuple):
    """What a network returns in training mode when it brings a loss of its own; in evaluation mode it returns the logits alone.

    Args:
        logits: (n, c, i, j, k), or a list of them, finest first (deep supervision).
        auxiliary_loss: scalar that is added to the loss of the segmentation, already weighted.
    """

    logits: torch.Tensor
    auxiliary_loss: torch.Tensor


class SegResNetWithReconstruction(nn.Module):
    """SegResNet whose encoder also has to reconstruct its input from a Gaussian code while it trains.

    The auxiliary loss is `weight * (mean squared error of the reconstruction + divergence of the code from a unit Gaussian)`. The reconstruction
    needs inputs of `input_image_size`; prediction takes any size.

    Args:
        in_channels: sequences.
        out_channels: maps.
        weight: of the auxiliary loss.
        arguments: of `monai.networks.nets.SegResNetVAE`.

    Source: Myronenko 2018, arXiv 1810.11654, equations 3 and 4.
    """

    channels_first = True
    """MONAI's variational branch looks at its maps with `view`."""

    def __init__(self, in_channels: int, out_channels: int, weight: float, **arguments: Any) -> None:
        super().__init__()
        self.network = nets.SegResNetVAE(in_channels=in_channels, out_channels=out_channels, **arguments)
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor | WithAuxiliaryLoss:
        """Return logits, in training mode together with the auxiliary loss.

        Raises:
            ValueError: training, and the input has another size than `input_image_size`.
        """
        expected = tuple(self.network.input_image_size)
        if self.training and tuple(x.shape[2:]) != expected:
            raise ValueError(f"the input has {tuple(x.shape[2:])} voxels; the reconstruction was built for {expected}")
        logits, loss = self.network(x)
        return WithAuxiliaryLoss(logits, self.weight * loss) if self.training else logits
