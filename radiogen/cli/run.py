"""`radiogen run`: all of it, one report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radiogen.cli.common import (
    Config,
    Dask,
    Jobs,
    Output,
    Params,
    Quiet,
    Verbose,
    fail_if_incomplete,
    prepare_torch,
    reports_errors,
    start_logging,
)

if TYPE_CHECKING:
    from radiogen.pipeline.study import StudyOutcome


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("run", epilog="Example: radiogen run cohort.csv -o study --jobs 2")(reports_errors(run))


def run(
    cohort: Annotated[Path, typer.Argument(help="The cohort table (made by `radiogen cohort`).")],
    output: Output,
    targets: Annotated[
        str | None,
        typer.Option("--targets", help="Comma-separated: idh,mgmt,codeletion,grade. Default: all with enough labels."),
    ] = None,
    preprocess: Annotated[
        bool | None,
        typer.Option(
            "--preprocess/--registered", help="Bring raw scans onto one grid first; or they are on one already."
        ),
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="Segmentation method; see `radiogen info`.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", help="Installed weights or a safetensors file with its card; several: an ensemble."),
    ] = None,
    given_masks: Annotated[
        str | None, typer.Option("--given-masks", help="use: keep the cohort's masks; ignore: make our own.")
    ] = None,
    case_pages: Annotated[
        bool | None,
        typer.Option("--case-pages/--no-case-pages", help="Make a page with a slice viewer for every case."),
    ] = None,
    params: Params = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Masks, features, classifiers, survival and one report; start it again after a stop and it continues."""
    prepare_torch()
    progress = start_logging(quiet, verbose, output)
    from radiogen.cohort.table import read_cohort
    from radiogen.config.base import read_yaml_mapping
    from radiogen.config.study import StudySettings
    from radiogen.pipeline.study import run_study

    values = read_yaml_mapping(config) if config else {}
    if targets is not None:
        values["targets"] = [name.strip() for name in targets.split(",") if name.strip()]
    if preprocess is not None:
        values["preprocess"] = preprocess
    if case_pages is not None:
        values["case_pages"] = case_pages
    overrides: dict[str, dict[str, Any]] = {
        "segment": {"method": method, "weights": tuple(weights) if weights else None, "given_masks": given_masks},
        "radiomics": {"params": params},
    }
    for stage, given in overrides.items():
        values[stage] = {**values.get(stage, {}), **{key: value for key, value in given.items() if value is not None}}
    outcome = run_study(
        read_cohort(cohort), output, StudySettings.parse(values), jobs=jobs, dask=dask, progress=progress
    )
    print_outcome(outcome)
    fail_if_incomplete(len({failure.case for failure in outcome.failures}), output / "failed.csv")


def print_outcome(outcome: StudyOutcome) -> None:
    """Print the verdicts, what was left out, and where the report is."""
    for target, metrics in outcome.verdicts.items():
        typer.echo(f"{target}: {metrics['verdict']}\n  {metrics['verdict_text']}")
    for stage, reason in outcome.skipped.items():
        typer.echo(f"left out: {stage} ({reason})")
    typer.echo(f"report: {outcome.report}")
