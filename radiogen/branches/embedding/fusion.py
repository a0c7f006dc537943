"""Networks for several sequences at once: one backbone per sequence, their features side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from radiogen.branches.embedding.base import Backbone, FeatureMaps, Vectors, Volumes
from radiogen.branches.embedding.names import EMBEDDING_NETWORKS
from radiogen.errors import ConfigError

_SEQUENCES = ("t1n", "t1c", "t2w", "t2f")


class LateFusion(Backbone):
    """One backbone per sequence; the vectors are concatenated in the sequences' order, before the one classifier that is trained with them.

    A missing sequence is an input of zeros throughout. Its backbone is not asked (nor does it learn from it): its part of the vector is zeros, and
    `missing` says so. Early fusion is no class of its own: it is any backbone with as many channels as there are sequences.

    Args:
        backbones: sequence -> backbone of one channel; all of them with the same prepared input.

    Raises:
        ConfigError: there are no backbones, one takes more than one channel, or their inputs differ.

    Source: the late-fusion network (version 1) of the chapter on multi-modal fusion for radiogenomics classification of the BraTS 2021 volume
        (BrainLes 2021, Springer LNCS 12962 and 12963).

    Example:
        >>> from radiogen.branches.embedding.cnn3d import CNN3D
        >>> fused = LateFusion({name: CNN3D(widths=(2, 4)) for name in ("t1c", "t2f")}).eval()
        >>> volumes = torch.ones(1, 2, 8, 8, 8)
        >>> volumes[:, 1] = 0
        >>> fused(volumes).shape, fused.missing(volumes)
        (torch.Size([1, 8]), [['t2f']])
    """

    def __init__(self, backbones: Mapping[str, Backbone]) -> None:
        if not backbones:
            raise ConfigError("Late fusion needs at least one sequence.")
        problems = [
            f"the backbone of {name} takes {backbone.channels} channels, it has to take 1"
            for name, backbone in backbones.items()
            if backbone.channels != 1
        ]
        spec = next(iter(backbones.values())).spec
        problems += [
            f"the backbone of {name} wants another input than the first"
            for name in backbones
            if backbones[name].spec != spec
        ]
        if problems:
            raise ConfigError("These backbones cannot be fused:", problems=problems)
        super().__init__(len(backbones), sum(backbone.dimension for backbone in backbones.values()), spec)
        self.backbones = nn.ModuleDict(backbones)

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return every sequence's last maps, concatenated; zeros for a missing one. The backbones' maps have to be on one grid."""
        return torch.cat([self._asked(position, volumes, "feature_maps") for position in range(self.channels)], dim=1)

    def forward(self, volumes: Volumes) -> Vectors:
        """Return every sequence's vector, concatenated; zeros for a missing one."""
        return torch.cat([self._asked(position, volumes, "forward") for position in range(self.channels)], dim=1)

    def missing(self, volumes: Volumes) -> list[list[str]]:
        """Return for each item of a batch the sequences that are missing."""
        names = list(self.backbones)
        return [
            [name for name, there in zip(names, row, strict=True) if not there] for row in present(volumes).tolist()
        ]

    def _asked(self, position: int, volumes: Tensor, how: str) -> Tensor:
        """Return what one backbone says of its sequence: of all items where it is there, zeros for the others."""
        backbone: Any = list(self.backbones.values())[position]
        there = present(volumes)[:, position]
        ask = backbone if how == "forward" else backbone.feature_maps
        if bool(there.all()):
            found: Tensor = ask(volumes[:, position : position + 1])
            return found
        if not bool(there.any()):
            shape = (backbone.dimension,) if how == "forward" else _shape_of_maps(backbone, volumes)
            return volumes.new_zeros(len(volumes), *shape)
        found = ask(volumes[there, position : position + 1])
        whole = found.new_zeros(len(volumes), *found.shape[1:])
        whole[there] = found
        return whole


def present(volumes: Volumes) -> Bool[Tensor, "b c"]:
    """Return which sequences are there: those whose volume is not zero throughout.

    Example:
        >>> present(torch.tensor([[0.0, 1.0]]).reshape(1, 2, 1, 1, 1)).tolist()
        [[False, True]]
    """
    return volumes.flatten(2).ne(0).any(dim=2)


def build(
    channels: int = 4,
    network: str = "efficientnet3d-b0",
    sequences: list[str] | tuple[str, ...] = _SEQUENCES,
    arguments: Mapping[str, Any] | None = None,
) -> Backbone:
    """Return a late fusion of one network per sequence, with random weights.

    Args:
        channels: sequences that are fused; fewer than the names given: the first ones.
        network: name in `EMBEDDING_NETWORKS`.
        sequences: what the channels are, in their order.
        arguments: what the network is built with.

    Raises:
        ConfigError: the network or an argument is not accepted, or there are fewer names than channels.
    """
    if not 1 <= channels <= len(sequences):
        raise ConfigError(
            f"Late fusion of {channels} sequences needs as many names; given are {', '.join(sequences) or 'none'}."
        )
    make = EMBEDDING_NETWORKS.load(network)
    return LateFusion({name: make(channels=1, **(arguments or {})) for name in sequences[:channels]})


def _shape_of_maps(backbone: Backbone, volumes: Tensor) -> tuple[int, ...]:
    """Return features and grid of a backbone's maps; its statistics stay as they are."""
    was_training = backbone.training
    backbone.eval()
    with torch.no_grad():
        shape = tuple(backbone.feature_maps(torch.zeros_like(volumes[:1, :1])).shape[1:])
    backbone.train(was_training)
    return shape
