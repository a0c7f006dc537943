"""DenseNet121 in 3D: MONAI's network without its classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.networks.nets import DenseNet121
from torch import Tensor
from torch.nn import functional

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Volumes
from radiogen.branches.embedding.channels import with_input

_DIMENSION = 1024
_SPEC = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore")


class DenseNet3D(Backbone):
    """3D DenseNet121: four dense blocks of 6, 12, 24 and 16 layers; a vector of 1024 values.

    Args:
        channels: input channels.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: the input is not accepted.

    Source: Huang et al., CVPR 2017, arXiv:1608.06993, table 1; in 3D as a baseline for IDH, on the whole brain or the tumour: the chapter on IDH from
        structural brain networks of the BraTS 2021 volume (BrainLes 2021, Springer LNCS 12962 and 12963).

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     DenseNet3D()(torch.zeros(1, 1, 64, 64, 64)).shape
        torch.Size([1, 1024])
    """

    def __init__(self, channels: int = 1, input_spec: Mapping[str, Any] | None = None) -> None:
        super().__init__(channels, _DIMENSION, with_input(_SPEC, input_spec))
        self.features = DenseNet121(spatial_dims=3, in_channels=channels, out_channels=1).features

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the maps of the last dense block, normalised and rectified, a 32nd of the input along each axis."""
        maps: Tensor = self.features(volumes)
        return functional.relu(maps)


def build(channels: int = 1, input_spec: Mapping[str, Any] | None = None) -> Backbone:
    """Return a 3D DenseNet121 with random weights; see `DenseNet3D`."""
    return DenseNet3D(channels, input_spec)
