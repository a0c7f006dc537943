"""Layers that several networks share, in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Pool
from monai.networks.layers.utils import get_act_layer
from torch import nn
from torch.nn import functional

_GROUPS = 8


def convolution(
    spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, dilation: int = 1
) -> nn.Module:
    """Return a convolution that keeps the size at stride 1 (odd kernels)."""
    padding = dilation * (kernel_size - 1) // 2
    conv = Conv[Conv.CONV, spatial_dims]
    layer: nn.Module = conv(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, padding=padding)
    return layer


def normalisation(name: str, spatial_dims: int, channels: int) -> nn.Module:
    """Return a normalisation layer: `batch`, `instance`, `group` or `none`.

    Groups are eight, or as many as divide the channels where eight does not.

    Raises:
        ValueError: the name is another.
    """
    if name == "none":
        return nn.Identity()
    if name == "group":
        return nn.GroupNorm(next(n for n in range(_GROUPS, 0, -1) if channels % n == 0), channels)
    kinds = {
        ("batch", 2): nn.BatchNorm2d,
        ("batch", 3): nn.BatchNorm3d,
        ("instance", 2): nn.InstanceNorm2d,
        ("instance", 3): nn.InstanceNorm3d,
    }
    if (name, spatial_dims) not in kinds:
        raise ValueError(f"norm is '{name}'; batch, instance, group or none is accepted")
    return kinds[name, spatial_dims](channels, affine=True)


def layers(
    order: str,
    in_channels: int,
    out_channels: int,
    *,
    spatial_dims: int = 3,
    kernel_size: int = 3,
    dilation: int = 1,
    norm: str = "instance",
    act: str = "relu",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Return a convolution with what stands around it.

    Args:
        order: letters in the order of computation: `c` convolution, `n` normalisation, `a` activation, `d` dropout.
        in_channels: channels of the input.
        out_channels: channels of the output.
        spatial_dims: 2 or 3.
        kernel_size: of the convolution.
        dilation: of the convolution.
        norm: see `normalisation`.
        act: MONAI name of the activation.
        dropout: share of channels that is zeroed.

    Example:
        >>> [type(layer).__name__ for layer in layers("cna", 4, 8, norm="batch")]
        ['Conv3d', 'BatchNorm3d', 'ReLU']
    """
    channels, parts = in_channels, []
    for letter in order:
        if letter == "c":
            parts.append(convolution(spatial_dims, in_channels, out_channels, kernel_size, dilation=dilation))
            channels = out_channels
        elif letter == "n":
            parts.append(normalisation(norm, spatial_dims, channels))
        elif letter == "a":
            parts.append(get_act_layer(act))
        elif dropout > 0:
            parts.append(nn.Dropout3d(dropout) if spatial_dims == 3 else nn.Dropout2d(dropout))
    return nn.Sequential(*parts)


def max_pool(spatial_dims: int) -> nn.Module:
    """Return max-pooling by two."""
    pool: nn.Module = Pool[Pool.MAX, spatial_dims](2)
    return pool


def enlarge(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return a map interpolated linearly to a size in voxels."""
    mode = "trilinear" if x.ndim == 5 else "bilinear"
    return functional.interpolate(x, size=list(size), mode=mode, align_corners=False)


class Up(nn.Module):
    """Twice as fine: a transposed convolution (`deconv`) or linear interpolation and a convolution (`linear`).

    Args:
        mode: `deconv` or `linear`.
        in_channels: channels of the coarse map.
        out_channels: channels of the fine map.
        spatial_dims: 2 or 3.
    """

    def __init__(self, mode: str, in_channels: int, out_channels: int, spatial_dims: int = 3) -> None:
        super().__init__()
        if mode not in {"deconv", "linear"}:
            raise ValueError(f"up is '{mode}'; deconv or linear is accepted")
        self.linear = mode == "linear"
        self.conv: nn.Module = (
            convolution(spatial_dims, in_channels, out_channels)
            if self.linear
            else Conv[Conv.CONVTRANS, spatial_dims](in_channels, out_channels, 2, stride=2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the fine map."""
        if self.linear:
            x = enlarge(x, [2 * side for side in x.shape[2:]])
        fine: torch.Tensor = self.conv(x)
        return fine


class ConvolutionalAttention(nn.Module):
    """Convolutional block attention: channels are weighted, then places.

    Args:
        channels: of the map.
        spatial_dims: 2 or 3.
        reduction: how much narrower the hidden layer of the channel attention is.
        combine: how the two answers of the channel attention are joined: `add` as published, or `multiply` as in methods part 2, B14.

    Source: Woo et al. 2018, ECCV, arXiv 1807.06521.
    """

    def __init__(self, channels: int, spatial_dims: int = 3, reduction: int = 16, combine: str = "add") -> None:
        super().__init__()
        if combine not in {"add", "multiply"}:
            raise ValueError(f"combine is '{combine}'; add or multiply is accepted")
        hidden = max(1, channels // reduction)
        self.multiply = combine == "multiply"
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.place = convolution(spatial_dims, 2, 1, kernel_size=7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weighted map."""
        average, largest = self.channel(x.flatten(2).mean(2)), self.channel(x.flatten(2).amax(2))
        joined = average * largest if self.multiply else average + largest
        x = x * torch.sigmoid(joined).reshape(*joined.shape, *[1] * (x.ndim - 2))
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.place(summary))
