"""Which of the files is which sequence, with reasons, for the user to correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from radiogen.app.files import DICOM, NIFTI, Received, Stored
from radiogen.cohort.dicom import read_series
from radiogen.cohort.dicom_layouts import find_dicom_cases
from radiogen.cohort.dicom_series import DicomSeries
from radiogen.cohort.layouts import stem
from radiogen.cohort.nifti import Image, read_grid, read_image
from radiogen.cohort.sequence_identity import SETTLED, Choice
from radiogen.cohort.sequence_identity import identify as identify_series
from radiogen.cohort.sequence_names import read_name
from radiogen.config.app import AppSettings
from radiogen.errors import CohortError, ImageError, InputError
from radiogen.preprocess.look import OTHER, sequence_likelihoods
from radiogen.types import SEQUENCES

MASK, NOT_USED = "mask", "not used"
ROLES = (*SEQUENCES, MASK, NOT_USED)
"""What a file can be taken for."""

_NO_BRAIN = 0.9
"""Likelihood of `other` from which an image is said to show no brain."""
_STRANGE = "the image does not look like a brain"


@dataclass(frozen=True)
class Item:
    """One image that was found among the files.

    Args:
        name: what the user sees; it may name a patient, so it is never written.
        role: one of `ROLES`, as proposed.
        confidence: of the proposal, 0 to 1; 0 where nothing is proposed.
        reasons: why, in plain sentences.
        geometry: voxels and their size in words.
        problem: why the image cannot be used at all; empty when it can.
        shows_brain: whether the image looks like a brain at all.
        file: of a NIfTI image.
        series: of a DICOM image.
    """

    name: str
    role: str
    confidence: float
    reasons: tuple[str, ...]
    geometry: str = ""
    problem: str = ""
    shows_brain: bool = True
    file: Path | None = None
    series: DicomSeries | None = None

    def read(self) -> Image:
        """Return the image on its own grid.

        Raises:
            ImageError: it cannot be used.
        """
        if self.series is not None:
            return read_series(self.series)
        if self.file is None:
            raise ImageError(f"{self.name} has no file.", hint="Drop the files again.")
        return read_image(self.file)


def find_items(received: Received, folder: Path, settings: AppSettings) -> list[Item]:
    """Return every image among the files with what it is taken for.

    Args:
        received: as `receive` returns it.
        folder: that it was written to.
        settings: limits.

    Raises:
        InputError: the DICOM files are of several visits or hold no image, or no image can be used; every reason is listed.
    """
    niftis = [stored for stored in received.files if stored.kind == NIFTI]
    items = _without_rivals([_nifti_item(stored, settings) for stored in niftis])
    if any(stored.kind == DICOM for stored in received.files):
        items += _dicom_items(folder / DICOM)
    if all(item.problem for item in items):
        raise InputError(
            f"None of the {len(items)} image(s) can be used:",
            problems=[f"{item.name}: {item.problem}" for item in items],
            hint="Drop T1, T1 with contrast, T2 and FLAIR of one brain MRI visit.",
        )
    return items


def choose(items: Sequence[Item], roles: Sequence[str]) -> dict[str, Item]:
    """Return role -> image for what the user settled on.

    Args:
        items: as `find_items` returns them.
        roles: one of `ROLES` per item.

    Raises:
        InputError: a role is given twice or to an image that cannot be used, no sequence is left, or none of the images shows a brain.
    """
    problems = []
    for role in (*SEQUENCES, MASK):
        named = [item.name for item, given in zip(items, roles, strict=True) if given == role]
        if len(named) > 1:
            problems.append(f"{role} is given to {len(named)} images: {', '.join(named)}")
    chosen = {role: item for item, role in zip(items, roles, strict=True) if role != NOT_USED}
    problems += [f"{item.name} cannot be {role}: {item.problem}" for role, item in chosen.items() if item.problem]
    images = {role: item for role, item in chosen.items() if role in SEQUENCES}
    if not images:
        problems.append(f"no image is {', '.join(SEQUENCES)}")
    elif not any(item.shows_brain for item in images.values()):
        problems.append("none of the images looks like a brain MRI: is it another part of the body?")
    if problems:
        raise InputError(
            "The sequences are not settled:",
            problems=problems,
            hint="Say for each image what it is, or leave it out as 'not used'.",
        )
    return {role: chosen[role] for role in ROLES if role in chosen}


def _nifti_item(stored: Stored, settings: AppSettings) -> Item:
    try:
        grid = read_grid(stored.path)
        voxels = float(np.prod(grid.shape, dtype=float))
        if voxels > settings.max_million_voxels * 1e6:
            raise ImageError(
                f"it has {voxels / 1e6:.0f} million voxels; up to {settings.max_million_voxels} million are accepted"
            )
        said = read_name(stem(Path(PurePosixPath(stored.name).name)))
        if said.role == MASK:
            return Item(
                stored.name, NOT_USED, 0.0, ("its name says tumour mask; choose 'mask' to use it instead of making one",), grid.describe(),
                file=stored.path,
            )  # fmt: skip
        seen = sequence_likelihoods(read_image(stored.path))
    except ImageError as error:
        own = error.message.replace(stored.path.name, "it")
        return Item(stored.name, NOT_USED, 0.0, (), problem=own.rstrip("."), file=stored.path)
    role, confidence, reasons = _judged(said.role, seen)
    return Item(
        stored.name, role, confidence, reasons, grid.describe(), shows_brain=seen[OTHER] < _NO_BRAIN, file=stored.path
    )


def _judged(said: str, seen: Mapping[str, float]) -> tuple[str, float, tuple[str, ...]]:
    """Return role, confidence and reasons from the name of a file, and from its image where the name says nothing."""
    looks = max(SEQUENCES, key=lambda name: seen[name])
    no_brain = seen[OTHER] >= _NO_BRAIN
    words = _STRANGE if no_brain else f"the image looks like {looks} ({seen[looks]:.0%})"
    if said in SEQUENCES:
        if not no_brain and looks != said and seen[looks] >= SETTLED:
            words += ": check it"
        return said, max(seen[said], SETTLED), (f"its name says {said}", words)
    if said:
        return NOT_USED, 0.0, ("its name says a sequence or mask that is not used", words)
    if no_brain:
        return NOT_USED, 0.0, ("its name says nothing", words)
    return looks, seen[looks], ("its name says nothing", words)


def _without_rivals(items: list[Item]) -> list[Item]:
    """Return the items with each role proposed once: for the image that it fits best."""
    best: dict[str, Item] = {}
    for item in items:
        if item.role != NOT_USED and (item.role not in best or item.confidence > best[item.role].confidence):
            best[item.role] = item
    settled = []
    for item in items:
        rival = best.get(item.role, item)
        if rival is not item:
            reasons = (*item.reasons, f"{rival.name} fits {item.role} better")
            item = replace(item, role=NOT_USED, confidence=0.0, reasons=reasons)
        settled.append(item)
    return settled


def _dicom_items(folder: Path) -> list[Item]:
    try:
        cases = find_dicom_cases([folder])
    except CohortError as error:
        raise InputError("The DICOM files hold no image that can be read.", hint="Export the series again.") from error
    if len(cases) > 1:
        raise InputError(
            f"The DICOM files are of {len(cases)} visits or patients; one is accepted.",
            hint="Drop the series of one visit.",
        )
    found = identify_series(
        cases[0].series, cases[0].folder_role, look=lambda one: sequence_likelihoods(read_series(one))
    )
    role_of = {choice.key: (role, choice) for role, choice in found.chosen.items()}
    return [
        _series_item(number, one, role_of.get(one.key), found.others.get(one.key, ""))
        for number, one in enumerate(cases[0].series, 1)
    ]


def _series_item(number: int, series: DicomSeries, chosen: tuple[str, Choice] | None, why_not: str) -> Item:
    header = series.header
    words = ", ".join([header.modality, *([header.plane] if header.plane else []), f"{len(series.files)} slices"])
    name = f"DICOM series {number} ({words})"
    geometry = "" if series.grid is None else series.grid.describe()
    problem = "; ".join(series.problems)
    if header.modality != "MR":
        problem = f"its modality is {header.modality}, MR is accepted"
    if chosen is None:
        return Item(name, NOT_USED, 0.0, (why_not,), geometry, problem, series=series)
    role, choice = chosen
    shows_brain = True
    if not problem:
        try:
            shows_brain = sequence_likelihoods(read_series(series))[OTHER] < _NO_BRAIN
        except ImageError as error:
            problem = " ".join([error.message, *error.problems])
    reasons = choice.reasons if shows_brain else (*choice.reasons, _STRANGE)
    return Item(name, role, choice.confidence, reasons, geometry, problem, shows_brain, series=series)
