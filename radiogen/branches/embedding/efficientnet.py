"""3D EfficientNet B0 to B7: MONAI's network without its classifier, with the arithmetic of MONAI or of torchvision's ImageNet weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from monai.networks.nets import EfficientNetBN
from torch import Tensor, nn
from torch.nn import functional

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Volumes
from radiogen.branches.embedding.channels import with_input
from radiogen.errors import ConfigError

MODELS = tuple(f"efficientnet-b{number}" for number in range(8))
"""The names that MONAI gives the networks."""

ARITHMETICS = ("monai", "torchvision")
"""Whose padding at stride 2 and whose batch normalisation: each goes with its own ImageNet weights."""

DEPTH_PADDINGS = ("zeros", "replicate")
"""What lies above the highest and below the lowest plane of a volume."""

_SPEC = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore")


class EfficientNet3D(Backbone):
    """3D EfficientNet: a vector of 1280 (B0, B1) to 2560 (B7) values from one or more sequences.

    `arithmetic`: MONAI pads as TensorFlow does (one voxel more at the far side where the stride is 2, fixed for the size that ImageNet pictures
    have) and normalises with eps 0.001; torchvision pads the same on both sides and normalises with eps 0.00001 (B0 to B4) or 0.001. Networks
    trained from scratch do not care; weights from ImageNet do.

    Args:
        model: `efficientnet-b0` to `efficientnet-b7`.
        channels: input channels.
        arithmetic: `monai` or `torchvision`.
        depth_padding: what is beyond the volume's ends along the third axis: `zeros`, or `replicate`: the last plane again, so that a volume
            that is constant along this axis stays so. Beyond the other ends are zeros.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: an argument is not accepted.

    Source: Tan & Le, EfficientNet, ICML 2019, arXiv:1905.11946, table 1 (stages), section 4 (scaling); in 3D for MGMT promoter methylation: the
        per-modality and late-fusion networks of the BraTS 2021 volume (BrainLes 2021, Springer LNCS 12962 and 12963), inputs of 64 or 128 voxels.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     network = EfficientNet3D("efficientnet-b0")
        >>> network.dimension, sum(weight.numel() for weight in network.parameters())
        (1280, 4688380)
    """

    def __init__(
        self,
        model: str,
        channels: int = 1,
        arithmetic: str = "monai",
        depth_padding: str = "zeros",
        input_spec: Mapping[str, Any] | None = None,
    ) -> None:
        _check(model, arithmetic, depth_padding)
        kind = EfficientNetBN if depth_padding == "zeros" else _ReplicatingEfficientNet
        network: Any = kind(model, pretrained=False, spatial_dims=3, in_channels=channels, num_classes=1)
        super().__init__(channels, network._conv_head.out_channels, with_input(_SPEC, input_spec))
        self.model = model
        self.arithmetic = arithmetic
        network._fc = nn.Identity()
        _use_plain_swish(network)
        _scale_depthwise_kernels(network)
        if arithmetic == "torchvision":
            _use_torchvision_arithmetic(network, model)
        if depth_padding == "replicate":
            _replicate_along_depth(network)
        self.network = network

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the maps of the last convolution (the 1 x 1 x 1 one with `dimension` channels), a 32nd of the input along each axis."""
        parts: Any = self.network
        maps = parts._swish(parts._bn0(parts._conv_stem(parts._conv_stem_padding(volumes))))
        maps = parts._blocks(maps)
        found: Tensor = parts._swish(parts._bn1(parts._conv_head(maps)))
        return found


def build(
    model: str,
    channels: int = 1,
    arithmetic: str = "monai",
    depth_padding: str = "zeros",
    input_spec: Mapping[str, Any] | None = None,
) -> Backbone:
    """Return a 3D EfficientNet with random weights; see `EfficientNet3D`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return EfficientNet3D(model, channels, arithmetic, depth_padding, input_spec)


build_b0, build_b1, build_b2, build_b3, build_b4, build_b5, build_b6, build_b7 = (
    partial(build, model) for model in MODELS
)


class _ReplicatingEfficientNet(EfficientNetBN):
    """MONAI's network once its padding along depth was replaced: a class of its own, as what reads MONAI's paddings must not take it for one."""


class _DepthReplicated(nn.Module):
    """Padding with zeros along the first two axes and with the last plane along the third."""

    def __init__(self, amounts: tuple[int, ...]) -> None:
        super().__init__()
        self.along_depth = (*amounts[:2], 0, 0, 0, 0)
        self.across = (0, 0, *amounts[2:])

    def forward(self, maps: Float[Tensor, "b f x y z"]) -> Float[Tensor, "b f _x _y _z"]:
        """Return the padded maps."""
        return functional.pad(functional.pad(maps, self.across), self.along_depth, mode="replicate")


def _check(model: str, arithmetic: str, depth_padding: str) -> None:
    """Raise ConfigError unless every argument is one of those accepted."""
    asked = (
        ("model", model, MODELS),
        ("arithmetic", arithmetic, ARITHMETICS),
        ("depth_padding", depth_padding, DEPTH_PADDINGS),
    )
    problems = [
        f"{name} is '{given}', not one of {', '.join(known)}" for name, given, known in asked if given not in known
    ]
    if problems:
        raise ConfigError("The 3D EfficientNet cannot be built:", problems=problems)


def _blocks_of(network: nn.Module) -> list[Any]:
    parts: Any = network
    return [block for stack in parts._blocks for block in stack]


def _use_plain_swish(network: nn.Module) -> None:
    """Replace MONAI's activation, a Python function of its own, by torch's: the same values, faster, and known to compilers."""
    for part in [network, *_blocks_of(network)]:
        part._swish = nn.SiLU(inplace=True)


def _scale_depthwise_kernels(network: nn.Module) -> None:
    """Start depthwise kernels as large as TensorFlow's EfficientNet does: variance 2 over the kernel's voxels.

    MONAI divides by all channels as well, which training with batch normalisation hides; but frozen random weights then give vectors of 1e-14.
    """
    with torch.no_grad():
        for block in _blocks_of(network):
            block._depthwise_conv.weight.mul_(math.sqrt(block._depthwise_conv.groups))


def _use_torchvision_arithmetic(network: Any, model: str) -> None:
    """Pad the same on both sides and normalise as the 2D networks of torchvision do."""
    eps, momentum = (1e-5, 0.1) if model in MODELS[:5] else (1e-3, 0.01)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm3d):
            part.eps, part.momentum = eps, momentum
    network._conv_stem_padding = _symmetric(network._conv_stem)
    for block in _blocks_of(network):
        block._depthwise_conv_padding = _symmetric(block._depthwise_conv)


def _symmetric(convolution: nn.Conv3d) -> nn.Module:
    return nn.ConstantPad3d(convolution.kernel_size[0] // 2, 0.0)


def _replicate_along_depth(network: Any) -> None:
    network._conv_stem_padding = _DepthReplicated(tuple(network._conv_stem_padding.padding))
    for block in _blocks_of(network):
        block._depthwise_conv_padding = _DepthReplicated(tuple(block._depthwise_conv_padding.padding))
