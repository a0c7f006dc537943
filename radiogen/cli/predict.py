"""`radiogen predict`: a saved model on new cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radiogen.cli.common import (
    Jobs,
    Output,
    Quiet,
    Verbose,
    fail_if_incomplete,
    prepare_torch,
    reports_errors,
    start_logging,
)

if TYPE_CHECKING:
    import pandas as pd

    from radiogen.pipeline.predict import Bundle


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "predict", epilog="Example: radiogen predict out/model --features new.csv --labels clinical.csv -o new"
    )(reports_errors(predict))


def predict(
    model: Annotated[
        Path, typer.Argument(help="The folder `model` that `radiogen classify` or `radiogen survival` wrote.")
    ],
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
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML, branch: {setting: path}: other files the model was trained with."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Models on images: auto (default), cpu, cuda, cuda:1, mps.")
    ] = None,
    case_pages: Annotated[
        bool,
        typer.Option(
            "--case-pages/--no-case-pages",
            help="With cohort.csv: a page per case with its slices and what the model says.",
        ),
    ] = True,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Apply a model: probabilities or risks, with a warning for training patients, missing features and cases unlike the training."""
    progress = start_logging(quiet, verbose)
    from radiogen.errors import InputError
    from radiogen.pipeline.predict import is_graph_model, is_image_model

    for known, looks_at in ((is_graph_model, "brain networks"), (is_image_model, "images")):
        if known(model) and (features or cohort is None):
            raise InputError(f"This model looks at {looks_at}: give a cohort.csv, and no --features.")
    if features:
        _from_tables(model, features, labels or cohort, output)
        return
    if cohort is None:
        raise InputError("No cases.", hint="Give a cohort.csv, or --features TABLE.")
    prepare_torch()
    from radiogen.config.base import read_yaml_mapping
    from radiogen.pipeline.predict_cohort import predict_cohort

    found = predict_cohort(
        model, cohort, output, labels=labels, params=params, files=read_yaml_mapping(config) if config else None, device=device,
        jobs=jobs, progress=progress,
    )  # fmt: skip
    _say(found.predictions, found.bundle, output)
    failures = [*found.failures]
    if case_pages:
        from radiogen.cohort.table import read_cohort
        from radiogen.pipeline.predicted_pages import run_predicted_pages

        shown, unshown = run_predicted_pages(read_cohort(cohort), output, found, jobs=jobs, progress=progress)
        failures += unshown
        if shown:
            typer.echo(f"pages: {output / 'cases' / 'index.html'}")
    fail_if_incomplete(len({failure.case for failure in failures}), output / "failed.csv")


def _from_tables(model: Path, features: list[Path], source: Path | None, output: Path) -> None:
    """Apply a model to feature tables."""
    from radiogen.fusion.bundle import load_model
    from radiogen.fusion.survival_bundle import load_risk_model
    from radiogen.pipeline.inputs import from_tables, read_labels
    from radiogen.pipeline.predict import run_predict
    from radiogen.pipeline.survival_predict import is_risk_model, run_predict_risk

    of_risk = is_risk_model(model)
    bundle: Bundle = load_risk_model(model) if of_risk else load_model(model)
    inputs = from_tables(features, None if source is None else read_labels(source))
    apply = run_predict_risk if of_risk else run_predict
    _say(apply(model, inputs.features, output, cohort=inputs.cohort), bundle, output)
    fail_if_incomplete(len({failure.case for failure in inputs.failures}), output / "failed.csv")


def _say(predictions: pd.DataFrame, bundle: Bundle, output: Path) -> None:
    from radiogen.pipeline.predict import warnings_about

    gives = bundle.card.get("gives") or f"probability of {bundle.card['positive_means']}"
    typer.echo(f"{len(predictions)} case(s): {gives}")
    for line in warnings_about(predictions, bundle):
        typer.echo(f"warning: {line}", err=True)
    typer.echo(f"predictions: {output / 'predictions.csv'}\n{bundle.card['notice']}")
