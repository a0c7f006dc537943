"""Between label maps and what a network puts out: targets for the loss, regions and labels from its logits."""

from __future__ import annotations

import numpy as np
import torch

from radiogen.cohort.masks import region_masks
from radiogen.config.train import DataSettings
from radiogen.types import ED, ET, NCR, RC, LabelVolume, Mask

CLASSES = ("background", "ncr", "ed", "et", "rc")
"""Channels of a network with softmax, by radiogen's label number; `rc` only where the resection cavity is learned."""

_NESTED = (("wt", ED), ("tc", NCR), ("et", ET))


def output_names(data: DataSettings) -> tuple[str, ...]:
    """Return what each output channel of the network is.

    Example:
        >>> output_names(DataSettings(targets="labels"))
        ('background', 'ncr', 'ed', 'et')
    """
    if data.targets == "regions":
        return data.regions
    return CLASSES if data.resection_cavity else CLASSES[:RC]


def targets_of(labels: torch.Tensor, data: DataSettings) -> torch.Tensor:
    """Return one map per output channel.

    Args:
        labels: label map of any shape, in radiogen's labels.
        data: regions or labels.

    Returns:
        float32, channel first: overlapping regions, or classes that exclude each other.

    Example:
        >>> targets_of(torch.tensor([0, 1, 2, 3, 4]), DataSettings()).tolist()
        [[0.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]]
    """
    if data.targets == "labels":
        known = labels if data.resection_cavity else torch.where(labels == RC, 0, labels)
        return torch.stack([known == number for number in range(len(output_names(data)))]).float()
    regions = {
        "wt": (labels >= NCR) & (labels <= ET),
        "tc": (labels == NCR) | (labels == ET),
        "et": labels == ET,
    }
    return torch.stack([regions[name] for name in data.regions]).float()


def regions_of(logits: torch.Tensor, data: DataSettings) -> dict[str, Mask]:
    """Return the regions that logits mean, at a threshold of 0.5 or by the largest class.

    Args:
        logits: output channel x i x j x k.
        data: regions or labels.
    """
    if data.targets == "labels":
        return dict(region_masks(logits.argmax(0).cpu().numpy().astype(np.uint8)))
    return {name: (logits[channel] > 0).cpu().numpy() for channel, name in enumerate(data.regions)}


def labels_of(logits: torch.Tensor, data: DataSettings) -> LabelVolume:
    """Return the label map that logits mean: enhancement wins over core, core over whole tumour.

    Args:
        logits: output channel x i x j x k.
        data: regions or labels.
    """
    if data.targets == "labels":
        return logits.argmax(0).cpu().numpy().astype(np.uint8)
    regions = regions_of(logits, data)
    labels = np.zeros(tuple(logits.shape[1:]), dtype=np.uint8)
    for name, label in _NESTED:
        if name in regions:
            labels[regions[name]] = label
    return labels
