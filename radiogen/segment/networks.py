"""MONAI's segmentation networks behind one signature: `build(in_channels, out_channels, **arguments)`.

Each function holds the defaults of the paper or bundle it is known from; `arguments` override them and travel in the weights' card.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.networks import nets

from radiogen.errors import ConfigError
from radiogen.segment.names import NETWORKS


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
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The network '{name}' cannot be built with {arguments}: {error}") from error
    return network.eval()


def segresnet(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return SegResNet.

    Source: Myronenko 2018, arXiv 1810.11654; defaults of MONAI's BraTS bundle.
    """
    defaults = {"init_filters": 16, "blocks_down": [1, 2, 2, 4], "blocks_up": [1, 1, 1], "dropout_prob": 0.2}
    return nets.SegResNet(3, in_channels=in_channels, out_channels=out_channels, **{**defaults, **arguments})


class _FirstOutput(torch.nn.Module):
    """A network that returns several things, of which the first is the segmentation."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)[0]


def segresnet_vae(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return SegResNet with its variational branch; only the segmentation is returned.

    Source: Myronenko 2018, arXiv 1810.11654.
    """
    defaults = {
        "input_image_size": (128, 128, 128),
        "init_filters": 16,
        "blocks_down": [1, 2, 2, 4],
        "blocks_up": [1, 1, 1],
    }
    return _FirstOutput(
        nets.SegResNetVAE(in_channels=in_channels, out_channels=out_channels, **{**defaults, **arguments})
    )


def dynunet(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MONAI's dynamic U-Net, the architecture of nnU-Net.

    Source: Isensee et al. 2021, Nat Methods 18:203.
    """
    strides = arguments.pop("strides", [1, 2, 2, 2, 2])
    defaults = {"kernel_size": [3] * len(strides), "strides": strides, "upsample_kernel_size": strides[1:]}
    return nets.DynUNet(3, in_channels, out_channels, **{**defaults, **arguments})


def unet(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return the residual U-Net.

    Source: Kerfoot et al. 2019, LNCS 11395:371.
    """
    defaults = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2), "num_res_units": 2}
    return nets.UNet(3, in_channels, out_channels, **{**defaults, **arguments})


def attention_unet(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return Attention U-Net.

    Source: Oktay et al. 2018, arXiv 1804.03999.
    """
    defaults = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}
    return nets.AttentionUnet(3, in_channels, out_channels, **{**defaults, **arguments})


def basic_unet_plus_plus(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return U-Net++; without deep supervision its one map is returned.

    Source: Zhou et al. 2018, LNCS 11045:3.
    """
    return _FirstOutput(nets.BasicUNetPlusPlus(3, in_channels, out_channels, **arguments))


def vnet(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return V-Net.

    Source: Milletari et al. 2016, 3DV.
    """
    return nets.VNet(spatial_dims=3, in_channels=in_channels, out_channels=out_channels, **arguments)


def unetr(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return UNETR; `img_size` is fixed by its position embedding.

    Source: Hatamizadeh et al. 2022, WACV.
    """
    return nets.UNETR(in_channels, out_channels, **{"img_size": (128, 128, 128), **arguments})


def swin_unetr(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return Swin UNETR.

    Source: Hatamizadeh et al. 2021, LNCS 12962:272.
    """
    return nets.SwinUNETR(in_channels=in_channels, out_channels=out_channels, **{"feature_size": 48, **arguments})


def mednext_s(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-S.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    return nets.MedNeXtS(in_channels=in_channels, out_channels=out_channels, **arguments)


def mednext_b(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-B.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    return nets.MedNeXtB(in_channels=in_channels, out_channels=out_channels, **arguments)


def mednext_m(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-M.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    return nets.MedNeXtM(in_channels=in_channels, out_channels=out_channels, **arguments)


def mednext_l(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-L.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    return nets.MedNeXtL(in_channels=in_channels, out_channels=out_channels, **arguments)
