"""The networks of nnU-Net v2 behind our signature: fed in their own axes, saved without doubled tensors."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from itertools import chain
from typing import Any

import torch
from torch import nn

from radiogen.errors import ConfigError, MissingDependencyError

ARCHITECTURES = ("PlainConvUNet", "ResidualEncoderUNet")
"""Architectures of nnU-Net's own plans."""

_PARTS: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (nn.Conv3d, nn.InstanceNorm3d, nn.BatchNorm3d, nn.LeakyReLU, nn.ReLU, nn.GELU, nn.Dropout3d)
}
_NAMED_PARTS = ("conv_op", "norm_op", "dropout_op", "nonlin")
_DIRECTIONS = {"R": (0, False), "L": (0, True), "A": (1, False), "P": (1, True), "S": (2, False), "I": (2, True)}

_DEFAULTS: dict[str, Any] = {
    "n_stages": 5,
    "features_per_stage": [32, 64, 128, 256, 320],
    "conv_op": "Conv3d",
    "kernel_sizes": 3,
    "strides": [1, 2, 2, 2, 2],
    "n_conv_per_stage": 2,
    "n_conv_per_stage_decoder": 2,
    "conv_bias": True,
    "norm_op": "InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": "LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}


class NNUNet(nn.Module):
    """A network of nnU-Net v2 that takes and returns canonical axes.

    Args:
        in_channels: sequences it takes.
        out_channels: maps it returns.
        architecture: one of `ARCHITECTURES`.
        axes: where the axes that the network was trained in point, such as `SPL` (see `training_axes`).
        arguments: what `arch_kwargs` of the plans hold; parts by class name.

    Raises:
        ConfigError: an architecture or part is not accepted.
        MissingDependencyError: the package `dynamic_network_architectures` is not installed.

    Source: Isensee et al. 2021, Nat Methods 18:203; Isensee et al. 2024, arXiv 2404.09556 (residual encoder).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        architecture: str = "PlainConvUNet",
        axes: str = "RAS",
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = _build(
            in_channels, out_channels, architecture, dict(_DEFAULTS if arguments is None else arguments)
        )
        self.order, self.mirrored = read_axes(axes)
        # Every layer of nnU-Net's networks is registered under several names, and a safetensors file takes no tensor twice.
        self._same_as = _doubled(self)
        self.register_state_dict_post_hook(_leave_out_doubled)
        self.register_load_state_dict_pre_hook(_fill_in_doubled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch `n c R A S`."""
        turned = x.permute(0, 1, *(2 + axis for axis in self.order)).flip(self.mirrored)
        out: torch.Tensor = self.network(turned)
        back = [self.order.index(axis) for axis in range(3)]
        return out.flip(self.mirrored).permute(0, 1, *(2 + axis for axis in back))


def read_axes(axes: str) -> tuple[list[int], list[int]]:
    """Return for each axis of the network the canonical one it is, and which dimensions of its batches are mirrored.

    Raises:
        ConfigError: the letters do not name three different axes.

    Example:
        >>> read_axes("SPL")
        ([2, 1, 0], [3, 4])
    """
    known = [_DIRECTIONS[letter] for letter in axes if letter in _DIRECTIONS]
    order = [axis for axis, _ in known]
    if len(axes) != 3 or sorted(order) != [0, 1, 2]:
        raise ConfigError(f"'{axes}' names no three axes.", hint="Give one of each of R/L, A/P, S/I, such as LPS.")
    return order, [2 + at for at, (_, mirrored) in enumerate(known) if mirrored]


def training_axes(orientation: str, transpose_forward: tuple[int, ...] | list[int]) -> str:
    """Return where the axes of nnU-Net's arrays point, for images stored in an orientation.

    nnU-Net reads the axes of a file in reverse, transposes them as its plans say, and does not look at their directions.

    Args:
        orientation: of the training files, such as `LPS` for BraTS.
        transpose_forward: of the plans.

    Example:
        >>> training_axes("LPS", [0, 1, 2])
        'SPL'
    """
    read_axes(orientation)
    reverse = orientation[::-1]
    return "".join(reverse[axis] for axis in transpose_forward)


def _build(in_channels: int, out_channels: int, architecture: str, arguments: dict[str, Any]) -> nn.Module:
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"The architecture '{architecture}' is not one of {', '.join(ARCHITECTURES)}.")
    parts = {key: str(arguments[key]).rpartition(".")[2] for key in _NAMED_PARTS if arguments.get(key)}
    unknown = sorted(name for name in parts.values() if name not in _PARTS)
    if unknown:
        raise ConfigError(f"Not a part of a 3D network: {', '.join(unknown)}; {', '.join(_PARTS)} are accepted.")
    try:
        unet = import_module("dynamic_network_architectures.architectures.unet")
    except ImportError as error:
        raise MissingDependencyError("dynamic_network_architectures", "nnunet") from error
    built = {**arguments, **{key: _PARTS[name] for key, name in parts.items()}}
    network: nn.Module = getattr(unet, architecture)(
        input_channels=in_channels, num_classes=out_channels, deep_supervision=False, **built
    )
    return network


def _doubled(module: nn.Module) -> dict[str, str]:
    """Return name -> the first name of the same tensor."""
    first: dict[int, str] = {}
    doubled = {}
    tensors = chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))
    for name, tensor in tensors:
        if first.setdefault(id(tensor), name) != name:
            doubled[name] = first[id(tensor)]
    return doubled


def _leave_out_doubled(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in getattr(module, "_same_as"):  # noqa: B009 - nn.Module's own attributes are tensors or modules to mypy
        state.pop(prefix + name, None)


def _fill_in_doubled(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, same in getattr(module, "_same_as").items():  # noqa: B009
        if prefix + name not in state and prefix + same in state:
            state[prefix + name] = state[prefix + same]
