"""Case and patient ids of the public glioma collections, recognised whatever their spelling."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Identifier:
    """What one id says about the patient behind it.

    Args:
        text: the id as written.
        scan: key of this scan: equal for two spellings of one scan.
        key: key of the patient: equal for every scan and every spelling of one patient.
        patient: the patient's id as it is shown.
        collection: name of the collection the id belongs to, empty when it is none that radiogen knows.
        site: where the scan was made, as far as the id tells, otherwise None.
    """

    text: str
    scan: str
    key: str
    patient: str
    collection: str = ""
    site: str | None = None


def identify(text: str, *, header: str = "") -> Identifier:
    """Return what an id says about its patient.

    Args:
        text: case, scan or patient id, or a folder name.
        header: name of the column it stands in; it tells the collection of ids that are only digits (`BraTS21ID`).

    Example:
        >>> identify("UCSF-PDGM-004").key == identify("UCSF-PDGM-0004_FU001d_nifti").key
        True
        >>> identify("TCGA_CS_4941_19960909").patient
        'TCGA-CS-4941'
        >>> identify("00097", header="BraTS21ID").key == identify("BraTS-GLI-00097-000").key
        True
    """
    text = text.strip()
    if text.isdigit() and _BRATS2021_HEADER.fullmatch(header.strip()):
        return _brats2021(text, text, patient=f"BraTS2021_{int(text):05d}")
    for pattern, build in _FAMILIES:
        match = pattern.fullmatch(text)
        if match:
            return build(text, match)
    return _other(text)


def _other(text: str) -> Identifier:
    parts = re.findall(r"[a-z]+|\d+", text.lower())
    key = "other:" + "-".join(part.lstrip("0") or "0" if part.isdigit() else part for part in parts)
    return Identifier(text, key, key, text)


def _brats2021(text: str, number: str, *, patient: str, timepoint: str = "000") -> Identifier:
    # BraTS 2023 and later kept the numbers of BraTS 2021 (Training and Validation cases 00000-01666) and count on from there.
    key = f"brats-gli:{int(number):05d}"
    return Identifier(text, f"{key}:{timepoint}", key, patient, "BraTS-GLI")


def _brats2021_case(text: str, match: re.Match[str]) -> Identifier:
    return _brats2021(text, match["number"], patient=f"BraTS2021_{match['number']}")


def _brats2023(text: str, match: re.Match[str]) -> Identifier:
    kind, number, timepoint = match["kind"].upper(), match["number"], match["timepoint"] or "000"
    patient = f"BraTS-{kind}-{number}"
    if kind == "GLI":
        return _brats2021(text, number, patient=patient, timepoint=timepoint)
    key = f"brats-{kind.lower()}:{number}"
    return Identifier(text, f"{key}:{timepoint}", key, patient, f"BraTS-{kind}")


def _brats_2013_to_2019(text: str, match: re.Match[str]) -> Identifier:
    # 'Brats17_TCIA_167_1' of 2017 is 'Brats18_TCIA08_167_1' of 2018: the number is the patient's, whatever the year and the centre's code.
    centre, number = match["centre"].upper(), match["number"].upper()
    key = f"brats:{'TCIA' if centre.startswith('TCIA') else centre}:{number}"
    site = "BraTS2013" if centre == "2013" else centre
    patient = re.sub(r"_\d+$", "", match["id"])
    return Identifier(text, f"{key}:{match['visit']}", key, patient, "BraTS", site)


def _brats2020(text: str, match: re.Match[str]) -> Identifier:
    key = f"brats20:{match['part'].lower()}:{int(match['number']):03d}"
    return Identifier(
        text, key, key, f"BraTS20_{match['part'].capitalize()}_{int(match['number']):03d}", "BraTS20", None
    )


def _ucsf(text: str, match: re.Match[str]) -> Identifier:
    patient = f"UCSF-PDGM-{int(match['number']):04d}"
    key = patient.lower()
    scan = f"{key}:{(match['follow_up'] or '').lower()}"
    return Identifier(text, scan, key, patient, "UCSF-PDGM", "UCSF-PDGM")


def _upenn(text: str, match: re.Match[str]) -> Identifier:
    patient = f"UPENN-GBM-{int(match['number']):05d}"
    key = patient.lower()
    return Identifier(text, f"{key}:{match['visit'] or ''}", key, patient, "UPENN-GBM", "UPENN-GBM")


def _tcga(text: str, match: re.Match[str]) -> Identifier:
    source, number = match["source"].upper(), match["number"].upper()
    patient = f"TCGA-{source}-{number}"
    key = patient.lower()
    rest = re.sub(r"[^a-z0-9]+", "-", match["rest"].lower()).strip("-")
    return Identifier(text, f"{key}:{rest}", key, patient, "TCGA", f"TCGA-{source}")


_BRATS2021_HEADER = re.compile(r"(?i)(brats|rsna)[ _.-]?(20)?21.*")
_FAMILIES: tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str]], Identifier]], ...] = (
    (re.compile(r"(?i)BraTS2021_(?P<number>\d{5})"), _brats2021_case),
    (re.compile(r"(?i)BraTS-(?P<kind>[A-Z]{2,4})-(?P<number>\d{5})(?:-(?P<timepoint>\d{3}))?"), _brats2023),
    (re.compile(r"(?i)BraTS20_(?P<part>Training|Validation|Testing)_(?P<number>\d{1,4})"), _brats2020),
    (
        re.compile(
            r"(?i)(?P<id>BraTS_?(?:20)?1\d_(?P<centre>CBICA|TMC|2013|TCIA\d{0,2})_(?P<number>\w+?)_(?P<visit>\d+))"
        ),
        _brats_2013_to_2019,
    ),
    (re.compile(r"(?i)(?P<id>BraTS_(?P<centre>2013)_(?P<number>(?:pat)?\d+)_(?P<visit>\d+))"), _brats_2013_to_2019),
    (re.compile(r"(?i)UCSF[-_]PDGM[-_](?P<number>\d{3,4})(?:_(?P<follow_up>FU\d+d))?(?:_nifti)?"), _ucsf),
    (re.compile(r"(?i)UPENN[-_]GBM[-_](?P<number>\d{5})(?:_(?P<visit>\d{2}))?"), _upenn),
    (re.compile(r"(?i)TCGA[-_.](?P<source>[A-Z0-9]{2})[-_.](?P<number>[A-Z0-9]{4})(?P<rest>(?:[-_.].*)?)"), _tcga),
)
"""Tried in this order: pattern of the whole id -> what it means."""


def matching_cases(cases: Sequence[str], known: Sequence[str]) -> list[str | None]:
    """Return for each case the known one of the same scan, or else of the same patient; None where there is none.

    Args:
        cases: ids in any known spelling.
        known: ids to choose from; of several of one patient the first is taken.

    Example:
        >>> matching_cases(["UCSF-PDGM-0004_nifti", "other-1"], ["UCSF-PDGM-004"])
        ['UCSF-PDGM-004', None]
    """
    by_scan: dict[str, str] = {}
    by_patient: dict[str, str] = {}
    for case in reversed(known):
        found = identify(case)
        by_scan[found.scan], by_patient[found.key] = case, case
    return [by_scan.get(own.scan) or by_patient.get(own.key) for own in map(identify, cases)]
