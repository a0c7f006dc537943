"""preprocess.html: a cohort after preprocessing, to be scanned in a minute: what failed and what is flagged first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.layouts import natural_key
from radiogen.cohort.twins import TWIN_COLUMNS
from radiogen.preprocess.quality import CaseQuality
from radiogen.report.page import Picture, Section, Table, write_page
from radiogen.run.quarantine import Failure
from radiogen.types import SEQUENCES

CHOICE_COLUMNS = ["case", "sequence", "series", "confidence", "reason"]
"""How sequences were identified: one row per case and sequence."""

_LOW_CONFIDENCE = 0.9


@dataclass(frozen=True)
class PreprocessPage:
    """Everything the page shows.

    Args:
        quality: case -> its quality.
        thumbnails: case -> PNG of a slice.
        sheets: case -> its sheet, relative to the page; opened from the thumbnail.
        failures: cases that came out as nothing.
        twins: columns of `TWIN_COLUMNS`.
        choices: columns of `CHOICE_COLUMNS`.
        notes: case -> what was done or missing, in plain sentences.
    """

    quality: Mapping[str, CaseQuality]
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    sheets: Mapping[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    twins: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TWIN_COLUMNS))
    choices: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CHOICE_COLUMNS))
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def write_cohort_page(path: str | Path, page: PreprocessPage, *, provenance: Mapping[str, Any] | None = None) -> None:
    """Write the page, atomically.

    Args:
        path: preprocess.html.
        page: what to show.
        provenance: settings and inputs for the page's foot.

    Raises:
        OutputError: the page cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "preprocess.html"
        >>> write_cohort_page(target, PreprocessPage({"a": CaseQuality({"brain_ml": 1400.0}, ())}))
        >>> "1 case" in target.read_text()
        True
    """
    sections = [
        *_failed(page),
        *_flagged(page),
        *_twins(page),
        *_pictures(page),
        _all_cases(page),
        *_choices(page),
        *_notes(page),
    ]
    write_page(path, "Preprocessing", sections, lead=lead_sentence(page), provenance=provenance)


def lead_sentence(page: PreprocessPage) -> str:
    """Return the sentence on top: cases, flagged, failed, twins.

    Example:
        >>> lead_sentence(PreprocessPage({"a": CaseQuality({}, ("t1c was cut.",)), "b": CaseQuality({}, ())}))
        '2 cases preprocessed: 1 flagged, 0 failed.'
    """
    n, flagged = len(page.quality), len(_cases_with_flags(page))
    text = f"{n} case{'' if n == 1 else 's'} preprocessed: {flagged} flagged, {len(page.failures)} failed"
    unknown = int((~page.twins["same_patient"].astype(bool)).sum())
    if unknown:
        text += f"; {unknown} pair{'' if unknown == 1 else 's'} of cases under two patient ids look like one patient"
    return f"{text}."


def quality_table(quality: Mapping[str, CaseQuality]) -> pd.DataFrame:
    """Return every measured value, one row per case, indexed by `case`, and the flags as text.

    Args:
        quality: case -> its quality.
    """
    rows = [
        {
            "case": case,
            **{name: value for name, value in one.values.items() if name != "case"},
            "flags": " ".join(one.flags),
        }
        for case, one in quality.items()
    ]
    return pd.DataFrame(rows, columns=None if rows else ["case", "flags"]).set_index("case")


def _ordered(page: PreprocessPage) -> list[str]:
    """Return cases, those with most flags first."""
    return sorted(page.quality, key=lambda case: (-len(page.quality[case].flags), natural_key(case)))


def _cases_with_flags(page: PreprocessPage) -> list[str]:
    return [case for case in _ordered(page) if page.quality[case].flags]


def _failed(page: PreprocessPage) -> list[Section]:
    if not page.failures:
        return []
    rows = [{"case": one.case, "step": one.stage, "cause": one.cause, "fix": one.fix} for one in page.failures]
    return [Section("Failed", tables=[Table(pd.DataFrame(rows), "Each with its reason and what to do about it.")])]


def _flagged(page: PreprocessPage) -> list[Section]:
    flagged = _cases_with_flags(page)
    rows = [{"case": case, "what to look at": " ".join(page.quality[case].flags)} for case in flagged]
    if not rows:
        return []
    text = ["A flag is a reason to look at the picture, not a reason to leave the case out."]
    return [Section("Flagged", text, tables=[Table(pd.DataFrame(rows), "Cases with most flags first.")])]


def _twins(page: PreprocessPage) -> list[Section]:
    if page.twins.empty:
        return []
    shown = page.twins.rename(columns={"case_a": "case", "case_b": "looks like", "same_patient": "same patient id"})
    text = ["Pairs under two patient ids were given one, so that no split separates them; check them at the source."]
    return [Section("Brains that look the same", text, tables=[Table(shown, "Nearest first; 0 is the same image.")])]


def _pictures(page: PreprocessPage) -> list[Section]:
    pictures = [
        Picture(page.thumbnails[case], _caption(case, page.quality[case]), page.sheets.get(case, ""))
        for case in _ordered(page)
        if case in page.thumbnails
    ]
    if not pictures:
        return []
    text = [
        "A middle slice with the outline of the brain; the patient's right is on the left. It opens the sheet of the case."
    ]
    return [Section("Cases at a glance", text, pictures=pictures)]


def _caption(case: str, quality: CaseQuality) -> str:
    n = len(quality.flags)
    volume = quality.values.get("brain_ml")
    words = f", {volume:.0f} ml" if isinstance(volume, float) else ""
    return f"{case}{words}: {f'{n} flag' + ('' if n == 1 else 's') if n else 'no flag'}"


def _all_cases(page: PreprocessPage) -> Section:
    rows = [_row(case, page.quality[case]) for case in _ordered(page)]
    caption = "Similarity: normalised mutual information with the reference, 1 is unrelated, 2 identical."
    return Section("All cases", tables=[Table(pd.DataFrame(rows), caption)] if rows else [])


def _row(case: str, quality: CaseQuality) -> dict[str, Any]:
    volume = quality.values.get("brain_ml")
    row: dict[str, Any] = {
        "case": case,
        "flags": len(quality.flags),
        "missing": quality.values.get("missing"),
        "brain, ml": f"{volume:.0f}" if isinstance(volume, float) else None,
    }
    for name in SEQUENCES:
        value = quality.values.get(f"{name}_similarity")
        row[f"similarity {name}"] = f"{value:.3f}" if isinstance(value, float) else None
    slices = [value for name in SEQUENCES if isinstance(value := quality.values.get(f"{name}_slice_mm"), float)]
    row["thickest slice, mm"] = f"{max(slices):.1f}" if slices else None
    return row


def _choices(page: PreprocessPage) -> list[Section]:
    if page.choices.empty:
        return []
    table = page.choices.sort_values(["confidence", "case"], kind="stable")
    unsure = table[table["confidence"].astype(float) < _LOW_CONFIDENCE]
    text = [
        f"{len(unsure)} of {len(table)} choices have a confidence below {_LOW_CONFIDENCE:g}; write what is wrong into the file of overrides."
    ]
    return [
        Section(
            "How sequences were identified", text, tables=[Table(table, "Least certain first.")], folded=unsure.empty
        )
    ]


def _notes(page: PreprocessPage) -> list[Section]:
    rows = [{"case": case, "note": note} for case in sorted(page.notes, key=natural_key) for note in page.notes[case]]
    if not rows:
        return []
    return [Section("Notes", tables=[Table(pd.DataFrame(rows), "What was done beside the usual.")], folded=True)]
