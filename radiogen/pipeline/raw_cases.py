"""What `radiogen preprocess` starts from: a cohort table, a folder of NIfTI files, a folder of DICOM files, or all of them mixed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from radiogen.cohort.build import read_cohort_or_folder
from radiogen.cohort.case import read_each
from radiogen.cohort.dicom import DicomSeries, find_series, read_series
from radiogen.cohort.dicom_layouts import DicomCase, find_dicom_cases
from radiogen.cohort.nifti import Image, read_image
from radiogen.cohort.sequence_identity import Choice, identify
from radiogen.cohort.table import PATH_COLUMNS, typed_table
from radiogen.errors import CohortError, ImageError, InputError
from radiogen.preprocess.look import sequence_likelihoods
from radiogen.run.quarantine import Failure
from radiogen.types import SEQUENCES

log = logging.getLogger(__name__)

IDENTIFY = "identify"
"""Name of the stage that finds out which series is which sequence."""


@dataclass(frozen=True)
class RawCase:
    """One case before anything was done to it.

    Args:
        case: case id.
        row: its row of the cohort table: labels, clinical facts, and the paths that were given.
        files: sequence name -> NIfTI file.
        series: sequence name -> DICOM series.
        choices: sequence name -> why this series is taken for it, where that had to be found out.
        passed_over: series that were not taken -> what they are.
        notes: what was found, in plain sentences.
    """

    case: str
    row: pd.Series
    files: Mapping[str, Path] = field(default_factory=dict)
    series: Mapping[str, DicomSeries] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    passed_over: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def sequences(self) -> list[str]:
        """Return the names of the sequences the case has."""
        return [name for name in SEQUENCES if name in self.files or name in self.series]

    def input_files(self) -> dict[str, list[Path]]:
        """Return role -> every file that it is read from, and the mask's."""
        files = {name: [path] for name, path in self.files.items()}
        files |= {name: sorted(set(series.files)) for name, series in self.series.items()}
        if isinstance(self.row.get("mask"), str):
            files["mask"] = [Path(self.row["mask"])]
        return files

    def read(self, name: str) -> Image:
        """Return one sequence on its own grid.

        Raises:
            ImageError: it cannot be used.
        """
        return read_image(self.files[name]) if name in self.files else read_series(self.series[name])

    def read_all(self) -> tuple[dict[str, Image], tuple[str, ...]]:
        """Return every sequence on its own grid, and what cannot be used.

        A DICOM series that was found and cannot be used counts as a missing sequence, and the reader is told; a file that the user named must be
        sound.

        Raises:
            ImageError: files cannot be used, or no sequence is left; all reasons are listed.
        """
        images = read_each({name: name for name in self.files}, self.read)
        unusable: dict[str, str] = {}
        for name in self.series:
            try:
                images[name] = self.read(name)
            except ImageError as error:
                unusable[name] = " ".join([error.message, *error.problems])
        problems = tuple(f"{name} cannot be used: {reason}" for name, reason in unusable.items())
        if not images:
            raise ImageError("No sequence can be used:", problems=problems, hint="Export the series again.")
        return {name: images[name] for name in self.sequences if name in images}, problems


@dataclass(frozen=True)
class RawCohort:
    """The cases that were found, and what was not taken.

    Args:
        cases: case id -> case.
        failures: cases that cannot be worked on.
        unused: files that no case takes -> why.
    """

    cases: dict[str, RawCase]
    failures: list[Failure]
    unused: Mapping[Path, str] = field(default_factory=dict)


def find_raw_cases(source: str | Path, overrides: Mapping[str, Mapping[str, str]] | None = None) -> RawCohort:
    """Return the cases of a cohort table or a folder.

    Args:
        source: `cohort.csv`, whose paths may be NIfTI files or folders with one DICOM series each; or a folder of NIfTI files, DICOM files or both.
        overrides: case -> sequence name -> series, as `cohort.sequence_identity.read_overrides` returns it.

    Raises:
        InputError: nothing is found.
    """
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, overrides or {})
    return raw_cases_of_table(read_cohort_or_folder(path))


