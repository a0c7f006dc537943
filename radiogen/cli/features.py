"""`radiogen features`: one branch's table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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

Cohort = Annotated[Path, typer.Argument(help="The cohort table (made by `radiogen cohort` or `radiogen segment`).")]
Params = Annotated[
    Path | None, typer.Option("--params", help="PyRadiomics parameter YAML, used unchanged instead of our settings.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(
        help="Measure features: one row per case, one table per branch.",
        epilog="Example: radiogen features radiomics cohort.csv -o study --jobs 2",
        no_args_is_help=True,
    )
    group.command("radiomics", epilog="Example: radiogen features radiomics cohort.csv -o study --jobs 2")(
        reports_errors(radiomics)
    )
    group.command("clinical", epilog="Example: radiogen features clinical cohort.csv -o study")(
        reports_errors(clinical)
    )
    app.add_typer(group, name="features")


def radiomics(
    cohort: Cohort,
    output: Output,
    params: Params = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """PyRadiomics features of every sequence (t1n t1c t2w t2f) in every region (wt tc et).

    Writes features/radiomics.parquet and .csv, a dictionary of the columns, and failed.csv where cases failed.
    """
    _features("radiomics", cohort, output, config, {"params": params}, jobs, dask, quiet, verbose)


def clinical(
    cohort: Cohort,
    output: Output,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Age, sex and tumour volumes: what an image model has to beat.

    Writes features/clinical.parquet and .csv, and failed.csv where cases failed.
    """
    _features("clinical", cohort, output, config, {}, jobs, dask, quiet, verbose)


def _features(
    branch: str,
    cohort: Path,
    output: Path,
    config: Path | None,
    overrides: dict[str, Any],
    jobs: int,
    dask: str | None,
    quiet: bool,
    verbose: bool,
) -> None:
    progress = start_logging(quiet, verbose, output)
    from radiogen.cohort.table import read_cohort
    from radiogen.config import features as stage_settings
    from radiogen.pipeline.features import run_features

    kind = stage_settings.RadiomicsSettings if branch == "radiomics" else stage_settings.ClinicalSettings
    settings = kind.read(config, **overrides)
    table = read_cohort(cohort)
    features, failures = run_features(branch, table, output, settings, jobs=jobs, dask=dask, progress=progress)
    typer.echo(f"{len(features)} cases, {features.shape[1]} columns: {output / 'features' / branch}.csv")
    fail_if_incomplete(len(failures), output / "failed.csv")
