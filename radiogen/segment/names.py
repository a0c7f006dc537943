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
        "attentionunet": "radiogen.segment.monai_networks:attention_unet",
        "basicunetplusplus": "radiogen.segment.monai_networks:basic_unet_plus_plus",
        "compact": "radiogen.segment.compact:CompactUNet",
        "dynunet": "radiogen.segment.monai_networks:dynunet",
        "dilated-attention-unet": "radiogen.segment.architectures.dilated_attention_unet:DilatedAttentionUNet",
        "encoder-decoder": "radiogen.segment.architectures.encoder_decoder:EncoderDecoder",
        "mednext_b": "radiogen.segment.monai_networks:mednext_b",
        "mednext_l": "radiogen.segment.monai_networks:mednext_l",
        "mednext_m": "radiogen.segment.monai_networks:mednext_m",
        "mednext_s": "radiogen.segment.monai_networks:mednext_s",
        "multiscale-unet": "radiogen.segment.architectures.multiscale_unet:MultiscaleUNet",
        "nnunet": "radiogen.segment.nnunet_network:NNUNet",
        "plain-unet": "radiogen.segment.architectures.plain_unet:PlainUNet",
        "residual-unet": "radiogen.segment.architectures.residual_unet:ResidualUNet",
        "segresnet": "radiogen.segment.monai_networks:segresnet",
        "segresnetvae": "radiogen.segment.monai_networks:segresnet_vae",
        "swinunetr": "radiogen.segment.monai_networks:swin_unetr",
        "translation-unet": "radiogen.segment.architectures.translation_unet:TranslationUNet",
        "unet": "radiogen.segment.monai_networks:unet",
        "unetr": "radiogen.segment.monai_networks:unetr",
        "unpooling-unet": "radiogen.segment.architectures.unpooling_unet:UnpoolingUNet",
        "vnet": "radiogen.segment.monai_networks:vnet",
    },
)
