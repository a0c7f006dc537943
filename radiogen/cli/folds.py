"""`radiogen folds`: stratified folds by the radiomics of the tumours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("folds", epilog="Example: radiogen folds cohort.csv -o folds")(reports_errors(folds))


def folds(
    cohort: Annotated[Path, typer.Argument(help="The cohort table, with images and a mask per case.")],
    output: Output,
    n_folds: Annotated[int | None, typer.Option("--folds", min=2, help="Folds (5).")] = None,
    clusters: Annotated[
        int | None, typer.Option("--clusters", min=1, help="Clusters; else chosen by silhouette.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of clusters and folds.")] = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Folds with an equal share of every kind of tumour; patients stay together.

    Radiomics of the whole tumour in every sequence, principal components, k-means; the patients of every cluster are dealt to the folds. Writes
    folds.csv, folds.json (the clusters, for new cases), splits_final.json (nnU-Net v2), cohort.csv with a column `fold`, and folds.png.
    """
    progress = start_logging(quiet, verbose)
    from radiogen.cohort.table import read_cohort
    from radiogen.config.folds import FoldsSettings
    from radiogen.pipeline.folds import run_folds

    settings = FoldsSettings.read(config, n_folds=n_folds, clusters=clusters, seed=seed)
    found = run_folds(read_cohort(cohort), output, settings, jobs=jobs, dask=dask, progress=progress)
    sizes = found.table["fold"].value_counts().sort_index()
    typer.echo(
        f"{len(found.table)} cases in {len(found.model.centres)} cluster(s); cases per fold: {', '.join(map(str, sizes))}"
    )
    fail_if_incomplete(len(found.failures), output / "failed.csv")
