"""`radiogen evaluate masks`: predicted masks against references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Config, Jobs, Output, Quiet, Verbose, fail_if_incomplete, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command group to the program."""
    group = typer.Typer(help="Score results against a reference.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command("masks", epilog="Example: radiogen evaluate masks study/masks references -o scores")(
        reports_errors(masks)
    )
    app.add_typer(group, name="evaluate")


def masks(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="A mask, or a folder of masks.")],
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REF", help="The reference mask, a folder of them (paired by file name), or a cohort table."
        ),
    ],
    output: Output,
    prediction_labels: Annotated[
        str | None, typer.Option("--pred-labels", help="auto, brats2023, brats2021, brats2013, whole-tumour.")
    ] = None,
    reference_labels: Annotated[str | None, typer.Option("--ref-labels", help="The same for the references.")] = None,
    config: Config = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Dice, HD95, normalised surface Dice and BraTS lesion-wise scores per case and region."""
    progress = start_logging(quiet, verbose)
    from radiogen.config.masks import MaskEvaluationSettings
    from radiogen.pipeline.evaluate_masks import run_evaluate_masks

    settings = MaskEvaluationSettings.read(
        config, prediction_labels=prediction_labels, reference_labels=reference_labels
    )
    _, metrics, failures = run_evaluate_masks(prediction, reference, output, settings, jobs=jobs, progress=progress)
    for region, row in metrics["regions"].items():
        typer.echo(
            f"{region}: n={row['n']}  Dice {row['dice']['mean']:.3f}  HD95 {row['hd95_mm']['mean']:.1f} mm  NSD {row['nsd']['mean']:.3f}  "
            f"lesion-wise Dice {row['lesion_dice']['mean']:.3f}, HD95 {row['lesion_hd95_mm']['mean']:.1f} mm"
        )
    fail_if_incomplete(len(failures), output / "failed.csv")
