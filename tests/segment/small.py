"""Every registered network and every recipe, scaled down until a test takes a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radiogen.config.train import TrainSettings

_MEDNEXT = {
    "init_filters": 4, "blocks_down": [1, 1], "blocks_bottleneck": 1, "blocks_up": [1, 1],
    "encoder_expansion_ratio": [2, 2], "decoder_expansion_ratio": [2, 2], "bottleneck_expansion_ratio": 2,
}  # fmt: skip

SMALL: dict[str, dict[str, Any]] = {
    "attentionunet": {"channels": [4, 8, 16], "strides": [2, 2]},
    "basicunetplusplus": {"features": [4, 4, 4, 4, 4, 4]},
    "compact": {"features": [8, 8, 8], "blocks": [1, 1]},
    "dilated-attention-unet": {"features": [4, 8, 8]},
    "dynunet": {"filters": [4, 8, 8], "strides": [1, 2, 2]},
    "encoder-decoder": {"width": 4},
    "mednext_b": _MEDNEXT,
    "mednext_l": _MEDNEXT,
    "mednext_m": _MEDNEXT,
    "mednext_s": _MEDNEXT,
    "multiscale-unet": {"features": [4, 8]},
    "plain-unet": {"features": [4, 8]},
    "residual-unet": {"features": [4, 8]},
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "segresnetvae": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "swinunetr": {"feature_size": 12},
    "translation-unet": {"features": [4, 4, 8, 8]},
    "unet": {"channels": [4, 8, 16], "strides": [2, 2]},
    "unetr": {"hidden_size": 48, "mlp_dim": 96, "num_heads": 4, "feature_size": 4},
    "unpooling-unet": {"features": [4, 8]},
    "vnet": {},
}
"""Network -> arguments that make it small."""

_SIZED = {"unetr": "img_size", "segresnetvae": "input_image_size"}
_PATCH = {
    "swinunetr": (64, 32, 32),
    **dict.fromkeys(("basicunetplusplus", "translation-unet", "unetr", "vnet"), (32, 32, 32)),
}


def patch_for(network: str) -> tuple[int, int, int]:
    """Voxels of the smallest input that a network trains on."""
    return _PATCH.get(network, (16, 16, 16))


def small_arguments(network: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a recipe with those on top that make the network small."""
    small = {**arguments, **SMALL[network]}
    if network == "dynunet" and small.get("deep_supervision"):
        small["deep_supr_num"] = 1
    if network in _SIZED:
        small[_SIZED[network]] = list(patch_for(network))
    return small


def small_training(settings: TrainSettings) -> TrainSettings:
    """The settings of a recipe for two steps on coarse phantoms."""
    name = settings.network.name
    network = settings.network.model_copy(update={"arguments": small_arguments(name, settings.network.arguments)})
    data = settings.data.model_copy(update={"patch_size": patch_for(name), "spacing_mm": 6.0})
    batch = 1 if name == "swinunetr" else 2
    few = {
        "epochs": 1, "steps_per_epoch": 2, "batch_size": batch, "n_folds": 2, "fold": 0, "validate_every": 1, "keep": "last",
        "precision": "float32", "device": "cpu", "devices": 1,
    }  # fmt: skip
    if settings.data.source == "domain-randomised":
        few |= {"fold": "all", "workers": 0}
    return settings.model_copy(update={"network": network, "data": data, **few})
