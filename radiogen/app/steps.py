"""What the app does with one case, step by step: one grid, quality, mask, volumes, probability. Knows nothing of the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.app.identify import MASK, Item
from radiogen.cohort.case import CaseImages, read_case, read_case_mask, read_each
from radiogen.cohort.nifti import Image, write_image
from radiogen.cohort.table import typed_table, write_cohort
from radiogen.config.preprocess import PreprocessSettings
from radiogen.config.segment import SegmentSettings
from radiogen.errors import CaseError, GeometryError, InputError
from radiogen.pipeline.native import run_native
from radiogen.pipeline.preprocess import run_preprocess
from radiogen.pipeline.raw_cases import RawCase, RawCohort
from radiogen.pipeline.segment import run_segment
from radiogen.preprocess.brain import find_brain
from radiogen.preprocess.quality import measure_quality
from radiogen.preprocess.resample import resample, resized_shape
from radiogen.report.style import REGION_WORDS
from radiogen.report.viewer import LABEL_WORDS
from radiogen.run.provenance import read_sidecar
from radiogen.run.quarantine import Failure
from radiogen.segment.cohort import mask_path
from radiogen.segment.weights import installed_weights
from radiogen.types import REGIONS, SEQUENCES, LabelVolume

TRAINING_FREE = "flair-threshold"
"""The method of masks that needs no weights."""

_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_QUALITY_MM = 1.0

Say = Callable[[str], None]
"""Tells the user what is being done, one short line."""


@dataclass(frozen=True)
class Prepared:
    """A case on one grid, before its mask.

    Args:
        cohort: its row, with paths.
        preprocessed: whether it had to be brought onto one grid.
        flags: what is wrong or unusual with the images, in plain sentences.
        notes: what was done or is missing, in plain sentences.
    """

    cohort: pd.DataFrame
    preprocessed: bool
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A case with its mask.

    Args:
        case: case id.
        study: the folder that everything stands in.
        images: its sequences on one grid.
        labels: the mask, in radiogen's labels.
        facts: of the mask's sidecar.
        prepared: the case before its mask.
        cohort: its row with the mask.
    """

    case: str
    study: Path
    images: CaseImages
    labels: LabelVolume
    facts: Mapping[str, Any]
    prepared: Prepared
    cohort: pd.DataFrame


def check_case_id(case: str) -> str:
    """Return a case id that may stand in file names and reports.

    Args:
        case: as typed.

    Raises:
        InputError: it holds other characters.

    Example:
        >>> check_case_id(" case-7 ")
        'case-7'
    """
    wanted = case.strip()
    if not _CASE_ID.fullmatch(wanted):
        raise InputError(
            f"'{wanted}' cannot be a case id; up to 40 letters, digits, points, hyphens and underscores are accepted.",
            hint="Give one that does not name the patient.",
        )
    return wanted


def methods() -> list[str]:
    """Return how a mask can be made: without training, and by each of the installed weights."""
    return [TRAINING_FREE, *installed_weights()]


def check_method(method: str) -> str:
    """Return a method of `methods()`.

    Args:
        method: as asked for.

    Raises:
        InputError: there is no such method.
    """
    if method not in methods():
        raise InputError(f"'{method}' is not installed.", hint=f"There are: {', '.join(methods())}.")
    return method


def make_case(case: str, chosen: Mapping[str, Item], age: float | None = None, sex: str = "") -> RawCase:
    """Return the case that the chosen images make up.

    Args:
        case: case id.
        chosen: role -> image, as `choose` returns it.
        age: years; None: unknown.
        sex: `F`, `M` or empty.
    """
    row = {"case": case, "age": "" if age is None else f"{age:g}", "sex": sex}
    if MASK in chosen:
        row[MASK] = str(chosen[MASK].file)
    sequences = {name: chosen[name] for name in SEQUENCES if name in chosen}
    return RawCase(
        case,
        typed_table(pd.DataFrame([row]), Path()).iloc[0],
        {name: item.file for name, item in sequences.items() if item.file is not None},
        {name: item.series for name, item in sequences.items() if item.series is not None},
    )


def prepare(raw: RawCase, study: Path, *, register: bool = False, say: Say = lambda line: None) -> Prepared:
    """Return the case on one grid: as it is where the images share theirs, otherwise registered and brain-extracted.

    Args:
        raw: the case.
        study: folder to write to.
        register: bring it to template space even where the images share a grid.
        say: told what is being done.

    Raises:
        ImageError: an image cannot be used.
        CaseError: preprocessing did not succeed.
    """
    say("Reading the images")
    images = read_each({name: name for name in raw.sequences}, raw.read)
    if register or not share_grid(images):
        say("Bringing the images onto one grid (registration, brain extraction): some minutes")
        done = run_preprocess(RawCohort({raw.case: raw}, []), study, PreprocessSettings())
        raise_first(done.failures)
        sidecar = read_sidecar(study / "preprocessed" / raw.case / "brain.nii.gz")
        return Prepared(done.cohort, True, tuple(sidecar.get("flags", ())), tuple(sidecar.get("notes", ())))
    row = raw.row.copy()
    for name, image in images.items():
        path = raw.files.get(name) or study / "images" / f"{name}.nii.gz"
        if name not in raw.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, image.data, image.grid)
        row[name] = str(path)
    cohort = pd.DataFrame([row], index=pd.Index([raw.case], dtype=object, name="case"))
    say("Measuring the quality of the images")
    return Prepared(
        cohort, False, quality_flags(raw.case, images), ("The images share one grid and were used as they are.",)
    )


