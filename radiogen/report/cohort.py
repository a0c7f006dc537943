"""cohort.html: what a cohort has and lacks, every problem, and one slice of every sequence of every case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.report.images import contact_sheet
from radiogen.report.page import Figure, Section, Table, write_page
from radiogen.run.quarantine import Failure
from radiogen.types import LabelVolume, Volume

CASES_PER_SHEET = 15
_LEFT_OUT = "Cases left out"


@dataclass(frozen=True)
class CaseSlices:
    """One axial slice per sequence of a case.

    Args:
        images: sequence -> intensities, RAS, one voxel thick.
        labels: the mask on the same slice, or None.
        voxel_size_mm: voxel size along the RAS axes, mm.
    """

    images: Mapping[str, Volume]
    labels: LabelVolume | None
    voxel_size_mm: tuple[float, float, float]


@dataclass(frozen=True)
class CohortPage:
    """Everything the page shows.

    Args:
        cohort: typed cohort table of the usable cases.
        coverage: table indexed by `what` with `known missing values`.
        remarks: columns `kind case text`.
        conflicts: contradictions between label tables.
        overlaps: collections that share patients.
        failures: cases left out.
        slices: case -> what the contact sheet shows.
        layouts: layout -> number of cases.
    """

    cohort: pd.DataFrame
    coverage: pd.DataFrame
    remarks: pd.DataFrame
    conflicts: pd.DataFrame
    overlaps: pd.DataFrame
    failures: list[Failure]
    slices: Mapping[str, CaseSlices] = field(default_factory=dict)
    layouts: Mapping[str, int] = field(default_factory=dict)


def write_cohort_page(path: str | Path, page: CohortPage, *, provenance: Mapping[str, Any] | None = None) -> None:
    """Write the page, atomically.

    Args:
        path: cohort.html.
        page: what to show.
        provenance: settings and inputs for the page's foot.

    Raises:
        OutputError: the page cannot be written.
    """
    sections = [
        _what_there_is(page),
        *_left_out(page),
        *_problems(page),
        *_patients(page),
        *_pictures(page),
        *_notes(page),
    ]
    write_page(path, "Cohort", sections, lead=lead_sentence(page), provenance=provenance)


def lead_sentence(page: CohortPage) -> str:
    """Return the sentence on top: cases, patients, sites, what was left out."""
    cohort = page.cohort
    sites = int(cohort["site"].nunique())
    problems = int((page.remarks["kind"] == "problem").sum())
    text = f"{len(cohort)} cases of {cohort['patient'].nunique()} patients from {sites or 'unknown'} site{'s' if sites != 1 else ''}"
    text += f"; {len(page.failures)} left out" if page.failures else ""
    return f"{text}; {problems} problem{'s' if problems != 1 else ''} to look at." if problems else f"{text}."


def _what_there_is(page: CohortPage) -> Section:
    layouts = ", ".join(f"{name} ({count})" for name, count in page.layouts.items())
    text = [f"Layouts recognised: {layouts}."] if layouts else []
    return Section(
        "What there is", text, tables=[Table(page.coverage, "Cases with and without each sequence, mask and label.")]
    )


def _left_out(page: CohortPage) -> list[Section]:
    if not page.failures:
        return []
    rows = [{"case": failure.case, "cause": failure.cause, "fix": failure.fix} for failure in page.failures]
    return [Section(_LEFT_OUT, tables=[Table(pd.DataFrame(rows), "Each with its reason and what to do about it.")])]


def _problems(page: CohortPage) -> list[Section]:
    problems = page.remarks.loc[page.remarks["kind"] == "problem", ["case", "text"]]
    sections = []
    if not problems.empty:
        sections.append(
            Section("Problems", tables=[Table(problems, "What stays unknown or needs a look because of it.")])
        )
    if not page.conflicts.empty:
        text = [
            f"{len(page.conflicts)} values of patients who stand in two label tables contradict each other; the first table's value is kept."
        ]
        sections.append(
            Section(
                "Tables that contradict each other",
                text,
                tables=[Table(page.conflicts, "One row per contradiction.")],
                folded=True,
            )
        )
    return sections


def _patients(page: CohortPage) -> list[Section]:
    lines = page.remarks.loc[page.remarks["kind"] == "patient", "text"].tolist()
    tables = (
        []
        if page.overlaps.empty
        else [Table(page.overlaps, "Patients that two collections share, from the tables given.")]
    )
    if not lines and not tables:
        return []
    return [Section("Patients seen more than once", lines, tables=tables)]


def _pictures(page: CohortPage) -> list[Section]:
    if not page.slices:
        return []
    cases = list(page.slices)
    figures = []
    for start in range(0, len(cases), CASES_PER_SHEET):
        part = cases[start : start + CASES_PER_SHEET]
        shown = {
            case: (page.slices[case].images, page.slices[case].labels, page.slices[case].voxel_size_mm) for case in part
        }
        figures.append(
            Figure(
                contact_sheet(shown),
                f"Cases {start + 1} to {start + len(part)}: the axial slice with most tumour, or mid-brain.",
            )
        )
    text = []
    if len(cases) < len(page.cohort):
        text = [f"The first {len(cases)} of {len(page.cohort)} cases are shown; --pictures shows more."]
    return [Section("Contact sheet", text, figures=figures)]


def _notes(page: CohortPage) -> list[Section]:
    notes = page.remarks.loc[page.remarks["kind"].isin(["file", "label", "dataset"]), ["kind", "case", "text"]]
    if notes.empty:
        return []
    return [Section("Notes", tables=[Table(notes, "Files passed over and how label columns were read.")], folded=True)]
