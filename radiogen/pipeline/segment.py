"""`radiogen segment`: masks, volumes and a picture of every case."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from radiogen.cohort.case import read_case, read_case_mask
from radiogen.config.segment import SegmentSettings
from radiogen.report.images import case_picture
from radiogen.report.style import save_png
from radiogen.run.atomic import write_csv
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs
from radiogen.run.quarantine import write_failures
from radiogen.segment.cohort import STAGE, SegmentOutcome, segment_cohort

log = logging.getLogger(__name__)

PICTURES = "pictures"


def run_segment(
    cohort: pd.DataFrame,
    study: Path,
    settings: SegmentSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> SegmentOutcome:
    """Write `masks/`, `qc/<case>.png`, `volumes.csv` and, where cases fail, `failed.csv`; where asked for, `probabilities/`, `uncertainty/` and
    `samples/`.

    Args:
        cohort: as `read_cohort` returns it.
        study: output folder.
        settings: method or weights, and what to do with given masks.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show progress bars.
    """
    study = Path(study)
    outcome = segment_cohort(cohort, study, settings, jobs=jobs, dask=dask, progress=progress)
    rows = {str(case): row for case, row in outcome.cohort.iterrows()}
    _, unseen = run_cases(_Picture(study), rows, stage=PICTURES, jobs=jobs, dask=dask, progress=progress)
    write_csv(study / "volumes.csv", outcome.volumes.round({"wt_ml": 3, "tc_ml": 3, "et_ml": 3}))
    failures = [*outcome.failures, *unseen]
    write_failures(study / "failed.csv", failures, stages=[STAGE, PICTURES])
    flagged = int(outcome.volumes["flagged"].astype(bool).sum())
    log.info("segment: %d masks, %d of them flagged, %d failed", len(outcome.volumes), flagged, len(outcome.failures))
    return SegmentOutcome(outcome.cohort, outcome.volumes, failures)


@dataclass(frozen=True)
class _Picture:
    study: Path

    def __call__(self, case: str, row: pd.Series) -> None:
        """Draw the case with its mask, unless the picture of exactly this is there."""
        path = self.study / "qc" / f"{case}.png"
        names = ("t1n", "t1c", "t2w", "t2f", "mask")
        reason = row.get("flag_reason")
        title = f"{case} - look at this: {reason}" if isinstance(reason, str) and reason else case
        provenance = Provenance(PICTURES, {"title": title}, hash_inputs({name: row[name] for name in names}))
        if provenance.is_current([path]):
            return
        images = read_case(row)
        labels = read_case_mask(row, images.grid)
        save_png(case_picture(images.images, labels, images.grid.voxel_size_mm, title), path)
        provenance.record([path])
