"""`radiogen classify` with a branch that is learned from the images in every fold: a recipe's networks, or habitats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radiogen.cli.common import fail_if_incomplete, prepare_torch

if TYPE_CHECKING:
    import pandas as pd

    from radiogen.config.classify import ClassifySettings
    from radiogen.pipeline.inputs import Inputs
    from radiogen.run.quarantine import Failure


def from_images(
    cohort: Path,
    labels: Path | None,
    target: str,
    output: Path,
    settings: ClassifySettings,
    recipe: str,
    changes: dict[str, str | None],
    tables: Mapping[str, Any],
    *,
    jobs: int,
    progress: bool,
) -> None:
    """Train and test a recipe's networks on the cohort's images, beside tables where there are any."""
    prepare_torch()
    from radiogen.branches.embedding.recipe_table import read_image_recipe
    from radiogen.pipeline.classify_images import run_classify_images, with_changes
    from radiogen.pipeline.classify_stacked import run_classify_stacked

    table = _table(cohort, labels)
    chosen = with_changes(read_image_recipe(recipe), {"seed": settings.seed, **changes})
    failed: list[Failure] = []
    if tables["features"] or tables["branches"]:
        inputs = _beside(cohort, labels, output, tables, jobs=jobs, progress=progress)
        failed += inputs.failures
        outcome = run_classify_stacked(
            chosen, inputs.features, table, target, output, settings, feature_settings=inputs.settings, splits=tables["splits"],
            jobs=jobs, progress=progress,
        )  # fmt: skip
    else:
        outcome = run_classify_images(
            chosen, table, target, output, settings, splits=tables["splits"], jobs=jobs, progress=progress
        )
    _finish(target, outcome.metrics, outcome.failures, failed, output, "prepare-images")


def from_graphs(
    cohort: Path,
    labels: Path | None,
    target: str,
    output: Path,
    settings: ClassifySettings,
    recipe: str,
    device: str | None,
    tables: Mapping[str, Any],
    *,
    jobs: int,
    progress: bool,
) -> None:
    """Train and test a recipe's graph network on the cohort's brain networks, beside tables where there are any."""
    from radiogen.branches.network.recipe_table import read_graph_recipe
    from radiogen.pipeline.classify_graphs import graph_recipe_with, run_classify_graphs
    from radiogen.pipeline.classify_graphs_stacked import run_graphs_stacked

    table = _table(cohort, labels)
    chosen = graph_recipe_with(read_graph_recipe(recipe), {"seed": settings.seed, "device": device})
    failed: list[Failure] = []
    stacked = bool(tables["features"] or tables["branches"])
    if stacked:
        inputs = _beside(cohort, labels, output, tables, jobs=jobs, progress=progress)
        failed += inputs.failures
        outcome = run_graphs_stacked(
            chosen, inputs.features, table, target, output, settings, feature_settings=inputs.settings, splits=tables["splits"],
            jobs=jobs, progress=progress,
        )  # fmt: skip
    else:
        outcome = run_classify_graphs(
            chosen, table, target, output, settings, jobs=jobs, progress=progress, splits=tables["splits"]
        )
    if not stacked:
        typer.echo(f"connections: {output / 'connections.csv'}")
    _finish(target, outcome.metrics, outcome.failures, failed, output, "prepare-graphs")


def with_habitats(
    cohort: Path | None,
    labels: Path | None,
    targets: tuple[str, ...],
    output: Path,
    settings: ClassifySettings,
    k: int,
    tables: Mapping[str, Any],
    *,
    jobs: int,
    progress: bool,
) -> None:
    """Learn a division of the tumours in every fold, and use it beside the other branches."""
    from radiogen.errors import InputError
    from radiogen.fusion.inner_scores import HABITATS
    from radiogen.pipeline.classify_habitats import fold_settings, run_classify_habitats

    others = tuple(name for name in tables["branches"] or ("clinical", "radiomics", HABITATS) if name != HABITATS)
    if cohort is None or len(targets) > 1:
        raise InputError("The branch habitats is learned from images: give a cohort.csv, and one --target.")
    if tables["features"] and any(path.name.split(".")[0] == HABITATS for path in tables["features"]):
        raise InputError(
            "A table called habitats was learned from these patients, so its columns know the test rows.",
            hint="Leave the table out; the branch habitats learns the division in every fold.",
        )
    # Age, sex and volume are read in any case: the baselines need them.
    inputs = _beside(
        cohort, labels, output, {**tables, "branches": others or ("clinical",)}, jobs=jobs, progress=progress
    )
    table = _table(cohort, labels) if tables["features"] else inputs.cohort
    metrics, failures = run_classify_habitats(
        {name: table for name, table in inputs.features.items() if name in others or tables["features"]}, table, targets[0], output,
        settings, fold_settings(k, settings.seed), folder=cohort.parent, feature_settings=inputs.settings, splits=tables["splits"],
        jobs=jobs, progress=progress,
    )  # fmt: skip
    _finish(targets[0], metrics, failures, inputs.failures, output, HABITATS)


def _finish(
    target: str,
    metrics: Mapping[str, Any],
    failures: list[Failure],
    earlier: list[Failure],
    output: Path,
    stage: str,
) -> None:
    """Say the verdict and where things are; the exit code says whether cases failed, now or while features were made."""
    from radiogen.run.quarantine import write_failures

    write_failures(output / "failed.csv", failures, stages=[stage])
    typer.echo(f"{target}: {metrics['verdict']}\n  {metrics['verdict_text']}")
    typer.echo(f"report: {output / 'report.html'}\nmodel:  {output / 'model'}")
    fail_if_incomplete(len({failure.case for failure in [*earlier, *failures]}), output / "failed.csv")


def _beside(
    cohort: Path, labels: Path | None, output: Path, tables: Mapping[str, Any], *, jobs: int, progress: bool
) -> Inputs:
    """Return the tables that a recipe's scores stand beside."""
    from radiogen.pipeline.inputs import from_cohort, from_tables, read_labels

    if tables["features"]:
        return from_tables(tables["features"], read_labels(labels or cohort), tables["branches"])
    radiomics = {"params": str(tables["params"])} if tables["params"] else {}
    return from_cohort(
        cohort, output, tables["branches"], labels=read_labels(labels) if labels else None,
        settings={"radiomics": radiomics}, jobs=jobs, progress=progress,
    )  # fmt: skip


def _table(cohort: Path, labels: Path | None) -> pd.DataFrame:
    """Return the cohort with images, and labels where they are in another table."""
    from radiogen.cohort.join import join_labels
    from radiogen.cohort.table import read_cohort
    from radiogen.pipeline.inputs import read_labels

    table = read_cohort(cohort)
    return table if labels is None else join_labels(table, [read_labels(labels)])[0]
