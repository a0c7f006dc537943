"""Folders of DICOM files to cases: the RSNA-MICCAI 2021 collection and plain exports."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from radiogen.cohort.dicom import find_frames, find_series, join_frames
from radiogen.cohort.dicom_series import DicomSeries, FoundSeries
from radiogen.cohort.dicom_words import find_words, groups_of
from radiogen.cohort.layouts import natural_key
from radiogen.cohort.sequence_names import read_name
from radiogen.errors import CohortError
from radiogen.types import SEQUENCES

RSNA_MICCAI_2021 = "rsna-miccai-2021"
PLAIN = "plain"

_RSNA_FOLDERS = {"flair": "t2f", "t1w": "t1n", "t1wce": "t1c", "t2w": "t2w"}
_RSNA_CASE = re.compile(r"\d{5}")
_RSNA_UNUSABLE = frozenset({"00109", "00123", "00709"})
"""Source: the challenge's data page (kaggle.com/c/rsna-miccai-brain-tumor-radiogenomic-classification/data), where its organisers report 'unexpected
issues' with these three cases of the training set and let participants exclude them."""
_GENERIC_FOLDER = re.compile(r"(?i)dicoms?|dcm|images?|mri?|data|scans?|raw|export|study|studies|series|input")


@dataclass(frozen=True)
class DicomCase:
    """One visit of one patient.

    Args:
        case: the name of the user's folder, with _1, _2 ... in order of time where it holds several studies; never a value of a header.
        series: its volumes.
        folder_role: series key -> the sequence that its folder is named as, for those whose folder says one.
        folder: the folder that holds it.
        layout: `rsna-miccai-2021` or `plain`.
        problems: what a reader must know about it.
        unused: file -> why it belongs to no series.
    """

    case: str
    series: list[DicomSeries]
    folder_role: Mapping[str, str]
    folder: Path
    layout: str = PLAIN
    problems: tuple[str, ...] = ()
    unused: Mapping[Path, str] = field(default_factory=dict)


def find_dicom_cases(folders: Iterable[str | Path]) -> list[DicomCase]:
    """Return every case in folders of DICOM files.

    A case is a top-level sub-folder with everything below it. It is the folder itself when files lie directly in it, or when its sub-folders
    share one study (an export with a folder per series).

    Args:
        folders: each holds cases, or is one.

    Returns:
        Cases in natural order of their ids.

    Raises:
        CohortError: a folder does not exist, or no DICOM image is found.
    """
    roots = [Path(folder) for folder in folders]
    missing = [root for root in roots if not root.is_dir()]
    if missing:
        raise CohortError(
            "Not a folder that can be searched:",
            problems=[f"{root}: {'a file' if root.exists() else 'does not exist'}" for root in missing],
            hint="Give the folder that holds the cases, or a folder of one case.",
        )
    cases = [case for root in dict.fromkeys(root.absolute() for root in roots) for case in _cases_of(root)]
    if not cases:
        raise CohortError(
            f"No DICOM image was found in {', '.join(map(str, roots))}.",
            hint="Give the folder that holds the DICOM files.",
        )
    return sorted(_unique_names(cases), key=lambda case: natural_key(case.case))


def _cases_of(root: Path) -> list[DicomCase]:
    if _is_rsna(root):
        return _split_by_study(root, find_series(root))
    direct = find_frames(root, below=False)
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    parts = {path: find_frames(path) for path in folders}
    units = {path: join_frames(frames, reasons) for path, (frames, reasons) in parts.items() if frames}
    sharing = _sharing(units)
    if direct[0] or (not any(map(_is_rsna, units)) and _is_one_case(units, sharing)):
        everything = [direct, *parts.values()]
        all_frames = [frame for frames, _ in everything for frame in frames]
        unused = {path: reason for _, reasons in everything for path, reason in reasons.items()}
        return _split_by_study(root, join_frames(all_frames, unused))
    return [
        replace(case, problems=(*case.problems, *_shared_problem(path, sharing)))
        for path, found in units.items()
        for case in _split_by_study(path, found)
    ]


def _sharing(units: Mapping[Path, FoundSeries]) -> dict[Path, list[str]]:
    """Return the sub-folders that hold a study which another one holds too, and the names of those others."""
    holders: dict[str, list[Path]] = defaultdict(list)
    for path, found in units.items():
        for study in found.studies:
            holders[study].append(path)
    sharing: dict[Path, list[str]] = defaultdict(list)
    for paths in holders.values():
        for path in paths if len(paths) > 1 else []:
            sharing[path] += [other.name for other in paths if other != path]
    return sharing


