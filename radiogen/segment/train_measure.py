"""Whole-volume inference and Dice of a network in training, on its own voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from radiogen.cohort.masks import region_masks
from radiogen.config.train import DataSettings
from radiogen.segment.train_cases import TrainingCase
from radiogen.segment.train_data import PLANE_AXIS
from radiogen.segment.train_targets import regions_of
from radiogen.stats.overlap import dice
from radiogen.training.loop import MEAN

_OVERLAP = 0.5
_SLICES = 16


@dataclass(frozen=True)
class HeldOutDice:
    """Mean Dice per region over cases, with whole-volume inference; both masks empty count as 1.

    Args:
        cases: to measure on.
        data: what the network puts out.
        patch: window, voxels.
    """

    cases: Sequence[TrainingCase]
    data: DataSettings
    patch: tuple[int, int, int]

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return the Dice of every region, and their mean."""
        scores: dict[str, list[float]] = {}
        for case in self.cases:
            image, truth = read_training_case(case)
            found = regions_of(predict_whole(network, image, self.patch, self.data.planes), self.data)
            for name, region in found.items():
                scores.setdefault(name, []).append(dice(region, region_masks(truth)[name]))
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        return {**means, MEAN: float(np.mean(list(means.values())))}


def read_training_case(case: TrainingCase) -> tuple[torch.Tensor, np.ndarray]:
    """Return the image (float32, sequence first) and the labels (uint8) of a case."""
    tensors = load_file(case.path)
    return tensors["image"].float(), tensors["labels"].numpy()


@torch.no_grad()
def predict_whole(
    network: nn.Module, image: torch.Tensor, patch: tuple[int, int, int], planes: str = "volume"
) -> torch.Tensor:
    """Return the logits of a whole volume: overlapping windows, or slice by slice.

    Args:
        network: in evaluation mode.
        image: sequence x i x j x k.
        patch: window, voxels; 1 along the axis that a plane cuts across.
        planes: `volume`, or the plane of a 2D network.

    Returns:
        Output channel x i x j x k, float32, on the CPU.
    """
    device = next(network.parameters()).device
    # Padded at the far ends, as the patches of the training are: MONAI would pad on both sides, and a network knows where its border was.
    size = list(image.shape[1:])
    short = [max(0, window - n) for window, n in zip(patch, size, strict=True)]
    image = functional.pad(image, [amount for n in reversed(short) for amount in (0, n)])
    axis = PLANE_AXIS.get(planes)
    if axis is None:
        window, batches = list(patch), [image[None]]
    else:
        window = [size for number, size in enumerate(patch) if number != axis]
        batches = list(image.movedim(axis + 1, 0).split(_SLICES))
    logits = [_windows(network, batch.to(device), window) for batch in batches]
    whole = logits[0][0] if axis is None else torch.cat(logits).movedim(0, axis + 1)
    return whole[:, : size[0], : size[1], : size[2]]


def _windows(network: nn.Module, batch: torch.Tensor, window: Sequence[int]) -> torch.Tensor:
    output: Any = sliding_window_inference(batch, window, len(batch), network, overlap=_OVERLAP, mode="gaussian")
    logits: torch.Tensor = output.float().cpu()
    return logits
