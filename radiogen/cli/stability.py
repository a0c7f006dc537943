"""`radiogen stability`: how far radiomics features survive perturbations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    reports_errors,
    start_logging,
)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("stability", epilog="Example: radiogen stability cohort.csv -o study --jobs 2")(
        reports_errors(stability)
    )


def stability(
    cohort: Annotated[Path, typer.Argument(help="The cohort table, with images and a mask per case.")],
    output: Output,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", help="Folder of masks that `radiogen segment --save-samples` drew: STUDY/samples."),
    ] = None,
    params: Params = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of contours and noise.")] = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Radiomics under other contours, positions and noise, and how far each feature agrees: ICC(3,1) with its interval.

    Takes the settings of `features radiomics` and `perturbations`. Writes features/radiomics_perturbed.parquet, radiomics_stability.csv, .png, .html.
    The stability table is over all cases and describes them; to select features for a model, compute it inside the fold.
    """
    progress = start_logging(quiet, verbose, output)
    from radiogen.branches.radiomics.stability import ALL, STABLE
    from radiogen.cohort.table import read_cohort
    from radiogen.config.stability import StabilitySettings
    from radiogen.pipeline.stability import run_stability

    settings = StabilitySettings.read(config, params=params, seed=seed)
    found = run_stability(
        read_cohort(cohort), output, settings, samples=samples, jobs=jobs, dask=dask, progress=progress
    )
    for family in dict.fromkeys(found.table["family"]):
        words = "all together" if family == ALL else family
        low = found.table.loc[found.table["family"] == family, "low"].dropna()
        said = f"{(low >= STABLE).sum()} of {len(low)} features stable (ICC's lower bound {STABLE} or above)"
        typer.echo(f"{words}: {said if len(low) else 'agreement between cases cannot be said from so few'}")
    fail_if_incomplete(len(found.failures), output / "failed.csv")
