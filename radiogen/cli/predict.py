"""`radiogen predict`: a saved model on new cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Jobs, Output, Quiet, Verbose, fail_if_incomplete, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "predict", epilog="Example: radiogen predict out/model --features new.csv --labels clinical.csv -o new"
    )(reports_errors(predict))


def predict(
    model: Annotated[Path, typer.Argument(help="The folder `model` that `radiogen classify` wrote.")],
    output: Output,
    cohort: Annotated[
        Path | None,
        typer.Argument(help="cohort.csv of the new cases, with images and masks; with --features: for age and sex."),
    ] = None,
    features: Annotated[
        list[Path] | None, typer.Option("--features", "-f", help="Feature table (CSV or Parquet); can be repeated.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Table with age, sex and, where known, the true label.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option("--params", help="PyRadiomics parameter YAML, where the model was trained with one.")
    ] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Apply a model: probabilities, with a warning for training patients, missing features and cases unlike the training."""
    progress = start_logging(quiet, verbose)
    from radiogen.branches.names import BRANCHES
    from radiogen.errors import InputError
    from radiogen.fusion.bundle import load_model
    from radiogen.pipeline.inputs import from_cohort, from_tables, read_labels, settings_from_card
    from radiogen.pipeline.predict import run_predict, warnings_about

    bundle = load_model(model)
    if features:
        source = labels or cohort
        inputs = from_tables(features, None if source is None else read_labels(source))
    elif cohort is not None:
        foreign = sorted(set(bundle.card["features"]) - set(BRANCHES.names()))
        if foreign:
            raise InputError(
                f"This model was trained on feature tables that radiogen did not make ({', '.join(foreign)}).",
                hint="Give the same kind of table with --features.",
            )
        inputs = from_cohort(
            cohort, output, list(bundle.card["features"]),
            settings=settings_from_card(bundle.card["feature_settings"], params), jobs=jobs, progress=progress,
        )  # fmt: skip
    else:
        raise InputError("No cases.", hint="Give a cohort.csv, or --features TABLE.")
    predictions = run_predict(model, inputs.features, output, cohort=inputs.cohort)
    typer.echo(f"{len(predictions)} case(s): probability of {bundle.card['positive_means']}")
    for line in warnings_about(predictions, bundle):
        typer.echo(f"warning: {line}", err=True)
    typer.echo(f"predictions: {output / 'predictions.csv'}\n{bundle.card['notice']}")
    fail_if_incomplete(len({failure.case for failure in inputs.failures}), output / "failed.csv")
