"""`radiogen diagnose`: predictions of IDH, 1p/19q and grade to the integrated diagnosis of WHO 2021."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Output, Quiet, Verbose, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "diagnose",
        epilog="Example: radiogen diagnose idh/predictions.csv codeletion/predictions.csv grade/predictions.csv -o diagnosis",
    )(reports_errors(diagnose))


def diagnose(
    predictions: Annotated[
        list[Path],
        typer.Argument(help="Predictions tables with case, target and y_prob; one per marker, or one for all."),
    ],
    output: Output,
    clinical: Annotated[
        Path | None, typer.Option("--clinical", help="Table with ages: they decide which tests are needed.")
    ] = None,
    given_idh: Annotated[
        bool,
        typer.Option("--codeletion-given-idh", help="The 1p/19q model was trained on IDH-mutant tumours only."),
    ] = False,
    rule_out: Annotated[
        float, typer.Option("--rule-out", min=0.0, max=0.5, help="A diagnosis below this needs no test of its own.")
    ] = 0.05,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Join predicted markers to the probabilities of the integrated diagnoses (WHO 2021), and list the tests still needed."""
    start_logging(quiet, verbose)
    from radiogen.pipeline.diagnose import run_diagnose
    from radiogen.run.provenance import RESEARCH_USE

    table = run_diagnose(predictions, output, clinical=clinical, codeletion_given_idh=given_idh, rule_out=rule_out)
    counts = table["diagnosis"].value_counts()
    for name, count in counts.items():
        typer.echo(f"{count} case(s): most probably {name}")
    typer.echo(
        f"diagnoses: {output / 'diagnosis.csv'}\nProbabilities from images are no molecular result. {RESEARCH_USE}"
    )
