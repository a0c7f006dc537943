"""`radiogen native`: masks back on the voxels of the scans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiogen.cli.common import Jobs, Output, Quiet, Verbose, fail_if_incomplete, reports_errors, start_logging


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("native", epilog="Example: radiogen native study -o back --scans dicom/")(reports_errors(native))


def native(
    study: Annotated[Path, typer.Argument(help="A study folder that radiogen preprocess and radiogen segment wrote.")],
    output: Output,
    masks: Annotated[
        Path | None, typer.Option("--masks", help="Folder of CASE.nii.gz; the study's own by default.")
    ] = None,
    sequence: Annotated[
        str | None, typer.Option("--sequence", help="On whose voxels; by default the one registered to the template.")
    ] = None,
    scans: Annotated[
        Path | None,
        typer.Option("--scans", help="The DICOM folder that the study was made from: a DICOM SEG is written as well."),
    ] = None,
    overrides: Annotated[Path | None, typer.Option("--overrides", help="As given to radiogen preprocess.")] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Bring masks back from template space to the scans they belong to, as NIfTI and as DICOM SEG.

    A DICOM SEG carries the patient's name and id of the series it belongs to: it goes back to the clinic, not into a data set.
    """
    progress = start_logging(quiet, verbose)
    from radiogen.cohort.sequence_identity import read_overrides
    from radiogen.pipeline.native import run_native
    from radiogen.pipeline.raw_cases import find_raw_cases

    raw = None if scans is None else find_raw_cases(scans, None if overrides is None else read_overrides(overrides))
    volumes, failures = run_native(study, output, masks=masks, sequence=sequence, raw=raw, jobs=jobs, progress=progress)
    for case, row in volumes.iterrows():
        typer.echo(
            f"{case}: whole tumour {row['wt_ml_template']:.1f} ml in the study, {row['wt_ml_native']:.1f} ml on {row['sequence']}"
        )
    fail_if_incomplete(len({failure.case for failure in failures}), output / "failed.csv")
