"""Survival analysis over a table: numbers, tables, figures and the report in one folder, skipped where they are still true."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.table import PATH_COLUMNS
from radiogen.config.survival import SurvivalSettings
from radiogen.evaluate.survival import survival_analysis
from radiogen.report.reporting import write_reporting
from radiogen.report.style import save_png, svg
from radiogen.report.survival import survival_figures, write_survival_report
from radiogen.run.atomic import write_csv, write_json, write_text
from radiogen.run.provenance import Provenance, content_hash, read_sidecar

log = logging.getLogger(__name__)

_FIGURES = ("kaplan_meier", "forest")


def run_survival(
    table: pd.DataFrame,
    out: Path,
    settings: SurvivalSettings,
    *,
    predictions: pd.DataFrame | None = None,
    synthetic: bool = False,
) -> dict[str, Any]:
    """Analyse survival and write `survival.json`, `km_table.csv`, `at_risk.csv`, figures (PNG and SVG) and `report.html`.

    Args:
        table: a cohort table, or any table that `read_survival_table` returns.
        out: folder for the outputs.
        settings: what to compare and how the table is read.
        predictions: a predictions table, for `group_by="model"`.
        synthetic: the patients are made up; numbers and page say so.

    Returns:
        The content of `survival.json`.

    Raises:
        CohortError: the follow-up, the grouping or a covariate cannot be used, or nobody died.
        OutputError: the folder cannot be written.
    """
    out = Path(out)
    chosen = {**settings.model_dump(mode="json"), "synthetic": synthetic}
    provenance = Provenance("survival", chosen, _inputs(table, predictions))
    main = out / "survival.json"
    recorded = [out / name for name in read_sidecar(main).get("outputs", {})]
    if recorded and provenance.is_current(recorded):
        log.info("survival: unchanged, kept")
        write_reporting(out)
        return dict(json.loads(main.read_text(encoding="utf-8")))
    result = survival_analysis(table, settings, predictions=predictions)
    metrics = {**result.metrics, "synthetic": synthetic}
    figures = survival_figures(result)
    write_json(main, metrics)
    write_csv(out / "km_table.csv", result.km_table, index=False)
    write_csv(out / "at_risk.csv", result.at_risk, index=False)
    written = [main, out / "km_table.csv", out / "at_risk.csv"]
    for stem in _FIGURES:
        paths = [out / f"{stem}.png", out / f"{stem}.svg"]
        if stem not in figures:
            for path in paths:
                path.unlink(missing_ok=True)
            continue
        save_png(figures[stem], paths[0])
        write_text(paths[1], svg(figures[stem]))
        written += paths
    write_survival_report(
        out / "report.html",
        result,
        provenance={"settings": chosen, "inputs": dict(provenance.inputs)},
        synthetic=synthetic,
    )
    provenance.record([*written, out / "report.html"])
    write_reporting(out)
    return metrics


def _inputs(table: pd.DataFrame, predictions: pd.DataFrame | None) -> dict[str, str]:
    used = table.drop(columns=[name for name in PATH_COLUMNS if name in table.columns])
    inputs = {"table": content_hash(used.to_csv(lineterminator="\n"))}
    if predictions is not None:
        inputs["predictions"] = content_hash(predictions.to_csv(lineterminator="\n"))
    return inputs
