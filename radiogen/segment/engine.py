"""One network applied to one case: windows or slices, mirror images, probabilities of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional

from radiogen.config.segment import SegmentSettings
from radiogen.segment.grid_norm import empty_corner, with_grid_norm
from radiogen.segment.inputs import Channels, resize
from radiogen.segment.weights import WeightsCard

Flip = tuple[bool, bool, bool]
"""Which of the axes R, A, S are mirrored."""

PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane -> canonical axis that it cuts across."""

_SLICES = 16


class Engine:
    """A network, the way its card says it is to be fed and read.

    Args:
        network: in evaluation mode.
        card: its card.
        device: where it runs.
        dtype: its arithmetic; bfloat16 through autocast.
        settings: window and overlap.
    """

    def __init__(
        self, network: nn.Module, card: WeightsCard, device: torch.device, dtype: torch.dtype, settings: SegmentSettings
    ) -> None:
        # Blocked convolutions of the CPU and tensor cores both want the channels last.
        self.layout = torch.channels_last_3d if card.dimension == 3 else torch.channels_last
        self.norms = with_grid_norm(network) if card.grid_voxels else []
        self.network = network.to(device).to(memory_format=self.layout)
        self.card, self.device, self.dtype, self.settings = card, device, dtype, settings

    @torch.inference_mode()
    def __call__(
        self, channels: Channels, shape: Sequence[int], flips: Sequence[Flip] = ((False, False, False),)
    ) -> dict[str, Float[np.ndarray, "i j k"]]:
        """Return region -> probability, the mean over mirror images.

        Args:
            channels: sequences on the network's grid.
            shape: voxels of the grid that the probabilities are wanted on; it covers the same box.
            flips: the mirror images, at least one.
        """
        total: torch.Tensor | None = None
        seen = list(product(self._variants(channels), flips))
        for variant, flip in seen:
            probability = self._mirrored(variant, flip)
            total = probability if total is None else total.add_(probability)
        if total is None:
            raise ValueError("at least one flip is needed")
        mean = total if len(seen) == 1 else total.div_(len(seen))
        return {name: region.numpy() for name, region in zip(self.regions, resize(mean, shape), strict=True)}

    def _variants(self, channels: Channels) -> list[Channels]:
        """Return the channels, and the channels without the sequences that the card leaves out in turn; each set of sequences once."""
        present = frozenset(
            name for name, channel in zip(self.card.sequences, channels, strict=True) if bool(channel.any())
        )
        kept = dict.fromkeys([present, *(present - set(names) for names in self.card.leave_out)])
        variants = []
        for names in kept:
            if names == present:
                variants.append(channels)
            elif names:
                mask = torch.tensor([float(name in names) for name in self.card.sequences])
                variants.append(channels * mask.reshape(-1, 1, 1, 1))
        return variants

    @property
    def regions(self) -> tuple[str, ...]:
        """Return the regions whose probabilities the network gives."""
        if self.card.activation == "sigmoid":
            return self.card.outputs
        return ("wt", "tc", "et", "rc") if "rc" in self.card.outputs else ("wt", "tc", "et")

    def _mirrored(self, channels: Channels, flip: Flip) -> torch.Tensor:
        """Return the probabilities of a mirror image, mirrored back."""
        axes = [axis + 1 for axis, mirrored in enumerate(flip) if mirrored]
        return self._probability(channels.flip(axes)).flip(axes) if axes else self._probability(channels)

    def _probability(self, channels: Channels) -> torch.Tensor:
        logits = self._volume(channels) if self.card.planes == "volume" else self._slices(channels)
        if self.card.activation == "sigmoid":
            return logits.sigmoid_()
        return class_to_region_probabilities(logits.softmax(0), self.card.outputs, self.regions)

    def _volume(self, channels: Channels) -> torch.Tensor:
        return self._forward(channels[None], self.card.window)[0]

    def _slices(self, channels: Channels) -> torch.Tensor:
        axis = PLANE_AXIS[self.card.planes] + 1
        window = self.card.window
        within = None if window is None else tuple(n for at, n in enumerate(window) if at != axis - 1)
        batches = channels.movedim(axis, 0).split(_SLICES)
        return torch.cat([self._forward(batch, within) for batch in batches]).movedim(0, axis)

    def _forward(self, batch: torch.Tensor, window: tuple[int, ...] | None) -> torch.Tensor:
        """Return the logits (float32, CPU) of a batch: padded to what the network divides evenly, run, cut back."""
        size = list(batch.shape[2:])
        # Twice the multiple at least: a deepest map of one voxel cannot be normalised.
        padded = [max(2, -(-side // self.card.multiple)) * self.card.multiple for side in size]
        pads = [amount for side, whole in zip(size[::-1], padded[::-1], strict=True) for amount in (0, whole - side)]
        ready = functional.pad(batch.to(self.device), pads).contiguous(memory_format=self.layout)
        window = window or self._window(padded)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            logits: Any
            if window is None:
                logits = self._whole(ready)
            else:
                # Imported here: most cases go through in one piece, and MONAI takes seconds to import.
                from monai.inferers import sliding_window_inference

                logits = sliding_window_inference(
                    ready, window, len(ready), self._first, overlap=self.settings.window_overlap, mode="gaussian"
                )
        kept: torch.Tensor = logits[(slice(None), slice(None), *(slice(0, side) for side in size))]
        return kept.float().cpu().contiguous()

    def _whole(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the logits of a crop in one pass, normalised as the volume that it was cut from would be."""
        grid = self.card.grid_voxels
        corner = empty_corner(batch) if self.norms and grid else None
        if grid is None or corner is None:
            return self._first(batch)
        with ExitStack() as stack:
            for norm in self.norms:
                stack.enter_context(norm.part_of(grid, batch.shape[2:], corner))
            return self._first(batch)

    def _first(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the finest map of networks that return several."""
        output = self.network(batch)
        return output if isinstance(output, torch.Tensor) else output[0]

    def _window(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        if self.card.dimension == 2 or self.settings.window == "whole":
            return None
        if self.settings.window == "sliding" or int(np.prod(shape)) > self.settings.window_voxels:
            return self.settings.window_size
        return None


def class_to_region_probabilities(
    classes: torch.Tensor, outputs: Sequence[str], regions: Sequence[str]
) -> torch.Tensor:
    """Return region probabilities from those of exclusive classes: a region is as probable as its classes together.

    Args:
        classes: class x i x j x k, summing to 1.
        outputs: name of each class (`background ncr ed et`, and `rc`).
        regions: the regions to return.

    Example:
        >>> classes = torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1, 1)
        >>> regions = class_to_region_probabilities(classes, ("background", "ncr", "ed", "et"), ("wt", "tc", "et"))
        >>> [round(float(p), 4) for p in regions.ravel()]
        [0.9, 0.6, 0.4]
    """
    at = {name: number for number, name in enumerate(outputs)}
    parts: Mapping[str, tuple[str, ...]] = {
        "wt": ("ncr", "ed", "et"),
        "tc": ("ncr", "et"),
        "et": ("et",),
        "rc": ("rc",),
    }
    return torch.stack([torch.stack([classes[at[part]] for part in parts[region]]).sum(0) for region in regions])
