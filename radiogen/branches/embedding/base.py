"""What every embedding network of this house is: a torch module from volumes to one vector each, which says what input it expects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

Volumes = Float[Tensor, "b c i j k"]
"""Prepared volumes, RAS axes: batch, channels (sequences), then left to right, back to front, bottom to top."""

Vectors = Float[Tensor, "b d"]
"""One embedding per item of a batch."""

FeatureMaps = Float[Tensor, "b f x y z"]
"""The last feature maps before pooling, what explanations look at."""


@dataclass(frozen=True)
class InputSpec:
    """How a case's volume has to be prepared for a network.

    Args:
        centre: `tumour`: a box around the whole tumour's centre; `brain`: a box around the middle of what is not zero; `volume`: all of it, resized.
        voxel_size_mm: size of the prepared voxels along i, j, k, mm; with `volume` it is ignored.
        shape: voxels of the prepared volume along i, j, k.
        intensity: name in `radiogen.branches.embedding.inputs.INTENSITIES`.

    Example:
        >>> InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore").shape
        (96, 96, 96)
    """

    centre: Literal["tumour", "brain", "volume"]
    voxel_size_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    intensity: str


class Backbone(nn.Module, ABC):
    """A network without its classifier.

    Networks that see slices or clips pack the volume themselves, so that all of them are called alike.

    Args:
        channels: input channels; 1 for a network per sequence, more for early fusion.
        dimension: length of the vector.
        spec: the input it was made for; another one may be given where the architecture allows it.
    """

    def __init__(self, channels: int, dimension: int, spec: InputSpec) -> None:
        super().__init__()
        self.channels = channels
        self.dimension = dimension
        self.spec = spec

    @abstractmethod
    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the last feature maps before pooling; a 2D network puts its slices along one of the three axes."""

    def forward(self, volumes: Volumes) -> Vectors:
        """Return one vector per item: the mean over the feature maps, unless the network says otherwise."""
        return self.feature_maps(volumes).mean(dim=(2, 3, 4))
