"""The embedded example: made-up patients with an IDH signal and no MGMT signal, through the whole job."""

from __future__ import annotations

from pathlib import Path

from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.study import StudySettings
from radiogen.pipeline.study import StudyOutcome, run_study

# Original images only: filtered ones triple the time and the planted signal does not need them.
DEMO_SETTINGS = {"targets": ["idh", "mgmt"], "radiomics": {"image_types": {"Original": {}}}, "survival_groups": ["idh"]}


def run_demo(folder: Path, *, n_cases: int = 60, seed: int = 0, jobs: int = 1, progress: bool = False) -> StudyOutcome:
    """Make up a cohort and run the whole study on it.

    Args:
        folder: output; the cohort goes into `cohort/`, everything else is the study folder of `radiogen run`.
        n_cases: patients to make up.
        seed: seed of the patients.
        jobs: cases worked on at the same time.
        progress: show progress bars.
    """
    folder = Path(folder)
    cohort = write_phantom_cohort(
        folder / "cohort", n_cases, seed=seed, settings=PhantomSettings(), jobs=jobs, progress=progress
    )
    settings = StudySettings.parse(DEMO_SETTINGS)
    return run_study(read_cohort(cohort), folder, settings, jobs=jobs, progress=progress, synthetic=True)
