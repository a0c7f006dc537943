"""BIDS in: which file of a BIDS tree is which sequence of which case, and where its table of participants is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from radiogen.cohort.labels import read_text_table
from radiogen.cohort.layouts import Candidate, Found, stem
from radiogen.errors import CohortError

NAME = "bids"

_FILE = re.compile(
    r"sub-(?P<sub>[A-Za-z0-9]+)(?:_ses-(?P<ses>[A-Za-z0-9]+))?(?P<entities>(?:_[a-z]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)"
)
_SEQUENCES = {"T1w": "t1n", "T2w": "t2w", "FLAIR": "t2f"}
_CONTRAST_ACQUISITION = re.compile(r"(?i)ce|gd|gad\w*|post\w*|contrast\w*|t1c|t1ce")
_TUMOUR = re.compile(r"(?i)tumou?r\w*|lesion\w*|glioma\w*|wt|l|brats\w*")
_BRAIN = re.compile(r"(?i)brain\w*")

TUMOUR_LABELS_TSV = (
    "index\tname\tabbreviation\n"
    "0\tbackground\tBG\n"
    "1\tnecrotic tumour core\tNCR\n"
    "2\toedema or infiltration\tED\n"
    "3\tenhancing tumour\tET\n"
    "4\tresection cavity\tRC\n"
)
"""The table beside each tumour segmentation that radiogen writes; found beside one, it says which label scheme it has."""


class BidsLayout:
    """Brain Imaging Data Structure: `sub-01[_ses-02][_ce-gadolinium]_T1w.nii.gz`, raw or derivative.

    A T1w with a contrast agent (`ce-`, or an `acq-` that says so) is `t1c`. Only masks and segmentations that say that they are of a tumour or lesion
    are taken; a plain `dseg` is one of tissues. Raw files go before derivatives in a template's space.

    Source: BIDS specification 1.10, Magnetic Resonance Imaging; Derivatives, Imaging data types.

    Example:
        >>> BidsLayout().match(Path("sub-01_ses-1_ce-gadolinium_T1w.nii.gz")).role
        't1c'
    """

    def match(self, path: Path) -> Candidate | str | None:
        """Return the candidate, a reason for not using the file, or None when the name is not of this layout."""
        found = _FILE.fullmatch(stem(path))
        if found is None:
            return None
        entities = dict(part.split("-", 1) for part in found["entities"].split("_") if part)
        role = _role(found["suffix"], entities)
        if role not in ("t1n", "t1c", "t2w", "t2f", "mask"):
            return role
        patient = f"sub-{found['sub']}"
        case = patient if found["ses"] is None else f"{patient}_ses-{found['ses']}"
        return Candidate(case, role, path, _rank(entities), _mask_labels(role, path), patient)


BIDS = BidsLayout()


def _role(suffix: str, entities: dict[str, str]) -> str:
    if entities.get("part") in ("phase", "real", "imag"):
        return "a phase, real or imaginary part; magnitude images are used"
    if suffix in ("mask", "dseg", "roi"):
        return _mask_role(suffix, [entities.get(name, "") for name in ("label", "desc", "seg")])
    role = _SEQUENCES.get(suffix)
    if role is None:
        return f"'{suffix}' is not a sequence or mask that radiogen uses"
    contrast = "ce" in entities or _CONTRAST_ACQUISITION.fullmatch(entities.get("acq", "")) is not None
    return "t1c" if role == "t1n" and contrast else role


def _mask_role(suffix: str, words: Sequence[str]) -> str:
    if any(_BRAIN.fullmatch(word) for word in words):
        return "a brain mask, not a tumour mask"
    if any(_TUMOUR.fullmatch(word) for word in words):
        return "mask"
    return f"a {suffix} whose name does not say that it is of a tumour"


def _rank(entities: dict[str, str]) -> int:
    run = int(re.sub(r"\D", "", entities.get("run", "1")) or 1)
    moved = entities.get("space", "orig") not in ("orig", "individual", "scanner")
    return run - 1 + 100 * moved + 10 * ("rec" in entities) + 10 * (entities.get("desc", "preproc") != "preproc")


def _mask_labels(role: str, path: Path) -> str:
    table = path.with_name(f"{stem(path)}.tsv")
    own = role == "mask" and table.is_file() and table.read_text(encoding="utf-8") == TUMOUR_LABELS_TSV
    return "brats2023" if own else ""


def participants_tables(folders: Iterable[Path], found: Found) -> list[Path]:
    """Return the participants.tsv files that say something of BIDS cases that were found.

    Args:
        folders: that were searched.
        found: what was found in them.
    """
    tables: dict[Path, set[str]] = {}
    roots = [Path(folder).absolute() for folder in folders]
    for case in found.cases:
        if case.layout != NAME:
            continue
        first = next(iter(case.files.values()))
        for root in (root for root in roots if root in first.parents):
            above = [folder for folder in first.parents if folder == root or root in folder.parents]
            table = next(
                (folder / "participants.tsv" for folder in above if (folder / "participants.tsv").is_file()), None
            )
            if table is not None:
                tables.setdefault(table, set()).add(case.patient)
    return [table for table, patients in sorted(tables.items()) if _knows(table, patients)]


def _knows(table: Path, patients: set[str]) -> bool:
    try:
        raw = read_text_table(table)
    except CohortError:
        return False
    return "participant_id" in raw.columns and bool(set(raw["participant_id"]) & patients)
