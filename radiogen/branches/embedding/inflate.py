"""2D ImageNet weights in a 3D EfficientNet: kernels are spread along depth, so that it sees in a volume what the 2D one saw in a slice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from radiogen.branches.embedding.channels import kernels_for_channels
from radiogen.branches.embedding.efficientnet import EfficientNet3D
from radiogen.errors import ConfigError, InputError

HOW = ("mean", "centre")
"""`mean`: a kernel's plane, divided by their number, in every plane; `centre`: the kernel in the middle plane and zeros in the others."""

_PARTS = ("_expand_conv _bn0", "_depthwise_conv _bn1", "_se_reduce _se_expand", "_project_conv _bn2")


def inflate(state_2d: Mapping[str, Tensor], network: EfficientNet3D, how: str = "mean") -> None:
    """Put the weights of a 2D EfficientNet into a 3D one of the same size.

    The first axis of a volume is a slice's rows, the second its columns, the third is depth. What is exact, in evaluation mode and for a volume
    that is constant along depth: with `mean`, a network with `depth_padding="replicate"` equals the 2D one on the slice, everywhere; with zeros
    beyond the ends it does not, as squeeze-and-excitation carries what happens at the ends to everywhere. With `centre` both paddings are exact.

    Args:
        state_2d: state dict of torchvision's `efficientnet_b0` to `efficientnet_b7` (`features.0.0.weight`; needs `arithmetic="torchvision"`), or of
            the layout that MONAI shares with efficientnet-pytorch (`_conv_stem.weight`; needs `arithmetic="monai"`). The classifier is not used.
        network: changed in place; every parameter and buffer of it is set.
        how: `mean` or `centre`.

    Raises:
        ConfigError: `how` is not known, or the network's arithmetic is not that of the weights.
        InputError: a tensor is missing, left over or has another shape; the message says which.

    Source: Carreira & Zisserman, CVPR 2017, arXiv:1705.07750, section 3.4 (mean); Feichtenhofer et al., NeurIPS 2016, arXiv:1611.02155, and Girdhar
        et al., CVPR 2018, arXiv:1712.09184, section 3.1 (centre).

    Example:
        >>> from torchvision.models import efficientnet_b0
        >>> network = EfficientNet3D("efficientnet-b0", arithmetic="torchvision", depth_padding="replicate")
        >>> inflate(efficientnet_b0(weights=None).state_dict(), network)
    """
    if how not in HOW:
        raise ConfigError(f"how is '{how}', not one of {', '.join(HOW)}.")
    layout = layout_of(state_2d)
    if layout != network.arithmetic:
        raise ConfigError(
            f"These weights have the layout of {layout}, the network was built with arithmetic='{network.arithmetic}'.",
            hint=f"Build the network with arithmetic='{layout}'.",
        )
    names = torchvision_names(network) if layout == "torchvision" else {name: name for name in _wanted(network)}
    _check_names(state_2d, names)
    inflated = {}
    problems = []
    for name, wanted in _wanted(network).items():
        found = state_2d[names[name]]
        tensor = kernels_for_channels(found, network.channels) if name == "_conv_stem.weight" else found
        if wanted.ndim == 5:
            if tensor.ndim != 4 or tensor.shape != wanted.shape[:-1]:
                problems.append(_differs(names[name], found, wanted.shape[:-1]))
                continue
            tensor = _in_depth(tensor, wanted.shape[-1], how)
        elif tensor.shape != wanted.shape:
            problems.append(_differs(names[name], found, wanted.shape))
            continue
        inflated[name] = tensor
    if problems:
        raise InputError(f"The 2D weights do not fit {network.model} in 3D:", problems=problems[:5])
    network.network.load_state_dict(inflated)


def inflated(
    model: str,
    state_2d: Mapping[str, Tensor],
    channels: int = 1,
    how: str = "mean",
    input_spec: Mapping[str, Any] | None = None,
) -> EfficientNet3D:
    """Return a 3D EfficientNet with 2D weights, built with the arithmetic that they were trained with and the padding that keeps it exact.

    Args:
        model: `efficientnet-b0` to `efficientnet-b7`.
        state_2d: see `inflate`.
        channels: input channels; other than 3: see `kernels_for_channels`.
        how: `mean` (the last plane is repeated beyond the ends) or `centre` (zeros there).
        input_spec: fields of `InputSpec` to change.

    Raises:
        ConfigError: an argument is not accepted.
        InputError: the weights do not fit.
    """
    padding = "replicate" if how == "mean" else "zeros"
    network = EfficientNet3D(model, channels, layout_of(state_2d), padding, input_spec)
    inflate(state_2d, network, how)
    return network


