"""The multi-scale EfficientNet for slices: a 2D EfficientNet beside a small path that sees the slice at low quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Volumes
from radiogen.branches.embedding.channels import IMAGENET_MEAN, IMAGENET_SD, Colours, kernels_for_channels, with_input
from radiogen.errors import ConfigError, InputError

_SPEC = InputSpec("brain", (1.0, 1.0, 1.0), (256, 256, 96), "minmax255")
_MODELS = tuple(f"efficientnet_b{number}" for number in range(8))


class MultiScaleEfficientNet(Backbone):
    """A 2D EfficientNet and a path of two times max-pooling, convolution, ReLU, side by side on axial slices.

    The slices are spread evenly over the volume's third axis, each in the middle of an equal part of it. The vector is the mean over the slices; with
    EfficientNet-B7 it has 2560 values of the first path and then 64 of the second. The paper gives neither the second path's channels nor how
    slices become a patient: 32 and 64 channels and the mean are our choice.

    Args:
        channels: input channels.
        model: torchvision's name of the 2D network, `efficientnet_b0` to `efficientnet_b7`.
        slices: axial slices to look at.
        widths: channels of the second path's two convolutions.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: an argument is not accepted.

    Source: the chapter on EfficientNet 3D and multi-scale EfficientNet for MGMT promoter methylation of the BraTS 2021 volume (BrainLes 2021,
        Springer LNCS 12962 and 12963); Tan & Le, ICML 2019, arXiv:1905.11946.

    Example:
        >>> network = MultiScaleEfficientNet(model="efficientnet_b0", slices=2)
        >>> network(torch.zeros(1, 1, 32, 32, 8)).shape
        torch.Size([1, 1344])
    """

    def __init__(
        self,
        channels: int = 1,
        model: str = "efficientnet_b7",
        slices: int = 8,
        widths: tuple[int, int] | list[int] = (32, 64),
        input_spec: Mapping[str, Any] | None = None,
    ) -> None:
        problems = []
        if model not in _MODELS:
            problems.append(f"model is '{model}', not one of {', '.join(_MODELS)}")
        if slices < 1:
            problems.append(f"slices is {slices}, it has to be 1 or more")
        if len(widths) != 2 or min(widths) < 1:
            problems.append(f"widths is {list(widths)}, it has to be two numbers of channels")
        if problems:
            raise ConfigError("The multi-scale EfficientNet cannot be built:", problems=problems)
        network: Any = getattr(models, model)(weights=None)
        fine = network.features[-1][0].out_channels
        super().__init__(channels, fine + widths[1], with_input(_SPEC, input_spec))
        self.model = model
        self.slices = slices
        self.colours = Colours(channels, IMAGENET_MEAN, IMAGENET_SD)
        first = network.features[0][0]
        if self.colours.channels_out != first.in_channels:
            first.weight = nn.Parameter(kernels_for_channels(first.weight.detach(), self.colours.channels_out))
            first.in_channels = self.colours.channels_out
        self.fine = network.features
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(self.colours.channels_out, widths[0], kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(widths[0], widths[1], kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
        )

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return both paths' maps, the second's averaged to the grid of the first, with the slices along the third axis."""
        chosen = self.colours(volumes[..., slice_indices(volumes.shape[-1], self.slices)])
        pictures = chosen.permute(0, 4, 1, 2, 3).flatten(0, 1)
        fine: Tensor = self.fine(pictures)
        coarse = functional.adaptive_avg_pool2d(self.coarse(pictures), (fine.shape[2], fine.shape[3]))
        maps = torch.cat([fine, coarse], dim=1)
        return maps.unflatten(0, (len(volumes), chosen.shape[-1])).permute(0, 2, 3, 4, 1)


def build(
    channels: int = 1,
    model: str = "efficientnet_b7",
    slices: int = 8,
    widths: tuple[int, int] | list[int] = (32, 64),
    input_spec: Mapping[str, Any] | None = None,
) -> Backbone:
    """Return a multi-scale EfficientNet with random weights; see `MultiScaleEfficientNet`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return MultiScaleEfficientNet(channels, model, slices, widths, input_spec)


def slice_indices(length: int, slices: int) -> list[int]:
    """Return which of `length` slices to look at: the middle of each of `slices` equal parts, all of them where there are no more.

    Example:
        >>> slice_indices(96, 3), slice_indices(2, 8)
        ([16, 48, 80], [0, 1])
    """
    if slices >= length:
        return list(range(length))
    return [int((part + 0.5) * length / slices) for part in range(slices)]


def load_imagenet(state: Mapping[str, Tensor], network: MultiScaleEfficientNet) -> None:
    """Put torchvision's ImageNet weights into the first path; the second has none and keeps its own.

    Args:
        state: torchvision's state dict of the network's 2D model; the classifier is not used.
        network: changed in place.

    Raises:
        InputError: a tensor is missing, left over or has another shape.

    Example:
        >>> network = MultiScaleEfficientNet(model="efficientnet_b0")
        >>> load_imagenet(models.efficientnet_b0(weights=None).state_dict(), network)
    """
    ours = {
        name.removeprefix("features."): tensor for name, tensor in state.items() if not name.startswith("classifier.")
    }
    if "0.0.weight" in ours and ours["0.0.weight"].ndim == 4:
        ours["0.0.weight"] = kernels_for_channels(ours["0.0.weight"], network.colours.channels_out)
    try:
        network.fine.load_state_dict(ours)
    except RuntimeError as error:
        raise InputError(
            f"The tensors do not fit torchvision's {network.model}:",
            problems=[line.strip() for line in str(error).splitlines()[1:4]],
            hint=f"Give torchvision's ImageNet weights of {network.model}.",
        ) from error
