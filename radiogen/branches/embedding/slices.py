"""2D networks on axial slices: the small network of the slice baseline, and torchvision's pictures networks over several slices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Vectors, Volumes
from radiogen.branches.embedding.channels import IMAGENET_MEAN, IMAGENET_SD, Colours, kernels_for_channels, with_input
from radiogen.errors import ConfigError, InputError

Pictures = Float[Tensor, "n _f _rows _columns"]
"""Axial slices or maps of them."""

POLICIES = ("median", "largest-tumour")
"""`median`: the axial slice in the middle of the brain; `largest-tumour`: the one with most of the tumour."""

POOLINGS = ("mean", "max")
"""How the vectors of several slices become one."""

PICTURE_NETWORKS = ("resnet18", "resnet34", "resnet50", "efficientnet_b0")
"""torchvision's networks that `SlicesNetwork` is made of."""

# Slices of 224 x 224, as the papers' and ImageNet's pictures; 1 mm per pixel shows the whole brain.
_SLICE = InputSpec("brain", (1.0, 1.0, 1.0), (224, 224, 1), "minmax255")
# Nine slices, 5 mm apart, of 16 cm around the tumour.
_SLICES = InputSpec("tumour", (1.0, 1.0, 5.0), (160, 160, 9), "minmax255")
_FINE_SIZE = 53


class SliceCNN(Backbone):
    """The small network of the slice baseline on one axial slice of 224 x 224: a vector of 84 values.

    Convolution 3 to 6 of 5 x 5, pooling, 6 to 16 of 5 x 5, pooling; 44,944 values to 120 to 84, ReLU throughout; the published one goes on to 10
    outputs, which is the classifier's business here. Of another input the 53 x 53 maps are averaged to size; of several slices the mean is taken.

    Args:
        channels: 1, shown as grey, or 3 sequences as colours.
        policy: `median` or `largest-tumour`: which slice is prepared; the latter needs a mask.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: an argument is not accepted.

    Source: the slice baseline of the BraTS 2021 volume (BrainLes 2021, Springer LNCS 12962 and 12963), median FLAIR slice, a variation of the first
        network of PyTorch's tutorial on pictures. It took the middle file of a series, whatever its plane; here slices are always axial.

    Example:
        >>> import torch
        >>> network = SliceCNN()
        >>> network.eval()(torch.zeros(1, 1, 224, 224, 1)).shape, sum(weight.numel() for weight in network.parameters())
        (torch.Size([1, 84]), 5406436)
    """

    def __init__(self, channels: int = 1, policy: str = "median", input_spec: Mapping[str, Any] | None = None) -> None:
        problems = [] if policy in POLICIES else [f"policy is '{policy}', not one of {', '.join(POLICIES)}"]
        if channels not in (1, 3):
            problems.append(f"channels is {channels}; the network takes 1, or 3 as colours")
        if problems:
            raise ConfigError("The slice network cannot be built:", problems=problems)
        own = {"centre": "brain" if policy == "median" else "tumour", **(input_spec or {})}
        super().__init__(channels, 84, with_input(_SLICE, own))
        self.policy = policy
        self.colours = Colours(channels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * _FINE_SIZE**2, 120)
        self.fc2 = nn.Linear(120, 84)

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the maps of the second convolution, with the slices along the third axis."""
        return from_pictures(self._maps(volumes), len(volumes))

    def forward(self, volumes: Volumes) -> Vectors:
        """Return the second dense layer's values, the mean over the slices."""
        maps = functional.adaptive_avg_pool2d(functional.max_pool2d(self._maps(volumes), 2), _FINE_SIZE)
        vectors = functional.relu(self.fc2(functional.relu(self.fc1(maps.flatten(1)))))
        return vectors.unflatten(0, (len(volumes), -1)).mean(dim=1)

    def _maps(self, volumes: Volumes) -> Pictures:
        pictures = as_pictures(self.colours(volumes))
        maps = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        return functional.relu(self.conv2(maps))


