"""What a classifier on images learns from: prepared volumes of cohort rows, kept on disk, and changed at random for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.utils.data import Dataset

from radiogen.branches.embedding import augment
from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.inputs import prepare_input
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.nifti import Image
from radiogen.cohort.table import present_sequences
from radiogen.config.embedding_model import AugmentationSettings
from radiogen.errors import CaseError
from radiogen.preprocess.bias import correct_bias
from radiogen.run.atomic import make_folder, writing
from radiogen.run.executor import run_cases
from radiogen.run.provenance import content_hash, hash_inputs, package_versions
from radiogen.run.quarantine import Failure
from radiogen.types import Volume

CaseVolumes = Float32[np.ndarray, "_s _i _j _k"]
"""The prepared sequences of a case; zeros where one is missing."""

STAGE = "prepare-images"

_ALGORITHM = 1
"""Raised when this module prepares a case in another way, so that kept volumes are made again."""


def prepare_cases(
    table: pd.DataFrame,
    sequences: tuple[str, ...],
    spec: InputSpec,
    folder: Path,
    *,
    correct: tuple[str, ...] = (),
    jobs: int = 1,
    progress: bool = False,
) -> tuple[dict[str, Path], list[Failure]]:
    """Prepare every case of a cohort for a network, and keep the volumes as files named after their content.

    No case's volume depends on another case.

    Args:
        table: cohort rows.
        sequences: which, in the order of the channels.
        spec: what the network expects.
        folder: where the volumes are kept, one NumPy file per case.
        correct: `n4`, `clahe`.
        jobs: cases worked on at the same time.
        progress: show a progress bar.

    Returns:
        Case -> its file, and the cases that could not be prepared.
    """
    make_folder(folder)
    work = partial(_prepare_row, sequences=sequences, spec=spec, folder=Path(folder), correct=correct)
    rows = {str(case): row for case, row in table.iterrows()}
    return run_cases(work, rows, stage=STAGE, jobs=jobs, progress=progress)


def prepare_images(
    case: CaseImages, labels: Any, sequences: tuple[str, ...], spec: InputSpec, correct: tuple[str, ...] = ()
) -> CaseVolumes:
    """Return the prepared sequences of a case, zeros for those that it lacks.

    Args:
        case: its images.
        labels: its mask on the same voxels, or None.
        sequences: which, in the order of the channels.
        spec: what the network expects.
        correct: `n4`, `clahe`.

    Raises:
        CaseError: the case has none of the sequences, or no mask where one is needed.

    Source: N4: Tustison et al., IEEE TMI 2010. CLAHE: see `augment.equalise`.
    """
    if not set(sequences) & set(case.images):
        raise CaseError(f"The case has none of the sequences {', '.join(sequences)}.")
    volumes = np.zeros((len(sequences), *spec.shape), np.float32)
    for position, name in enumerate(sequences):
        if name in case.images:
            image = _without_bias(case, name) if "n4" in correct else case.images[name]
            volumes[position] = prepare_input(image, case.grid.voxel_size_mm, labels, spec)
    return augment.equalise(volumes) if "clahe" in correct else volumes


def _without_bias(case: CaseImages, name: str) -> Volume:
    image = case.images[name]
    return correct_bias(Image(image, case.grid), image != 0)[0] if image.any() else image


def _prepare_row(
    case: str, row: pd.Series, *, sequences: tuple[str, ...], spec: InputSpec, folder: Path, correct: tuple[str, ...]
) -> Path:
    """Return the file of a case's prepared volumes, made now where it is not there.

    Raises:
        CaseError: the case cannot be prepared.
    """
    needs_mask = spec.centre == "tumour"
    used = {name: path for name, path in present_sequences(row).items() if name in sequences}
    key = content_hash(
        {
            "algorithm": _ALGORITHM,
            "inputs": hash_inputs({**used, "mask": row.get("mask") if needs_mask else None}),
            "scheme": row.get("mask_labels"),
            "sequences": list(sequences),
            "spec": asdict(spec),
            "correct": list(correct),
            "versions": {name: package_versions()[name] for name in ("numpy", "scipy")},
        }
    )
    path = folder / f"{key}.npy"
    if not path.is_file():
        images = read_case(row.drop([name for name in present_sequences(row) if name not in used]))
        labels = read_case_mask(row, images.grid) if needs_mask else None
        volumes = prepare_images(images, labels, sequences, spec, correct)
        with writing(path) as beside, beside.open("wb") as file:
            np.save(file, volumes)
    return path


def load_volumes(path: Path) -> CaseVolumes:
    """Return the prepared volumes of a case."""
    return np.asarray(np.load(path))


class TrainingItems(Dataset[dict[str, Tensor]]):
    """The items of a whole training: item `i` depends on nothing but `i` and the seed.

    Every pass is a new order of the cases. A case is a file of prepared volumes, changed at random; or it is several vectors (of the case and of
    its augmented copies), one of which is drawn.

    Args:
        inputs: one file, or one tensor of copies x sequences x values, per case.
        y: label per case.
        augmentation: how volumes are changed.
        seed: of everything random.
    """

    def __init__(
        self, inputs: list[Path] | list[Tensor], y: list[float], augmentation: AugmentationSettings, seed: int
    ) -> None:
        self._inputs, self._y, self._augmentation, self._seed = inputs, y, augmentation, seed

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return `image` and `target` (one value) of an item."""
        turn, position = divmod(index, len(self._y))
        order = np.random.default_rng([self._seed, 0, turn]).permutation(len(self._y))
        rng = np.random.default_rng([self._seed, 1, index])
        chosen = int(order[position])
        given = self._inputs[chosen]
        return {"image": self._drawn(given, rng), "target": torch.tensor([self._y[chosen]])}

    def _drawn(self, given: Path | Tensor, rng: np.random.Generator) -> Tensor:
        if isinstance(given, Path):
            return torch.from_numpy(changed(load_volumes(given), self._augmentation, rng))
        return given[int(rng.integers(len(given)))]


