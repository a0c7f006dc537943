"""Layouts of the public collections and of plain folders: which file is which sequence of which case."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from radiogen.cohort.sequence_names import BRAIN_MASK, OTHER, NamedFile, read_name
from radiogen.errors import CohortError
from radiogen.registry import Registry
from radiogen.types import SEQUENCES

ROLES = (*SEQUENCES, "mask")


@dataclass(frozen=True)
class Candidate:
    """One file that may be one sequence or the mask of one case.

    Args:
        case: case id.
        role: `t1n t1c t2w t2f mask`.
        path: the file.
        rank: 0 for a primary file, more the further it was processed; the lowest is taken.
        mask_labels: label scheme of a mask where the layout fixes it, otherwise empty.
        patient: the patient's id where the layout tells it, otherwise empty.
    """

    case: str
    role: str
    path: Path
    rank: int = 0
    mask_labels: str = ""
    patient: str = ""


@dataclass(frozen=True)
class FoundCase:
    """One case of a folder.

    Args:
        case: case id.
        layout: name of the layout that recognised its first file.
        files: role -> file taken.
        passed_over: role -> files of the same role that were not taken.
        mask_labels: label scheme of the mask where the layout fixes it, otherwise empty.
        patient: the patient's id where the layout tells it, otherwise empty: the case's id tells it.
    """

    case: str
    layout: str
    files: Mapping[str, Path]
    passed_over: Mapping[str, list[Path]] = field(default_factory=dict)
    mask_labels: str = ""
    patient: str = ""


@dataclass(frozen=True)
class Found:
    """What a search of folders came to.

    Args:
        cases: in natural order of their ids, so that `case2` comes before `case10`.
        unused: NIfTI files that no case takes -> why.
    """

    cases: list[FoundCase]
    unused: Mapping[Path, str]


@runtime_checkable
class Layout(Protocol):
    """What tells case and role of a file from its name."""

    def match(self, path: Path) -> Candidate | str | None:
        """Return the candidate, a reason for not using the file, or None when the name is not of this layout."""
        ...


@dataclass(frozen=True)
class NamedLayout:
    """A layout that tells case and role from the file name alone.

    Args:
        pattern: of the whole name without extension, with groups `case` and `role`.
        roles: role as written, lower case -> role and rank; a written role that is not listed is a file radiogen does not use.
        mask_labels: label scheme of its masks.
    """

    pattern: re.Pattern[str]
    roles: Mapping[str, tuple[str, int]]
    mask_labels: str

    def match(self, path: Path) -> Candidate | str | None:
        """Return the candidate, a reason for not using the file, or None when the name is not of this layout."""
        found = self.pattern.fullmatch(stem(path))
        if found is None:
            return None
        written = found["role"].lower()
        if written not in self.roles:
            return f"'{found['role']}' is not a sequence or mask that radiogen uses"
        role, rank = self.roles[written]
        return Candidate(found["case"], role, path, rank, self.mask_labels if role == "mask" else "")


def _same_rank(**roles: str) -> dict[str, tuple[str, int]]:
    return {written: (role, 0) for written, role in roles.items()}


_BRATS_OLD = _same_rank(t1="t1n", t1ce="t1c", t2="t2w", flair="t2f", seg="mask")
_UCSF = {
    f"{written}{suffix}": (role, rank + (suffix == "_bias"))
    for written, role, rank in (
        ("t1", "t1n", 0),
        ("t1c", "t1c", 0),
        ("t1gad", "t1c", 2),
        ("t2", "t2w", 0),
        ("flair", "t2f", 0),
    )
    for suffix in ("", "_bias")
} | {"tumor_segmentation": ("mask", 0)}
_UPENN = {
    f"{written}{suffix}": (role, int(suffix != ""))
    for written, role in (("t1", "t1n"), ("t1gd", "t1c"), ("t2", "t2w"), ("flair", "t2f"))
    for suffix in ("", "_unstripped")
} | {"segm": ("mask", 0), "automated_approx_segm": ("mask", 2), "combined_approx_segm": ("mask", 1)}

BRATS_2018_2020 = NamedLayout(
    re.compile(r"(?i)(?P<case>BraTS(?:1\d|20)_.+?)_(?P<role>t1|t1ce|t2|flair|seg)"), _BRATS_OLD, "brats2021"
)
BRATS_2021 = NamedLayout(
    re.compile(r"(?i)(?P<case>BraTS2021_\d{5})_(?P<role>t1|t1ce|t2|flair|seg)"), _BRATS_OLD, "brats2021"
)
BRATS_2023 = NamedLayout(
    re.compile(r"(?i)(?P<case>BraTS-[A-Z]{2,4}-\d{5}-\d{3})-(?P<role>t1n|t1c|t2w|t2f|seg)"),
    _same_rank(t1n="t1n", t1c="t1c", t2w="t2w", t2f="t2f", seg="mask"),
    "brats2023",
)
UCSF_PDGM = NamedLayout(re.compile(r"(?i)(?P<case>UCSF-PDGM-\d{3,4}(?:_FU\d+d)?)_(?P<role>.+)"), _UCSF, "brats2021")
UPENN_GBM = NamedLayout(re.compile(r"(?i)(?P<case>UPENN-GBM-\d{5}_\d{2})_(?P<role>.+)"), _UPENN, "brats2021")
LGG_SEGMENTATION = NamedLayout(
    re.compile(r"(?i)(?P<case>TCGA_[A-Z0-9]{2}_[A-Z0-9]{4}_\d{8})_(?P<role>t1n|t1c|t2f|mask)"),
    _same_rank(t1n="t1n", t1c="t1c", t2f="t2f", mask="mask"),
    "whole-tumour",
)
PLAIN = "plain"

LAYOUTS = Registry(
    "layouts",
    {
        "brats2018-2020": "radiogen.cohort.layouts:BRATS_2018_2020",
        "brats2021": "radiogen.cohort.layouts:BRATS_2021",
        "brats2023": "radiogen.cohort.layouts:BRATS_2023",
        "bids": "radiogen.cohort.bids_layout:BIDS",
        "lumiere": "radiogen.cohort.dataset_layouts:LUMIERE",
        "rhuh-gbm": "radiogen.cohort.dataset_layouts:RHUH_GBM",
        "ucsf-pdgm": "radiogen.cohort.layouts:UCSF_PDGM",
        "upenn-gbm": "radiogen.cohort.layouts:UPENN_GBM",
        "lgg-segmentation": "radiogen.cohort.layouts:LGG_SEGMENTATION",
        PLAIN: "radiogen.cohort.layouts:PLAIN",
    },
)
"""Layouts by name. `auto` tries every one, file by file, and `plain` takes what is left."""


def find_cases(folders: Iterable[str | Path], layout: str = "auto") -> Found:
    """Return every case in folders of NIfTI files.

    Args:
        folders: searched with everything below them.
        layout: a name of `LAYOUTS`, or `auto`.

    Raises:
        CohortError: a folder does not exist, or no case is found.
        ConfigError: the layout is unknown.
    """
    names = LAYOUTS.names() if layout == "auto" else [layout]
    named = {name: LAYOUTS.load(name) for name in names if name != PLAIN}
    if layout not in ("auto", PLAIN):
        LAYOUTS.load(layout)
    roots = [Path(folder) for folder in folders]
    missing = [root for root in roots if not root.is_dir()]
    if missing:
        raise CohortError(
            "Not a folder that can be searched:",
            problems=[f"{root}: {'a file' if root.exists() else 'does not exist'}" for root in missing],
            hint="Give the folder that holds the cases, or a folder of one case.",
        )
    candidates: dict[str, list[Candidate]] = {}
    unused: dict[Path, str] = {}
    left: dict[tuple[Path, Path], list[Path]] = defaultdict(list)
    for root, path in _nifti_files(roots):
        _try_named(root, path, named, candidates, unused, left)
    if PLAIN in names:
        candidates[PLAIN] = _plain_candidates(left, unused)
    else:
        unused |= {path: f"the name is not of the layout {layout}" for paths in left.values() for path in paths}
    cases = _cases(candidates)
    if not cases:
        raise CohortError(_nothing_found(roots, layout, unused), hint="See the accepted layouts with: radiogen info")
    return Found(cases, dict(sorted(unused.items())))


def stem(path: Path) -> str:
    """Return a file's name without `.nii` or `.nii.gz`.

    Example:
        >>> stem(Path("a/case.01_t1.nii.gz"))
        'case.01_t1'
    """
    return re.sub(r"(?i)\.nii(\.gz)?$", "", path.name)


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key under which numbers inside names count as numbers.

    Example:
        >>> sorted(["c10", "c2", "b"], key=natural_key)
        ['b', 'c2', 'c10']
    """
    parts = re.split(r"(\d+)", text.lower())
    key = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
    return [*key, (-1, 0, text)]


