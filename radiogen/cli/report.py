"""`radiogen report`: the pages of a study folder, and the same on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Dask, Jobs, Quiet, Verbose, fail_if_incomplete, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("report", epilog="Example: radiogen report study --cases all --pdf")(reports_errors(report))


def report(
    study: Annotated[Path, typer.Argument(help="Output folder of `radiogen run`, or of single stages.")],
    cases: Annotated[
        str, typer.Option("--cases", help="Which cases get a page: all, none, or ids with commas between them.")
    ] = "all",
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print the report and these cases' pages to PDF, by an installed browser.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the PDF files; beside the pages by default.")
    ] = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make the page of every case, with a slice viewer, and the study's report anew; print them to PDF where asked for.

    Writes STUDY/report.html, STUDY/cases/CASE.html and STUDY/cases/index.html; with --pdf the same names ending in .pdf.
    """
    from radiogen.errors import InputError
    from radiogen.pipeline.report import run_report

    if output is not None and not pdf:
        raise InputError(
            "-o says where PDF files go, and no PDF is asked for.",
            hint="Add --pdf; pages always stay in the study folder.",
        )
    progress = start_logging(quiet, verbose, study if study.is_dir() else None)
    made = run_report(
        study, cases, pdf_folder=(output or study) if pdf else None, jobs=jobs, dask=dask, progress=progress
    )
    typer.echo(f"report: {made.report}")
    if made.cases:
        typer.echo(f"{len(made.cases)} case page(s): {study / 'cases' / 'index.html'}")
    if made.pdfs:
        typer.echo(f"{len(made.pdfs)} PDF file(s): {made.pdfs[0].parent}")
    fail_if_incomplete(len({failure.case for failure in made.failures}), study / "failed.csv")
