"""Networks behind one signature: `build_network(name, in_channels, out_channels, arguments)`.

MONAI's are in `radiogen.segment.monai_networks`, which takes a second to import: it is imported when one of them is asked for. In evaluation mode
every network returns one tensor of logits. In training mode those with `deep_supervision` return a list or tuple of maps, finest first, or (DynUNet)
one tensor with a further axis after the batch; those with a loss of their own return
`radiogen.segment.architectures.auxiliary.WithAuxiliaryLoss`.
"""

from __future__ import annotations

from typing import Any

import torch

from radiogen.errors import ConfigError
from radiogen.segment.names import NETWORKS

_LARGEST_MULTIPLE = 64


def build_network(
    name: str, in_channels: int, out_channels: int, arguments: dict[str, Any] | None = None
) -> torch.nn.Module:
    """Return a registered network with random weights, in evaluation mode.

    Args:
        name: name in the registry of networks.
        in_channels: sequences it takes.
        out_channels: maps it returns.
        arguments: constructor arguments that override the defaults.

    Raises:
        ConfigError: the name or an argument is not accepted.

    Example:
        >>> network = build_network("segresnet", 4, 3, {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]})
        >>> tuple(network(torch.zeros(1, 4, 16, 16, 16)).shape)
        (1, 3, 16, 16, 16)
    """
    build = NETWORKS.load(name)
    try:
        network: torch.nn.Module = build(in_channels, out_channels, **(arguments or {}))
    except (TypeError, ValueError, AssertionError) as error:  # MONAI asserts on some arguments
        raise ConfigError(f"The network '{name}' cannot be built with {arguments}: {error}") from error
    return network.eval()


def input_multiple(name: str, in_channels: int, arguments: dict[str, Any] | None = None) -> int | None:
    """Return the number of voxels that every axis of a network's input must be a multiple of (a power of two).

    The network is tried on sizes of shape alone (torch's `meta` device): no arithmetic is done.

    Args:
        name: name in the registry of networks.
        in_channels: sequences it takes.
        arguments: constructor arguments that override the defaults.

    Returns:
        None where the network takes one size only, or none up to 3 x 64 voxels.

    Example:
        >>> input_multiple("dynunet", 4), input_multiple("segresnet", 4), input_multiple("unetr", 4)
        (16, 8, None)
    """
    network = build_network(name, in_channels, 1, arguments).to("meta")
    with torch.device("meta"), torch.no_grad():
        multiple = 1
        while multiple <= _LARGEST_MULTIPLE:
            shape = [3 * multiple] * int((arguments or {}).get("spatial_dims", 3))
            try:
                if list(network(torch.zeros(1, in_channels, *shape)).shape[2:]) == shape:
                    return multiple
            except (RuntimeError, ValueError):  # maps of different size cannot be joined
                pass
            multiple *= 2
    return None