def _nothing_found(roots: list[Path], layout: str, unused: Mapping[Path, str]) -> str:
    where = ", ".join(map(str, roots))
    if not unused:
        return f"No NIfTI file (.nii, .nii.gz) was found in {where}."
    path, reason = next(iter(sorted(unused.items())))
    return f"No case of the layout '{layout}' was found in {where}: {len(unused)} NIfTI file(s), for instance {path.name}: {reason}."


def _nifti_files(roots: list[Path]) -> list[tuple[Path, Path]]:
    found: dict[Path, tuple[Path, Path]] = {}
    for root in roots:
        seen: set[Path] = set()
        for folder, below, files in os.walk(root, followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith("."))
            real = Path(folder).resolve()
            if real in seen:  # a link that leads back to a folder above it
                below[:] = []
                continue
            seen.add(real)
            for name in sorted(files):
                path = Path(folder) / name
                if re.search(r"(?i)\.nii(\.gz)?$", name) and not name.startswith("."):
                    found.setdefault(path.absolute(), (root, path.absolute()))
    return list(found.values())


def _try_named(
    root: Path,
    path: Path,
    named: Mapping[str, Layout],
    candidates: dict[str, list[Candidate]],
    unused: dict[Path, str],
    left: dict[tuple[Path, Path], list[Path]],
) -> None:
    for name, layout in named.items():
        outcome = layout.match(path)
        if isinstance(outcome, Candidate):
            candidates.setdefault(name, []).append(outcome)
            return
        if isinstance(outcome, str):
            unused[path] = outcome
            return
    left[(root, path.parent)].append(path)


