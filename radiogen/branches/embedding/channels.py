"""What several embedding networks need: another input than their own, first kernels for another number of channels, and grey volumes as colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from radiogen.branches.embedding.base import InputSpec, Volumes
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue, images scaled to 0..1. Source: torchvision's weights."""

IMAGENET_SD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue, images scaled to 0..1. Source: torchvision's weights."""


def with_input(spec: InputSpec, changes: Mapping[str, Any] | None) -> InputSpec:
    """Return a network's input with what was asked for otherwise, as it comes from a recipe.

    Args:
        spec: the network's own.
        changes: fields of `InputSpec` by name; lists are accepted for tuples; None: nothing.

    Raises:
        ConfigError: a field is unknown, or a size is not three positive numbers.

    Example:
        >>> own = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore")
        >>> with_input(own, {"shape": [64, 64, 64]}).shape
        (64, 64, 64)
    """
    changes = dict(changes or {})
    known = [field.name for field in fields(InputSpec)]
    problems = [f"unknown field '{name}'. {did_you_mean(name, known)}".strip() for name in changes if name not in known]
    for name, kind in (("shape", int), ("voxel_size_mm", float)):
        if name in changes:
            sizes = list(changes[name]) if isinstance(changes[name], Sequence) else []
            if len(sizes) == 3 and all(isinstance(size, int | float) and size > 0 for size in sizes):
                changes[name] = tuple(kind(size) for size in sizes)
            else:
                problems.append(f"{name} has to be three numbers above 0, not {changes[name]!r}")
    if changes.get("centre", "tumour") not in ("tumour", "brain", "volume"):
        problems.append(f"centre has to be tumour, brain or volume, not {changes['centre']!r}")
    if problems:
        raise ConfigError("The input of the embedding network is not accepted:", problems=problems)
    return replace(spec, **changes)


def kernels_for_channels(weight: Float[Tensor, "o c *kernel"], channels: int) -> Float[Tensor, "o _c *kernel"]:
    """Return a first convolution's kernels for another number of input channels.

    Equal images in all channels give what they gave in all channels of the original: every kernel is the sum of the original ones over the
    channels, divided by their new number. One channel therefore sees what a grey image shown as red, green and blue sees.

    Args:
        weight: kernels, output channels x input channels x kernel.
        channels: input channels to have; the same number as before leaves the kernels as they are.

    Source: Carreira & Zisserman, CVPR 2017, arXiv:1705.07750, section 3.4 (the same rescaling, there along time).

    Example:
        >>> rgb = torch.arange(3.0).reshape(1, 3, 1, 1)
        >>> kernels_for_channels(rgb, 2).flatten().tolist()
        [1.5, 1.5]
    """
    if channels == weight.shape[1]:
        return weight
    grey = weight.sum(dim=1, keepdim=True) / channels
    return grey.expand(-1, channels, *[-1] * (weight.ndim - 2)).contiguous()


class Colours(nn.Module):
    """Volumes of 0..255 as a network of colour pictures wants them: three channels, scaled to 0..1, standardised by channel.

    One channel is repeated as red, green and blue; three are taken as colours; another number is kept and standardised by the mean of the three.

    Args:
        channels: input channels.
        mean: of red, green and blue, images scaled to 0..1.
        sd: standard deviation of red, green and blue, images scaled to 0..1.

    Example:
        >>> Colours(1, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(torch.full((1, 1, 2, 2, 2), 255.0)).mean().item()
        1.0
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, channels: int, mean: Sequence[float], sd: Sequence[float]) -> None:
        super().__init__()
        self.channels_out = 3 if channels in (1, 3) else channels
        means, sds = torch.tensor(mean), torch.tensor(sd)
        if self.channels_out != 3:
            means, sds = means.mean().expand(channels), sds.mean().expand(channels)
        # Constants of the network, not weights: they do not go into its file.
        self.register_buffer("mean", means.reshape(1, -1, 1, 1, 1).clone(), persistent=False)
        self.register_buffer("sd", sds.reshape(1, -1, 1, 1, 1).clone(), persistent=False)

    def forward(self, volumes: Volumes) -> Float[Tensor, "b _c i j k"]:
        """Return the colours, `channels_out` channels."""
        return (volumes / 255 - self.mean) / self.sd
