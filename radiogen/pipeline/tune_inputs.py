"""What tuning starts from: probabilities on disk, references by case, radiomics of the predicted tumours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file

from radiogen.branches.radiomics.branch import extract_cohort
from radiogen.cohort.case import REFERENCE_ORDER
from radiogen.cohort.identifiers import identify
from radiogen.cohort.masks import region_volumes_ml, translate_labels
from radiogen.cohort.nifti import Grid, read_grid, read_labels, write_labels
from radiogen.cohort.table import present_sequences, read_cohort
from radiogen.config.folds import FoldsSettings
from radiogen.config.postprocess import PostprocessSettings
from radiogen.config.tune import TuneSettings
from radiogen.errors import CaseError, ImageError, InputError
from radiogen.pipeline.clusters import cluster_radiomics
from radiogen.resources import cache_folder
from radiogen.run.executor import run_cases
from radiogen.run.quarantine import Failure
from radiogen.segment.postprocess import postprocess
from radiogen.segment.tuning_cases import TuneCase
from radiogen.types import ED, RC, REGIONS

STAGE = "tune-masks"
_ENDINGS = ("-seg", "_seg", "-mask", "_mask", "-automatic-mask")


@dataclass(frozen=True)
class TuneInputs:
    """Cases to tune on.

    Args:
        cases: case -> what it is scored with.
        wt_ml: case -> volume of its reference's whole tumour, ml.
        cohort: a row per case with `patient`, `mask` and, where a cohort table was given, all it says.
        files: case -> its probabilities.
        has_images: whether the cohort names the cases' images.
        failures: cases that could not be used.
    """

    cases: dict[str, TuneCase]
    wt_ml: dict[str, float]
    cohort: pd.DataFrame
    files: dict[str, Path]
    has_images: bool
    failures: list[Failure]


def read_tune_inputs(
    probabilities: Path, reference: Path, settings: TuneSettings, *, jobs: int = 1, progress: bool = False
) -> TuneInputs:
    """Pair probabilities with references by case and make them ready to be scored.

    Args:
        probabilities: folder of `<case>.safetensors`, or a study with a folder `probabilities`.
        reference: cohort table, or a folder of masks named after their cases.
        settings: the metric.
        jobs: cases read at the same time.
        progress: show a progress bar.

    Raises:
        InputError: a path is missing, nothing pairs, no case can be used, or clusters are asked for without a cohort table.
    """
    files = probability_files(probabilities)
    has_images = reference.suffix == ".csv"
    if settings.per_cluster and not has_images:
        raise InputError(
            "Rules per cluster need the radiomics of the cases' images.", hint="Give a cohort table as the reference."
        )
    cohort = read_cohort(reference) if has_images else _cohort_of(reference, files)
    known = {str(case) for case, mask in cohort["mask"].items() if isinstance(mask, str)}
    common = [case for case in files if case in known]
    if not common:
        raise InputError(
            f"No case of {probabilities} ({_some(list(files))}) has a reference in {reference} ({_some(sorted(known))}).",
            hint="Probabilities are called <case>.safetensors; references are a cohort table's masks, or files named after their cases.",
        )
    rows = {str(case): row for case, row in cohort.iterrows()}
    items = {case: (files[case], rows[case]) for case in common}
    read, failures = run_cases(_Reader(settings), items, stage=STAGE, jobs=jobs, progress=progress)
    if not read:
        raise InputError(
            "No case can be tuned on:",
            problems=[f"{failure.case}: {failure.cause}" for failure in failures],
            hint=failures[0].fix,
        )
    cases = {case: item for case, (item, _) in read.items()}
    wt_ml = {case: volume for case, (_, volume) in read.items()}
    return TuneInputs(cases, wt_ml, cohort.loc[common], {case: files[case] for case in common}, has_images, failures)


@dataclass(frozen=True)
class _Reader:
    settings: TuneSettings

    def __call__(self, case: str, item: tuple[Path, pd.Series]) -> tuple[TuneCase, float]:
        """Return the case ready to be scored, and the volume of its whole tumour, ml."""
        path, row = item
        stored, grid = read_labels(row["mask"])
        given = row.get("mask_labels")
        scheme = given if isinstance(given, str) and given else "auto"
        whole_only = scheme == "whole-tumour" or (scheme == "auto" and int(stored.max()) == 1)
        labels = translate_labels(stored, scheme) if stored.any() else stored  # an empty map is empty in every scheme
        made = TuneCase.of(
            case,
            read_probabilities(path),
            labels,
            grid.voxel_size_mm,
            regions=REGIONS[:1] if whole_only else REGIONS,
            lesion_wise=self.settings.metric == "lesion-dice",
        )
        return made, region_volumes_ml(labels, grid)["wt_ml"]


def probability_files(folder: Path) -> dict[str, Path]:
    """Return case -> file of a folder of probabilities, or of the study it lies in.

    Raises:
        InputError: there are none.
    """
    inside = folder / "probabilities"
    found = sorted((inside if inside.is_dir() else folder).glob("*.safetensors"))
    if not found:
        raise InputError(
            f"{folder} holds no probabilities (<case>.safetensors).",
            hint="Make them with: radiogen segment --save-probabilities",
        )
    return {path.name.removesuffix(".safetensors"): path for path in found}


def read_probabilities(path: Path, grid: Grid | None = None) -> dict[str, np.ndarray]:
    """Return the region probabilities of a case.

    Args:
        path: `<case>.safetensors`.
        grid: the case's grid, where their shape is to be checked.

    Raises:
        CaseError: the file cannot be read, holds no region, or does not fit the grid.
    """
    try:
        values: dict[str, np.ndarray] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CaseError(f"{path.name} cannot be read: {error}", hint="Make it again with radiogen segment.") from error
    known = {name: array for name, array in values.items() if name in (*REGIONS, "rc")}
    if not any(name in REGIONS for name in known):
        raise CaseError(
            f"{path.name} holds {', '.join(sorted(values)) or 'nothing'}; wt, tc and et are accepted.",
            hint="Make it again with radiogen segment.",
        )
    shapes = {array.shape for array in known.values()}
    if grid is not None and shapes != {grid.canonical_shape}:
        raise CaseError(
            f"{path.name} holds {sorted(shapes)} voxels, the case {grid.canonical_shape}.",
            hint="Make the probabilities again from the case's present images.",
        )
    return known


def predicted_radiomics(
    cohort: pd.DataFrame,
    files: Mapping[str, Path],
    rules: PostprocessSettings,
    out: Path,
    settings: FoldsSettings,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Return the radiomics of predicted whole tumours, which put a case into its cluster; writes `predicted/<case>.nii.gz`.

    Args:
        cohort: cases with images.
        files: case -> its probabilities.
        rules: what makes a whole tumour of them.
        out: output folder.
        settings: what is measured.
        jobs: cases worked on at the same time.
        progress: show a progress bar.

    Returns:
        Radiomics per case, and the cases that have none.
    """
    rows = {str(case): row for case, row in cohort.iterrows()}
    work = _WholeTumour(dict(files), rules, out)
    masks, failures = run_cases(work, rows, stage=STAGE, jobs=jobs, progress=progress)
    predicted = cohort.loc[list(masks)].copy()
    predicted["mask"], predicted["mask_labels"] = pd.Series(masks, dtype=object), "brats2023"
    radiomics = cluster_radiomics(settings)
    cache = cache_folder() / "radiomics"
    features, failed = extract_cohort(predicted, radiomics, jobs=jobs, cache_folder=cache, progress=progress)
    return features, [*failures, *failed]