_GENERIC_FOLDER = re.compile(
    r"(?i)anat|nii|nifti|nii[_-]?gz|images?|mri?|data|scans?|raw|preop|pre[_-]?op|preprocessed|processed|source|registered|dicom2nifti"
)


def _plain_candidates(left: Mapping[tuple[Path, Path], list[Path]], unused: dict[Path, str]) -> list[Candidate]:
    groups: dict[tuple[Path, Path, str], list[tuple[Path, NamedFile]]] = defaultdict(list)
    for (root, folder), paths in left.items():
        named = []
        for path in paths:
            read = read_name(stem(path))
            if read.role in ROLES:
                named.append((path, read))
            else:
                unused[path] = _why_unused(read.role)
        for prefix, members in _split_folder(named).items():
            groups[(root, folder, prefix)] += members
    names = _group_names(groups)
    return [
        Candidate(names[group], read.role, path, read.rank, _old_mask_labels(names[group], read.role))
        for group, members in groups.items()
        for path, read in members
    ]


def _old_mask_labels(case: str, role: str) -> str:
    return "brats2013" if role == "mask" and re.match(r"(?i)brats_?2013_(pat)?\d", case) else ""


def _why_unused(role: str) -> str:
    if role == BRAIN_MASK:
        return "a brain mask, not a tumour mask"
    if role == OTHER:
        return "a sequence that radiogen does not use"
    return "the name does not say which sequence it is"


