"""The report of one classifier: the verdict first, then everything it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.report.page import write_page


def write_classification_report(
    path: str | Path,
    metrics: Mapping[str, Any],
    scores: pd.DataFrame,
    *,
    importance: pd.DataFrame | None = None,
    provenance: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> None:
    """Write the report of one classifier as one self-contained HTML page."""
    write_page(path, f"{metrics['target']}", [], lead=str(metrics.get("verdict_text", "")), status=str(metrics.get("verdict", "neutral")), provenance=provenance, synthetic=synthetic)
