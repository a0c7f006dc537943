"""`radiogen predict`: a saved model on new cases."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
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

    from radiogen.pipeline.inputs import Inputs
    from radiogen.pipeline.predict import Bundle, PredictedCases


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
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Apply a model: probabilities or risks, with a warning for training patients, missing features and cases unlike the training."""
    progress = start_logging(quiet, verbose)
    from radiogen.branches.names import BRANCHES
    from radiogen.config.base import read_yaml_mapping
    from radiogen.errors import InputError
    from radiogen.fusion.bundle import load_model
    from radiogen.fusion.inner_scores import GRAPHS, IMAGES
    from radiogen.fusion.survival_bundle import load_risk_model
    from radiogen.pipeline.inputs import from_cohort, from_tables, read_labels, settings_from_card
    from radiogen.pipeline.predict import is_graph_model, is_image_model, run_predict
    from radiogen.pipeline.survival_predict import is_risk_model, run_predict_risk

    if is_graph_model(model):
        if features or cohort is None:
            raise InputError("This model looks at brain networks: give a cohort.csv, and no --features.")
        _from_graphs(model, cohort, labels, output, device or "cpu", jobs=jobs, progress=progress)
        return
    if is_image_model(model):
        if features or cohort is None:
            raise InputError("This model looks at images: give a cohort.csv, and no --features.")
        _from_images(model, cohort, labels, output, device or "auto", jobs=jobs, progress=progress)
        return
    of_risk = is_risk_model(model)
    bundle: Bundle = load_risk_model(model) if of_risk else load_model(model)
    if features:
        source = labels or cohort
        inputs = from_tables(features, None if source is None else read_labels(source))
    elif cohort is not None:
        scored = (IMAGES, GRAPHS)
        foreign = sorted(set(bundle.card["features"]) - {*BRANCHES.names(), *scored})
        if foreign:
            raise InputError(
                f"This model was trained on feature tables that radiogen did not make ({', '.join(foreign)}).",
                hint="Give the same kind of table with --features.",
            )
        given = {} if config is None else read_yaml_mapping(config)
        inputs = from_cohort(
            cohort, output, [name for name in bundle.card["features"] if name not in scored],
            settings=settings_from_card(bundle.card["feature_settings"], params, given), jobs=jobs, progress=progress,
        )  # fmt: skip
        _add_scores(model, bundle.card["features"], inputs, output, device, jobs=jobs, progress=progress)
    else:
        raise InputError("No cases.", hint="Give a cohort.csv, or --features TABLE.")
    apply = run_predict_risk if of_risk else run_predict
    predictions = apply(model, inputs.features, output, cohort=inputs.cohort)
    _say(predictions, bundle, output)
    fail_if_incomplete(len({failure.case for failure in inputs.failures}), output / "failed.csv")


def _add_scores(
    model: Path,
    branches: Collection[str],
    inputs: Inputs,
    output: Path,
    device: str | None,
    *,
    jobs: int,
    progress: bool,
) -> None:
    """Score the cases by the networks of a model that fuses images or brain networks with tables."""
    from radiogen.fusion.inner_scores import GRAPHS, IMAGES
    from radiogen.run.quarantine import write_failures

    if IMAGES in branches:
        prepare_torch()
        from radiogen.pipeline.predict_images import image_scores

        scores, failures = image_scores(
            model / IMAGES, inputs.cohort, device=device or "auto", jobs=jobs, progress=progress
        )
        inputs.features[IMAGES] = scores
        inputs.failures.extend(failures)
        write_failures(output / "failed.csv", failures, stages=["prepare-images"])
    if GRAPHS in branches:
        from radiogen.pipeline.predict_graphs import graph_scores

        scores, failures = graph_scores(
            model / GRAPHS, inputs.cohort, device=device or "cpu", jobs=jobs, progress=progress
        )
        inputs.features[GRAPHS] = scores
        inputs.failures.extend(failures)
        write_failures(output / "failed.csv", failures, stages=["prepare-graphs"])


def _from_images(
    model: Path, cohort: Path, labels: Path | None, output: Path, device: str, *, jobs: int, progress: bool
) -> None:
    """Apply a classifier on images."""
    prepare_torch()
    from radiogen.pipeline.predict_images import run_predict_images

    predict = partial(run_predict_images, device=device, jobs=jobs, progress=progress)
    _from_recipe(predict, "prepare-images", model, cohort, labels, output)


def _from_graphs(
    model: Path, cohort: Path, labels: Path | None, output: Path, device: str, *, jobs: int, progress: bool
) -> None:
    """Apply a classifier on brain networks."""
    from radiogen.pipeline.predict_graphs import run_predict_graphs

    predict = partial(run_predict_graphs, device=device, jobs=jobs, progress=progress)
    _from_recipe(predict, "prepare-graphs", model, cohort, labels, output)


def _from_recipe(
    predict: Callable[..., PredictedCases], stage: str, model: Path, cohort: Path, labels: Path | None, output: Path
) -> None:
    """Apply a classifier that was trained by a recipe, and say what speaks against its answers."""
    from radiogen.cohort.join import join_labels
    from radiogen.cohort.table import read_cohort
    from radiogen.pipeline.inputs import read_labels
    from radiogen.run.quarantine import write_failures

    table = read_cohort(cohort)
    if labels is not None:
        table, _ = join_labels(table, [read_labels(labels)])
    found = predict(model, table, output)
    write_failures(output / "failed.csv", found.failures, stages=[stage])
    _say(found.predictions, found.bundle, output)
    fail_if_incomplete(len(found.failures), output / "failed.csv")


def _say(predictions: pd.DataFrame, bundle: Bundle, output: Path) -> None:
    from radiogen.pipeline.predict import warnings_about

    gives = bundle.card.get("gives") or f"probability of {bundle.card['positive_means']}"
    typer.echo(f"{len(predictions)} case(s): {gives}")
    for line in warnings_about(predictions, bundle):
        typer.echo(f"warning: {line}", err=True)
    typer.echo(f"predictions: {output / 'predictions.csv'}\n{bundle.card['notice']}")
