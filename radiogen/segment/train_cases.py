"""Cohort cases as training reads them: normalised as the network method does it, on its voxels, kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from safetensors.numpy import save_file

from radiogen.cohort.case import read_case, read_case_mask
from radiogen.cohort.masks import region_masks
from radiogen.cohort.table import present_sequences
from radiogen.config.train import DataSettings
from radiogen.errors import CaseError, InputError
from radiogen.preprocess.resample import VoxelSize, resample
from radiogen.run.atomic import writing
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs, read_sidecar
from radiogen.segment.inputs import prepare_channels
from radiogen.types import ED, ET, NCR, RC, LabelVolume

STAGE = "training-case"
_MOST_POINTS = 20_000


@dataclass(frozen=True)
class TrainingCase:
    """A case on disk, ready for training.

    The file holds `image` (float16, sequence x i x j x k, normalised, absent sequences 0), `labels` (uint8) and `points` (int32, voxels of the
    tumour, evenly thinned to 20,000 at most).

    Args:
        case: case id.
        path: safetensors file.
        shape: voxels along the three axes.
        wt_ml: volume of the whole tumour, ml.
        fingerprint: of the files and settings it was made from.
    """

    case: str
    path: str
    shape: tuple[int, int, int]
    wt_ml: float
    fingerprint: str


def prepare_cases(
    cohort: pd.DataFrame, folder: Path, data: DataSettings, *, jobs: int = 1, progress: bool = False
) -> dict[str, TrainingCase]:
    """Write what training needs of every case to `folder`, and keep what is there and still true.

    Args:
        cohort: as `read_cohort` returns it.
        folder: cache.
        data: sequences and voxel size.
        jobs: cases worked on at the same time.
        progress: show a progress bar.

    Raises:
        InputError: cases have no mask or cannot be used; all of them are listed.
    """
    without = [str(case) for case, row in cohort.iterrows() if not isinstance(row.get("mask"), str)]
    if without:
        raise InputError(
            f"{len(without)} of {len(cohort)} cases have no mask to learn from:",
            problems=without,
            hint="Give their masks in the column 'mask', or leave them out of the table.",
        )
    if cohort.empty:
        raise InputError("The cohort holds no case.", hint="Training needs cases with masks.")
    rows = {str(case): row for case, row in cohort.iterrows()}
    made, failures = run_cases(_Prepare(Path(folder), data), rows, stage=STAGE, jobs=jobs, progress=progress)
    if failures:
        raise InputError(
            f"{len(failures)} of {len(cohort)} cases cannot be used for training:",
            problems=[f"{failure.case}: {failure.cause} {failure.fix}" for failure in failures],
            hint="Mend them, or leave them out of the table.",
        )
    return made


@dataclass(frozen=True)
class _Prepare:
    folder: Path
    data: DataSettings

    def __call__(self, case: str, row: pd.Series) -> TrainingCase:
        """Write one case, unless exactly this stands there."""
        path = self.folder / f"{case}.safetensors"
        settings = {
            "sequences": list(self.data.sequences),
            "spacing_mm": self.data.spacing_mm,
            "mask_labels": row.get("mask_labels") or "auto",
        }
        provenance = Provenance(STAGE, settings, hash_inputs({**present_sequences(row), "mask": row["mask"]}))
        if not provenance.is_current([path]):
            image, labels = self._arrays(row)
            self._check(labels)
            with writing(path) as beside:
                arrays = {"image": image, "labels": labels, "points": _points(labels)}
                # safetensors writes memory as it lies: other orders than C come back scrambled.
                save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, beside)
            wt_ml = float(region_masks(labels)["wt"].sum()) * self.data.spacing_mm**3 / 1000
            provenance.record([path], shape=list(labels.shape), wt_ml=wt_ml, labels=np.unique(labels).tolist())
        facts = read_sidecar(path)
        i, j, k = facts["shape"]
        return TrainingCase(case, str(path), (i, j, k), facts["wt_ml"], provenance.fingerprint)

    def _arrays(self, row: pd.Series) -> tuple[np.ndarray, LabelVolume]:
        images = read_case(row)
        prepared = prepare_channels(images, self.data.sequences, self.data.spacing_mm)
        labels = read_case_mask(row, images.grid)[prepared.box]
        _, i, j, k = prepared.channels.shape
        return prepared.channels.numpy().astype(np.float16), resample_labels(
            np.ascontiguousarray(labels), images.grid.voxel_size_mm, (i, j, k)
        )

    def _check(self, labels: LabelVolume) -> None:
        present = set(np.unique(labels).tolist())
        if not present - {0}:
            raise CaseError("The mask holds no tumour on the network's voxels.", hint="Look at the case.")
        if present <= {0, ED} and (self.data.targets == "labels" or set(self.data.regions) != {"wt"}):
            raise CaseError(
                "The mask marks the whole tumour only; its core is unknown, not absent.",
                hint="Train with regions: [wt], or leave the case out.",
            )


def resample_labels(
    labels: LabelVolume, voxel_size_mm: VoxelSize, shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "a b c"]:
    """Return labels on other voxels of the same box: a voxel belongs to a region that fills at least half of it.

    Regions are nested (whole tumour, core, enhancement), so that thin rims are not lost to three-way votes.

    Args:
        labels: in radiogen's labels.
        voxel_size_mm: voxel size, mm.
        shape: the new shape.

    Example:
        >>> resample_labels(np.full((4, 4, 4), 3, np.uint8), (1.0, 1.0, 1.0), (2, 2, 2)).ravel().tolist()
        [3, 3, 3, 3, 3, 3, 3, 3]
    """
    if labels.shape == shape:
        return labels
    i, j, k = (n * mm / new for n, mm, new in zip(labels.shape, voxel_size_mm, shape, strict=True))
    found = np.zeros(shape, dtype=np.uint8)
    regions = region_masks(labels)
    for inside, label in ((labels == RC, RC), (regions["wt"], ED), (regions["tc"], NCR), (regions["et"], ET)):
        if inside.any():
            share = resample(inside.astype(np.float32), voxel_size_mm, (i, j, k), shape)
            found[share >= 0.5] = label
    return found


def largest_shape(cases: Sequence[TrainingCase], multiple: int) -> tuple[int, int, int]:
    """Return the smallest shape that holds every case, each axis a multiple of `multiple` voxels."""
    i, j, k = (-(-max(case.shape[axis] for case in cases) // multiple) * multiple for axis in range(3))
    return i, j, k


def _points(labels: LabelVolume) -> np.ndarray:
    points = np.argwhere((labels >= NCR) & (labels <= RC))
    return points[:: max(1, -(-len(points) // _MOST_POINTS))].astype(np.int32)
