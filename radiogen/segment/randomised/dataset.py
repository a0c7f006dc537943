"""Made-up patients as a torch data set: item `i` is patient `i` of a seed, whatever was drawn before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from radiogen.config.train import DataSettings
from radiogen.segment.randomised.anatomy import FIELD_OF_VIEW_MM, Head
from radiogen.segment.randomised.contrast import render, scan
from radiogen.segment.randomised.fields import Draws, Field
from radiogen.segment.randomised.glioma import draw_plan, grow, target

_STREAM = 11


@dataclass(frozen=True)
class Patient:
    """One made-up patient.

    Args:
        images: (c, i, j, k), z-scored inside the brain, 0 outside; all sequences.
        target: (3, i, j, k), the regions wt, tc, et as 0 or 1.
        brain: (i, j, k), the brain mask that was used, as imperfect as brain extraction is.
    """

    images: torch.Tensor
    target: torch.Tensor
    brain: torch.Tensor


def make_patient(seed: tuple[int, ...], spacing_mm: float, sequences: tuple[str, ...]) -> Patient:
    """Make one patient on the whole field of view.

    Args:
        seed: numbers that decide everything random.
        spacing_mm: voxel edge, mm.
        sequences: which sequences, in this order.

    Example:
        >>> patient = make_patient((0, 5), 8.0, ("t1c", "t2f"))
        >>> tuple(patient.images.shape), tuple(patient.target.shape)
        ((2, 20, 24, 20), (3, 20, 24, 20))
    """
    i, j, k = (round(size / spacing_mm) for size in FIELD_OF_VIEW_MM)
    draws = Draws((_STREAM, *seed), (i, j, k), spacing_mm)
    head = Head(draws)
    plan = draw_plan(draws, head)
    glioma = grow(draws, head, plan) if plan else None
    brain = head.brain()
    mask = _extracted(draws, brain.inside, brain.depth_mm)
    regions = target(glioma, brain.inside) * mask
    images = scan(draws, render(draws, brain, glioma, sequences), torch.maximum(brain.inside, mask.float()))
    images = _with_remnants(draws, images, brain.inside, mask)
    return Patient(_normalised(draws, images, mask), regions, mask)


def _extracted(draws: Draws, inside: Field, depth_mm: Field) -> torch.Tensor:
    """Return a brain mask with the faults of brain extraction: bites taken off the cortex, or remnants of the skull left on."""
    mask = inside > 0.5
    if draws.chance(0.12):
        mask = _cut_off(draws, mask)
    fault = draws.rng.random()
    if fault < 0.2:
        return mask & (depth_mm > draws.between(0.0, 5.0) * torch.sigmoid(3 * draws.field(30.0)))
    if fault < 0.55:
        grown = functional.max_pool3d(inside[None, None], 3, stride=1, padding=1)[0, 0] > 0.5
        if draws.chance(0.4):
            grown = functional.max_pool3d(grown.float()[None, None], 3, stride=1, padding=1)[0, 0] > 0.5
        return mask | (grown & (draws.field(20.0) > draws.between(-1.5, 1.2)))
    return mask


def _cut_off(draws: Draws, mask: torch.Tensor) -> torch.Tensor:
    """Return a mask whose ends lie outside a scan's field of view."""
    mask = mask.clone()
    for axis in range(3):
        used = torch.nonzero(mask.movedim(axis, 0).flatten(1).any(dim=1)).flatten()
        low, high = int(used[0]), int(used[-1]) + 1
        most = (high - low) / 6
        first, last = low + round(draws.between(-most, most)), high - round(draws.between(-most, most))
        rows = mask.movedim(axis, 0)
        rows[: max(first, 0)] = False
        rows[max(last, 0) :] = False
    return mask