def _split_folder(named: list[tuple[Path, NamedFile]]) -> dict[str, list[tuple[Path, NamedFile]]]:
    """Return case prefix -> files: one case (under the empty prefix) unless two prefixes hold the same sequence."""
    prefixes_of_role: dict[str, set[str]] = defaultdict(set)
    for _, read in named:
        prefixes_of_role[read.role].add(read.prefix)
    several = any(len(prefixes - {""}) > 1 for role, prefixes in prefixes_of_role.items() if role in SEQUENCES)
    if not several:
        return {"": named} if named else {}
    split: dict[str, list[tuple[Path, NamedFile]]] = defaultdict(list)
    for path, read in named:
        split[read.prefix].append((path, read))
    return split


def _group_names(
    groups: Mapping[tuple[Path, Path, str], list[tuple[Path, NamedFile]]],
) -> dict[tuple[Path, Path, str], str]:
    """Return a case id per group: the prefix in a flat folder, otherwise the folder's name, with names of folders above until ids differ."""
    parts = {group: _name_parts(group, members) for group, members in groups.items()}
    depth = dict.fromkeys(groups, 1)
    while True:
        names = {group: "_".join(parts[group][-depth[group] :]) for group in groups}
        same = defaultdict(list)
        for group, name in names.items():
            same[name.lower()].append(group)
        clashing = [group for members in same.values() if len(members) > 1 for group in members]
        growing = [group for group in clashing if depth[group] < len(parts[group])]
        if not growing:
            return names
        for group in growing:
            depth[group] += 1


def _name_parts(group: tuple[Path, Path, str], members: list[tuple[Path, NamedFile]]) -> list[str]:
    root, folder, prefix = group
    above = [
        part for part in [*root.resolve().parts[-2:], *folder.relative_to(root.absolute()).parts] if part != os.sep
    ]
    specific = [part for part in above if not _GENERIC_FOLDER.fullmatch(part)] or above
    if prefix:
        return [*specific, prefix]
    own = _common_prefix([read.prefix for _, read in members if read.prefix])
    at_top_or_generic = folder == root.absolute() or specific[-1] != above[-1]
    if own and at_top_or_generic and any(letter.isdigit() for letter in own):
        return [*specific, own]
    return specific


def _common_prefix(prefixes: list[str]) -> str:
    if not prefixes:
        return ""
    first, last = min(prefixes), max(prefixes)
    length = next((at for at, letter in enumerate(first) if at >= len(last) or letter != last[at]), len(first))
    return first[:length].strip(" ._-")


def _cases(candidates: Mapping[str, list[Candidate]]) -> list[FoundCase]:
    files: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    layouts: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for layout, members in candidates.items():
        for candidate in members:
            case = spelling.setdefault(candidate.case.lower(), candidate.case)
            layouts.setdefault(case, layout)
            files[case][candidate.role].append(candidate)
    return [_case(case, layouts[case], files[case]) for case in sorted(files, key=natural_key)]


def _case(case: str, layout: str, files: Mapping[str, list[Candidate]]) -> FoundCase:
    ordered = {
        role: sorted(files[role], key=lambda item: (item.rank, len(item.path.name), str(item.path)))
        for role in ROLES
        if role in files
    }
    passed_over = {role: [item.path for item in members[1:]] for role, members in ordered.items() if len(members) > 1}
    mask_labels = ordered["mask"][0].mask_labels if "mask" in ordered else ""
    taken = {role: members[0].path for role, members in ordered.items()}
    patient = next((item.patient for members in ordered.values() for item in members if item.patient), "")
    return FoundCase(case, layout, taken, passed_over, mask_labels, patient)
