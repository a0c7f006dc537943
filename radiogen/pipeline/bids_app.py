"""The two levels of a BIDS App: every participant on its own, then the group."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from radiogen import __version__
from radiogen.cohort.bids import BIDS_VERSION
from radiogen.cohort.table import read_cohort
from radiogen.config.cohort import CohortSettings
from radiogen.config.study import StudySettings
from radiogen.errors import CohortError, InputError, RadiogenError
from radiogen.pipeline.cohort import run_cohort
from radiogen.pipeline.study import StudyOutcome, run_study
from radiogen.run.atomic import make_folder, write_json
from radiogen.run.quarantine import Failure, write_failures

STAGE = "participant"
"""What `failed.csv` calls the first level."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParticipantLevel:
    """What the first level ended with.

    Args:
        done: participants with a study folder of their own.
        failures: participants, and cases of participants, that failed.
    """

    done: list[str]
    failures: list[Failure]


def run_participants(
    bids: Path,
    output: Path,
    settings: StudySettings,
    *,
    wanted: Sequence[str] = (),
    labels: Sequence[Path] = (),
    jobs: int = 1,
    progress: bool = False,
) -> ParticipantLevel:
    """Make the masks, features and report of each participant in a folder of its own, so that a cluster can work on many at a time.

    Args:
        bids: the data set; its `participants.tsv` is joined.
        output: derivatives folder; participant 01 goes to `output/sub-01`.
        settings: as for `run_study`; `preprocess` brings raw scans onto one grid first.
        wanted: participant labels with or without `sub-`; none: all.
        labels: further label tables, the most trusted one first.
        jobs: cases worked on at the same time.
        progress: show progress bars.

    Raises:
        InputError: the folder is not a BIDS data set, or has no such participant.
        OutputError: the output cannot be written.

    Source: Gorgolewski et al. 2017, BIDS Apps, PLOS Computational Biology 13(3):e1005209 (levels, one output folder for all jobs).
    """
    participants = _participants(bids, wanted)
    make_folder(output)
    _describe(output)
    tables = [*labels, *(path for path in [bids / "participants.tsv"] if path.is_file())]
    done: list[str] = []
    failures: list[Failure] = []
    for name in participants:
        log.info("participant %s", name)
        study = output / name
        try:
            looked = run_cohort(
                [bids / name], study / "inputs.csv",
                CohortSettings(layout="bids", keep_unregistered=settings.preprocess), labels=tables, jobs=jobs,
            )  # fmt: skip
            made = run_study(read_cohort(looked.table), study, settings, jobs=jobs, progress=progress)
        except RadiogenError as error:
            failure = Failure.from_exception(name, STAGE, error)
            write_failures(study / "failed.csv", [failure], stages=[STAGE])
            failures.append(failure)
            continue
        write_failures(study / "failed.csv", [], stages=[STAGE])
        failures += [*looked.failures, *made.failures]
        done.append(name)
    return ParticipantLevel(done, failures)


def run_group(
    bids: Path,
    output: Path,
    settings: StudySettings,
    *,
    wanted: Sequence[str] = (),
    jobs: int = 1,
    progress: bool = False,
) -> StudyOutcome:
    """Join what the first level made, classify, compare survival, and write one report.

    Args:
        bids: the data set.
        output: derivatives folder of `run_participants`.
        settings: as for `run_study`; nothing is preprocessed or segmented again.
        wanted: participant labels with or without `sub-`; none: all that the first level finished.
        jobs: cases worked on at the same time.
        progress: show progress bars.

    Raises:
        InputError: the first level has not been run.
    """
    tables = [output / name / "cohort.csv" for name in _participants(bids, wanted)]
    missing = [path.parent.name for path in tables if not path.is_file()]
    if missing and (wanted or len(missing) == len(tables)):
        raise InputError(
            f"Nothing of the participant level in {output} for {len(missing)} participant(s):",
            problems=missing, hint="Run the analysis level 'participant' first, with the same folders.",
        )  # fmt: skip
    cohort = pd.concat([read_cohort(path) for path in tables if path.is_file()])
    _describe(output)
    given = settings.segment.model_copy(update={"given_masks": "use"})
    return run_study(
        cohort,
        output,
        settings.model_copy(update={"preprocess": False, "segment": given}),
        jobs=jobs,
        progress=progress,
    )


def _participants(bids: Path, wanted: Sequence[str]) -> list[str]:
    if not bids.is_dir():
        raise InputError(f"{bids} is not a folder.", hint="Give the root of a BIDS data set, which holds sub-*/.")
    there = sorted(path.name for path in bids.glob("sub-*") if path.is_dir())
    if not there:
        raise CohortError(f"No sub-* folder in {bids}.", hint="Give the root of a BIDS data set, which holds sub-*/.")
    names = [f"sub-{label.removeprefix('sub-')}" for label in wanted]
    unknown = [name for name in names if name not in there]
    if unknown:
        raise InputError(
            f"{len(unknown)} participant(s) are not in {bids}:", problems=unknown,
            hint=f"It holds {len(there)}: {', '.join(there[:8])}{', ...' if len(there) > 8 else ''}",
        )  # fmt: skip
    return list(dict.fromkeys(names)) or there


def _describe(output: Path) -> None:
    write_json(
        output / "dataset_description.json",
        {
            "Name": "radiogen",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "radiogen", "Version": __version__}],
        },
    )
