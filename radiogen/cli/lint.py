"""`radiogen lint`: leaks in a study, a table, or the code of a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Config, Quiet, Verbose, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("lint", epilog="Example: radiogen lint features.csv --labels labels.csv --target idh")(
        reports_errors(lint)
    )


def lint(
    path: Annotated[
        str,
        typer.Argument(
            help="A study folder, a table of features or predictions, a .py or .ipynb file, or module:object (which is run)."
        ),
    ],
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Label table of a feature table; joined by case id.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="idh, mgmt, codeletion or grade. Default: all that are there.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="The label's column in a table with features and label.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of a model: are the table's cases among its training cases?")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for lint.json and lint.txt. Default: print only.")
    ] = None,
    config: Config = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the made-up noise.")] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Look for leaks: patients on both sides, labels among the features, steps fitted outside the fold, pipelines that predict noise.

    Code is read, not run; module:object (or file.py:object) is run on pure noise. Exit code 1: a leak; 0: none found; 2: bad input.
    """
    from radiogen.config.lint import LintSettings
    from radiogen.fusion.join import check_target
    from radiogen.pipeline.lint import run_lint

    start_logging(quiet, verbose)
    settings = LintSettings.read(config, seed=seed)
    wanted = check_target(target) if target is not None else None
    report = run_lint(path, settings, labels=labels, target=wanted, label_column=label_column, model=model, out=output)
    if not quiet:
        typer.echo(report.text)
    if report.has_leak:
        raise typer.Exit(1)
