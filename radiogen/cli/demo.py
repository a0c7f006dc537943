"""`radiogen demo`: the main job on made-up patients with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Quiet, Seed, Verbose, fail_if_incomplete, prepare_torch, reports_errors, start_logging
from radiogen.cli.run import print_outcome


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("demo", epilog="Example: radiogen demo -o demo")(reports_errors(demo))


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.")] = Path("radiogen-demo"),
    cases: Annotated[int, typer.Option("--cases", min=12, help="How many patients to make up.")] = 60,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Cases worked on at the same time; 0: one per core.")
    ] = 0,
    seed: Seed = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make up a cohort of glioma patients with an IDH signal and no MGMT signal, and run the whole job on it.

    Everything is synthetic and says so. The report should find the signal that is there, and none where there is none.
    """
    prepare_torch()
    progress = start_logging(quiet, verbose, output)
    import os

    from radiogen.pipeline.demo import run_demo

    typer.echo("SYNTHETIC DATA: every patient of this demo is made up.")
    outcome = run_demo(output, n_cases=cases, seed=seed, jobs=jobs or os.cpu_count() or 1, progress=progress)
    print_outcome(outcome)
    fail_if_incomplete(len({failure.case for failure in outcome.failures}), output / "failed.csv")
