"""`radiogen tune`: postprocessing fitted to one's own network and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Config, Jobs, Output, Quiet, Verbose, fail_if_incomplete, reports_errors, start_logging

_EXAMPLE = "Example: radiogen tune masks study/probabilities cohort.csv -o tuned"
_APPLY_EXAMPLE = "Example: radiogen tune apply study cohort.csv --rules tuned/postprocess.json -o study2"


def register(app: typer.Typer) -> None:
    """Add the command group to the program."""
    group = typer.Typer(help="Fit what follows a network to one's own data.", epilog=_EXAMPLE, no_args_is_help=True)
    group.callback()(lambda: None)
    group.command("masks", epilog=_EXAMPLE)(reports_errors(masks))
    group.command("apply", epilog=_APPLY_EXAMPLE)(reports_errors(apply))
    app.add_typer(group, name="tune")


def masks(
    probabilities: Annotated[
        Path,
        typer.Argument(metavar="PROBABILITIES", help="Folder of <case>.safetensors, or the study that it lies in."),
    ],
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE", help="Cohort table with the reference masks (and folds), or a folder of masks."
        ),
    ],
    output: Output,
    method: Annotated[str | None, typer.Option("--method", help="tpe (Optuna) or grid.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="dice or lesion-dice.")] = None,
    tune: Annotated[
        str | None, typer.Option("--tune", help="Of: thresholds,components,et-ratio,small-et,et-decision.")
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Trials of tpe per fold.")] = None,
    n_folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Folds, where the table has no column fold.")
    ] = None,
    per_cluster: Annotated[bool, typer.Option("--per-cluster", help="Rules for every cluster of tumours too.")] = False,
    start: Annotated[Path | None, typer.Option("--start", help="Rules to start from and compare with.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of folds, search and clusters.")] = None,
    config: Config = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Tune thresholds and the rules after them by cross-validation over cases.

    Writes postprocess.json (the rules to use), scores.csv (every case, scored with rules tuned without it, beside the untuned score), tuning.json and
    tuning.png. The probabilities must come from networks that were not trained on the cases.
    """
    progress = start_logging(quiet, verbose)
    from radiogen.config.base import read_yaml_mapping
    from radiogen.config.tune import TuneSettings
    from radiogen.pipeline.tune import run_tune

    settings = TuneSettings.read(
        config,
        method=method,
        metric=metric,
        tune=None if tune is None else [part.strip() for part in tune.split(",")],
        trials=trials,
        n_folds=n_folds,
        per_cluster=per_cluster or None,
        start=None if start is None else read_yaml_mapping(start),
        seed=seed,
    )
    outcome = run_tune(probabilities, reference, output, settings, jobs=jobs, progress=progress)
    for region, row in outcome.summary["out_of_fold"]["regions"].items():
        values = "  ".join(f"{name} {row[name]:.3f}" for name in ("untuned", "tuned", "clustered") if name in row)
        typer.echo(f"{region}: n={row['n']}  {values}")
    typer.echo(outcome.summary["words"])
    fail_if_incomplete(len(outcome.failures), output / "failed.csv")


def apply(
    probabilities: Annotated[
        Path,
        typer.Argument(metavar="PROBABILITIES", help="Folder of <case>.safetensors, or the study that it lies in."),
    ],
    cohort: Annotated[Path, typer.Argument(help="The cohort table.")],
    output: Output,
    rules: Annotated[Path, typer.Option("--rules", help="postprocess.json of `radiogen tune masks`, or one's own.")],
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Masks from saved probabilities by other rules, without asking the network again.

    Writes masks/<case>.nii.gz with a sidecar each, and volumes.csv.
    """
    progress = start_logging(quiet, verbose)
    from radiogen.cohort.table import read_cohort
    from radiogen.pipeline.tune_apply import run_tune_apply

    table, failures = run_tune_apply(probabilities, read_cohort(cohort), rules, output, jobs=jobs, progress=progress)
    typer.echo(f"{len(table)} mask(s) in {output / 'masks'}")
    fail_if_incomplete(len(failures), output / "failed.csv")
