"""`radiogen explain`: where a classifier on images looks."""

from __future__ import annotations

from collections.abc import Mapping
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

    from radiogen.fusion.image_bundle import ImageBundle


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("explain", epilog="Example: radiogen explain out/model cohort.csv --method grad-cam -o maps")(
        reports_errors(explain)
    )


def explain(
    model: Annotated[
        str, typer.Argument(help="Folder `model` of `classify --recipe`; or a recipe, trained on the cohort first.")
    ],
    cohort: Annotated[Path, typer.Argument(help="cohort.csv of the cases to explain.")],
    output: Output,
    method: Annotated[
        str, typer.Option("--method", "-m", help="integrated-gradients, or grad-cam.")
    ] = "integrated-gradients",
    cases: Annotated[str | None, typer.Option("--cases", help="With commas: only these. Default: all.")] = None,
    shuffled_labels: Annotated[
        bool,
        typer.Option(
            "--shuffled-labels",
            help="Also compare with networks trained on this cohort's shuffled labels; takes one more training.",
        ),
    ] = False,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="With a recipe: what to train on. Default: the recipe's own.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="With a recipe: installed weights by name, or a file.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="With a recipe: of the training.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show where a classifier on images looks: maps on each case's grid, pictures, and checks whether the maps mean anything.

    Writes OUT/<case>_<network>.nii.gz, .png and .json, and OUT/explanations.csv. Of a model that fuses images with tables its networks are
    explained, not the fusion.
    """
    progress = start_logging(quiet, verbose)
    prepare_torch()
    from radiogen.branches.embedding.explain import check_method
    from radiogen.cohort.table import read_cohort
    from radiogen.pipeline.explain_run import run_explain, sanity_words
    from radiogen.run.quarantine import write_failures

    check_method(method)
    table = read_cohort(cohort)
    chosen = _chosen(table, cases)
    changes = {"weights": weights, "seed": seed, "device": device}
    bundle = _bundle(model, table, target, output, changes, jobs=jobs, progress=progress)
    done = run_explain(
        bundle, chosen, output, method, shuffled_on=table if shuffled_labels else None, progress=progress
    )
    write_failures(output / "failed.csv", done.failures, stages=["prepare-images", "explain"])
    typer.echo(f"{len(done.table)} map(s) of {done.table['case'].nunique()} case(s) by {method}")
    for line in sanity_words(done.table):
        typer.echo(line)
    typer.echo(f"table: {output / 'explanations.csv'}\n{bundle.card['notice']}")
    fail_if_incomplete(len({failure.case for failure in done.failures}), output / "failed.csv")


def _chosen(table: pd.DataFrame, cases: str | None) -> pd.DataFrame:
    from radiogen.errors import InputError

    if cases is None:
        return table
    names = [name.strip() for name in cases.split(",") if name.strip()]
    unknown = [name for name in names if name not in table.index]
    if unknown or not names:
        raise InputError(
            f"The cohort has no case {', '.join(unknown) or '(none was named)'}.",
            hint=f"It has {len(table)}: {', '.join(table.index[:3])}, ...",
        )
    return table.loc[names]


def _bundle(
    model: str,
    table: pd.DataFrame,
    target: str | None,
    output: Path,
    changes: Mapping[str, object],
    *,
    jobs: int,
    progress: bool,
) -> ImageBundle:
    """Return a saved model, or that of a recipe, which is trained now."""
    from radiogen.branches.embedding.recipe_table import read_image_recipe
    from radiogen.errors import InputError
    from radiogen.fusion.image_bundle import load_image_model
    from radiogen.fusion.inner_scores import IMAGES
    from radiogen.pipeline.classify_images import with_changes
    from radiogen.pipeline.explain_run import train_to_explain
    from radiogen.pipeline.predict import is_image_model

    folder = Path(model)
    if folder.is_dir():
        # A model that fuses images with tables has its networks beside it.
        networks = next((place for place in (folder, folder / IMAGES) if is_image_model(place)), None)
        if networks is None:
            raise InputError(
                f"{folder} is no model that looks at images.",
                hint="Give the folder `model` that `radiogen classify --recipe` wrote, or the name of a recipe.",
            )
        return load_image_model(networks, device=str(changes["device"]), jobs=jobs, progress=progress)
    recipe = with_changes(read_image_recipe(model), changes)
    return train_to_explain(recipe, table, target or recipe.target, output, jobs=jobs)
