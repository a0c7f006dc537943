"""C3D, the network for films of sports, on MR volumes: slices become the frames and colours of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from radiogen.branches.embedding.base import Backbone, FeatureMaps, InputSpec, Vectors, Volumes
from radiogen.branches.embedding.channels import with_input
from radiogen.branches.embedding.slices import as_pictures
from radiogen.errors import ConfigError, InputError

Clips = Float[Tensor, "b _colours _t _rows _columns"]
"""Clips, or maps of them."""

PACKINGS = ("rgb16-consecutive", "rgb16-blocks", "grey")
"""`rgb16-consecutive`: slices 0, 1, 2 are red, green and blue of the first frame; `rgb16-blocks`: the lower third of the slices is red, the
middle one green, the upper one blue; `grey`: every slice is a frame, in all three colours. The paper does not say which of the first two it used."""

MEANS: Mapping[str, tuple[float, float, float]] = {"none": (0.0, 0.0, 0.0), "sports1m": (104.0, 117.0, 128.0)}
"""What is taken off each colour; `sports1m`: as films are prepared for these weights. The paper takes nothing off: its MR volumes have a mean of
their own (85). Source: mmaction2, its configuration of C3D."""

_LAYERS = {
    "conv1": (3, 64),
    "conv2": (64, 128),
    "conv3a": (128, 256),
    "conv3b": (256, 256),
    "conv4a": (256, 512),
    "conv4b": (512, 512),
    "conv5a": (512, 512),
    "conv5b": (512, 512),
}
_POOL_BEFORE = {"conv2": (1, 2, 2), "conv3a": (2, 2, 2), "conv4a": (2, 2, 2), "conv5a": (2, 2, 2)}
_POOLED = (1, 4, 4)
_NOT_USED = ("fc6.", "fc7.", "fc8.", "cls_head.", "data_preprocessor.")
# 48 slices of 3 mm, or 16 of 9 mm: the same 112 x 112 x 144 mm of the head.
_SPEC = InputSpec("brain", (1.0, 1.0, 3.0), (112, 112, 48), "video255")
_SPEC_GREY = InputSpec("brain", (1.0, 1.0, 9.0), (112, 112, 16), "video255")


class C3D(Backbone):
    """C3D without its dense layers: a vector of 8192 values from a clip of 16 frames of 112 x 112.

    Eight convolutions of 3 x 3 x 3; the vector is the last pooling's 512 maps of 1 x 4 x 4, as the published dense layers would take them. Of an
    input of another size the maps are averaged to that size.

    Args:
        channels: 1: the clip's colours are made of slices, one sequence at a time.
        packing: how slices become a clip; one of `PACKINGS`.
        mean: what is taken off the colours: `none` or `sports1m`.
        frozen: the convolutions are not trained, as published.
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: an argument is not accepted.

    Source: Tran et al., ICCV 2015, arXiv:1412.0767, section 3.2 (layers); Lang et al., A video data based transfer learning approach for
        classification of MGMT status in brain tumor MR images, BrainLes 2021 (MR volumes, 112 x 112 x 48 to 8192 values, frozen).

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     network = C3D()
        ...     network(torch.zeros(1, 1, 112, 112, 48)).shape
        torch.Size([1, 8192])
        >>> sum(weight.numel() for weight in network.parameters())
        27655936
    """

    def __init__(
        self,
        channels: int = 1,
        packing: str = "rgb16-consecutive",
        mean: str = "none",
        frozen: bool = True,
        input_spec: Mapping[str, Any] | None = None,
    ) -> None:
        own = with_input(_SPEC_GREY if packing == "grey" else _SPEC, input_spec)
        _check(channels, packing, mean, own.shape[2])
        super().__init__(channels, 8192, own)
        self.packing = packing
        self.mean = MEANS[mean]
        self.convolutions = nn.ModuleDict(
            {name: nn.Conv3d(before, after, 3, padding=1) for name, (before, after) in _LAYERS.items()}
        )
        self.requires_grad_(not frozen)

    def feature_maps(self, volumes: Volumes) -> FeatureMaps:
        """Return the maps of the last convolution on RAS axes, an eighth of the frames along the third axis.

        With `rgb16-blocks` a map belongs to a frame, that is to one slice of every block: it stands in each of the three.
        """
        maps = self._maps(volumes).flip((3, 4)).permute(0, 1, 4, 3, 2)
        return maps.repeat(1, 1, 1, 1, 3) if self.packing == "rgb16-blocks" else maps

    def forward(self, volumes: Volumes) -> Vectors:
        """Return the last pooling's maps as one vector: maps, then frames, rows and columns."""
        pooled = functional.max_pool3d(self._maps(volumes), 2, 2, padding=(0, 1, 1), ceil_mode=False)
        if pooled.shape[2:] != _POOLED:
            pooled = functional.adaptive_avg_pool3d(pooled, _POOLED)
        return pooled.flatten(1)

    def _maps(self, volumes: Volumes) -> Clips:
        maps = pack(volumes, self.packing) - volumes.new_tensor(self.mean).reshape(1, 3, 1, 1, 1)
        for name, convolution in self.convolutions.items():
            if name in _POOL_BEFORE:
                maps = functional.max_pool3d(maps, _POOL_BEFORE[name])
            maps = functional.relu(convolution(maps))
        return maps


