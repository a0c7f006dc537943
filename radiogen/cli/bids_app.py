"""`radiogen-bids`: the second entry point, with the command line that every BIDS App has."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from radiogen import __version__
from radiogen.cli.common import exit_on_error, fail_if_incomplete, prepare_torch, start_logging

_EXAMPLE = "Example: radiogen-bids data derivatives participant --participant_label 01 02"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one analysis level over a BIDS data set, and leave with radiogen's exit codes.

    Args:
        arguments: words of the command line; None: those of this process.

    Source: Gorgolewski et al. 2017, BIDS Apps, PLOS Computational Biology 13(3):e1005209 (arguments and levels).
    """
    given = _parser().parse_args(arguments)
    try:
        with exit_on_error():
            _run(given)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "radiogen-bids", description="radiogen as a BIDS App: masks and features per participant, then the group's verdicts.", epilog=_EXAMPLE
    )  # fmt: skip
    parser.add_argument("bids_dir", type=Path, help="root of the BIDS data set")
    parser.add_argument(
        "output_dir", type=Path, help="derivatives folder; sub-<label>/ per participant, the group's report on top"
    )
    parser.add_argument("analysis_level", choices=["participant", "group"])
    parser.add_argument(
        "--participant_label",
        "--participant-label",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="with or without sub-; default: all",
    )
    parser.add_argument(
        "--registered",
        action="store_true",
        help="the images share one grid already; otherwise they are preprocessed first",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="label tables beside participants.tsv, most trusted first",
    )
    parser.add_argument("--config", type=Path, help="YAML of settings, as for `radiogen run`")
    parser.add_argument("--n_cpus", "--n-cpus", type=int, default=1, help="cases worked on at the same time")
    parser.add_argument(
        "--skip_bids_validation",
        action="store_true",
        help="accepted and without effect: radiogen checks what it reads itself",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="errors only")
    parser.add_argument("-v", "--version", action="version", version=f"radiogen {__version__}")
    return parser


def _run(given: argparse.Namespace) -> None:
    prepare_torch()
    progress = start_logging(given.quiet, False)
    from radiogen.config.base import read_yaml_mapping
    from radiogen.config.study import StudySettings
    from radiogen.pipeline.bids_app import run_group, run_participants

    values = read_yaml_mapping(given.config) if given.config else {}
    settings = StudySettings.parse({"preprocess": not given.registered, **values})
    wanted, jobs, output = given.participant_label, max(1, given.n_cpus), given.output_dir
    if given.analysis_level == "group":
        from radiogen.cli.run import print_outcome

        outcome = run_group(given.bids_dir, output, settings, wanted=wanted, jobs=jobs, progress=progress)
        print_outcome(outcome)
        fail_if_incomplete(len({failure.case for failure in outcome.failures}), output / "failed.csv")
        return
    level = run_participants(
        given.bids_dir, output, settings, wanted=wanted, labels=given.labels, jobs=jobs, progress=progress
    )
    typer.echo(f"{len(level.done)} participant(s) done in {output}")
    for failure in level.failures:
        typer.echo(f"failed: {failure.case}: {failure.cause} {failure.fix}", err=True)
    fail_if_incomplete(len({failure.case for failure in level.failures}), output / "sub-<label>" / "failed.csv")
