"""`radiogen audit` over files: a predictions table in, metrics, scores and the report out."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import InputError
from radiogen.evaluate.audit import evaluate_predictions
from radiogen.evaluate.layout import PredictionColumns
from radiogen.evaluate.predictions import read_any_table, read_predictions
from radiogen.report.classification import write_classification_report
from radiogen.report.reporting import write_reporting
from radiogen.run.atomic import write_csv, write_json
from radiogen.run.provenance import Provenance, hash_inputs

log = logging.getLogger(__name__)


def run_audit(
    predictions: Path,
    out: Path,
    settings: EvaluateSettings,
    *,
    target: str | None = None,
    model: str | None = None,
    clinical: Path | None = None,
    columns: PredictionColumns | None = None,
) -> dict[str, Any]:
    """Judge a predictions file and write `metrics.json`, `scores.csv` and `report.html` into a folder.

    Args:
        predictions: CSV or Parquet of any usual layout.
        out: folder to write into.
        settings: resampling, rules and thresholds.
        target: which target, where the table holds several.
        model: which model, where the table holds several.
        clinical: table to join on the id, or None.
        columns: columns to take instead of looking for them.

    Returns:
        The metrics.

    Raises:
        InputError: a table cannot be used, or the folder would overwrite the input.
    """
    if (out / "scores.csv").resolve() == predictions.resolve():
        raise InputError(
            f"{predictions} would be overwritten by the audit's own scores.csv.", hint="Choose another output folder."
        )
    provenance = _provenance(predictions, settings, target, model, clinical, columns)
    outputs = [out / "metrics.json", out / "scores.csv", out / "report.html"]
    if provenance.is_current(outputs):
        log.info("audit: unchanged, kept")
        write_reporting(out)
        return _read_metrics(out)
    table = read_predictions(predictions, target=target, model=model, columns=columns)
    facts = None if clinical is None else read_any_table(clinical)
    evaluation = evaluate_predictions(table, facts, settings)
    log.info("writing metrics.json, scores.csv and report.html to %s", out)
    write_json(outputs[0], evaluation.metrics)
    write_csv(outputs[1], evaluation.scores)
    facts_of_run = {"stage": provenance.stage, "settings": dict(provenance.settings), "inputs": dict(provenance.inputs)}
    write_classification_report(outputs[2], evaluation.metrics, evaluation.scores, provenance=facts_of_run)
    provenance.record(outputs)
    write_reporting(out)
    return _read_metrics(out)


def _read_metrics(out: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def _provenance(
    predictions: Path,
    settings: EvaluateSettings,
    target: str | None,
    model: str | None,
    clinical: Path | None,
    columns: PredictionColumns | None,
) -> Provenance:
    chosen = {"target": target, "model": model, "columns": dataclasses.asdict(columns or PredictionColumns())}
    return Provenance(
        "audit",
        {**settings.model_dump(mode="json"), **chosen},
        hash_inputs({"predictions": predictions, "clinical": clinical}),
    )
