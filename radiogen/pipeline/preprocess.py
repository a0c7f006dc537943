"""`radiogen preprocess`: from raw scans to cases on one grid, with a picture of what was done to each.

What stands in `preprocessed/<case>/`:

- `<sequence>.nii.gz`, `brain.nii.gz`, and `mask.nii.gz` where the case came with one, all on the same voxels.
- `transforms.json`: for each sequence the matrix from the output's world to its own (mm), how it was found, and the grid it came on: what
  `radiogen native` brings masks back with.
- `brain.json`: the sidecar of all of them: notes, quality, flags, which series was taken for which sequence and why.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.masks import detect_scheme, translate_labels
from radiogen.cohort.nifti import Grid, Image, read_labels, write_image, write_labels
from radiogen.cohort.nifti_header import orientation_problem
from radiogen.cohort.table import write_cohort
from radiogen.cohort.twins import find_twins, fingerprint, join_twins
from radiogen.config.preprocess import PreprocessSettings
from radiogen.errors import CaseError, GeometryError
from radiogen.pipeline.raw_cases import IDENTIFY, RawCase, RawCohort, cohort_rows
from radiogen.preprocess.case import Preprocessed, covers, middle_mm, preprocess_images
from radiogen.preprocess.extract import BRAIN_EXTRACTORS
from radiogen.preprocess.native import to_native
from radiogen.preprocess.quality import CaseQuality, measure_quality
from radiogen.preprocess.register import pose
from radiogen.preprocess.standardise import INTENSITY_METHODS
from radiogen.preprocess.template import Template, load_template
from radiogen.report.preprocessing import thumbnail, write_case_sheet
from radiogen.report.preprocessing_page import CHOICE_COLUMNS, PreprocessPage, quality_table, write_cohort_page
from radiogen.report.style import save_png
from radiogen.resources import sha256_file
from radiogen.run.atomic import make_folder, write_csv, write_json
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, content_hash, read_sidecar
from radiogen.run.quarantine import Failure, write_failures
from radiogen.types import SEQUENCES, LabelVolume

log = logging.getLogger(__name__)

STAGE = "preprocess"
OWN_LABELS, WHOLE_TUMOUR = "brats2023", "whole-tumour"
FINGERPRINT_MM, FINGERPRINT_SEQUENCE = 1.0, "t1c"
"""The voxels and the sequence that distances between fingerprints of different patients were measured on."""


@dataclass(frozen=True)
class PreprocessOutcome:
    """What preprocessing a cohort gave.

    Args:
        cohort: the rows that succeeded, with the paths of the new images.
        quality: one row per case: every measure, `flagged` and `flags`.
        twins: pairs of cases that look like one patient.
        failures: the cases that did not succeed.
    """

    cohort: pd.DataFrame
    quality: pd.DataFrame
    twins: pd.DataFrame
    failures: list[Failure]


def run_preprocess(
    raw: RawCohort,
    study: Path,
    settings: PreprocessSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> PreprocessOutcome:
    """Write `preprocessed/`, `cohort.csv`, `quality.csv`, `qc/`, `preprocess.html` and, where cases fail, `failed.csv`.

    Args:
        raw: as `find_raw_cases` returns it.
        study: output folder.
        settings: how.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show progress bars.

    Raises:
        ConfigError: the template, brain extractor or intensity method is unknown.
        CaseError: every case failed; the reasons are in `failed.csv`.
    """
    study = Path(study)
    make_folder(study)
    # An unknown name is the run's problem, not every case's.
    load_template(settings.template)
    BRAIN_EXTRACTORS.load(settings.brain)
    INTENSITY_METHODS.load(settings.intensity)
    worker = _Worker(study, settings)
    facts, failed = run_cases(worker, raw.cases, stage=STAGE, jobs=jobs, dask=dask, progress=progress)
    failures = [*raw.failures, *failed]
    write_failures(study / "failed.csv", failures, stages=[IDENTIFY, STAGE])
    if not facts:
        raise CaseError("No case came through preprocessing.", hint=f"Reasons and fixes: {study / 'failed.csv'}")
    cohort = _cohort({case: raw.cases[case] for case in facts}, facts, study)
    twins = _twins(facts, cohort["patient"])
    cohort = join_twins(cohort, twins)
    quality = quality_table({case: _quality_of(fact) for case, fact in facts.items()})
    quality["flagged"] = quality["flags"] != ""
    write_csv(study / "quality.csv", quality)
    write_cohort(cohort, study / "cohort.csv")
    _write_page(study, facts, failures, twins, settings)
    log.info(
        "preprocess: %d cases, %d of them flagged, %d failed", len(facts), int(quality["flagged"].sum()), len(failures)
    )
    return PreprocessOutcome(cohort, quality, twins, failures)


def _quality_of(fact: Mapping[str, Any]) -> CaseQuality:
    return CaseQuality(dict(fact["quality"]), tuple(fact["flags"]))


def _write_page(
    study: Path,
    facts: Mapping[str, dict[str, Any]],
    failures: list[Failure],
    twins: pd.DataFrame,
    settings: PreprocessSettings,
) -> None:
    rows = [
        [case, name, one["key"], one["confidence"], "; ".join(one["reasons"])]
        for case, fact in facts.items()
        for name, one in fact["choices"].items()
    ]
    page = PreprocessPage(
        quality={case: _quality_of(fact) for case, fact in facts.items()},
        thumbnails={case: _thumbnail_path(study, case).read_bytes() for case in facts},
        sheets={case: _sheet_path(Path(), case).as_posix() for case in facts},
        failures=failures,
        twins=twins,
        choices=pd.DataFrame(rows, columns=CHOICE_COLUMNS),
        notes={case: tuple(fact["notes"]) for case, fact in facts.items()},
    )
    write_cohort_page(study / "preprocess.html", page, provenance={"settings": settings.model_dump(mode="json")})


def _sheet_path(study: Path, case: str) -> Path:
    # Beside `qc/<case>.png`, which is the picture of the case's mask.
    return study / "qc" / STAGE / f"{case}.png"


def _thumbnail_path(study: Path, case: str) -> Path:
    return study / "qc" / STAGE / "thumbnails" / f"{case}.png"


def _twins(facts: Mapping[str, dict[str, Any]], patient: pd.Series) -> pd.DataFrame:
    """Return pairs of cases whose brains look alike."""
    prints = {case: fact["brain_fingerprint"] for case, fact in facts.items() if fact["brain_fingerprint"]}
    return find_twins(pd.Series(prints, dtype=object), patient)


def case_folder(study: Path, case: str) -> Path:
    """Return where the images of a case stand in a study."""
    return Path(study) / "preprocessed" / case


def _cohort(cases: Mapping[str, RawCase], facts: Mapping[str, dict[str, Any]], study: Path) -> pd.DataFrame:
    table = cohort_rows(cases)
    for case, fact in facts.items():
        for name in fact["sequences"]:
            table.loc[case, name] = str((case_folder(study, case) / f"{name}.nii.gz").resolve())
        if fact["mask_labels"]:
            table.loc[case, "mask"] = str((case_folder(study, case) / "mask.nii.gz").resolve())
            table.loc[case, "mask_labels"] = fact["mask_labels"]
        for name, choice in fact["choices"].items():
            table.loc[case, f"{name}_series"] = choice["key"]
            table.loc[case, f"{name}_confidence"] = f"{choice['confidence']:.2f}"
        table.loc[case, "preprocess_flags"] = "; ".join(fact["flags"])
    return table


@lru_cache(maxsize=2)
def _template(name: str) -> Template:
    return load_template(name)


@dataclass(frozen=True)
class _Worker:
    study: Path
    settings: PreprocessSettings

    def __call__(self, case: str, raw: RawCase) -> dict[str, Any]:
        """Make or keep one case and return the facts of its sidecar."""
        files = raw.input_files()
        provenance = Provenance(STAGE, self.settings.model_dump(mode="json"), _hashes(files))
        kept = read_sidecar(case_folder(self.study, case) / "brain.nii.gz")
        pictures = [_sheet_path(self.study, case), _thumbnail_path(self.study, case)]
        written = self._outputs(case, kept.get("sequences", []), "mask" in files)
        if all(path.is_file() for path in pictures) and provenance.is_current(written):
            return kept
        images, unusable = raw.read_all()
        done = preprocess_images(images, _template(self.settings.template), self.settings)
        quality = self._quality(raw, images, done)
        quality = replace(quality, flags=(*unusable, *quality.flags))
        mask_labels = self._write(raw, images, done)
        choices = {
            name: {"key": one.key, "confidence": one.confidence, "reasons": list(one.reasons)}
            for name, one in raw.choices.items()
        }
        write_case_sheet(
            pictures[0], case, done.unstripped, done.brain, quality, choices=_said(choices),
            voxel_mm=self.settings.spacing_mm, reference=done.reference,
        )  # fmt: skip
        save_png(thumbnail(done.unstripped[done.reference], done.brain), pictures[1])
        facts: dict[str, Any] = {
            "case": case, "sequences": list(images), "mask_labels": mask_labels, "reference": done.reference,
            "already_stripped": done.already_stripped, "notes": [*raw.notes, *_not_taken(raw), *done.notes], "quality": dict(quality.values),
            "flags": list(quality.flags), "choices": choices, "passed_over": dict(raw.passed_over),
            "brain_fingerprint": self._fingerprint(done),
        }  # fmt: skip
        provenance.record(self._outputs(case, list(images), "mask" in files), **facts)
        return facts

    def _outputs(self, case: str, sequences: list[str], has_mask: bool) -> list[Path]:
        folder = case_folder(self.study, case)
        names = ["brain", *sequences, *(["mask"] if has_mask else [])]
        return [*(folder / f"{name}.nii.gz" for name in names), folder / "transforms.json"]

    def _write(self, raw: RawCase, images: Mapping[str, Image], done: Preprocessed) -> str:
        """Write images, brain, mask and transforms; return the label scheme of the mask, empty where there is none."""
        folder = case_folder(self.study, raw.case)
        for name, image in done.images.items():
            write_image(folder / f"{name}.nii.gz", image, done.grid)
        write_labels(folder / "brain.nii.gz", done.brain.astype(np.uint8), done.grid)
        write_json(folder / "transforms.json", _transforms(images, done))
        if not isinstance(raw.row.get("mask"), str):
            return ""
        mask, scheme = _moved_mask(raw, images, done)
        write_labels(folder / "mask.nii.gz", mask, done.grid)
        return scheme

    def _quality(self, raw: RawCase, images: Mapping[str, Image], done: Preprocessed) -> CaseQuality:
        headers = {name: orientation_problem(path) for name, path in raw.files.items()}
        return measure_quality(
            raw.case, images, done.images, done.unstripped, done.brain, self.settings.spacing_mm,
            {name: found.similarity_after for name, found in done.registrations.items()},
            coverage={name: covers(image, done.grid, done.matrices[name], done.brain) for name, image in images.items()},
            header_problems={name: problem for name, problem in headers.items() if problem},
            thresholds=self.settings.quality,
        )  # fmt: skip

    def _fingerprint(self, done: Preprocessed) -> str:
        """Return the fingerprint of the brain; empty where distances to others were never measured: another sequence, another voxel size."""
        if self.settings.spacing_mm != FINGERPRINT_MM or FINGERPRINT_SEQUENCE not in done.unstripped:
            return ""
        return fingerprint(done.unstripped[FINGERPRINT_SEQUENCE], done.brain)


def _not_taken(raw: RawCase) -> list[str]:
    return [f"series {key} was not taken: {why}" for key, why in raw.passed_over.items()]


def _said(choices: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return sequence -> which series was taken for it and how surely, in words."""
    return {name: f"series {one['key']}, confidence {one['confidence']:.2f}" for name, one in choices.items()}


