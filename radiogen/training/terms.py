"""Voxel-wise terms that losses are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

_PER_VOXEL = "none"


def _buffer(weights: Sequence[float] | None) -> torch.Tensor | None:
    return None if weights is None else torch.tensor(list(weights), dtype=torch.float32)


class WeightedSum(nn.Module):
    """A weighted sum of losses.

    Args:
        parts: weight and loss.
    """

    def __init__(self, parts: Sequence[tuple[float, nn.Module]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in parts]
        self.parts = nn.ModuleList(part for _, part in parts)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the sum for logits against a target of the same shape."""
        terms = [weight * part(logits, target) for weight, part in zip(self.weights, self.parts, strict=True)]
        return torch.stack(terms).sum()


class CrossEntropy(nn.Module):
    """Cross-entropy of classes that exclude each other; the target is one-hot along axis 1.

    Args:
        class_weights: one per channel; the mean is weighted by them.
    """

    class_weights: torch.Tensor | None

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", _buffer(class_weights))

    def voxels(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the (weighted) cross-entropy of every voxel."""
        return functional.cross_entropy(logits, target.argmax(1), self.class_weights, reduction=_PER_VOXEL)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean over the voxels."""
        return functional.cross_entropy(logits, target.argmax(1), self.class_weights)


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy of sigmoid maps.

    Args:
        class_weights: one per channel, multiplied with the channel's values.
    """

    class_weights: torch.Tensor | None

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", _buffer(class_weights))

    def voxels(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the (weighted) cross-entropy of every voxel of every channel."""
        values = functional.binary_cross_entropy_with_logits(logits, target, reduction=_PER_VOXEL)
        if self.class_weights is None:
            return values
        return values * self.class_weights.reshape(1, -1, *[1] * (logits.ndim - 2))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean over voxels and channels."""
        return self.voxels(logits, target).mean()


class WorstVoxels(nn.Module):
    """The mean cross-entropy of the voxels where it is largest.

    With softmax the worst voxels of the whole batch count, as in nnU-Net; with sigmoid maps those of each channel, so that a large region does not
    take them all.

    Args:
        softmax: channels exclude each other.
        share: share of the voxels that counts, above 0 and at most 1.
        class_weights: one per channel.
    """

    def __init__(self, softmax: bool, share: float, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}; more than 0 and at most 1 is accepted")
        self.softmax, self.share = softmax, share
        self.cross_entropy: CrossEntropy | BinaryCrossEntropy = (
            CrossEntropy(class_weights) if softmax else BinaryCrossEntropy(class_weights)
        )

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean over the worst voxels."""
        values = self.cross_entropy.voxels(logits, target)
        rows = values.reshape(1, -1) if self.softmax else values.transpose(0, 1).flatten(1)
        count = max(1, int(rows.shape[1] * self.share))
        return rows.topk(count, dim=1, sorted=False).values.mean()