def raw_cases_of_table(cohort: pd.DataFrame) -> RawCohort:
    """Return the raw cases of a cohort table; rows that cannot be used are among the failures.

    Args:
        cohort: as `read_cohort` returns it; paths are NIfTI files or folders with one DICOM series each.
    """
    cases, failures = {}, []
    for name, row in cohort.iterrows():
        case = str(name)
        try:
            cases[case] = _of_row(case, row)
        except InputError as error:
            failures.append(Failure.from_exception(case, IDENTIFY, error))
    return RawCohort(cases, failures)


def _of_row(case: str, row: pd.Series) -> RawCase:
    files, series, problems = {}, {}, []
    for name in SEQUENCES:
        if not isinstance(row.get(name), str):
            continue
        path = Path(row[name])
        if not path.is_dir():
            files[name] = path
            continue
        found = [one for one in find_series(path).series if not one.problems]
        if len(found) == 1:
            series[name] = found[0]
        else:
            problems.append(f"{name}: the folder {path.name} holds {len(found)} usable DICOM series; one is accepted")
    if problems:
        raise ImageError("Sequences cannot be read:", problems=problems, hint="Give one series per folder.")
    if not files and not series:
        raise ImageError("The case has no sequence.", hint="Give at least one of t1n, t1c, t2w, t2f.")
    return RawCase(case, row, files, series)


def _from_folder(folder: Path, overrides: Mapping[str, Mapping[str, str]]) -> RawCohort:
    cases: dict[str, RawCase] = {}
    failures: list[Failure] = []
    nifti_problem = ""
    try:
        table = read_cohort_or_folder(folder)
    except CohortError as error:
        nifti_problem = error.message
    else:
        found = raw_cases_of_table(table)
        cases, failures = found.cases, found.failures
    dicom_problem = ""
    try:
        dicom = find_dicom_cases([folder])
    except CohortError as error:
        dicom, dicom_problem = [], error.message
    for one in dicom:
        try:
            if one.case in cases:
                raise CohortError(f"The case '{one.case}' has NIfTI and DICOM files.", hint="Keep one kind.")
            cases[one.case] = _of_dicom(one, overrides.get(one.case, {}))
        except InputError as error:
            failures.append(Failure.from_exception(one.case, IDENTIFY, error))
    if not cases and not failures:
        raise CohortError(
            f"No case was found in {folder}.",
            problems=[nifti_problem, dicom_problem],
            hint="Give a folder of DICOM or NIfTI files, or cohort.csv.",
        )
    return RawCohort(cases, failures)


def _of_dicom(case: DicomCase, overrides: Mapping[str, str]) -> RawCase:
    found = identify(case.series, case.folder_role, look=_look, overrides=overrides)
    if not found.chosen:
        raise ImageError(
            f"None of the {len(case.series)} DICOM series is one of {', '.join(SEQUENCES)}.",
            problems=[f"series {key}: {what}" for key, what in found.others.items()],
            hint="Say which is which in a file for --overrides.",
        )
    by_key = {one.key: one for one in case.series}
    row = typed_table(pd.DataFrame({"case": [case.case]}), Path()).iloc[0]
    series = {name: by_key[choice.key] for name, choice in found.chosen.items()}
    return RawCase(case.case, row, {}, series, found.chosen, found.others, (*case.problems, *_notes(case, series)))


def _notes(case: DicomCase, series: Mapping[str, DicomSeries]) -> list[str]:
    """Return what was found in the files, without their names: a clinic may have put the patient's into them."""
    notes = [f"{name}: {note}" for name, one in series.items() for note in one.notes]
    reasons = Counter(case.unused.values())
    return notes + [f"{count} file(s) not used: {reason}" for reason, count in reasons.most_common()]


def _look(series: DicomSeries) -> Mapping[str, float]:
    return sequence_likelihoods(read_series(series))


def cohort_rows(cases: Mapping[str, RawCase]) -> pd.DataFrame:
    """Return the cohort table of raw cases: their rows without paths."""
    table = pd.DataFrame([case.row for case in cases.values()], index=pd.Index(list(cases), dtype=object, name="case"))
    table[PATH_COLUMNS] = None
    return table
