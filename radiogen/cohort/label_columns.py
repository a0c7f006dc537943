"""Which columns of a label table hold what, told from their headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from radiogen.cohort.identifiers import identify
from radiogen.cohort.label_values import is_missing

_HEADERS: dict[str, tuple[str, ...]] = {
    "idh": (
        "idh", "idhstatus", "idhmutation", "idhmutationstatus", "idhmutated", "idhmutant", "idh1", "idh1status", "idh1mutation", "idh1mutationstatus",
        "idh12", "idh12status", "idh12mutation", "idh1idh2", "idh1or2", "idhgenotype",
    ),
    "mgmt": (
        "mgmt", "mgmtstatus", "mgmtvalue", "mgmtmethylated", "mgmtmethylation", "mgmtmethylationstatus", "mgmtpromoter", "mgmtpromoterstatus",
        "mgmtpromotermethylation", "mgmtpromotermethylationstatus",
    ),
    "codeletion_1p19q": (
        "codeletion1p19q", "1p19q", "x1p19q", "1p19qcodeletion", "x1p19qcodeletion", "1p19qcodeleted", "1p19qstatus", "1p19qcodeletionstatus",
        "codel",
        "codeletion", "1p19qcodel", "1p19qdeletion",
    ),
    "grade": (
        "grade", "whocnsgrade", "cnswhograde", "whograde", "tumorgrade", "tumourgrade", "whogradecns", "gradewho", "histologicalgrade",
        "neoplasmhistologicgrade",
    ),
    "age": (
        "age", "ageyears", "ageatmri", "ageatscan", "ageatscanyears", "ageatdiagnosis", "ageyearsatdiagnosis", "agediagnosis",
        "ageatdiagnosisyears", "patientage",
    ),
    "sex": ("sex", "gender", "patientsex"),
    "kps": ("kps", "karnofsky", "karnofskyperformancescore", "kpspreop", "preopkps", "karnofskyscore"),
    "eor": ("eor", "extentofresection", "resectionstatus", "resection"),
    "os_event": (
        "osevent", "event", "dead", "died", "death", "deceased", "vitalstatus", "survivalstatus", "vitalstatusdead", "osstatus",
        "overallsurvivalstatus",
    ),
    "site": ("site", "centre", "center", "institution", "hospital", "tissuesourcesite"),
    "histology": (
        "histology", "histologicaltype", "diagnosis", "pathology", "finalpathologicdiagnosiswho2021", "finalpathologicdiagnosis",
        "tumortype", "whodiagnosis",
    ),
}  # fmt: skip
_SURVIVAL = {
    "days": (
        "osdays", "survivaldays", "survivalindays", "overallsurvivaldays", "survivaltimedays", "survivalfromsurgerydays",
        "survivalfromsurgerydaysupdated",
    ),
    "months": ("osmonths", "survivalmonths", "survivalinmonths", "overallsurvivalmonths", "survivaltimemonths"),
    "": ("os", "survival", "overallsurvival", "survivaltime"),
}  # fmt: skip
_INVERTED = re.compile(r"(?i)surviv(ed|or)|alive|living|censor")
_ID_HEADERS = {
    "case", "caseid", "patient", "patientid", "patientidentifier", "id", "subject", "subjectid", "scan", "scanid", "caseno", "subjectno",
    "mriid", "tcgaid",
    "tciasubjectid", "tcgatciasubjectid", "tciaid", "bcrpatientbarcode", "participantid", "studyid", "casesubmitterid", "pid",
}  # fmt: skip
_ID_PATTERN = re.compile(r"(brats|rsna|tcia|tcga|ucsf|upenn)\w*id")
_PATIENT_HEADERS = {
    "patient",
    "patientid",
    "patientidentifier",
    "subject",
    "subjectid",
    "bcrpatientbarcode",
    "participantid",
    "pid",
    "tciasubjectid",
    "tcgatciasubjectid",
    "tcgaid",
}
_CODED = re.compile(r"([A-Za-z]+)[ _.-]?([01])(?![0-9])|(?<![0-9A-Za-z])([01])[ _.-]?([A-Za-z]+)")


@dataclass(frozen=True)
class Source:
    """Where a cohort column comes from in a label table.

    Args:
        header: the column's name there.
        unit: `days`, `months`, or an empty string: none given, or not a time.
        coding: what `0` and `1` mean where the header says so, such as `{"0": "male", "1": "female"}`.
    """

    header: str
    unit: str = ""
    coding: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Columns:
    """What the headers of a label table say.

    Args:
        sources: cohort column (or `histology`) -> where it comes from.
        ids: id columns, in the table's order.
        patient: the id column that names the patient rather than the scan, where there is one.
        notes: choices made that a reader should know.
        problems: columns that look useful and cannot be used.
    """

    sources: dict[str, Source]
    ids: list[str]
    patient: str | None
    notes: list[str]
    problems: list[str]


def plain_header(header: str) -> str:
    """Return a header in lower case with letters and digits only.

    Example:
        >>> plain_header("Age..years.at.diagnosis.")
        'ageyearsatdiagnosis'
    """
    return re.sub(r"[^a-z0-9]+", "", header.lower())


def header_coding(header: str) -> dict[str, str]:
    """Return what 0 and 1 mean where a header says so.

    Example:
        >>> header_coding("sex_male0_female1"), header_coding("1-dead 0-alive"), header_coding("IDH1")
        ({'0': 'male', '1': 'female'}, {'1': 'dead', '0': 'alive'}, {})
    """
    pairs = {}
    for word, digit, digit_first, word_after in _CODED.findall(header):
        pairs[digit or digit_first] = (word or word_after).lower()
    return pairs if set(pairs) == {"0", "1"} else {}


def recognise_columns(raw: pd.DataFrame) -> Columns:
    """Return which columns of a label table hold what.

    Args:
        raw: table of strings.

    Example:
        >>> table = pd.DataFrame(columns=["BraTS21ID", "MGMT_value"])
        >>> columns = recognise_columns(table)
        >>> columns.ids, columns.sources["mgmt"].header
        (['BraTS21ID'], 'MGMT_value')
    """
    headers = [str(name) for name in raw.columns]
    sources: dict[str, Source] = {}
    notes: list[str] = []
    problems: list[str] = []
    for column, accepted in _HEADERS.items():
        matching = sorted(
            (accepted.index(plain), header) for header in headers if (plain := _stem(header, column)) in accepted
        )
        if matching:
            sources[column] = Source(matching[0][1], coding=header_coding(matching[0][1]))
            notes += [f"'{header}' is not used: {column} is read from '{matching[0][1]}'" for _, header in matching[1:]]
    _add_survival(headers, sources, notes)
    _add_event(headers, sources, problems)
    ids = _id_columns(raw, {source.header for source in sources.values()})
    patient = next((name for name in ids if plain_header(name) in _PATIENT_HEADERS), None)
    return Columns(sources, ids, patient, notes, problems)


def _stem(header: str, column: str) -> str:
    """Return the plain header without its coding: `MGMTmethylation_methylated1_unmethylated0` -> `mgmtmethylation`."""
    coding = header_coding(header)
    if not coding or column == "os_event":
        return plain_header(header)
    return plain_header(_CODED.sub("", header)) or plain_header(header)


def _add_survival(headers: Sequence[str], sources: dict[str, Source], notes: list[str]) -> None:
    for unit, accepted in _SURVIVAL.items():
        for header in headers:
            if plain_header(header) not in accepted:
                continue
            if "os_days" in sources:
                notes.append(f"'{header}' is not used: os_days is read from '{sources['os_days'].header}'")
            else:
                sources["os_days"] = Source(header, unit)


def _add_event(headers: Sequence[str], sources: dict[str, Source], problems: list[str]) -> None:
    for header in headers:
        coding = header_coding(header)
        meanings = set(coding.values())
        plain = plain_header(header)
        if (
            meanings
            and meanings <= {"dead", "died", "deceased", "death", "alive", "living", "event", "censored"}
            and "os_event" not in sources
        ):
            sources["os_event"] = Source(header, coding=coding)
        elif re.search(r"vitalstatus1dead|status1dead|^1dead$|dead1", plain) and "os_event" not in sources:
            sources["os_event"] = Source(header, coding={"1": "dead", "0": "alive"})
        elif (
            _INVERTED.search(header)
            and plain not in {"progressionfreesurvival"}
            and header not in {s.header for s in sources.values()}
        ):
            problems.append(
                f"'{header}' is not used as the event: it looks like the opposite (1 = alive or censored). "
                "Say it without doubt in a column os_event (1 = died, 0 = alive at last contact)"
            )


def _id_columns(raw: pd.DataFrame, taken: set[str]) -> list[str]:
    ids = []
    for header in map(str, raw.columns):
        plain = plain_header(header)
        if header in taken:
            continue
        if plain in _ID_HEADERS or _ID_PATTERN.fullmatch(plain) or _holds_known_ids(raw[header]):
            ids.append(header)
    return ids


def _holds_known_ids(values: pd.Series) -> bool:
    known = [value for value in values.astype(str).unique()[:200] if not is_missing(value)]
    if len(known) < 2:
        return False
    return sum(bool(identify(value).collection) for value in known) >= 0.8 * len(known)
