"""What stands beside the cross-validation: the same patients split at random, and the permutation test of the whole pipeline."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.splits import SITE_HELD_OUT, Split
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import InputError
from radiogen.fusion.join import FusionTable
from radiogen.fusion.nested import NestedResult, cross_validate
from radiogen.fusion.permutations import permutation_test
from radiogen.stats.resampling import Patients, percentile_interval
from radiogen.stats.within import bootstrap_within_aucs, within_auc, within_interval_from

log = logging.getLogger(__name__)

_STREAM = 41


def random_split(
    table: FusionTable,
    settings: ClassifySettings,
    held_out: NestedResult,
    evaluate: EvaluateSettings,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> dict[str, Any] | None:
    """Test the same cases by models that saw their sites, and say how much higher the AUC is.

    Patients stay together here too; only sites are mixed between folds. One drawing of the folds, as held-out sites have one. Both AUCs are taken
    inside test splits: over all cases that of held-out sites is too low by itself, and the optimism would be exaggerated.

    Args:
        table: features with labels.
        settings: as for the cross-validation.
        held_out: its result with sites held out.
        evaluate: resamples, confidence and seed of the intervals.
        jobs: folds worked on at the same time; the result does not depend on it.
        progress: show a progress bar.

    Returns:
        `auc, auc_ci, optimism, optimism_ci, folds, text`; None where sites were not held out, it is switched off, or there are too few patients.

    Source: Varoquaux, Cheplygina, npj Digit Med 2022, 5:48 (why a random split says little about the next hospital).
    """
    if held_out.scheme != SITE_HELD_OUT or not settings.random_split or table.scores:
        return None
    changes = {"sites": "ignore", "repeats": 1, "threshold": "half", "coverage": None, "random_split": False}
    try:
        mixed = cross_validate(table, settings.model_copy(update=changes), jobs=jobs, progress=progress)
    except InputError as error:
        log.warning("No random split beside the held-out sites: %s", error)
        return None
    rows = _first_repeat(mixed).join(_first_repeat(held_out), rsuffix="_held_out", how="inner")
    y = rows["y_true"].to_numpy(dtype=np.int64)
    groups = np.unique(rows["patient"].astype(str), return_inverse=True)[1]
    area, drawn = _inside_splits(rows, "", y, groups, evaluate)
    held_out_area, held_out_drawn = _inside_splits(rows, "_held_out", y, groups, evaluate)
    smaller = Patients.of(y, groups).smaller_class
    interval = within_interval_from(area, drawn, smaller, evaluate.confidence)
    gap = percentile_interval(drawn - held_out_drawn, smaller, evaluate.confidence)
    optimism = area - held_out_area
    return {
        "auc": area,
        "auc_ci": list(interval),
        "optimism": optimism,
        "optimism_ci": list(gap),
        "folds": settings.folds,
        "text": f"With patients split at random instead, sites mixed, the AUC inside test splits is {area:.3f} "
        f"[{interval[0]:.3f}, {interval[1]:.3f}]: "
        f"{'optimistic' if optimism > 0 else 'different'} by {optimism:+.3f} [{gap[0]:+.3f}, {gap[1]:+.3f}] for a new site.",
    }


def _first_repeat(result: NestedResult) -> pd.DataFrame:
    rows = result.predictions[result.predictions["repeat"] == result.predictions["repeat"].min()]
    return rows.set_index("case")[["patient", "y_true", "y_prob", "split"]]


def _inside_splits(
    rows: pd.DataFrame, suffix: str, y: np.ndarray, groups: np.ndarray, evaluate: EvaluateSettings
) -> tuple[float, np.ndarray]:
    """Return the AUC over pairs inside test splits, and that of resampled patients: the same ones for every suffix."""
    scores = rows[f"y_prob{suffix}"].to_numpy(dtype=float)
    splits = np.unique(rows[f"split{suffix}"].astype(str), return_inverse=True)[1]
    drawn = bootstrap_within_aucs(
        y, scores[None], splits, groups=groups, n_resamples=evaluate.bootstrap_resamples,
        rng=np.random.default_rng([evaluate.seed, _STREAM]),
    )  # fmt: skip
    return within_auc(y, scores, splits), drawn[0]


def permutations(
    table: FusionTable,
    settings: ClassifySettings,
    folder: Path,
    *,
    splits: list[Split] | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> dict[str, Any]:
    """Run the permutation test of the whole pipeline.

    Args:
        table: features with labels.
        settings: `permutations_refit` (0: nothing is done) and `permutation_method`.
        folder: where what is done is kept until all is done.
        splits: frozen splits.
        jobs: permutations worked on at the same time.
        progress: show a progress bar.

    Returns:
        `permutation_refit_p`, `permutation_refit_auc` (true labels, first repeat, inside splits) and `permutation_refit_aucs`; of the fast method
        `permutation_fast_...`; empty where none is asked for.
    """
    if settings.permutations_refit == 0:
        return {}
    found = permutation_test(table, settings, splits=splits, folder=folder, jobs=jobs, progress=progress)
    name = "permutation_refit" if settings.permutation_method == "exact" else "permutation_fast"
    return {f"{name}_p": found.p, f"{name}_auc": found.observed, f"{name}_aucs": found.aucs}