def layout_of(state_2d: Mapping[str, Tensor]) -> str:
    """Return whose layout a 2D EfficientNet's state dict has, and whose arithmetic it therefore was trained with.

    Raises:
        InputError: it has neither layout.

    Example:
        >>> layout_of({"features.0.0.weight": torch.zeros(32, 3, 3, 3)})
        'torchvision'
    """
    if "features.0.0.weight" in state_2d:
        return "torchvision"
    if "_conv_stem.weight" in state_2d:
        return "monai"
    raise InputError(
        f"These are no weights of a 2D EfficientNet: first tensors {', '.join(list(state_2d)[:3]) or 'none'}.",
        hint="Give the state dict of torchvision's efficientnet_b0 to b7 (features.0.0.weight), or of efficientnet-pytorch (_conv_stem.weight).",
    )


def torchvision_names(network: EfficientNet3D) -> dict[str, str]:
    """Return for each tensor of MONAI's network the name it has in torchvision's.

    Example:
        >>> with torch.device("meta"):
        ...     names = torchvision_names(EfficientNet3D("efficientnet-b0"))
        >>> names["_conv_stem.weight"], names["_blocks.1.1._se_reduce.bias"]
        ('features.0.0.weight', 'features.2.0.block.2.fc1.bias')
    """
    parts: Any = network.network
    modules = {"_conv_stem": "features.0.0", "_bn0": "features.0.1"}
    for stage, stack in enumerate(parts._blocks):
        for position, (number, block) in enumerate(stack.named_children()):
            ours, theirs = f"_blocks.{stage}.{number}", f"features.{stage + 1}.{position}.block"
            for layer, pair in enumerate(_PARTS if block.expand_ratio != 1 else _PARTS[1:]):
                first, second = pair.split()
                ends = ("fc1", "fc2") if first == "_se_reduce" else ("0", "1")
                modules[f"{ours}.{first}"] = f"{theirs}.{layer}.{ends[0]}"
                modules[f"{ours}.{second}"] = f"{theirs}.{layer}.{ends[1]}"
    modules |= {"_conv_head": f"features.{len(parts._blocks) + 1}.0", "_bn1": f"features.{len(parts._blocks) + 1}.1"}
    return {name: f"{modules[owner]}.{end}" for name in _wanted(network) for owner, _, end in [name.rpartition(".")]}


def _wanted(network: EfficientNet3D) -> dict[str, Tensor]:
    return dict(network.network.state_dict())


def _in_depth(kernel: Float[Tensor, "o c h w"], depth: int, how: str) -> Float[Tensor, "o c h w _depth"]:
    """Return a 2D kernel as a 3D one of `depth` planes whose sum along depth is the 2D one."""
    if how == "mean":
        return (kernel / depth)[..., None].expand(*kernel.shape, depth).contiguous()
    planes = torch.zeros(*kernel.shape, depth, dtype=kernel.dtype)
    planes[..., depth // 2] = kernel
    return planes


def _check_names(state_2d: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Raise InputError for tensors that are missing, or left over other than the classifier's."""
    wanted = set(names.values())
    missing = sorted(wanted - set(state_2d))
    extra = sorted(name for name in set(state_2d) - wanted if not name.startswith(("classifier.", "_fc.")))
    problems = [f"missing: {name}" for name in missing[:3]] + [f"not known: {name}" for name in extra[:3]]
    if problems:
        raise InputError(
            f"The tensors do not fit the network ({len(missing)} missing, {len(extra)} left over):",
            problems=problems,
            hint="Give the weights of the same size, B0 to B7, as the network.",
        )


def _differs(name: str, found: Tensor, wanted: torch.Size) -> str:
    return f"{name} is {tuple(found.shape)}, it has to be {tuple(wanted)}"
