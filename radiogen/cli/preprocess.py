"""`radiogen preprocess`: raw scans to cases on one grid."""

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
    app.command("preprocess", epilog="Example: radiogen preprocess scans/ -o study --jobs 2")(
        reports_errors(preprocess)
    )


def preprocess(
    source: Annotated[
        Path, typer.Argument(help="A folder of DICOM or NIfTI files, a case per sub-folder; or cohort.csv.")
    ],
    output: Output,
    template: Annotated[
        str | None,
        typer.Option("--template", help="mni152, or the file of a skull-stripped T1 such as the SRI24 atlas."),
    ] = None,
    transform: Annotated[
        str | None, typer.Option("--transform", help="rigid: volumes stay what they are; affine: size fitted too.")
    ] = None,
    brain: Annotated[
        str | None, typer.Option("--brain", help="How the brain is found: template, surface, hd-bet, synthstrip.")
    ] = None,
    bias: Annotated[
        str | None, typer.Option("--bias", help="N4: none, registration (compared images only), output (written too).")
    ] = None,
    intensity: Annotated[
        str | None, typer.Option("--intensity", help="none, zscore, clip, whitestripe: of what is written.")
    ] = None,
    keep_skull: Annotated[
        bool | None, typer.Option("--keep-skull/--brain-only", help="Write the images with what is around the brain.")
    ] = None,
    deface: Annotated[
        bool | None, typer.Option("--deface/--no-deface", help="With --keep-skull: take the face away.")
    ] = None,
    overrides: Annotated[
        Path | None, typer.Option("--overrides", help="CSV with case,role,series: which series is which sequence.")
    ] = None,
    bids: Annotated[
        Path | None, typer.Option("--bids", help="Write the study as BIDS derivatives into this folder, too.")
    ] = None,
    config: Config = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Bring raw scans onto one grid: sequences told apart, registered, brain extracted, checked, with pictures.

    Writes preprocessed/CASE/ with the sequences, the brain and the transforms back, cohort.csv, quality.csv, pictures in qc/preprocess/,
    preprocess.html. A case that cannot be worked on is in failed.csv with its reason. No name, id, date or free text of a DICOM header is written.
    """
    prepare_torch()
    progress = start_logging(quiet, verbose, output)
    from radiogen.cohort.sequence_identity import read_overrides
    from radiogen.config.preprocess import PreprocessSettings
    from radiogen.pipeline.preprocess import run_preprocess
    from radiogen.pipeline.raw_cases import find_raw_cases

    settings = PreprocessSettings.read(
        config, template=template, transform=transform, brain=brain, bias=bias, intensity=intensity, keep_skull=keep_skull, deface=deface
    )  # fmt: skip
    raw = find_raw_cases(source, None if overrides is None else read_overrides(overrides))
    outcome = run_preprocess(raw, output, settings, jobs=jobs, dask=dask, progress=progress)
    if bids is not None:
        from radiogen.cohort.bids import write_bids_derivatives

        if settings.template == "mni152":
            write_bids_derivatives(output, outcome.cohort, bids)
        else:
            name = Path(settings.template).name
            space = "".join(letter for letter in name.split(".")[0] if letter.isalnum())
            write_bids_derivatives(output, outcome.cohort, bids, space=space, space_reference=name)
    for case, row in outcome.quality.iterrows():
        typer.echo(f"{case}: " + (f"look at this: {row['flags']}" if row["flagged"] else "nothing found against it"))
    typer.echo(f"Look at {output / 'preprocess.html'}")
    fail_if_incomplete(len({failure.case for failure in outcome.failures}), output / "failed.csv")
