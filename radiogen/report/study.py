"""The report of a study folder: every verdict on top, then cohort, masks and failures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from radiogen.report.page import write_page


def write_study_report(
    path: str | Path, study: Path, *, skipped: Mapping[str, str] | None = None, synthetic: bool = False
) -> None:
    """Write the report of a study folder as one self-contained HTML page."""
    write_page(path, "Study", [], synthetic=synthetic)