def share_grid(images: Mapping[str, Image]) -> bool:
    """Return whether images cover the same voxels of the world.

    Args:
        images: sequence -> image on its own grid, at least one.
    """
    first, *others = images.values()
    return all(first.grid.same_space(image.grid) for image in others)


def quality_flags(case: str, images: Mapping[str, Image]) -> tuple[str, ...]:
    """Return what is wrong or unusual with images that share a grid, in plain sentences.

    Args:
        case: case id.
        images: sequence -> image, all on one grid.
    """
    data = {name: _even_voxels(image) for name, image in images.items()}
    voxel_mm = _voxel_mm(next(iter(images.values())))
    try:
        brain = find_brain(data, voxel_mm).mask
    except CaseError as error:
        return (error.message,)
    return measure_quality(case, images, data, data, brain, voxel_mm, {}).flags


def _voxel_mm(image: Image) -> float:
    sizes = image.grid.voxel_size_mm
    return sizes[0] if np.ptp(sizes) < 1e-3 else _QUALITY_MM


def _even_voxels(image: Image) -> np.ndarray:
    """Return the image on cubic voxels, which quality is measured on."""
    size = image.grid.voxel_size_mm
    if np.ptp(size) < 1e-3:
        return image.data
    cube = (_QUALITY_MM, _QUALITY_MM, _QUALITY_MM)
    return resample(image.data, size, cube, resized_shape(image.data.shape, size, cube))


def segment(prepared: Prepared, study: Path, method: str, *, say: Say = lambda line: None) -> Finished:
    """Return the case with its mask: the given one, or one made by a method.

    Args:
        prepared: the case on one grid.
        study: folder to write to.
        method: one of `methods()`.
        say: told what is being done.

    Raises:
        CaseError: no mask could be made.
    """
    case = str(prepared.cohort.index[0])
    given = isinstance(prepared.cohort.iloc[0].get("mask"), str)
    say("Reading the given mask" if given else f"Making the mask ({method})")
    settings = SegmentSettings() if method == TRAINING_FREE else SegmentSettings(weights=(method,))
    outcome = run_segment(prepared.cohort, study, settings)
    raise_first(outcome.failures)
    row = outcome.cohort.iloc[0]
    write_cohort(outcome.cohort, study / "cohort.csv")
    if prepared.preprocessed:
        say("Bringing the mask back to the scan's own voxels")
        raise_first(run_native(study, study / "native")[1])
    images = read_case(row)
    labels = read_case_mask(row, images.grid)
    return Finished(case, study, images, labels, read_sidecar(mask_path(study, case)), prepared, outcome.cohort)


def raise_first(failures: list[Failure]) -> None:
    """Raise the failure of the one case there is.

    Args:
        failures: of a stage; empty where it succeeded.

    Raises:
        CaseError: the case failed.
    """
    if failures:
        raise CaseError(failures[0].cause, hint=failures[0].fix)


def volumes(done: Finished) -> pd.DataFrame:
    """Return the volume of every region and label of a mask, ml.

    Args:
        done: a case with its mask.

    Returns:
        Columns `region, volume_ml`; NaN where the mask cannot tell.
    """
    voxel_ml = float(np.prod(done.images.grid.voxel_size_mm)) / 1000.0
    rows: list[tuple[str, float]] = []
    for name in REGIONS:
        value = done.facts.get(f"{name}_ml")
        rows.append((REGION_WORDS[name], float("nan") if value is None else float(value)))
    for label, words in LABEL_WORDS.items():
        count = int((done.labels == label).sum())
        if count:
            rows.append((f"label {label}: {words}", count * voxel_ml))
    return pd.DataFrame(rows, columns=["region", "volume_ml"])


def words_of(error: Exception) -> str:
    """Return an error as the one plain message that the page shows: what came, what is accepted, what to do; never a traceback or a path.

    Args:
        error: of any step.

    Example:
        >>> words_of(MemoryError())
        'The machine has not enough memory for this case. Close other programs, or give smaller images.'
    """
    if isinstance(error, InputError | CaseError | GeometryError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The machine has not enough memory for this case. Close other programs, or give smaller images."
    if isinstance(error, OSError):
        return f"A file could not be read or written: {error.strerror or type(error).__name__}. Look at the free space of the disk, then try again."
    return (
        f"Something unexpected went wrong ({type(error).__name__}). The details are in the window that the app was started from; "
        "nothing of this case was kept."
    )