@dataclass(frozen=True)
class _WholeTumour:
    files: dict[str, Path]
    rules: PostprocessSettings
    out: Path

    def __call__(self, case: str, row: pd.Series) -> str:
        """Write the predicted whole tumour of a case and return its path."""
        grid = case_grid(row)
        probabilities = read_probabilities(self.files[case], grid)
        labels = postprocess(probabilities, self.rules, float(np.prod(grid.voxel_size_mm)) / 1000)
        path = self.out / "predicted" / f"{case}.nii.gz"
        write_labels(path, np.where((labels > 0) & (labels != RC), ED, 0).astype(np.uint8), grid)
        return str(path.resolve())


def case_grid(row: pd.Series) -> Grid:
    """Return the grid that outputs of a case are written on.

    Raises:
        ImageError: the case has neither image nor mask, or its header cannot be read.
    """
    sequences = present_sequences(row)
    path = next((sequences[name] for name in REFERENCE_ORDER if name in sequences), row.get("mask"))
    if not isinstance(path, str):
        raise ImageError("The case has neither image nor mask.", hint="Give one in the cohort table.")
    return read_grid(path)


def _cohort_of(folder: Path, files: Mapping[str, Path]) -> pd.DataFrame:
    """Return a table of the masks below a folder that belong to cases."""
    if not folder.is_dir():
        raise InputError(f"{folder} is neither a folder of masks nor a cohort table.", hint="Give one of them.")
    masks: dict[str, str] = {}
    for path in sorted([*folder.rglob("*.nii.gz"), *folder.rglob("*.nii")]):
        stem = path.name.removesuffix(".gz").removesuffix(".nii")
        names = [stem, *(stem.removesuffix(end) for end in _ENDINGS)]
        case = next((name for name in names if name in files), None)
        if case is not None:
            masks.setdefault(case, str(path.resolve()))
    index = pd.Index(list(masks), name="case", dtype=object)
    return pd.DataFrame(
        {"patient": [identify(case).patient for case in masks], "mask": list(masks.values())}, index=index
    )


def _some(names: list[str]) -> str:
    return f"{len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" if names else "none"
