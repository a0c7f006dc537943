"""3D ResNets with the layers of MedicalNet, and its published weights in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from monai.networks.nets import ResNet
from torch import Tensor, nn

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Volumes
from radiogen.branches.embedding.channels import kernels_for_channels, with_input
from radiogen.errors import ConfigError, InputError

_SPEC = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "zscore")

# Depth: kind of block, blocks per stage, shortcut (MedicalNet's README: A for 18 and 34, B for the others).
_DEPTHS = {
    10: ("basic", (1, 1, 1, 1), "B"),
    18: ("basic", (2, 2, 2, 2), "A"),
    34: ("basic", (3, 4, 6, 3), "A"),
    50: ("bottleneck", (3, 4, 6, 3), "B"),
}


class MedicalResNet(Backbone):
    """3D ResNet-10, -18, -34 or -50: a vector of 512 values, of 2048 with depth 50.

    Args:
        depth: layers: 10, 18, 34 or 50.
        channels: input channels.
        dilated: as MedicalNet was trained (for segmentation): the last two stages keep the resolution and are dilated by 2 and 4, so that the last
            maps are an eighth of the input along each axis; much slower. False: strides of 2 there, a 32nd, as usual for classification.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: an argument is not accepted.

    Source: Chen et al., Med3D, 2019, arXiv:1904.00625, section 3 (dilation), and its published code (shortcuts); He et al., CVPR 2016,
        arXiv:1512.03385, table 1 and section 4.1 (shortcuts A and B).

    Example:
        >>> with torch.device("meta"):
        ...     MedicalResNet(10)(torch.zeros(1, 1, 64, 64, 64)).shape
        torch.Size([1, 512])
    """

    def __init__(
        self,
        depth: int,
        channels: int = 1,
        dilated: bool = False,
        input_spec: Mapping[str, Any] | None = None,
    ) -> None:
        if depth not in _DEPTHS:
            raise ConfigError(f"A 3D ResNet of depth {depth} is not known; there are {', '.join(map(str, _DEPTHS))}.")
        kind, blocks, shortcut = _DEPTHS[depth]
        network = ResNet(
            kind,
            list(blocks),
            [64, 128, 256, 512],
            n_input_channels=channels,
            conv1_t_stride=2,
            shortcut_type=shortcut,
            feed_forward=False,
            bias_downsample=False,
        )
        super().__init__(channels, 512 if kind == "basic" else 2048, with_input(_SPEC, input_spec))
        if shortcut == "A":
            _let_gradients_through(network)
        if dilated:
            _dilate(network.layer3, 2)
            _dilate(network.layer4, 4)
        self.depth = depth
        self.network = network

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the maps of the last stage."""
        parts: Any = self.network
        maps = parts.maxpool(parts.act(parts.bn1(parts.conv1(volumes))))
        found: Tensor = parts.layer4(parts.layer3(parts.layer2(parts.layer1(maps))))
        return found


def build(
    depth: int, channels: int = 1, dilated: bool = False, input_spec: Mapping[str, Any] | None = None
) -> Backbone:
    """Return a 3D ResNet with random weights; see `MedicalResNet`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return MedicalResNet(depth, channels, dilated, input_spec)


build_10, build_18, build_34, build_50 = (partial(build, depth) for depth in _DEPTHS)


def load_medicalnet(state: Mapping[str, Tensor], network: MedicalResNet) -> None:
    """Put MedicalNet's published weights into a 3D ResNet of the same depth.

    Args:
        state: the state dict of `resnet_10_23dataset.pth` and the like; names may begin with `module.`; what is behind the last stage (`conv_seg`,
            `fc`) is not used. The first kernels are adapted to the network's number of channels.
        network: changed in place.

    Raises:
        InputError: a tensor is missing, left over or has another shape.

    Example:
        >>> network = MedicalResNet(10)
        >>> load_medicalnet({f"module.{name}": value for name, value in network.network.state_dict().items()}, network)
    """
    ours = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    ours = {name: tensor for name, tensor in ours.items() if not name.startswith(("conv_seg.", "fc."))}
    if "conv1.weight" in ours and ours["conv1.weight"].ndim == 5:
        ours["conv1.weight"] = kernels_for_channels(ours["conv1.weight"], network.channels)
    try:
        network.network.load_state_dict(ours)
    except RuntimeError as error:
        raise InputError(
            f"The tensors do not fit MedicalNet's ResNet-{network.depth}:",
            problems=[line.strip() for line in str(error).splitlines()[1:4]],
            hint="Give MedicalNet's weights of the same depth.",
        ) from error


class _PaddedShortcut(nn.Module):
    """Shortcut A: every `stride`-th voxel, and channels of zeros for those that are new."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = (stride, stride, stride)

    def forward(self, maps: Float[Tensor, "b f x y z"]) -> Float[Tensor, "b _f _x _y _z"]:
        """Return the shortcut's maps."""
        i, j, k = self.stride
        kept = maps[:, :, ::i, ::j, ::k]
        return torch.cat([kept, kept.new_zeros(len(kept), self.channels - kept.shape[1], *kept.shape[2:])], dim=1)


def _let_gradients_through(network: nn.Module) -> None:
    """Replace MONAI's shortcut A, which cuts the gradient off (it uses `.data`), by one of the same values."""
    for block in list(network.modules()):
        shortcut = getattr(block, "downsample", None)
        if isinstance(shortcut, partial):
            block.downsample = _PaddedShortcut(shortcut.keywords["planes"], shortcut.keywords["stride"])


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Take a stage's stride away and dilate its 3 x 3 x 3 convolutions instead."""
    for part in stage.modules():
        if isinstance(part, _PaddedShortcut):
            part.stride = (1, 1, 1)
        elif isinstance(part, nn.Conv3d):
            part.stride = (1, 1, 1)
            if part.kernel_size == (3, 3, 3):
                part.dilation = part.padding = (dilation, dilation, dilation)
