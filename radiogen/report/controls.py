"""The page of negative controls: one line per control, and a forest of their AUCs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from radiogen.report.forests import ForestRow, forest_figure
from radiogen.report.page import Figure as PageFigure
from radiogen.report.page import Section, Table, write_page
from radiogen.report.style import BLUE, QUIET, VERMILLION
from radiogen.report.words import bounds, interval, number, p_value

NAMES = {
    "model": "the model",
    "shuffled-labels": "shuffled labels",
    "contralateral": "healthy side instead of tumour",
    "blanked": "tumour painted over",
    "site-probe": "site probe (names the hospital)",
}
"""Control -> words on the page."""

_SHORT = {
    "model": "model",
    "shuffled-labels": "shuffled labels",
    "contralateral": "healthy side",
    "blanked": "painted over",
    "site-probe": "site probe",
}
"""The same for the figure, where letters are dear."""

_COLOURS = {"failed": VERMILLION, "passed": QUIET, "undecided": QUIET, "": BLUE}


def controls_figure(results: Mapping[str, Any]) -> Figure:
    """Draw the AUC of the model and of every control that was done, with intervals.

    Args:
        results: content of controls.json.

    Example:
        >>> row = {"name": "model", "verdict": "", "n": 60, "auc": 0.7, "auc_ci": [0.6, 0.8], "reference_auc": None}
        >>> len(controls_figure({"controls": [row]}).axes)
        1
    """
    rows = []
    for row in results["controls"]:
        if row["auc"] is None:
            continue
        if row["name"] in ("contralateral", "blanked") and row["reference_auc"] is not None:
            of = "tumour, no shape" if row["name"] == "contralateral" else "tumour"
            rows.append(
                ForestRow(
                    f"{of}  (n={row['n']})", row["reference_auc"], None, number(row["reference_auc"], 2), BLUE, False
                )
            )
        words = f"{number(row['auc'], 2)} ({interval(row['auc_ci'], 2)})"
        name = f"{_SHORT[row['name']]}  (n={row['n']})"
        decided = row["verdict"] != "undecided"
        rows.append(ForestRow(name, row["auc"], bounds(row["auc_ci"]), words, _COLOURS[row["verdict"]], decided))
    ends = [end for row in rows if row.ci for end in row.ci]
    low, high = min([0.3, *ends]), max([0.9, *ends])
    return forest_figure(rows, "AUC (0.5 is chance)", zero=0.5, limits=(max(0.0, low - 0.02), min(1.005, high + 0.02)))


def controls_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per control in words, index `control`.

    Args:
        results: content of controls.json.
    """
    rows = [
        {
            "control": NAMES[row["name"]],
            "verdict": row["verdict"] or None,
            "n": row["n"] or None,
            "AUC (95 %)": f"{number(row['auc'], 3)} ({interval(row['auc_ci'], 3)})" if row["auc"] is not None else None,
            "p": p_value(row["p"]) if row["p"] is not None else None,
            "tumour minus control": _delta(row),
            "what it would mean": row["meaning"],
        }
        for row in results["controls"]
    ]
    return pd.DataFrame(rows).set_index("control")


def write_controls_page(path: Path, results: Mapping[str, Any], *, provenance: Mapping[str, Any]) -> None:
    """Write the page of negative controls.

    Args:
        path: the page.
        results: content of controls.json.
        provenance: facts for the foot.
    """
    figure = PageFigure(
        controls_figure(results),
        "AUC of the model and of its negative controls with 95 % intervals; for shuffled labels the range of single shuffles. Vermillion: failed; "
        "filled grey: passed; hollow grey: undecided. A hollow blue marker is the model on the cases and kind of columns of the control below it.",
    )
    sections = [
        Section(
            "Negative controls",
            text=[row["text"] for row in results["controls"]],
            figures=[figure],
            tables=[Table(controls_table(results), "Each control, and what it would mean if it did well.")],
        )
    ]
    if results["left_out"]:
        sections.append(Section("Cases left out", text=["; ".join(results["left_out"])], folded=True))
    write_page(path, f"Negative controls: {results['target']}", sections, lead=lead(results), provenance=provenance)


def lead(results: Mapping[str, Any]) -> str:
    """Return the sentence that the reader must not miss.

    Example:
        >>> lead({"controls": [{"name": "blanked", "verdict": "failed"}]})
        '1 of 1 control(s) failed: tumour painted over.'
    """
    done = [row for row in results["controls"] if row["verdict"] in ("passed", "failed", "undecided")]
    parts = []
    for verdict in ("failed", "undecided", "passed"):
        names = [NAMES[row["name"]] for row in done if row["verdict"] == verdict]
        if names:
            parts.append(f"{len(names)} of {len(done)} control(s) {verdict}: {', '.join(names)}")
    return ". ".join(parts) + "." if parts else "No control could be done."


def _delta(row: Mapping[str, Any]) -> str | None:
    if row["delta"] is None:
        return None
    ends = bounds(row["delta_ci"])
    words = number(row["delta"], 3, signed=True)
    return f"{words} ({interval(ends, 3, signed=True)})" if ends is not None else words
