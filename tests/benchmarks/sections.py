"""`reports/benchmarks.md` is written by several benchmarks: each owns the section under its heading."""

from __future__ import annotations

import re
from pathlib import Path

from radiogen.run.atomic import write_text

REPORT = Path(__file__).resolve().parents[2] / "reports" / "benchmarks.md"


def write_section(text: str) -> None:
    """Put a section in the place of the one with the same first line, or at the end."""
    heading = text.splitlines()[0]
    old = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else ""
    sections = [part.strip() + "\n" for part in re.split(r"(?m)^(?=# )", old) if part.strip()]
    kept = [text.strip() + "\n" if part.splitlines()[0] == heading else part for part in sections]
    write_text(REPORT, "\n".join(kept if kept != sections or heading in old else [*sections, text.strip() + "\n"]))
