"""`radiogen habitats`: parts of a tumour that look alike, found again in every patient - or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import (
    Config,
    Jobs,
    Output,
    Quiet,
    Seed,
    Verbose,
    fail_if_incomplete,
    prepare_torch,
    reports_errors,
    start_logging,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(no_args_is_help=True, help="Tumour habitats: fit them to a cohort, apply them to new cases.")
    group.command("fit", epilog="Example: radiogen habitats fit cohort.csv --clusters 3:7 --alpha 0.5 -o habitats")(
        reports_errors(fit)
    )
    group.command("apply", epilog="Example: radiogen habitats apply habitats/model new.csv -o new_habitats")(
        reports_errors(apply)
    )
    app.add_typer(group, name="habitats")


def fit(
    cohort: Annotated[Path, typer.Argument(help="cohort.csv with masks.")],
    output: Output,
    maps: Annotated[
        str | None, typer.Option("--maps", help="Columns that name the maps, with commas. Default: the four sequences.")
    ] = None,
    region: Annotated[str | None, typer.Option("--region", help="wt (default), tc or et.")] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="none (default), fae (the paper's), ensemble, standard.")
    ] = None,
    clusters: Annotated[str | None, typer.Option("--clusters", help="Numbers to try, such as 3:7 (default).")] = None,
    quantile: Annotated[
        str | None,
        typer.Option("--quantile", help="Shares that the quantile filter may cut off, such as 0:0.3 (default)."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", help="Weight of stability against survival; 0.5 by default, 1: stability alone."),
    ] = None,
    bo_steps: Annotated[
        int | None, typer.Option("--bo-steps", help="Steps of the optimisation; 20 by default.")
    ] = None,
    compare_encoders: Annotated[
        bool, typer.Option("--compare-encoders", help="Measure all four encoders, 20 repeats each; takes minutes.")
    ] = False,
    seed: Seed = 0,
    config: Config = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find habitats that are stable over patients and, where survival is known, matter for it; refuse where there are none.

    Writes OUT/model, OUT/maps/<case>.nii.gz, pictures, habitats.csv (a feature table), optimisation.csv, clusters.csv, report.html. Stopped
    runs go on where they were.
    """
    progress = start_logging(quiet, verbose)
    prepare_torch()
    from radiogen.cohort.table import read_cohort
    from radiogen.config.habitats import HabitatSettings
    from radiogen.pipeline.habitats import run_habitats_fit

    settings = HabitatSettings.read(
        config,
        maps=None if maps is None else tuple(name.strip() for name in maps.split(",") if name.strip()),
        region=region,
        encoder=encoder,
        clusters=_range(clusters, "--clusters"),
        quantile=_range(quantile, "--quantile"),
        alpha=alpha,
        bo_steps=bo_steps,
        compare_encoders=compare_encoders or None,
        seed=seed,
    )
    result = run_habitats_fit(read_cohort(cohort), output, settings, folder=cohort.parent, jobs=jobs, progress=progress)
    if not quiet:
        typer.echo(result["summary"])
        for note in result["notes"]:
            typer.echo(f"note: {note}", err=True)
        typer.echo(f"Report: {output / 'report.html'}")
    fail_if_incomplete(result["n_failed"], output / "failed.csv")


def apply(
    model: Annotated[Path, typer.Argument(help="Folder `model` of `habitats fit`.")],
    cohort: Annotated[Path, typer.Argument(help="cohort.csv of the new cases, with masks.")],
    output: Output,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Divide new cases with a frozen model: OUT/maps/<case>.nii.gz, OUT/pictures, OUT/habitats.csv, OUT/report.html."""
    progress = start_logging(quiet, verbose)
    prepare_torch()
    from radiogen.cohort.table import read_cohort
    from radiogen.pipeline.habitats_apply import run_habitats_apply

    features, failures = run_habitats_apply(
        model, read_cohort(cohort), output, folder=cohort.parent, jobs=jobs, progress=progress
    )
    if not quiet:
        typer.echo(
            f"{len(features)} case(s) divided; table: {output / 'habitats.csv'}\nReport: {output / 'report.html'}"
        )
    fail_if_incomplete(len(failures), output / "failed.csv")


def _range(text: str | None, option: str) -> tuple[float, float] | None:
    """Return the two numbers of LOW:HIGH; one number stands for both."""
    from radiogen.errors import ConfigError

    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise ConfigError(f"{option} is '{text}'; LOW:HIGH is accepted, such as 3:7.")
    return numbers[0], numbers[-1]