class SlicesNetwork(Backbone):
    """A network for pictures, from torchvision, on several axial slices (2.5D): a vector of 512 to 2048 values.

    How many slices there are, and how far apart, is the input's shape and voxel size along the third axis.

    Args:
        name: `resnet18`, `resnet34`, `resnet50` or `efficientnet_b0`.
        channels: 1, shown as grey; 3 sequences as colours; another number with first kernels to match.
        pooling: `mean` or `max` over the slices' vectors.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: an argument is not accepted.

    Source: He et al., CVPR 2016, arXiv:1512.03385 (ResNet); Tan & Le, ICML 2019, arXiv:1905.11946 (EfficientNet); Su et al., ICCV 2015,
        arXiv:1505.00880 (the maximum over views).

    Example:
        >>> import torch
        >>> SlicesNetwork("resnet18").eval()(torch.zeros(1, 1, 64, 64, 2)).shape
        torch.Size([1, 512])
    """

    def __init__(
        self, name: str, channels: int = 1, pooling: str = "mean", input_spec: Mapping[str, Any] | None = None
    ) -> None:
        problems = [] if pooling in POOLINGS else [f"pooling is '{pooling}', not one of {', '.join(POOLINGS)}"]
        if name not in PICTURE_NETWORKS:
            problems.append(f"the network is '{name}', not one of {', '.join(PICTURE_NETWORKS)}")
        if problems:
            raise ConfigError("The network of slices cannot be built:", problems=problems)
        network: Any = getattr(models, name)(weights=None)
        resnet = name.startswith("resnet")
        dimension = network.fc.in_features if resnet else network.classifier[1].in_features
        super().__init__(channels, dimension, with_input(_SLICES, input_spec))
        self.name = name
        self.pooling = pooling
        self.first = "conv1" if resnet else "features.0.0"
        self.colours = Colours(channels, IMAGENET_MEAN, IMAGENET_SD)
        setattr(network, "fc" if resnet else "classifier", nn.Identity())
        first = network.get_submodule(self.first)
        if self.colours.channels_out != 3:
            first.weight = nn.Parameter(kernels_for_channels(first.weight.detach(), self.colours.channels_out))
            first.in_channels = self.colours.channels_out
        self.network = network

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the last maps, with the slices along the third axis."""
        parts: Any = self.network
        pictures = as_pictures(self.colours(volumes))
        if self.name.startswith("resnet"):
            maps = parts.maxpool(parts.relu(parts.bn1(parts.conv1(pictures))))
            maps = parts.layer4(parts.layer3(parts.layer2(parts.layer1(maps))))
        else:
            maps = parts.features(pictures)
        return from_pictures(maps, len(volumes))

    def forward(self, volumes: Volumes) -> Vectors:
        """Return the mean over each slice's maps, and over the slices their mean or maximum."""
        vectors = self.feature_maps(volumes).mean(dim=(2, 3))
        return vectors.mean(dim=2) if self.pooling == "mean" else vectors.amax(dim=2)


def build_slice_cnn(channels: int = 1, policy: str = "median", input_spec: Mapping[str, Any] | None = None) -> Backbone:
    """Return the small slice network with random weights; see `SliceCNN`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return SliceCNN(channels, policy, input_spec)


def build(name: str, channels: int = 1, pooling: str = "mean", input_spec: Mapping[str, Any] | None = None) -> Backbone:
    """Return a network for pictures on several slices with random weights; see `SlicesNetwork`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return SlicesNetwork(name, channels, pooling, input_spec)


build_resnet18, build_resnet34, build_resnet50, build_efficientnet_b0 = (
    partial(build, name) for name in PICTURE_NETWORKS
)


def load_imagenet(state: Mapping[str, Tensor], network: SlicesNetwork) -> None:
    """Put torchvision's ImageNet weights into a network of slices.

    Args:
        state: torchvision's state dict; the classifier (`fc`, `classifier`) is not used. The first kernels are adapted to the number of channels.
        network: changed in place.

    Raises:
        InputError: a tensor is missing, left over or has another shape.

    Example:
        >>> load_imagenet(models.resnet18(weights=None).state_dict(), SlicesNetwork("resnet18"))
    """
    ours = {name: tensor for name, tensor in state.items() if not name.startswith(("fc.", "classifier."))}
    first = f"{network.first}.weight"
    if first in ours and ours[first].ndim == 4:
        ours[first] = kernels_for_channels(ours[first], network.colours.channels_out)
    try:
        network.network.load_state_dict(ours)
    except RuntimeError as error:
        raise InputError(
            f"The tensors do not fit torchvision's {network.name}:",
            problems=[line.strip() for line in str(error).splitlines()[1:4]],
            hint=f"Give torchvision's ImageNet weights of {network.name}.",
        ) from error


def as_pictures(volumes: Float[Tensor, "b c i j k"]) -> Float[Tensor, "_n c j i"]:
    """Return axial slices as radiologists look at them: rows from front to back, columns from the patient's right to left.

    Args:
        volumes: RAS; the slices of an item follow each other, from bottom to top.

    Example:
        >>> import torch
        >>> volume = torch.arange(4.0).reshape(1, 1, 2, 2, 1)
        >>> as_pictures(volume)[0, 0].tolist()
        [[3.0, 1.0], [2.0, 0.0]]
    """
    # In RAS i counts towards the patient's right and j towards the front: both are turned round.
    return volumes.permute(0, 4, 1, 3, 2).flip((3, 4)).flatten(0, 1)


def from_pictures(maps: Pictures, items: int) -> FeatureMaps:
    """Return maps of slices made by `as_pictures` as volumes in RAS, with the slices along the third axis.

    Example:
        >>> import torch
        >>> volumes = torch.rand(2, 3, 4, 5, 6)
        >>> torch.equal(from_pictures(as_pictures(volumes), 2), volumes)
        True
    """
    return maps.unflatten(0, (items, -1)).flip((3, 4)).permute(0, 2, 4, 3, 1)