def _with_remnants(draws: Draws, images: torch.Tensor, inside: Field, mask: torch.Tensor) -> torch.Tensor:
    """Return the images with fluid, dark bone or bright dura and fat where the mask goes beyond the brain."""
    beyond = mask & (inside < 0.5)
    if not bool(beyond.any()):
        return images
    patches = draws.field(8.0)
    for image in images:
        level = float(image[inside > 0.5].mean())
        low, high = draws.between(0.1, 0.8) * level, draws.between(0.5, 2.2) * level
        image[beyond] = torch.where(patches[beyond] > 0, low, high) * torch.exp(0.15 * patches[beyond])
    return images


def _normalised(draws: Draws, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    normal = torch.zeros_like(images)
    for image, out in zip(images, normal, strict=True):
        values = image[mask]
        values = (values - values.mean()) / values.std().clamp(min=1e-6)
        # Another scanner's histogram never has the same mean and spread: a few very bright vessels are enough to halve all other contrast.
        out[mask] = (values * draws.log_between(0.5, 1.25) + draws.between(-0.15, 0.15)).clamp(-6, 10)
    return normal


class RandomisedPatients(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Made-up patients, each drawn when it is asked for.

    Args:
        settings: sequences, spacing, patch size (None: the whole field of view) and how often sequences are dropped.
        seed: of everything random.
        length: patients.

    Example:
        >>> patients = RandomisedPatients(DataSettings(spacing_mm=8.0, patch_size=(16, 16, 16)), seed=0, length=2)
        >>> tuple(patients[1]["image"].shape)
        (4, 16, 16, 16)
    """

    def __init__(self, settings: DataSettings, seed: int, length: int) -> None:
        self.settings = settings
        self.seed = seed
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return `image` (c, i, j, k) and `target` (3, i, j, k) of one patient, float32."""
        patient = make_patient((self.seed, index), self.settings.spacing_mm, self.settings.sequences)
        rng = np.random.default_rng([_STREAM, self.seed, index, 1])
        image, target_ = patient.images, patient.target
        if self.settings.patch_size is not None:
            image, target_ = _cut(rng, image, target_, patient.brain, self.settings)
        for channel in _dropped(rng, len(self.settings.sequences), self.settings.sequence_dropout):
            image[channel] = 0
        return {"image": image, "target": target_}


def _cut(
    rng: np.random.Generator, image: torch.Tensor, target_: torch.Tensor, brain: torch.Tensor, settings: DataSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a patch; where it is smaller than the brain it is centred on a tumour voxel with `foreground_share`."""
    size = settings.patch_size or tuple(brain.shape)
    voxels = torch.nonzero(brain)
    low, high = voxels.min(dim=0).values.tolist(), voxels.max(dim=0).values.tolist()
    tumour = torch.nonzero(target_[0] > 0)
    focus = None
    if len(tumour) and rng.random() < settings.foreground_share:
        focus = tumour[int(rng.integers(len(tumour)))].tolist()
    starts = []
    for axis, want in enumerate(size):
        spare = (high[axis] - low[axis] + 1) - want
        if spare <= 0:
            start = low[axis] + spare // 2
        elif focus is not None:
            start = int(np.clip(focus[axis] - want // 2, low[axis], low[axis] + spare))
        else:
            start = low[axis] + int(rng.integers(spare + 1))
        starts.append(start)
    # Where the patch is larger than the grid on one side, zeros are added there.
    pads = [(max(0, -s), max(0, s + n - full)) for s, n, full in zip(starts, size, brain.shape, strict=True)]
    flat = [amount for before, after in reversed(pads) for amount in (before, after)]
    box = tuple(slice(s + before, s + before + n) for s, n, (before, _) in zip(starts, size, pads, strict=True))
    image, target_ = functional.pad(image, flat), functional.pad(target_, flat)
    return image[(slice(None), *box)].clone(), target_[(slice(None), *box)].clone()


def _dropped(rng: np.random.Generator, n: int, probability: float) -> list[int]:
    """Return the channels that are taken away: a random proper subset, every number of them as likely as another."""
    if n < 2 or rng.random() >= probability:
        return []
    return [int(channel) for channel in rng.permutation(n)[: int(rng.integers(1, n))]]
