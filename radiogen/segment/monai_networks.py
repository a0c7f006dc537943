"""MONAI's networks, with the defaults of the paper or bundle that each is known from; `arguments` override them and travel in the weights' card."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks import nets

from radiogen.segment.architectures.auxiliary import SegResNetWithReconstruction


def segresnet(in_channels: int, out_channels: int, *, spatial_dims: int = 3, **arguments: Any) -> torch.nn.Module:
    """Return SegResNet.

    Source: Myronenko 2018, arXiv 1810.11654; defaults of MONAI's BraTS bundle.
    """
    defaults = {"init_filters": 16, "blocks_down": [1, 2, 2, 4], "blocks_up": [1, 1, 1], "dropout_prob": 0.2}
    return nets.SegResNet(spatial_dims, in_channels=in_channels, out_channels=out_channels, **{**defaults, **arguments})


def segresnet_vae(
    in_channels: int, out_channels: int, *, reconstruction_weight: float = 0.1, **arguments: Any
) -> torch.nn.Module:
    """Return SegResNet with its variational branch, whose loss is added while it trains.

    Source: Myronenko 2018, arXiv 1810.11654 (weight 0.1, 256-dimensional code).
    """
    defaults = {
        "input_image_size": (128, 128, 128),
        "vae_estimate_std": True,
        "init_filters": 16,
        "blocks_down": [1, 2, 2, 4],
        "blocks_up": [1, 1, 1],
    }
    return SegResNetWithReconstruction(in_channels, out_channels, reconstruction_weight, **{**defaults, **arguments})


def dynunet(in_channels: int, out_channels: int, *, spatial_dims: int = 3, **arguments: Any) -> torch.nn.Module:
    """Return MONAI's dynamic U-Net, the architecture of nnU-Net; with `deep_supervision` its maps are stacked after the batch axis.

    Source: Isensee et al. 2021, Nat Methods 18:203.
    """
    strides = arguments.pop("strides", [1, 2, 2, 2, 2])
    defaults = {"kernel_size": [3] * len(strides), "strides": strides, "upsample_kernel_size": strides[1:]}
    network = nets.DynUNet(spatial_dims, in_channels, out_channels, **{**defaults, **arguments})
    # MONAI registers every layer twice, under its own name and inside `skip_layers`, and a safetensors file takes no tensor twice. As a plain
    # attribute the second holds the same layers without naming them in the state.
    network.__dict__["skip_layers"] = network._modules.pop("skip_layers")
    return network


def unet(in_channels: int, out_channels: int, *, spatial_dims: int = 3, **arguments: Any) -> torch.nn.Module:
    """Return the residual U-Net.

    Source: Kerfoot et al. 2019, LNCS 11395:371.
    """
    defaults = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2), "num_res_units": 2}
    return nets.UNet(spatial_dims, in_channels, out_channels, **{**defaults, **arguments})


def attention_unet(in_channels: int, out_channels: int, *, spatial_dims: int = 3, **arguments: Any) -> torch.nn.Module:
    """Return Attention U-Net.

    Source: Oktay et al. 2018, arXiv 1804.03999.
    """
    defaults = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}
    return nets.AttentionUnet(spatial_dims, in_channels, out_channels, **{**defaults, **arguments})


class _LastOutput(torch.nn.Module):
    """U-Net++ as MONAI has it returns a list of maps, the deepest decoder's last."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        maps: list[torch.Tensor] = self.network(x)[::-1]
        return maps if self.training and len(maps) > 1 else maps[0]


def basic_unet_plus_plus(
    in_channels: int, out_channels: int, *, spatial_dims: int = 3, **arguments: Any
) -> torch.nn.Module:
    """Return U-Net++; with `deep_supervision` its four maps, all of the input's size.

    Source: Zhou et al. 2018, LNCS 11045:3.
    """
    return _LastOutput(nets.BasicUNetPlusPlus(spatial_dims, in_channels, out_channels, **arguments))


def vnet(in_channels: int, out_channels: int, *, spatial_dims: int = 3, **arguments: Any) -> torch.nn.Module:
    """Return V-Net.

    Source: Milletari et al. 2016, 3DV.
    """
    return nets.VNet(spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels, **arguments)


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


_MEDNEXT = {"kernel_size": 3, "use_residual_connection": True, "norm_type": "group", "init_filters": 32}
_MEDNEXT_WIDE = {
    "encoder_expansion_ratio": (2, 3, 4, 4),
    "decoder_expansion_ratio": (4, 4, 3, 2),
    "bottleneck_expansion_ratio": 4,
}
_MEDNEXT_WIDER = {
    "encoder_expansion_ratio": (3, 4, 8, 8),
    "decoder_expansion_ratio": (8, 8, 4, 3),
    "bottleneck_expansion_ratio": 8,
}


def _mednext(in_channels: int, out_channels: int, size: dict[str, Any], arguments: dict[str, Any]) -> torch.nn.Module:
    return nets.MedNeXt(in_channels=in_channels, out_channels=out_channels, **{**_MEDNEXT, **size, **arguments})


def mednext_s(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-S.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    return _mednext(in_channels, out_channels, {}, arguments)


def mednext_b(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-B.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    return _mednext(in_channels, out_channels, _MEDNEXT_WIDE, arguments)


def mednext_m(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-M.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    blocks = {"blocks_down": (3, 4, 4, 4), "blocks_bottleneck": 4, "blocks_up": (4, 4, 4, 3)}
    return _mednext(in_channels, out_channels, {**_MEDNEXT_WIDE, **blocks}, arguments)


def mednext_l(in_channels: int, out_channels: int, **arguments: Any) -> torch.nn.Module:
    """Return MedNeXt-L.

    Source: Roy et al. 2023, LNCS 14223:405.
    """
    blocks = {"blocks_down": (3, 4, 8, 8), "blocks_bottleneck": 8, "blocks_up": (8, 8, 4, 3)}
    return _mednext(in_channels, out_channels, {**_MEDNEXT_WIDER, **blocks}, arguments)
