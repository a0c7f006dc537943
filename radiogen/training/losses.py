"""Losses of segmentation by name. All of them take logits and a target of one map per output channel.

With `softmax` the channels exclude each other and the first is the background; otherwise each channel is a sigmoid map of its own (regions may
overlap). `class_weights` holds one weight per channel, the background's included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.losses import DeepSupervisionLoss, DiceLoss, FocalLoss, GeneralizedDiceLoss, TverskyLoss
from torch import nn

from radiogen.errors import ConfigError
from radiogen.training.distances import BoundaryTerm, DistanceMaximum, DistanceMean
from radiogen.training.names import LOSSES
from radiogen.training.terms import BinaryCrossEntropy, CrossEntropy, WeightedSum, WorstVoxels

_COARSEST = 8
"""Resolutions that deep supervision is ready for."""


def build_loss(
    name: str, *, softmax: bool, arguments: dict[str, Any] | None = None, deep_supervision: bool = False
) -> nn.Module:
    """Return a registered loss over logits.

    Args:
        name: name in `LOSSES`.
        softmax: channels exclude each other, the first is the background; otherwise every channel is a sigmoid map.
        arguments: arguments of the loss that differ from its defaults.
        deep_supervision: the network may return several resolutions; see `DeepSupervision`.

    Raises:
        ConfigError: the name or an argument is not accepted, or the loss is not one of this kind of output.

    Example:
        >>> loss = build_loss("dice-bce", softmax=False)
        >>> target = torch.zeros(1, 3, 4, 4, 4); target[..., :2] = 1
        >>> bool(loss(20 * (target - 0.5), target) < 0.001)
        True
    """
    build = LOSSES.load(name)
    try:
        loss: nn.Module = build(softmax, **(arguments or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The loss '{name}' cannot be made with {arguments}: {error}") from error
    return DeepSupervision(loss) if deep_supervision else loss


def set_epoch(loss: nn.Module, epoch: int) -> None:
    """Tell a loss which epoch it is, from 0; losses with a ramp depend on it."""
    for part in loss.modules():
        if isinstance(part, RampedBoundary):
            part.epoch = epoch


def bce(softmax: bool, *, class_weights: Sequence[float] | None = None) -> nn.Module:
    """Return the mean binary cross-entropy of sigmoid maps."""
    _check_kind("bce", softmax, wants_softmax=False, instead="ce")
    return BinaryCrossEntropy(class_weights)


def ce(softmax: bool, *, class_weights: Sequence[float] | None = None) -> nn.Module:
    """Return the cross-entropy of classes that exclude each other."""
    _check_kind("ce", softmax, wants_softmax=True, instead="bce")
    return CrossEntropy(class_weights)


def dice(
    softmax: bool, *, class_weights: Sequence[float] | None = None, batch: bool = False, smooth: float = 1e-5
) -> nn.Module:
    """Return the soft Dice loss, mean over the channels without the background.

    Args:
        softmax: see `build_loss`.
        class_weights: one per channel.
        batch: intersections and sizes are summed over the batch before the ratio is taken.
        smooth: voxels added to intersection and size; some tens keep a small or absent region from deciding the step.

    Source: Milletari et al. 2016, 3DV, with sizes not squared.
    """
    weights = _tumour_weights(softmax, class_weights)
    return DiceLoss(
        include_background=not softmax,
        sigmoid=not softmax,
        softmax=softmax,
        batch=batch,
        weight=weights,
        smooth_nr=smooth,
        smooth_dr=smooth,
    )


def dice_bce(
    softmax: bool,
    *,
    class_weights: Sequence[float] | None = None,
    batch: bool = False,
    smooth: float = 1e-5,
    bce_weight: float = 1.0,
) -> nn.Module:
    """Return soft Dice plus binary cross-entropy: the loss of region-based nnU-Net, where both weigh the same.

    Source: Isensee et al. 2021, LNCS 12659:118.
    """
    _check_kind("dice-bce", softmax, wants_softmax=False, instead="dice-ce")
    overlap = dice(softmax, class_weights=class_weights, batch=batch, smooth=smooth)
    return WeightedSum([(1.0, overlap), (bce_weight, BinaryCrossEntropy(class_weights))])


def dice_ce(softmax: bool, *, class_weights: Sequence[float] | None = None, batch: bool = False) -> nn.Module:
    """Return soft Dice plus cross-entropy: the loss of nnU-Net.

    Source: Isensee et al. 2021, Nat Methods 18:203.
    """
    _check_kind("dice-ce", softmax, wants_softmax=True, instead="dice-bce")
    overlap = dice(softmax, class_weights=class_weights, batch=batch)
    return WeightedSum([(1.0, overlap), (1.0, CrossEntropy(class_weights))])


def dice_focal(
    softmax: bool, *, class_weights: Sequence[float] | None = None, batch: bool = False, gamma: float = 2.0
) -> nn.Module:
    """Return soft Dice plus focal loss, the mean over voxels and all channels.

    Source: Lin et al. 2017, ICCV; with batch Dice and gamma 2 the loss of the MedNeXt entry of BraTS-Africa 2024, arXiv 2411.15872.
    """
    weights = None if class_weights is None else torch.tensor(list(class_weights), dtype=torch.float32)
    # MONAI's DiceFocalLoss without background takes the softmax over the other classes only: it would never learn the background.
    focal = FocalLoss(gamma=gamma, use_softmax=softmax, weight=weights)
    return WeightedSum([(1.0, dice(softmax, class_weights=class_weights, batch=batch)), (1.0, focal)])


def dice_topk(
    softmax: bool, *, class_weights: Sequence[float] | None = None, batch: bool = False, share: float = 0.1
) -> nn.Module:
    """Return soft Dice plus the mean cross-entropy of the worst voxels.

    Args:
        softmax: see `build_loss`.
        class_weights: one per channel.
        batch: see `dice`.
        share: share of the voxels that counts; with sigmoid maps of each channel's voxels.

    Source: TopK, Wu et al. 2016, arXiv 1605.06885; with Dice, k 10 %, as nnU-Net's `DC_and_topk_loss`.
    """
    worst = WorstVoxels(softmax, share, class_weights)
    return WeightedSum([(1.0, dice(softmax, class_weights=class_weights, batch=batch)), (1.0, worst)])


def generalised_dice(softmax: bool, *, batch: bool = False) -> nn.Module:
    """Return the generalised Dice loss: channels weighted by one over their squared volume.

    Source: Sudre et al. 2017, LNCS 10553:240.
    """
    return GeneralizedDiceLoss(include_background=not softmax, sigmoid=not softmax, softmax=softmax, batch=batch)


def tversky(softmax: bool, *, alpha: float = 0.3, beta: float = 0.7, batch: bool = False) -> nn.Module:
    """Return the Tversky loss.

    Args:
        softmax: see `build_loss`.
        alpha: weight of false positives.
        beta: weight of false negatives.
        batch: see `dice`.

    Source: Salehi et al. 2017, LNCS 10541:379.
    """
    return TverskyLoss(
        include_background=not softmax, sigmoid=not softmax, softmax=softmax, alpha=alpha, beta=beta, batch=batch
    )


def dice_boundary(
    softmax: bool,
    *,
    class_weights: Sequence[float] | None = None,
    batch: bool = False,
    start: float = 0.01,
    rise: float = 0.01,
    most: float = 1.0,
) -> nn.Module:
    """Return `(1 - a) * Dice + a * boundary` whose share `a` rises with the epochs.

    Args:
        softmax: see `build_loss`.
        class_weights: one per channel, for the Dice part.
        batch: see `dice`.
        start: share of the boundary term in the first epoch.
        rise: what every epoch adds to it.
        most: the largest share.

    Source: Kervadec et al. 2019, MIDL; the ramp as in methods part 2, A1.
    """
    return RampedBoundary(
        dice(softmax, class_weights=class_weights, batch=batch), BoundaryTerm(softmax), start, rise, most
    )


def ce_distance(
    softmax: bool, *, class_weights: Sequence[float] | None = None, mean: float = 0.1, maximum: float = 0.01
) -> nn.Module:
    """Return cross-entropy plus the mean and the largest of (probability x distance to the structure).

    Args:
        softmax: see `build_loss`; sigmoid maps take binary cross-entropy.
        class_weights: one per channel, for the cross-entropy.
        mean: weight of the mean.
        maximum: weight of the maximum.

    Source: multi-label Hausdorff-like loss, methods part 2, B3.
    """
    cross_entropy = CrossEntropy(class_weights) if softmax else BinaryCrossEntropy(class_weights)
    return WeightedSum([(1.0, cross_entropy), (mean, DistanceMean(softmax)), (maximum, DistanceMaximum(softmax))])


class RampedBoundary(nn.Module):
    """A Dice loss that hands over to a boundary loss as epochs go.

    Args:
        overlap: the Dice loss.
        boundary: the boundary loss.
        start: share of the boundary loss in epoch 0.
        rise: what every epoch adds.
        most: the largest share.
    """

    def __init__(self, overlap: nn.Module, boundary: nn.Module, start: float, rise: float, most: float) -> None:
        super().__init__()
        self.overlap, self.boundary = overlap, boundary
        self.start, self.rise, self.most = start, rise, most
        self.epoch = 0

    @property
    def share(self) -> float:
        """Return the share of the boundary loss in this epoch."""
        return min(self.most, self.start + self.rise * self.epoch)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits against a target of the same shape."""
        share = self.share
        total: torch.Tensor = (1 - share) * self.overlap(logits, target) + share * self.boundary(logits, target)
        return total


