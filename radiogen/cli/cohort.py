"""`radiogen cohort`: find cases in folders, name their sequences, join labels, check everything before compute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radiogen.cli.common import (
    Config,
    Dask,
    Jobs,
    Output,
    Quiet,
    Verbose,
    fail_if_incomplete,
    reports_errors,
    start_logging,
)

if TYPE_CHECKING:
    from radiogen.pipeline.cohort import CohortOutcome

_MOST_LINES = 12
"""Lines printed per kind of remark; the page has them all."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("cohort", epilog="Example: radiogen cohort images/ --labels labels.csv -o cohort.csv")(
        reports_errors(cohort)
    )


def cohort(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Folders of NIfTI files, searched with all below them.")
    ],
    output: Output,
    layout: Annotated[
        str | None, typer.Option("--layout", help="Layout of the files, see `radiogen info`. Default: auto.")
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option("--labels", help="CSV with labels, in any public spelling; repeatable, most trusted first."),
    ] = None,
    crosswalk: Annotated[
        list[Path] | None, typer.Option("--crosswalk", help="CSV that gives one patient several ids; repeatable.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            help="Public data set that the folders hold, see `radiogen info --datasets`; once for all, or once per DIR.",
        ),
    ] = None,
    check: Annotated[
        str | None, typer.Option("--check", help="headers, or full: read every voxel. Default: headers.")
    ] = None,
    pictures: Annotated[
        int | None, typer.Option("--pictures", help="Most cases on the contact sheet; 0 for none. Default: 60.")
    ] = None,
    keep_unregistered: Annotated[
        bool, typer.Option("--keep-unregistered", help="Keep cases whose sequences lie on different grids.")
    ] = False,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the cases in folders, name their sequences, join label tables, check everything, and write the cohort table."""
    progress = start_logging(quiet, verbose)
    from radiogen.config.cohort import CohortSettings
    from radiogen.pipeline.cohort import run_cohort

    settings = CohortSettings.read(
        config, layout=layout, check=check, pictures=pictures, keep_unregistered=keep_unregistered or None
    )
    outcome = run_cohort(
        folders,
        output,
        settings,
        labels=labels or [],
        crosswalks=crosswalk or [],
        datasets=dataset or [],
        jobs=jobs,
        dask=dask,
        progress=progress,
    )
    if not quiet:
        print_outcome(outcome)
    fail_if_incomplete(len(outcome.failures), outcome.failed)


def print_outcome(outcome: CohortOutcome) -> None:
    """Print what there is and what is missing, then every problem, then where to look further."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    cases, patients = len(outcome.cohort), outcome.cohort["patient"].nunique()
    table = Table(title=f"{cases} case(s) of {patients} patient(s)", title_justify="left")
    for name in ("", "known", "missing", "values"):
        table.add_column(name, justify="right" if name in ("known", "missing") else "left")
    for what, row in outcome.coverage.iterrows():
        table.add_row(str(what), str(row["known"]), str(row["missing"]) if row["missing"] else "", row["values"])
    console.print(table)
    _print_lines("Left out", [f"{failure.case}: {failure.cause} {failure.fix}" for failure in outcome.failures])
    for kind, title in (
        ("dataset", "What to know about the data set"),
        ("problem", "Problems"),
        ("patient", "Patients seen more than once"),
        ("label", "Labels"),
        ("file", "Files"),
    ):
        chosen = outcome.remarks[outcome.remarks["kind"] == kind]
        lines = [f"{case}: {text}" if case else text for case, text in zip(chosen["case"], chosen["text"], strict=True)]
        _print_lines(title, lines)
    conflicts = (
        outcome.assembled.conflicts.value_counts(["column", "source_1", "source_2"]).rename("count").reset_index()
    )
    lines = [
        f"{row['column']}: {row['count']} patient(s), {row['source_1']} against {row['source_2']}"
        for row in conflicts.to_dict("records")
    ]
    _print_lines("Label tables that contradict each other", lines)
    shared = outcome.assembled.overlaps.itertuples(index=False)
    _print_lines(
        "Shared patients",
        [f"{row.collection_1} and {row.collection_2}: {row.patients} ({row.links} pairs of ids)" for row in shared],
    )
    typer.echo(f"cohort: {outcome.table}\npage:   {outcome.page}")


def _print_lines(title: str, lines: list[str]) -> None:
    if not lines:
        return
    typer.echo(f"{title} ({len(lines)}):")
    for line in lines[:_MOST_LINES]:
        typer.echo(f"  - {line}")
    if len(lines) > _MOST_LINES:
        typer.echo(f"  ... and {len(lines) - _MOST_LINES} more, all on the page")
