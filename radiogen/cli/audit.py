"""`radiogen audit`: the verdict for anybody's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from radiogen.cli.common import Config, Output, Quiet, Verbose, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = "Example: radiogen audit predictions.csv --target idh --clinical clinical.csv -o audit"
    app.command("audit", epilog=epilog)(reports_errors(audit))


def audit(
    predictions: Annotated[Path, typer.Argument(help="Predictions table (CSV or Parquet), radiogen's or anybody's.")],
    output: Output,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="idh, mgmt, codeletion or grade; needed where the table holds several."),
    ] = None,
    clinical: Annotated[
        Path | None,
        typer.Option(
            "--clinical", help="Table with age, sex, volume, grade, IDH, ... to race against, joined on the id."
        ),
    ] = None,
    strata: Annotated[
        str | None, typer.Option("--strata", help="More columns to look inside of, separated by commas.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Which model, where the table holds several.")] = None,
    label_column: Annotated[str | None, typer.Option("--label-column", help="Column with the true label.")] = None,
    score_column: Annotated[
        str | None, typer.Option("--score-column", help="Column with the score of the positive class.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column with the case id.")] = None,
    patient_column: Annotated[
        str | None,
        typer.Option("--patient-column", help="Column with the patient id, where patients have several cases."),
    ] = None,
    site_column: Annotated[str | None, typer.Option("--site-column", help="Column with the centre.")] = None,
    split_column: Annotated[
        str | None, typer.Option("--split-column", help="Column with the fold or test set.")
    ] = None,
    config: Config = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed gives the same bytes. Default: 0.")] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge a predictions table: AUC with its interval, calibration, the race against trivial baselines, strata and the verdict.

    Writes metrics.json, scores.csv and report.html. Research use only.
    """
    from radiogen.config.evaluate import EvaluateSettings
    from radiogen.evaluate.layout import PredictionColumns
    from radiogen.pipeline.audit import run_audit

    start_logging(quiet, verbose)
    extra = tuple(name.strip() for name in strata.split(",") if name.strip()) if strata else None
    settings = EvaluateSettings.read(config, strata=extra, seed=seed)
    columns = PredictionColumns(
        label=label_column,
        score=score_column,
        case=id_column,
        patient=patient_column,
        site=site_column,
        split=split_column,
    )
    metrics = run_audit(predictions, output, settings, target=target, model=model, clinical=clinical, columns=columns)
    if not quiet:
        _print(metrics)
        typer.echo(f"report: {output / 'report.html'}")


def _print(metrics: dict[str, Any]) -> None:
    """Print the verdict and a compact table of baselines and strata."""
    from rich.console import Console
    from rich.table import Table

    from radiogen.evaluate.verdict import judged_baselines

    console = Console()
    table = Table("", "n", "AUC", "CI", "model minus it", box=None, pad_edge=False)
    table.add_row("model", str(metrics["n"]), *_area(metrics), "")
    if metrics["within_split"]:
        table.add_row("model, inside test splits", str(metrics["n"]), *_area(metrics["within_split"]), "")
    for row in judged_baselines(metrics):
        table.add_row(
            row["name"], str(row["n"]), *_area(row), f"{row['delta']:+.3f} ({_ends(row['delta_ci'], '+.3f')})"
        )
    for row in metrics["strata"]:
        table.add_row(f"in {row['stratum']} {row['value']}", str(row["n"]), *_area(row), row["note"])
    console.print(table)
    for note in metrics["notes"]:
        typer.echo(f"note: {note}")
    typer.echo(f"verdict: {metrics['verdict']}")
    typer.echo(metrics["verdict_text"])


def _area(row: dict[str, Any]) -> tuple[str, str]:
    if row["auc"] is None:
        return "-", ""
    return f"{row['auc']:.3f}", _ends(row["auc_ci"], ".3f")


def _ends(interval: list[float], form: str) -> str:
    return " to ".join("-" if end is None else format(end, form) for end in interval)
