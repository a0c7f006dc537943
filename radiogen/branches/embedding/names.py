"""Embedding networks that can be chosen by name, without importing torch."""

from __future__ import annotations

from radiogen.registry import Registry

EMBEDDING_NETWORKS = Registry(
    "embedding_networks",
    {
        "efficientnet3d-b0": "radiogen.branches.embedding.efficientnet:build_b0",
        "efficientnet3d-b1": "radiogen.branches.embedding.efficientnet:build_b1",
        "efficientnet3d-b2": "radiogen.branches.embedding.efficientnet:build_b2",
        "efficientnet3d-b3": "radiogen.branches.embedding.efficientnet:build_b3",
        "efficientnet3d-b4": "radiogen.branches.embedding.efficientnet:build_b4",
        "efficientnet3d-b5": "radiogen.branches.embedding.efficientnet:build_b5",
        "efficientnet3d-b6": "radiogen.branches.embedding.efficientnet:build_b6",
        "efficientnet3d-b7": "radiogen.branches.embedding.efficientnet:build_b7",
        "densenet121-3d": "radiogen.branches.embedding.densenet:build",
        "cnn3d": "radiogen.branches.embedding.cnn3d:build",
        "medicalnet-resnet10": "radiogen.branches.embedding.medicalnet:build_10",
        "medicalnet-resnet18": "radiogen.branches.embedding.medicalnet:build_18",
        "medicalnet-resnet34": "radiogen.branches.embedding.medicalnet:build_34",
        "medicalnet-resnet50": "radiogen.branches.embedding.medicalnet:build_50",
        "r3d-18": "radiogen.branches.embedding.video:build_r3d",
        "mc3-18": "radiogen.branches.embedding.video:build_mc3",
        "r2plus1d-18": "radiogen.branches.embedding.video:build_r2plus1d",
        "swin3d-t": "radiogen.branches.embedding.video:build_swin3d",
        "multiscale-efficientnet-b7": "radiogen.branches.embedding.multiscale:build",
        "late-fusion": "radiogen.branches.embedding.fusion:build",
        "c3d": "radiogen.branches.embedding.c3d:build",
        "slice-cnn": "radiogen.branches.embedding.slices:build_slice_cnn",
        "slices-resnet18": "radiogen.branches.embedding.slices:build_resnet18",
        "slices-resnet34": "radiogen.branches.embedding.slices:build_resnet34",
        "slices-resnet50": "radiogen.branches.embedding.slices:build_resnet50",
        "slices-efficientnet-b0": "radiogen.branches.embedding.slices:build_efficientnet_b0",
    },
)
"""Name -> a function `build(channels: int = 1, **arguments) -> Backbone` with random weights; weights are loaded by `embedding.weights`."""

EMBEDDING_LOADERS = Registry(
    "embedding_loaders",
    {
        "efficientnet3d-b0": "radiogen.branches.embedding.inflate:inflate",
        "efficientnet3d-b1": "radiogen.branches.embedding.inflate:inflate",
        "efficientnet3d-b2": "radiogen.branches.embedding.inflate:inflate",
        "efficientnet3d-b3": "radiogen.branches.embedding.inflate:inflate",
        "efficientnet3d-b4": "radiogen.branches.embedding.inflate:inflate",
        "efficientnet3d-b5": "radiogen.branches.embedding.inflate:inflate",
        "efficientnet3d-b6": "radiogen.branches.embedding.inflate:inflate",
        "efficientnet3d-b7": "radiogen.branches.embedding.inflate:inflate",
        "medicalnet-resnet10": "radiogen.branches.embedding.medicalnet:load_medicalnet",
        "medicalnet-resnet18": "radiogen.branches.embedding.medicalnet:load_medicalnet",
        "medicalnet-resnet34": "radiogen.branches.embedding.medicalnet:load_medicalnet",
        "medicalnet-resnet50": "radiogen.branches.embedding.medicalnet:load_medicalnet",
        "r3d-18": "radiogen.branches.embedding.video:load_torchvision",
        "mc3-18": "radiogen.branches.embedding.video:load_torchvision",
        "r2plus1d-18": "radiogen.branches.embedding.video:load_torchvision",
        "swin3d-t": "radiogen.branches.embedding.video:load_torchvision",
        "multiscale-efficientnet-b7": "radiogen.branches.embedding.multiscale:load_imagenet",
        "c3d": "radiogen.branches.embedding.c3d:load_c3d",
        "slices-resnet18": "radiogen.branches.embedding.slices:load_imagenet",
        "slices-resnet34": "radiogen.branches.embedding.slices:load_imagenet",
        "slices-resnet50": "radiogen.branches.embedding.slices:load_imagenet",
        "slices-efficientnet-b0": "radiogen.branches.embedding.slices:load_imagenet",
    },
)
"""Name -> a function `load(state, network) -> None` that puts a publisher's state dict into it; networks not listed have no published weights."""