class DeepSupervision(nn.Module):
    """The loss of every resolution that a network returns, weighted 1, 1/2, 1/4 ... from the finest.

    A list or tuple of maps (MedNeXt) or one tensor with a further axis after the batch (DynUNet) is taken; one map alone is simply scored. Targets
    are shrunk to coarser maps by the nearest voxel.

    Args:
        loss: the loss of one map.

    Source: weights of Isensee et al. 2021, Nat Methods 18:203, not normalised.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.every = DeepSupervisionLoss(loss, weights=[0.5**level for level in range(_COARSEST)])  # type: ignore[arg-type]

    def forward(self, logits: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum over the resolutions."""
        if isinstance(logits, torch.Tensor):
            logits = logits.unbind(1) if logits.ndim == target.ndim + 1 else [logits]
        total: torch.Tensor = self.every(list(logits), target)
        return total


def _check_kind(name: str, softmax: bool, *, wants_softmax: bool, instead: str) -> None:
    if softmax != wants_softmax:
        wanted, got = ("labels", "regions") if wants_softmax else ("regions", "labels")
        raise ConfigError(f"The loss '{name}' is for {wanted}; the targets are {got}.", hint=f"Use '{instead}'.")


def _tumour_weights(softmax: bool, weights: Sequence[float] | None) -> torch.Tensor | None:
    if weights is None:
        return None
    return torch.tensor(list(weights)[1:] if softmax else list(weights), dtype=torch.float32)
