"""`radiogen controls`: negative controls of a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import (
    Config,
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
    app.command("controls", epilog="Example: radiogen controls cohort.csv --target idh -o controls --jobs 2")(
        reports_errors(controls)
    )


def controls(
    output: Output,
    target: Annotated[str, typer.Option("--target", "-t", help="idh, mgmt, codeletion or grade (4 against 2 and 3).")],
    cohort: Annotated[
        Path | None, typer.Argument(help="cohort.csv with images and masks; with --features: for its labels only.")
    ] = None,
    features: Annotated[
        list[Path] | None, typer.Option("--features", "-f", help="Feature table (CSV or Parquet); can be repeated.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Label table, whatever its spelling; joined by case id.")
    ] = None,
    branches: Annotated[
        str | None, typer.Option("--branches", "-b", help="With commas; with images: default radiomics.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", help="With commas: shuffled-labels, contralateral, blanked, site-probe. Default: all."),
    ] = None,
    shuffles: Annotated[int | None, typer.Option("--shuffles", help="How often labels are shuffled (20).")] = None,
    config: Config = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """What a model should not be able to do: shuffled labels, healthy side, tumour painted over, naming the hospital.

    Writes controls.json, controls.csv and controls.html. From feature tables alone the two image controls cannot be done.
    """
    progress = start_logging(quiet, verbose)
    from radiogen.config.controls import ControlsSettings
    from radiogen.errors import InputError
    from radiogen.fusion.join import check_target
    from radiogen.pipeline.controls import RADIOMICS, run_controls
    from radiogen.pipeline.inputs import from_cohort, from_tables, read_labels

    check_target(target)
    settings = ControlsSettings.read(config, controls=_names(only), shuffles=shuffles, seed=seed)
    source = labels or (cohort if features else None)
    read = read_labels(source) if source else None
    if features:
        if read is None:
            raise InputError("--features needs labels.", hint="Give --labels TABLE or a cohort.csv.")
        inputs = from_tables(features, read, _names(branches))
    elif cohort is not None:
        wanted = _names(branches) or (RADIOMICS,)
        inputs = from_cohort(
            cohort, output, wanted, labels=read, jobs=jobs, progress=progress,
            settings={RADIOMICS: settings.radiomics.model_dump(exclude_unset=True)},
        )  # fmt: skip
    else:
        raise InputError("Nothing to control.", hint="Give a cohort.csv, or --features TABLE with --labels TABLE.")
    with_images = not features and RADIOMICS in inputs.features
    outcome = run_controls(
        inputs.features, inputs.cohort, target, output, settings, with_images=with_images, jobs=jobs, progress=progress
    )
    if not quiet:
        for row in outcome.results["controls"]:
            typer.echo(f"{row['name']}: {row['verdict'] + ': ' if row['verdict'] else ''}{row['text']}")
        typer.echo(f"report: {output / 'controls.html'}")
    failures = [*inputs.failures, *outcome.failures]
    fail_if_incomplete(len({failure.case for failure in failures}), output / "failed.csv")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