def _hashes(files: Mapping[str, list[Path]]) -> dict[str, str]:
    """Return role -> hash of its content: of the file, or of all files of a series, whatever their names and order."""
    return {
        role: sha256_file(paths[0]) if len(paths) == 1 else content_hash(sorted(sha256_file(path) for path in paths))
        for role, paths in files.items()
    }


def _moved_mask(raw: RawCase, images: Mapping[str, Image], done: Preprocessed) -> tuple[LabelVolume, str]:
    """Return the case's mask on the output grid, moved as the sequence whose voxels it shares, and its label scheme."""
    labels, grid, scheme = _read_mask(raw)
    order = [done.reference, *(name for name in SEQUENCES if name in images and name != done.reference)]
    name = next((name for name in order if grid.same_space(images[name].grid)), None)
    if name is None:
        raise GeometryError(
            "The mask shares its voxels with none of the sequences:",
            problems=[f"mask: {grid.describe()}", *(f"{name}: {images[name].grid.describe()}" for name in order)],
            hint="Give the mask on the grid of the sequence that it was drawn on, or leave it out.",
        )
    return to_native(labels, grid, done.grid, np.linalg.inv(done.matrices[name])), scheme


def _read_mask(raw: RawCase) -> tuple[LabelVolume, Grid, str]:
    given = raw.row.get("mask_labels")
    stored, grid = read_labels(raw.row["mask"])
    scheme = given if isinstance(given, str) and given else detect_scheme(stored)
    if scheme == WHOLE_TUMOUR:  # its core and enhancement are unknown, and stay so
        return stored, grid, scheme
    return translate_labels(stored, scheme), grid, OWN_LABELS


def _transforms(images: Mapping[str, Image], done: Preprocessed) -> dict[str, Any]:
    sequences = {}
    reference = Image(done.unstripped[done.reference], done.grid)
    for name, found in done.registrations.items():
        middle = middle_mm(reference if name == done.reference else images[done.reference])
        rotation_deg, shift_mm = pose(found.matrix, middle)
        sequences[name] = {
            "matrix_output_to_native_mm": done.matrices[name].tolist(),
            "registered_to": "template" if name == done.reference else done.reference,
            "kind": found.kind,
            "rotation_deg": round(rotation_deg, 4),
            "shift_mm": round(shift_mm, 4),
            "similarity_before": round(found.similarity_before, 5),
            "similarity_after": round(found.similarity_after, 5),
            "native": _grid_facts(images[name].grid),
        }
    return {"reference": done.reference, "output": _grid_facts(done.grid), "sequences": sequences}


def _grid_facts(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "affine": grid.affine.tolist()}
