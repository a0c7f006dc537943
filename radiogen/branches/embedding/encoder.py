"""The segmentation network's own feature maps as an embedding: what it sees of a tumour, pooled inside the tumour's regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from radiogen.branches.embedding.fast import arithmetic
from radiogen.cohort.case import CaseImages
from radiogen.cohort.masks import region_masks
from radiogen.errors import ConfigError
from radiogen.segment.compact import CompactUNet
from radiogen.segment.inputs import NetworkInput, prepare_channels
from radiogen.segment.network import choose_device, choose_precision
from radiogen.segment.weights import DEFAULT_WEIGHTS, find_weights, load_network
from radiogen.types import LabelVolume

STATISTICS = ("mean", "sd")
"""What is kept of every feature map inside a region, in the order of the columns of a level."""

Pooled = Float32[np.ndarray, " d"]
"""Mean and standard deviation of the maps of all levels inside one region; NaN where the region is empty."""


class SegmentationEncoder:
    """The encoder of a segmentation network, asked once per case.

    The maps of every level on the way down, the finest first, are pooled inside each region: their mean, then their standard deviation,
    weighted by the share of each cell that lies in the region. The way up is not run.

    Args:
        weights: installed weights by name or a file, of the network `compact`; None: those that come with radiogen.
        device: `auto`, or a torch device.
        precision: `auto`, `float32` or `bfloat16`.

    Raises:
        ConfigError: the weights are of another network, or the device is not there.
        InputError: the weights are not installed or damaged.

    Source: Zhang et al., IEEE Trans Cybern 2020;50:3855 (SG-One: masked average pooling).
    """

    def __init__(self, weights: str | None = None, device: str = "auto", precision: str = "auto") -> None:
        network, self.card = load_network(find_weights(weights or DEFAULT_WEIGHTS))
        if not isinstance(network, CompactUNet):
            raise ConfigError(
                f"The weights '{self.card.name}' are of the network '{self.card.network}'; the segmentation encoder is made for 'compact'.",
                hint=f"Leave out --weights to use {DEFAULT_WEIGHTS}.",
            )
        self.device = choose_device(device)
        self._dtype = choose_precision(precision, self.device)
        self.arithmetic = arithmetic(self.device, self._dtype)
        self._network = network.eval().to(self.device).to(memory_format=torch.channels_last_3d)
        self.dimension = len(STATISTICS) * sum(_widths(network))

    def __call__(
        self, case: CaseImages, labels: LabelVolume, regions: Sequence[str] = ("wt", "tc", "et")
    ) -> tuple[dict[str, Pooled], list[str]]:
        """Return region -> vector, and notes on what was missing.

        Args:
            case: the images, canonical.
            labels: radiogen's labels on the same voxels.
            regions: of `wt tc et`.

        Raises:
            CaseError: the case has none of the network's sequences, or no brain is found.
        """
        prepared = prepare_channels(
            case, self.card.sequences, self.card.spacing_mm,
            needs_brain=self.card.needs_brain, normalisation=self.card.normalisation,
        )  # fmt: skip
        masks = region_masks(labels)
        notes = list(prepared.notes)
        levels = self._levels(prepared)
        vectors = {}
        for region in regions:
            inside = np.ascontiguousarray(masks[region][prepared.box])
            if not inside.any():
                notes.append(f"{region} is empty; its columns are blank.")
            vectors[region] = self._pooled(levels, inside, prepared)
        return vectors, notes

    @torch.inference_mode()
    def _levels(self, prepared: NetworkInput) -> list[Float[Tensor, "f _x _y _z"]]:
        """Return the maps of every level, the finest first, of the padded input."""
        padded = _padded(prepared.channels, self.card.multiple)[None].to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            x = self._network.stem(padded.contiguous(memory_format=torch.channels_last_3d))
            levels = [x]
            for shrink, down in zip(self._network.shrink, self._network.down, strict=True):
                levels.append(down(shrink(levels[-1])))
        return [level[0] for level in levels]

    @torch.inference_mode()
    def _pooled(self, levels: Sequence[Tensor], inside: np.ndarray, prepared: NetworkInput) -> Pooled:
        """Return the weighted mean and standard deviation of all maps, level by level."""
        if not inside.any():
            return np.full(self.dimension, np.nan, dtype=np.float32)
        # Shares of cells, not samples at their centres: a region of one small voxel is not lost on larger ones.
        a, b, d = prepared.channels.shape[1:]
        fine = functional.adaptive_avg_pool3d(torch.from_numpy(inside.astype(np.float32))[None], (a, b, d))
        fine = _padded(fine, self.card.multiple)
        parts = []
        for number, level in enumerate(levels):
            share = functional.avg_pool3d(fine, 2**number)[0].to(level.device)
            parts.append(_mean_and_sd(level, share))
        return torch.cat(parts).cpu().numpy()


def _widths(network: CompactUNet) -> list[int]:
    stem: Any = network.stem
    shrink: Any = network.shrink
    return [stem.out_channels, *(step[-1].out_channels for step in shrink)]


def _padded(channels: Float[Tensor, "c _a _b _d"], multiple: int) -> Float[Tensor, "c _x _y _z"]:
    """Return the channels with zeros behind them, to what the network divides evenly: as for segmentation."""
    sides = channels.shape[1:]
    whole = [max(2, -(-side // multiple)) * multiple for side in sides]
    return functional.pad(
        channels, [amount for side, to in zip(sides[::-1], whole[::-1], strict=True) for amount in (0, to - side)]
    )


def _mean_and_sd(level: Float[Tensor, "f x y z"], share: Float[Tensor, "x y z"]) -> Float[Tensor, " _d"]:
    """Return mean and standard deviation of every map, weighted by the share of each cell that lies in the region.

    A region of less than one cell still has a mean: that of the cells it touches.
    """
    touched = share > 0
    weight = share[touched].double()
    values = level[:, touched].double()
    weight = weight / weight.sum()
    mean = values @ weight
    spread = torch.sqrt(((values - mean[:, None]) ** 2) @ weight)
    return torch.cat([mean, spread]).float()