def _is_one_case(units: Mapping[Path, FoundSeries], sharing: Mapping[Path, list[str]]) -> bool:
    if len(units) == 1:
        path, found = next(iter(units.items()))
        return len(found.series) == 1 or _GENERIC_FOLDER.fullmatch(path.name) is not None
    # Two patients whose folders hold the same study are twins to be reported; most folders sharing one is an export by series.
    return 2 * len(sharing) > len(units)


def _shared_problem(path: Path, sharing: Mapping[Path, list[str]]) -> list[str]:
    others = sorted(set(sharing.get(path, ())))
    return [f"it holds the same study as {', '.join(others)}: one patient under several names?"] if others else []


def _is_rsna(folder: Path) -> bool:
    children = {child.name.lower() for child in folder.iterdir() if child.is_dir()}
    return bool(_RSNA_CASE.fullmatch(folder.name)) and bool(children) and children <= set(_RSNA_FOLDERS)


def _split_by_study(folder: Path, found: FoundSeries) -> list[DicomCase]:
    if not found.series:
        return []
    rsna = _is_rsna(folder)
    whole = DicomCase(
        case=folder.name,
        series=found.series,
        folder_role=_rsna_roles(found.series) if rsna else _plain_roles(folder, found.series),
        folder=folder,
        layout=RSNA_MICCAI_2021 if rsna else PLAIN,
        problems=_known_problems(folder) if rsna else (),
        unused=found.unused,
    )
    studies = [study for study in found.studies if any(item.study == study for item in found.series)]
    if len(studies) == 1 or rsna:
        return [whole]
    if len(studies) == len(found.series) > 2:
        return [replace(whole, problems=("every series has a study id of its own; they are taken as one visit",))]
    said = f"the folder {folder.name} holds {len(studies)} studies; they are cases {folder.name}_1 to _{len(studies)} in order of time"
    return [_part(whole, study, number, said) for number, study in enumerate(studies, start=1)]


def _part(whole: DicomCase, study: str, number: int, said: str) -> DicomCase:
    series = [item for item in whole.series if item.study == study]
    keys = {item.key for item in series}
    return replace(
        whole,
        case=f"{whole.case}_{number}",
        series=series,
        folder_role={key: role for key, role in whole.folder_role.items() if key in keys},
        problems=(*whole.problems, said),
        unused=whole.unused if number == 1 else {},
    )


def _known_problems(folder: Path) -> tuple[str, ...]:
    if folder.name in _RSNA_UNUSABLE:
        return ("the organisers of RSNA-MICCAI 2021 report issues with this case and let it be excluded",)
    return ()


def _rsna_roles(series: Iterable[DicomSeries]) -> dict[str, str]:
    return {item.key: role for item in series if (role := _RSNA_FOLDERS.get(item.files[0].parent.name.lower()))}


def _plain_roles(case_folder: Path, series: Iterable[DicomSeries]) -> dict[str, str]:
    """Return what folders of a single series are named as; a plain 'T1' is left out, since it may be the one after contrast."""
    folders = {item.key: {file.parent for file in item.files} for item in series}
    members = Counter(folder for those in folders.values() for folder in those)
    roles = {}
    for key, those in folders.items():
        folder = next(iter(those))
        if len(those) > 1 or members[folder] > 1 or folder == case_folder:
            continue
        role = read_name(folder.name).role
        if role in SEQUENCES and (role != "t1n" or groups_of(find_words([folder.name])) & {"native"}):
            roles[key] = role
    return roles


def _unique_names(cases: list[DicomCase]) -> list[DicomCase]:
    counts = Counter(case.case.lower() for case in cases)
    named = [
        replace(case, case=f"{case.folder.parent.name}_{case.case}") if counts[case.case.lower()] > 1 else case
        for case in cases
    ]
    clashing = [name for name, count in Counter(case.case.lower() for case in named).items() if count > 1]
    if clashing:
        raise CohortError(
            "Several folders give one case id:",
            problems=[f"{case.case}: {case.folder}" for case in named if case.case.lower() in clashing],
            hint="Give each case folder a name of its own.",
        )
    return named
