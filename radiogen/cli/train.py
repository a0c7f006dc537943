"""`radiogen train`: networks on one's own data, or on made-up patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from radiogen.cli.common import Jobs, Output, Quiet, Verbose, prepare_torch, reports_errors, start_logging

_EXAMPLE = "Example: radiogen train segmentation cohort.csv --recipe mine.yaml --fold 0 -o trained"


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(help="Train networks on a cohort, as a recipe says.", epilog=_EXAMPLE, no_args_is_help=True)
    group.callback()(_train)
    group.command("segmentation", epilog=_EXAMPLE)(reports_errors(segmentation))
    group.command(
        "network", epilog="Example: radiogen train network cohort.csv --recipe supervoxel-graphsage --fold 0 -o trained"
    )(reports_errors(network))
    app.add_typer(group, name="train")


def _train() -> None:
    """Train networks on a cohort, as a recipe says."""


def segmentation(
    output: Output,
    cohort: Annotated[
        Path | None,
        typer.Argument(help="The cohort table with a mask per case; left out where the recipe makes its patients up."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="Name of a recipe (`radiogen recipes list`), or a YAML file.")
    ] = None,
    training: Annotated[
        str | None, typer.Option("--training", help="One training of a recipe that has several; else all, in order.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="A setting on top of the recipe, such as data.spacing_mm=2; can be repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs.")] = None,
    fold: Annotated[
        str | None, typer.Option("--fold", help="Fold that is held out to measure on, from 0; or 'all': train on all.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = None,
    devices: Annotated[int | None, typer.Option("--devices", min=1, help="Devices that share each step.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Processes that prepare data.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of everything random.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the weights; else that of the folder.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Licence of the weights, for their card.")] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a tumour segmentation network, or all the networks of a recipe, each in a folder of its own.

    Writes weights.safetensors with its card, log.csv, curves.png, samples/ and checkpoints/. The same command started again goes on after the last
    finished epoch and, on a CPU, ends with the same bytes.
    """
    prepare_torch()
    progress = start_logging(quiet, verbose, output)
    from radiogen.cohort.table import read_cohort
    from radiogen.pipeline.train_recipe import plan_trainings, run_train_recipe, write_segment_settings
    from radiogen.segment.train_segmentation import UNKNOWN_LICENCE

    options = {"epochs": epochs, "fold": fold, "device": device, "devices": devices, "workers": workers, "seed": seed}
    trainings = plan_trainings(recipe, output, _changes(set_ or [], options), training)
    outcomes = run_train_recipe(
        trainings,
        read_cohort(cohort) if cohort else None,
        output,
        name=name or output.resolve().name,
        licence=licence or UNKNOWN_LICENCE,
        jobs=jobs,
        progress=progress,
    )
    predict_with = write_segment_settings(recipe, trainings, output)
    for outcome in outcomes:
        typer.echo(f"{outcome.weights}: {outcome.card.training_data}")
        scores = outcome.card.measured.get("held_out", {}).get("dice", {})
        if scores:
            words = ", ".join(f"{region} {score:.3f}" for region, score in scores.items())
            typer.echo(f"Dice on {len(outcome.held_out)} held-out case(s): {words}")
    if predict_with is not None:
        typer.echo(f"Predict as the recipe does: radiogen segment COHORT --config {predict_with} -o STUDY")


def network(
    cohort: Annotated[Path, typer.Argument(help="The cohort table with a mask per case; cases without one are left.")],
    output: Output,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Name of a recipe of the kind graph-segmentation, or a YAML file.")
    ] = "supervoxel-graphsage",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", help="A setting on top of the recipe, such as graph.n_segments=5000; can be repeated."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs.")] = None,
    fold: Annotated[
        int | None, typer.Option("--fold", min=0, help="Fold that is held out to measure on, from 0; else none.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Folds of patients.")] = 5,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of weights and order.")] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a graph network that segments tumours on supervoxels.

    Writes the model (supervoxel-network.safetensors, supervoxel-model.json), the graphs, held_out.csv and metrics.json. Started again, it builds only
    the graphs that are missing. Masks of new cases: segment_by_supervoxels in Python.
    """
    prepare_torch()
    progress = start_logging(quiet, verbose, output)
    from radiogen.branches.network.supervoxel_recipe_table import read_supervoxel_recipe
    from radiogen.cohort.table import read_cohort
    from radiogen.config.recipes import over
    from radiogen.config.supervoxels import SupervoxelModelSettings
    from radiogen.errors import IncompleteError
    from radiogen.pipeline.train_supervoxels import run_train_supervoxels

    changes = over(_changes(set_ or [], {"seed": seed, "fold": None}), _named({"epochs": epochs, "device": device}))
    chosen = over(read_supervoxel_recipe(recipe).settings.model_dump(mode="json"), changes)
    outcome = run_train_supervoxels(
        SupervoxelModelSettings.parse(chosen),
        read_cohort(cohort),
        output,
        fold=fold,
        n_folds=folds,
        jobs=jobs,
        progress=progress,
    )
    typer.echo(f"{output}: learned from {outcome.n_train} case(s)")
    if len(outcome.held_out):
        mean = outcome.held_out.mean()
        words = ", ".join(
            f"{name} {mean[name]:.3f} (reachable {mean[f'{name}_reachable']:.3f})" for name in ("wt", "tc", "et")
        )
        typer.echo(f"Dice on {len(outcome.held_out)} held-out case(s): {words}")
    if outcome.failures:
        raise IncompleteError(f"{len(outcome.failures)} case(s) have no graph; see {output / 'failed.csv'}.")


def _named(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given as settings of the network."""
    given = {key: value for key, value in options.items() if value is not None}
    return {"network": given} if given else {}


def _changes(lines: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Return `key.key=value` lines and options as settings laid over those of a recipe."""
    import yaml

    from radiogen.errors import ConfigError

    changes: dict[str, Any] = {}
    for line in lines:
        key, equals, text = line.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"'{line}' is not a setting.", hint="Write it as data.spacing_mm=2.")
        *folders, last = key.strip().split(".")
        inner = changes
        for folder in folders:
            inner = inner.setdefault(folder, {})
        try:
            inner[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"The value of '{key}' cannot be read: {text}") from error
    given = {key: value for key, value in options.items() if value is not None}
    if fold := options["fold"]:
        if fold != "all" and not fold.isdecimal():
            raise ConfigError(f"--fold is '{fold}'; a number from 0, or 'all', is accepted.")
        given["fold"] = fold if fold == "all" else int(fold)
    return {**changes, **given}