def pack(volumes: Volumes, packing: str) -> Clips:
    """Return volumes as clips: three colours x frames x rows (front to back) x columns (the patient's right to left).

    Args:
        volumes: RAS, one channel.
        packing: one of `PACKINGS`.

    Raises:
        ConfigError: the packing is not known, or the slices do not make whole frames.

    Source: the axes are those of a volume in LPS, which the paper reorients to.

    Example:
        >>> import torch
        >>> volume = torch.arange(6.0).reshape(1, 1, 1, 1, 6)
        >>> pack(volume, "rgb16-consecutive").flatten(2)[0].tolist()
        [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
        >>> pack(volume, "rgb16-blocks").flatten(2)[0].tolist()
        [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    _check(volumes.shape[1], packing, "none", volumes.shape[-1])
    slices = as_pictures(volumes).squeeze(1).unflatten(0, (len(volumes), -1))
    if packing == "grey":
        return slices[:, None].expand(-1, 3, -1, -1, -1)
    if packing == "rgb16-blocks":
        return slices.unflatten(1, (3, -1))
    return slices.unflatten(1, (-1, 3)).transpose(1, 2)


def build(
    channels: int = 1,
    packing: str = "rgb16-consecutive",
    mean: str = "none",
    frozen: bool = True,
    input_spec: Mapping[str, Any] | None = None,
) -> Backbone:
    """Return C3D with random weights; see `C3D`.

    Raises:
        ConfigError: an argument is not accepted.
    """
    return C3D(channels, packing, mean, frozen, input_spec)


def load_c3d(state: Mapping[str, Tensor], network: C3D) -> None:
    """Put published weights of C3D into the network; the dense layers of the file are not used.

    Args:
        state: the layout converted from Caffe (`conv1.weight`, `conv3a.weight`) or mmaction2's (`conv1a.conv.weight`, `conv3a.conv.weight`), also
            with `backbone.` or `module.` before the names.
        network: changed in place.

    Raises:
        InputError: tensors are missing, left over or have another shape; the message lists them all.

    Example:
        >>> network = C3D()
        >>> load_c3d({name.removeprefix("convolutions."): tensor for name, tensor in network.state_dict().items()}, network)
    """
    found = {_our_name(name): tensor for name, tensor in state.items()}
    found = {name: tensor for name, tensor in found.items() if not name.startswith(_NOT_USED)}
    wanted = network.convolutions.state_dict()
    problems = [f"missing: {name}" for name in wanted if name not in found]
    problems += [f"not known: {name}" for name in found if name not in wanted]
    problems += [
        f"{name} is {tuple(found[name].shape)}, it has to be {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if problems:
        raise InputError(
            "The tensors do not fit C3D:",
            problems=problems,
            hint="Give the state dict of C3D converted from Caffe (conv1.weight) or of mmaction2 (conv1a.conv.weight).",
        )
    network.convolutions.load_state_dict(found)


def _our_name(name: str) -> str:
    for before in ("module.", "backbone."):
        name = name.removeprefix(before)
    layer, _, end = name.partition(".")
    # mmaction2 calls the first two layers conv1a and conv2a, and every layer has its convolution inside.
    return f"{layer.replace('conv1a', 'conv1').replace('conv2a', 'conv2')}.{end.removeprefix('conv.')}"


def _check(channels: int, packing: str, mean: str, slices: int) -> None:
    """Raise ConfigError with everything that is not accepted."""
    problems = []
    if channels != 1:
        problems.append(f"channels is {channels}; C3D sees one sequence at a time (mode per-sequence)")
    if packing not in PACKINGS:
        problems.append(f"packing is '{packing}', not one of {', '.join(PACKINGS)}")
    elif packing != "grey" and slices % 3:
        problems.append(f"the input has {slices} slices; {packing} needs a multiple of 3, 48 as published")
    if mean not in MEANS:
        problems.append(f"mean is '{mean}', not one of {', '.join(MEANS)}")
    if problems:
        raise ConfigError("C3D cannot be used like this:", problems=problems)
