"""Cohorts without their tumours: the mask on the healthy side, or the tumour painted over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from radiogen.branches.base import scheme_hash
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.nifti import write_image, write_labels
from radiogen.cohort.table import present_sequences
from radiogen.errors import CaseError
from radiogen.preprocess.intensity import foreground
from radiogen.preprocess.midsagittal import find_midplane, mirror_labels
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs, read_sidecar
from radiogen.run.quarantine import Failure
from radiogen.types import LabelVolume, Volume

Kind = Literal["contralateral", "blanked"]
ALGORITHM = 1
_MARGIN_VOXELS = 2


@dataclass(frozen=True)
class ControlCohort:
    """A cohort whose tumours are gone.

    Args:
        table: cohort rows with the control's mask or images, only cases that succeeded.
        failures: cases without a healthy side, or otherwise unusable.
        facts: case -> symmetry of the head, angle of its plane (degrees), share of the tumour whose mirror image is healthy tissue.
    """

    table: pd.DataFrame
    failures: list[Failure]
    facts: dict[str, dict[str, float]]


@dataclass(frozen=True)
class _Maker:
    kind: Kind
    folder: Path
    least_mirrored: float
    seed: int

    def __call__(self, case: str, row: pd.Series) -> tuple[dict[str, str], dict[str, float]]:
        names = ["mask"] if self.kind == "contralateral" else list(present_sequences(row))
        outputs = {name: self.folder / case / f"{name}.nii.gz" for name in names}
        settings = {"least_mirrored": self.least_mirrored, "seed": self.seed, "algorithm": ALGORITHM}
        inputs = {**hash_inputs({**present_sequences(row), "mask": row.get("mask")}), **scheme_hash(row)}
        provenance = Provenance(f"controls-{self.kind}", settings, inputs)
        if not provenance.is_current(outputs.values()):
            self._make(row, outputs, provenance)
        facts = read_sidecar(next(iter(outputs.values())))["facts"]
        return {name: str(path) for name, path in outputs.items()}, facts

    def _make(self, row: pd.Series, outputs: Mapping[str, Path], provenance: Provenance) -> None:
        images = read_case(row)
        labels = read_case_mask(row, images.grid)
        mirrored, facts = healthy_side(images, labels, self.least_mirrored)
        if self.kind == "contralateral":
            write_labels(outputs["mask"], mirrored, images.grid)
        else:
            for number, name in enumerate(outputs):
                rng = np.random.default_rng([self.seed, number])
                write_image(outputs[name], painted_over(images.images[name], labels, mirrored, rng), images.grid)
        provenance.record(outputs.values(), facts=facts)


def control_cohort(
    cohort: pd.DataFrame,
    kind: Kind,
    folder: Path,
    *,
    least_mirrored: float,
    seed: int,
    jobs: int = 1,
    progress: bool = False,
) -> ControlCohort:
    """Write the control's masks or images and return the cohort that uses them; what is there and still true is kept.

    Args:
        cohort: as `read_cohort` returns it; cases without a mask are left out.
        kind: `contralateral`: the mask is moved to the healthy side; `blanked`: the tumour is painted over with values of the healthy side.
        folder: for `<case>/*.nii.gz`.
        least_mirrored: share of the tumour whose mirror image must be healthy tissue.
        seed: of the painted values.
        jobs: cases worked on at the same time; the bytes do not depend on it.
        progress: show a progress bar.

    Raises:
        OutputError: the folder cannot be written.
    """
    rows = {str(case): row for case, row in cohort.iterrows() if isinstance(row.get("mask"), str)}
    maker = _Maker(kind, folder, least_mirrored, seed)
    results, failures = run_cases(maker, rows, stage=f"controls-{kind}", jobs=jobs, progress=progress)
    table = cohort.loc[list(results)].copy()
    for case, (paths, _) in results.items():
        for name, path in paths.items():
            table.loc[case, name] = path
    if kind == "contralateral":
        table["mask_labels"] = "brats2023"
    return ControlCohort(table, failures, {case: facts for case, (_, facts) in results.items()})


def healthy_side(
    images: CaseImages, labels: LabelVolume, least_mirrored: float
) -> tuple[LabelVolume, dict[str, float]]:
    """Return the tumour's mirror image where it lies in healthy tissue, and what was measured.

    Args:
        images: of the case.
        labels: of its tumour.
        least_mirrored: share of the tumour that must be left.

    Raises:
        CaseError: too little is left, because the tumour is on both sides or at the edge of the images.
    """
    tumour = labels > 0
    plane = find_midplane(images.images, tumour, images.grid)
    mirrored = mirror_labels(labels, images.grid, plane)
    inside = np.ones(labels.shape, dtype=bool)
    for image in images.images.values():
        inside &= foreground(image)
    near = binary_dilation(tumour, iterations=_MARGIN_VOXELS)
    mirrored[near | ~inside] = 0
    left = float((mirrored > 0).sum()) / float(tumour.sum())
    if left < least_mirrored:
        raise CaseError(
            f"The mirror image of {left:.0%} of the tumour is healthy tissue; {least_mirrored:.0%} are needed.",
            hint="A tumour on both sides has no healthy side; the case is left out of this control.",
        )
    angle = float(np.rad2deg(np.arccos(min(1.0, abs(plane.normal[0])))))
    return mirrored, {
        "symmetry": round(plane.symmetry, 4),
        "angle_deg": round(angle, 2),
        "share_mirrored": round(left, 4),
    }


def painted_over(image: Volume, labels: LabelVolume, mirrored: LabelVolume, rng: np.random.Generator) -> Volume:
    """Return an image whose tumour voxels hold values drawn at random from the healthy side: neither its brightness nor its texture is left.

    Args:
        image: one sequence.
        labels: the tumour.
        mirrored: its healthy mirror image, not empty.
        rng: source of randomness.
    """
    painted = image.copy()
    tumour = labels > 0
    painted[tumour] = rng.choice(image[mirrored > 0], int(tumour.sum()))
    return painted
