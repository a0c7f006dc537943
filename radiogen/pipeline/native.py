"""`radiogen native`: masks back from the template's voxels to those of the scans they were made on, as NIfTI or DICOM SEG."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.dicom import DicomSeries
from radiogen.cohort.dicom_seg import write_segmentation
from radiogen.cohort.masks import read_mask, region_volumes_ml
from radiogen.cohort.nifti import Grid, write_labels
from radiogen.errors import CaseError, GeometryError, InputError
from radiogen.pipeline.preprocess import case_folder
from radiogen.pipeline.raw_cases import RawCohort
from radiogen.preprocess.native import to_native
from radiogen.run.atomic import make_folder, write_csv
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import Failure, write_failures

log = logging.getLogger(__name__)

STAGE = "native"


def run_native(
    study: Path,
    output: Path,
    *,
    masks: Path | None = None,
    sequence: str | None = None,
    raw: RawCohort | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Write `masks/<case>.nii.gz` on the voxels of the scans, `<case>.dcm` as DICOM SEG where the scans are given, and `volumes.csv`.

    Args:
        study: a study that `radiogen preprocess` wrote, with masks made in it.
        output: output folder.
        masks: folder of `<case>.nii.gz` on the study's voxels; the study's own `masks` by default.
        sequence: on whose voxels; the sequence that was registered to the template by default.
        raw: the scans, as `find_raw_cases` returns them; where given, a DICOM SEG is written for each case that came as DICOM.
        jobs: cases worked on at the same time.
        progress: show a progress bar.

    Returns:
        Volumes before and after (ml), and the cases that failed.

    Raises:
        InputError: there are no masks, or the study was not preprocessed.
    """
    folder = Path(masks) if masks is not None else Path(study) / "masks"
    found = {path.name.removesuffix(".nii.gz"): path for path in sorted(folder.glob("*.nii.gz"))}
    if not found:
        raise InputError(f"There are no masks (<case>.nii.gz) in {folder}.", hint="Run radiogen segment first.")
    make_folder(output)
    worker = _Worker(Path(study), Path(output), sequence, raw)
    rows, failures = run_cases(worker, found, stage=STAGE, jobs=jobs, progress=progress)
    write_failures(Path(output) / "failed.csv", failures, stages=[STAGE])
    volumes = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), dtype=object, name="case"))
    write_csv(Path(output) / "volumes.csv", volumes.round(3))
    log.info("native: %d masks, %d failed", len(rows), len(failures))
    return volumes, failures


@dataclass(frozen=True)
class _Worker:
    study: Path
    output: Path
    sequence: str | None
    raw: RawCohort | None

    def __call__(self, case: str, mask: Path) -> dict[str, Any]:
        """Write the mask of one case and return its volumes."""
        path = case_folder(self.study, case) / "transforms.json"
        if not path.is_file():
            raise CaseError(
                "The case was not preprocessed in this study.", hint="Give the study of radiogen preprocess."
            )
        transforms = json.loads(path.read_text(encoding="utf-8"))
        name = self.sequence or str(transforms["reference"])
        if name not in transforms["sequences"]:
            raise CaseError(f"The case has no {name}.", hint=f"It has {', '.join(transforms['sequences'])}.")
        labels, grid = read_mask(mask, "brats2023")
        expected = _grid(transforms["output"])
        if not grid.same_space(expected):
            raise GeometryError(
                f"The mask does not lie on the study's voxels: {grid.describe()}; expected {expected.describe()}."
            )
        facts = transforms["sequences"][name]
        native = _grid(facts["native"])
        moved = to_native(labels, grid, native, np.array(facts["matrix_output_to_native_mm"], dtype=float))
        target = self.output / "masks" / f"{case}.nii.gz"
        write_labels(target, moved, native)
        written = [target]
        series = self._series(case, name)
        if series is not None:
            written.append(self.output / "dicom" / f"{case}.dcm")
            write_segmentation(written[1], moved, native, series)
        volumes = {
            **{f"{key}_template": value for key, value in region_volumes_ml(labels, grid).items()},
            **{f"{key}_native": value for key, value in region_volumes_ml(moved, native).items()},
        }
        provenance = Provenance(STAGE, {"sequence": name}, hash_inputs({"mask": mask, "transforms": path}))
        provenance.record([target], case=case, sequence=name, volumes=volumes, dicom_seg=series is not None)
        return {"sequence": name, **volumes, "dicom_seg": series is not None}

    def _series(self, case: str, name: str) -> DicomSeries | None:
        if self.raw is None:
            return None
        if case not in self.raw.cases:
            raise CaseError(
                "The case is not among the scans.", hint="Give the folder that the study was preprocessed from."
            )
        return self.raw.cases[case].series.get(name)


def _grid(facts: Mapping[str, Any]) -> Grid:
    i, j, k = (int(n) for n in facts["shape"])
    return Grid((i, j, k), np.array(facts["affine"], dtype=float))
