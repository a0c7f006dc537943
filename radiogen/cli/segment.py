"""`radiogen segment`: tumour masks for a cohort, a folder or one case."""

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
    prepare_torch,
    reports_errors,
    start_logging,
)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("segment", epilog="Example: radiogen segment cohort.csv -o study --jobs 2")(reports_errors(segment))


def segment(
    cases: Annotated[Path, typer.Argument(help="A cohort table, or a folder of NIfTI files: one case or many.")],
    output: Output,
    method: Annotated[str | None, typer.Option("--method", help="Registered method; see `radiogen info`.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", help="Installed weights or a safetensors file with its card; several: an ensemble."),
    ] = None,
    given_masks: Annotated[
        str | None, typer.Option("--given-masks", help="use: keep masks that the cohort brings; ignore: make our own.")
    ] = None,
    tta: Annotated[
        bool | None, typer.Option("--tta/--no-tta", help="Average a network over mirror images; eight times the work.")
    ] = None,
    uncertainty: Annotated[
        str | None, typer.Option("--uncertainty", help="none, flips, mc-dropout, ensemble: how sure the network is.")
    ] = None,
    passes: Annotated[int | None, typer.Option("--passes", help="Answers per case of flips and mc-dropout.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of mc-dropout.")] = None,
    uncertainty_map: Annotated[
        bool | None, typer.Option("--uncertainty-map", help="Write the entropy as uncertainty/<case>.nii.gz.")
    ] = None,
    save_probabilities: Annotated[
        bool | None, typer.Option("--save-probabilities", help="Write probabilities/<case>.safetensors.")
    ] = None,
    save_samples: Annotated[
        bool | None, typer.Option("--save-samples", help="Write the mask of every answer as samples/<case>/<k>.nii.gz.")
    ] = None,
    ensemble: Annotated[
        str | None, typer.Option("--ensemble", help="mean, majority, staple: how several networks become one.")
    ] = None,
    postprocess: Annotated[
        Path | None,
        typer.Option("--postprocess", help="JSON or YAML of thresholds and filters, as radiogen tune writes."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make tumour masks on each case's own grid, with volumes and a picture per case."""
    prepare_torch()
    progress = start_logging(quiet, verbose, output)
    from radiogen.cohort.build import read_cohort_or_folder
    from radiogen.cohort.table import write_cohort
    from radiogen.config.postprocess import PostprocessSettings
    from radiogen.config.segment import SegmentSettings
    from radiogen.pipeline.segment import run_segment

    overrides = {
        "method": method,
        "weights": tuple(weights) if weights else None,
        "given_masks": given_masks,
        "tta": tta,
        "uncertainty": uncertainty,
        "passes": passes,
        "seed": seed,
        "uncertainty_map": uncertainty_map,
        "ensemble": ensemble,
        "postprocess": PostprocessSettings.read(postprocess) if postprocess else None,
        "save_probabilities": save_probabilities,
        "save_samples": save_samples,
        "device": device,
    }
    settings = SegmentSettings.read(config, **overrides)
    outcome = run_segment(read_cohort_or_folder(cases), output, settings, jobs=jobs, dask=dask, progress=progress)
    write_cohort(outcome.cohort, output / "cohort.csv")
    for case, row in outcome.volumes.iterrows():
        typer.echo(
            f"{case}: whole tumour {_ml(row['wt_ml'])}, core {_ml(row['tc_ml'])}, enhancing {_ml(row['et_ml'])} ({row['method']})"
            + (f" - look at this: {row['flag_reason']}" if row["flagged"] else "")
        )
    fail_if_incomplete(len({failure.case for failure in outcome.failures}), output / "failed.csv")


def _ml(volume: float) -> str:
    return f"{volume:.1f} ml" if volume == volume else "unknown"
