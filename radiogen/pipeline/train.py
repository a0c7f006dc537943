"""`radiogen train segmentation`: weights, card, log, curves and sample pictures in one folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from radiogen.config.train import TrainSettings
from radiogen.report.style import save_png
from radiogen.report.training import curves_figure, sample_picture
from radiogen.segment.train_segmentation import Labelling, Snapshot, TrainOutcome, train_segmentation
from radiogen.training.log import LOG, log_table

log = logging.getLogger(__name__)

CURVES = "curves.png"


def run_train_segmentation(
    cohort: pd.DataFrame | None,
    out: Path,
    settings: TrainSettings,
    *,
    labelling: Labelling | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> TrainOutcome:
    """Train a network; write `weights.safetensors` with its card, `settings.json`, `log.csv`, `curves.png`, `samples/` and `checkpoints/`.

    Curves and samples are drawn anew whenever the network is measured, so that a training can be watched.

    Args:
        cohort: as `read_cohort` returns it, with masks; None with made-up patients.
        out: output folder.
        settings: everything about the training.
        labelling: name, licence and source for the card; named after the folder by default.
        jobs: cases prepared at the same time.
        progress: show progress bars.

    Raises:
        ConfigError: settings do not fit together, or the folder belongs to another training.
        InputError: the cohort cannot be used.
        RadiogenError: the loss is no longer a number.
    """
    out = Path(out)
    outcome = train_segmentation(
        cohort, out, settings, labelling=labelling, on_measured=_Pictures(out), jobs=jobs, progress=progress
    )
    save_png(curves_figure(pd.read_csv(out / LOG), title=outcome.card.name), out / CURVES)
    log.info("train: %s, %d cases learned from", outcome.weights, len(outcome.trained_on))
    return outcome


@dataclass(frozen=True)
class _Pictures:
    out: Path

    def __call__(self, snapshot: Snapshot) -> None:
        """Draw the curves so far and the sample case."""
        epoch = snapshot.rows[-1]["epoch"]
        save_png(curves_figure(log_table(snapshot.rows), title=self.out.name), self.out / CURVES)
        picture = sample_picture(
            snapshot.images, snapshot.truth, snapshot.prediction, title=f"{snapshot.case}, epoch {epoch}"
        )
        save_png(picture, self.out / "samples" / f"{snapshot.case}.png")