def changed(volumes: CaseVolumes, settings: AugmentationSettings, rng: np.random.Generator) -> CaseVolumes:
    """Return a case's volumes changed at random, all sequences alike in space; a missing sequence stays zeros.

    Args:
        volumes: sequences x i x j x k.
        settings: how much.
        rng: source of the random numbers.

    Example:
        >>> volumes = np.ones((1, 4, 4, 4), np.float32)
        >>> changed(volumes, AugmentationSettings(crop_margin=(2, 2, 0)), np.random.default_rng(0)).shape
        (1, 2, 2, 4)
    """
    if any(settings.crop_margin):
        volumes = augment.random_crop(volumes, rng, _inner(volumes, settings))
    there = volumes.any(axis=(1, 2, 3), keepdims=True)
    if settings.flips:
        volumes = augment.flip(volumes, rng, tuple("ijk".index(axis) for axis in settings.flips))
    if settings.right_angles:
        volumes = augment.quarter_turns(volumes, rng)
    if settings.rotation_degrees or settings.scaling or settings.shearing:
        volumes = augment.affine(volumes, rng, settings.rotation_degrees, settings.scaling, settings.shearing)
    if settings.elastic_voxels:
        volumes = augment.elastic(volumes, rng, size_voxels=settings.elastic_voxels)
    if settings.brightness:
        volumes = augment.brightness(volumes, rng, settings.brightness, settings.brightness)
    if settings.noise_sd:
        volumes = augment.noise(volumes, rng, settings.noise_sd)
    return np.where(there, volumes, np.float32(0))


def middle(volumes: CaseVolumes, settings: AugmentationSettings) -> CaseVolumes:
    """Return the part of a case's volumes that is shown at prediction.

    Args:
        volumes: sequences x i x j x k.
        settings: by how much they were prepared larger.
    """
    return augment.centre_crop(volumes, _inner(volumes, settings)) if any(settings.crop_margin) else volumes


def _inner(volumes: CaseVolumes, settings: AugmentationSettings) -> tuple[int, int, int]:
    i, j, k = (n - margin for n, margin in zip(volumes.shape[1:], settings.crop_margin, strict=True))
    return i, j, k


def rows_of(table: pd.DataFrame, files: Mapping[str, Path]) -> list[Path]:
    """Return the files of a table's cases, in its order."""
    return [files[str(case)] for case in table.index]
