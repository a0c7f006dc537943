"""What can be chosen by name for segmentation, without importing torch."""

from __future__ import annotations

from radiogen.registry import Registry

SEGMENTATION_METHODS = Registry(
    "segmentation_methods",
    {
        "flair-threshold": "radiogen.segment.training_free:FlairThreshold",
        "network": "radiogen.segment.network:NetworkMethod",
    },
)

NETWORKS = Registry(
    "networks",
    {
        "attentionunet": "radiogen.segment.networks:attention_unet",
        "basicunetplusplus": "radiogen.segment.networks:basic_unet_plus_plus",
        "dynunet": "radiogen.segment.networks:dynunet",
        "mednext_b": "radiogen.segment.networks:mednext_b",
        "mednext_l": "radiogen.segment.networks:mednext_l",
        "mednext_m": "radiogen.segment.networks:mednext_m",
        "mednext_s": "radiogen.segment.networks:mednext_s",
        "segresnet": "radiogen.segment.networks:segresnet",
        "segresnetvae": "radiogen.segment.networks:segresnet_vae",
        "swinunetr": "radiogen.segment.networks:swin_unetr",
        "unet": "radiogen.segment.networks:unet",
        "unetr": "radiogen.segment.networks:unetr",
        "vnet": "radiogen.segment.networks:vnet",
    },
)
