"""torchvision's video networks: a volume is a film, its axial slices are the frames, from bottom to top."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models import video

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Volumes
from radiogen.branches.embedding.channels import IMAGENET_MEAN, IMAGENET_SD, Colours, kernels_for_channels, with_input
from radiogen.errors import ConfigError, InputError

# 16 frames of 112 x 112 are what the ResNets were trained on: 11 cm across the tumour and 6 cm along the axis.
_SPEC = InputSpec("tumour", (1.0, 1.0, 4.0), (112, 112, 16), "minmax255")
_KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
_KINETICS_SD = (0.22803, 0.22145, 0.216989)
_NETWORKS = ("r3d_18", "mc3_18", "r2plus1d_18", "swin3d_t")


class VideoNetwork(Backbone):
    """A video network of torchvision without its classifier: a vector of 512 values, of 768 with `swin3d_t`.

    Frames are rows (first axis) and columns (second axis); time is the third axis. How many frames there are is the third number of the input's
    shape: the volume is resampled to it when it is prepared. One sequence is shown as a grey film; three as red, green and blue.

    Args:
        name: `r3d_18`, `mc3_18`, `r2plus1d_18` or `swin3d_t`.
        channels: input channels.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: the name or the input is not accepted.

    Source: Tran et al., CVPR 2018, arXiv:1711.11248 (ResNets: 3D, mixed, 2+1 dimensions); Liu et al., CVPR 2022, arXiv:2106.13230 (Swin); mean and
        standard deviation: torchvision's weights trained on Kinetics-400.

    Example:
        >>> import torch
        >>> VideoNetwork("r3d_18").eval()(torch.zeros(1, 1, 16, 16, 8)).shape
        torch.Size([1, 512])
    """

    def __init__(self, name: str, channels: int = 1, input_spec: Mapping[str, Any] | None = None) -> None:
        if name not in _NETWORKS:
            raise ConfigError(f"'{name}' is not one of the video networks: {', '.join(_NETWORKS)}.")
        network: Any = getattr(video, name)(weights=None)
        is_swin = name == "swin3d_t"
        super().__init__(channels, network.num_features if is_swin else 512, with_input(_SPEC, input_spec))
        statistics = (IMAGENET_MEAN, IMAGENET_SD) if is_swin else (_KINETICS_MEAN, _KINETICS_SD)
        self.colours = Colours(channels, *statistics)
        self.name = name
        self.first = "patch_embed.proj" if is_swin else "stem.0"
        _set_input_channels(network, self.first, self.colours.channels_out)
        setattr(network, "head" if is_swin else "fc", nn.Identity())
        self.network = network

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the last maps, with time as the third axis."""
        film = self.colours(volumes).permute(0, 1, 4, 2, 3)
        parts: Any = self.network
        if self.name == "swin3d_t":
            maps: Tensor = parts.norm(parts.features(parts.pos_drop(parts.patch_embed(film))))
            return maps.permute(0, 4, 2, 3, 1)
        maps = parts.layer4(parts.layer3(parts.layer2(parts.layer1(parts.stem(film)))))
        return maps.permute(0, 1, 3, 4, 2)


def build(name: str, channels: int = 1, input_spec: Mapping[str, Any] | None = None) -> Backbone:
    """Return a video network with random weights; see `VideoNetwork`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return VideoNetwork(name, channels, input_spec)


build_r3d, build_mc3, build_r2plus1d, build_swin3d = (partial(build, name) for name in _NETWORKS)


def load_torchvision(state: Mapping[str, Tensor], network: VideoNetwork) -> None:
    """Put torchvision's weights trained on Kinetics-400 into a video network.

    Args:
        state: torchvision's state dict; the classifier (`fc`, `head`) is not used. The first kernels are adapted to the number of channels.
        network: changed in place.

    Raises:
        InputError: a tensor is missing, left over or has another shape.

    Example:
        >>> load_torchvision(video.mc3_18(weights=None).state_dict(), VideoNetwork("mc3_18"))
    """
    ours = {name: tensor for name, tensor in state.items() if not name.startswith(("fc.", "head."))}
    first = f"{network.first}.weight"
    if first in ours and ours[first].ndim == 5:
        ours[first] = kernels_for_channels(ours[first], network.colours.channels_out)
    try:
        network.network.load_state_dict(ours)
    except RuntimeError as error:
        raise InputError(
            f"The tensors do not fit torchvision's {network.name}:",
            problems=[line.strip() for line in str(error).splitlines()[1:4]],
            hint=f"Give torchvision's weights of {network.name}.",
        ) from error


def _set_input_channels(network: nn.Module, name: str, channels: int) -> None:
    """Adapt the kernels of a network's first convolution to a number of channels."""
    convolution: Any = network.get_submodule(name)
    if channels != convolution.in_channels:
        convolution.weight = nn.Parameter(kernels_for_channels(convolution.weight.detach(), channels))
        convolution.in_channels = channels
