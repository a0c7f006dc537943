"""How sure a network is: several answers per case, how far they agree, and where they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from radiogen.errors import ConfigError

Probability = Float[np.ndarray, "i j k"]


@dataclass(frozen=True)
class RegionConfidence:
    """How far several answers agree on one region.

    Args:
        agreement: mean Dice over all pairs of answers, 0 to 1; 1 where every answer is empty.
        volume_variation: standard deviation over mean of the answers' volumes; NaN where every answer is empty.
        entropy: mean predictive entropy of the voxels inside the mean answer's mask, bits, 0 (sure) to 1; NaN where that mask is empty.

    Source: Roy et al. 2019, Bayesian QuickNAT, doi:10.1016/j.neuroimage.2019.03.042, section 2.4 (pairwise Dice, coefficient of variation of the
        volumes, mean entropy in a structure).
    """

    agreement: float
    volume_variation: float
    entropy: float


def region_confidence(
    answers: Sequence[Bool[np.ndarray, "i j k"]], mean: Probability, threshold: float
) -> RegionConfidence:
    """Return how far answers agree on a region.

    Args:
        answers: the region's mask in each answer, at least two.
        mean: mean of the answers' probabilities.
        threshold: probability above which a voxel of the mean belongs to the region.

    Raises:
        ValueError: there are fewer than two answers.

    Example:
        >>> a = np.zeros((2, 2, 2), bool); a[0] = True
        >>> round(region_confidence([a, a], a * 0.9, 0.5).entropy, 3), region_confidence([a, ~a], a * 0.9, 0.5).agreement
        (0.469, 0.0)
    """
    if len(answers) < 2:
        raise ValueError("agreement needs two answers")
    somewhere = np.logical_or.reduce(list(answers))
    voxels = np.stack([answer[somewhere] for answer in answers]).astype(np.float32)
    volumes = voxels.sum(axis=1, dtype=float)
    both = (voxels @ voxels.T).astype(float)
    first, second = np.triu_indices(len(answers), 1)
    sums = volumes[first] + volumes[second]
    dices = np.where(sums > 0, 2 * both[first, second] / np.maximum(sums, 1), 1.0)
    inside = mean > threshold
    return RegionConfidence(
        agreement=float(dices.mean()),
        volume_variation=float(volumes.std() / volumes.mean()) if volumes.any() else float("nan"),
        entropy=float(binary_entropy(mean[inside]).mean()) if inside.any() else float("nan"),
    )


def binary_entropy(p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the entropy of yes/no with probability `p`, bits.

    Source: Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x.

    Example:
        >>> binary_entropy(np.array([0.0, 0.5, 1.0])).round(3).tolist()
        [0.0, 1.0, 0.0]
    """
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(-(clipped * np.log2(clipped) + (1 - clipped) * np.log2(1 - clipped)), dtype=p.dtype)


def predictive_entropy(mean: Mapping[str, Probability]) -> Probability:
    """Return the largest entropy of any region at each voxel, bits: where the mean answer is least sure of something.

    Args:
        mean: region -> mean probability over the answers, at least one region.
    """
    regions = iter(mean.values())
    largest = binary_entropy(next(regions))
    for probability in regions:
        np.maximum(largest, binary_entropy(probability), out=largest)
    return largest


@contextmanager
def dropout_on(network: nn.Module, seed: int) -> Iterator[None]:
    """Draw dropout inside the block, from a seed, and leave the network and torch's generators as they were.

    Only dropout layers change mode: batch statistics stay frozen.

    Args:
        network: in evaluation mode.
        seed: the same seed draws the same dropout on the same device.

    Raises:
        ConfigError: the network has no dropout, so every pass would be the same.

    Source: Gal and Ghahramani 2016, arXiv:1506.02142.
    """
    layers = [
        module for module in network.modules() if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
    ]
    if not layers:
        raise ConfigError(
            "These weights have no dropout: every pass would give the same answer.", hint="Use --uncertainty flips."
        )
    modes = [layer.training for layer in layers]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            for layer in layers:
                layer.train()
            yield
        finally:
            for layer, mode in zip(layers, modes, strict=True):
                layer.train(mode)
