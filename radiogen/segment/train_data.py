"""Patches of cases, drawn at random: item `i` of a training depends on the seed and on `i`, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional
from torch.utils.data import Dataset

from radiogen.config.train import DataSettings
from radiogen.segment.train_augment import Augmentation, drop_sequences
from radiogen.segment.train_cases import TrainingCase
from radiogen.segment.train_targets import targets_of

PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane -> canonical axis that it cuts across."""

_ORDER, _ITEM = 0, 1
"""Streams of random numbers: the order of the cases, and what happens to an item."""


class CasePatches(Dataset[dict[str, torch.Tensor]]):
    """Random patches of cases; every case comes once before any comes again.

    Args:
        cases: to draw from.
        data: patch, augmentation, targets.
        patch: voxels of a patch in three dimensions; 1 along the axis that a plane cuts across.
        seed: of everything random.
        length: items of the whole training.
    """

    def __init__(
        self, cases: Sequence[TrainingCase], data: DataSettings, patch: tuple[int, int, int], *, seed: int, length: int
    ) -> None:
        self.cases = sorted(cases, key=lambda case: case.case)
        self.data, self.patch, self.seed, self.length = data, patch, seed, length
        self.augmentation = Augmentation(data.augmentation, 3 if data.planes == "volume" else 2)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return `image` (float32, sequence x patch) and `target` (float32, output channel x patch) of item `index`."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, _ITEM, index])
        image, labels = self._patch(self.case_of(index), rng)
        if self.data.planes != "volume":
            axis = PLANE_AXIS[self.data.planes]
            image, labels = image.squeeze(axis + 1), labels.squeeze(axis)
        image, labels = self.augmentation(image, labels, int(rng.integers(2**32)))
        image = drop_sequences(image, self.data.sequence_dropout, rng)
        return {"image": image, "target": targets_of(labels, self.data)}

    def case_of(self, index: int) -> TrainingCase:
        """Return the case that item `index` is drawn from."""
        turn, place = divmod(index, len(self.cases))
        order = np.random.default_rng([self.seed, _ORDER, turn]).permutation(len(self.cases))
        return self.cases[order[place]]

    def _patch(self, case: TrainingCase, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        with safe_open(case.path, framework="pt") as file:
            centre = self._centre(case, file.get_tensor("points"), rng)
            box: list[slice] = []
            pads: list[int] = []
            for at, size, n in zip(centre, self.patch, case.shape, strict=True):
                start = min(max(0, int(at) - size // 2), max(0, n - size))
                box.append(slice(start, min(n, start + size)))
                pads = [0, size - (box[-1].stop - start), *pads]
            image = file.get_slice("image")[(slice(None), *box)].float()
            labels = file.get_slice("labels")[tuple(box)]
        return functional.pad(image, pads), functional.pad(labels, pads)

    def _centre(self, case: TrainingCase, points: torch.Tensor, rng: np.random.Generator) -> Sequence[int]:
        wants_tumour = rng.random() < self.data.foreground_share
        anywhere = [int(rng.integers(n)) for n in case.shape]
        if wants_tumour and len(points):
            chosen: list[int] = points[int(rng.integers(len(points)))].tolist()
            return chosen
        return anywhere


def patch_of(data: DataSettings, whole: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the voxels of a patch: as set, or the whole head; 1 along the axis that a plane cuts across.

    Args:
        data: `patch_size` and `planes`.
        whole: the shape that holds every case.

    Example:
        >>> patch_of(DataSettings(patch_size=(64, 48, 32), planes="axial"), (96, 96, 96))
        (64, 48, 1)
    """
    patch = list(data.patch_size or whole)
    if data.planes != "volume":
        patch[PLANE_AXIS[data.planes]] = 1
    return patch[0], patch[1], patch[2]
