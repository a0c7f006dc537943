"""Terms that ask how far from a structure probability lies; distances in voxels, exact, computed for each target as it comes."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn


def outside_distance(target: torch.Tensor) -> torch.Tensor:
    """Return every voxel's distance to its channel's structure: 0 inside, and 0 everywhere where the structure is absent.

    Args:
        target: binary maps, batch and channel first.

    Returns:
        Distances in voxels, float32, of the same shape.

    Example:
        >>> outside_distance(torch.tensor([[[0.0, 0.0, 1.0, 0.0]]])).tolist()
        [[[2.0, 1.0, 0.0, 1.0]]]
    """
    inside = (target.detach() > 0.5).cpu().numpy()
    distances = np.zeros(inside.shape, dtype=np.float32)
    for place in np.ndindex(inside.shape[:2]):
        if inside[place].any():
            distances[place] = distance_transform_edt(~inside[place])
    return torch.from_numpy(distances).to(target.device)


def signed_distance(target: torch.Tensor) -> torch.Tensor:
    """Return the level-set map of every channel: distances outside, `1 - distance` inside, 0 everywhere where there is no boundary.

    Args:
        target: binary maps, batch and channel first.

    Returns:
        Distances in voxels, float32, of the same shape.

    Source: Kervadec et al. 2019, MIDL, as in the authors' code (`one_hot2dist`).

    Example:
        >>> signed_distance(torch.tensor([[[0.0, 1.0, 1.0, 1.0, 0.0, 0.0]]])).tolist()
        [[[1.0, 0.0, -1.0, 0.0, 1.0, 2.0]]]
    """
    inside = (target.detach() > 0.5).cpu().numpy()
    distances = np.zeros(inside.shape, dtype=np.float32)
    for place in np.ndindex(inside.shape[:2]):
        mask = inside[place]
        if mask.any() and not mask.all():
            within = np.where(mask, 1 - distance_transform_edt(mask), 0)
            distances[place] = distance_transform_edt(~mask) + within
    return torch.from_numpy(distances).to(target.device)


class _OfProbabilities(nn.Module):
    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.softmax = softmax

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return what the logits mean."""
        return logits.softmax(1) if self.softmax else logits.sigmoid()


class BoundaryTerm(_OfProbabilities):
    """The mean of probability x signed distance, over the channels without the background.

    Args:
        softmax: channels exclude each other, the first is the background.

    Source: Kervadec et al. 2019, MIDL.
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean over voxels and channels; it is negative where the probability lies inside."""
        first = int(self.softmax)
        return (self.probabilities(logits)[:, first:] * signed_distance(target[:, first:])).mean()


class DistanceMean(_OfProbabilities):
    """The mean of probability x distance outside the structure, over all channels.

    Args:
        softmax: channels exclude each other.

    Source: methods part 2, B3 (`Loss_mean`).
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean over voxels and channels."""
        return (self.probabilities(logits) * outside_distance(target)).mean()


class DistanceMaximum(_OfProbabilities):
    """The largest probability x distance outside the structure of each channel, mean over channels and cases.

    Args:
        softmax: channels exclude each other.

    Source: methods part 2, B3 (`Loss_max`).
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean of the maxima."""
        return (self.probabilities(logits) * outside_distance(target)).flatten(2).amax(2).mean()
