"""A plain 3D CNN, the baseline that larger networks have to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Volumes
from radiogen.branches.embedding.channels import with_input
from radiogen.errors import ConfigError

_SPEC = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore")


class CNN3D(Backbone):
    """Convolution 3 x 3 x 3, batch normalisation, ReLU and max-pooling by 2, four times over, then the mean.

    Dropout and the one linear layer behind it belong to the classifier. The paper does not give the channels: 32, 64, 128, 256 are our choice.

    Args:
        channels: input channels.
        widths: output channels of each convolution.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: there are no widths, or one is below 1, or the input is not accepted.

    Source: the 3D-CNN baseline for IDH, on the whole brain or the tumour, in the chapter on IDH from structural brain networks of the BraTS 2021
        volume (BrainLes 2021, Springer LNCS 12962 and 12963).

    Example:
        >>> import torch
        >>> CNN3D(channels=4, widths=(4, 8, 8, 16))(torch.zeros(2, 4, 16, 16, 16)).shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        channels: int = 1,
        widths: Sequence[int] = (32, 64, 128, 256),
        input_spec: Mapping[str, Any] | None = None,
    ) -> None:
        if not widths or min(widths) < 1:
            raise ConfigError(f"widths has to be one or more numbers of channels, each 1 or more, not {list(widths)}.")
        super().__init__(channels, widths[-1], with_input(_SPEC, input_spec))
        self.layers = nn.Sequential(
            *(_layer(before, width) for before, width in zip((channels, *widths), widths, strict=False))
        )

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the maps after the last pooling, with four layers a 16th of the input along each axis."""
        maps: Tensor = self.layers(volumes)
        return maps


def build(
    channels: int = 1, widths: Sequence[int] = (32, 64, 128, 256), input_spec: Mapping[str, Any] | None = None
) -> Backbone:
    """Return a plain 3D CNN with random weights; see `CNN3D`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return CNN3D(channels, widths, input_spec)


def _layer(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm3d(channels_out),
        nn.ReLU(inplace=True),
        nn.MaxPool3d(2),
    )
