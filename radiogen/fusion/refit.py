"""Cross-validation down to one number: the AUC of the first repeat, everything fitted inside the training sides."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from radiogen.cohort.splits import Split, make_splits
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.frozen import scheme_of
from radiogen.fusion.join import FusionTable
from radiogen.fusion.nested import PROBABILITY_DIGITS, fit_doubts, fit_split
from radiogen.stats.auc import auc
from radiogen.types import Labels01, Scores


def first_repeat(table: FusionTable, settings: ClassifySettings, splits: list[Split] | None) -> tuple[list[Split], str]:
    """Return the splits of the first repeat and their scheme.

    Args:
        table: features with labels.
        settings: how splits are drawn.
        splits: frozen ones to use instead.
    """
    if splits is not None:
        return [split for split in splits if split.repeat == 0], scheme_of(splits, table.cohort["site"])
    return make_splits(
        table.cohort, table.y, seed=settings.seed, n_splits=settings.folds, repeats=1,
        sites=settings.sites, min_site_cases=settings.min_site_cases, max_site_folds=settings.max_site_folds,
    )  # fmt: skip


def refitted_auc(table: FusionTable, settings: ClassifySettings, splits: list[Split] | None = None) -> float:
    """Return the AUC of the first repeat, everything fitted inside the training sides.

    Args:
        table: features with labels, true or permuted.
        settings: as for cross-validation.
        splits: frozen splits to use instead of drawing them.
    """
    probability = np.full(len(table.y), np.nan)
    for split in first_repeat(table, settings, splits)[0]:
        with threadpool_limits(1):
            model = fit_split(table, split, settings)
            context = None if table.context is None else table.context.take(split.test)
            found = model.predict_proba(table.features.iloc[split.test], context)[:, 1].astype(float)
            if settings.calibrate != "none":
                found = fit_doubts(table, split.train, model, settings).decision.calibration.apply(found)
        probability[split.test] = found
    return pooled_auc(table.y, probability)


def pooled_auc(y: Labels01, probability: Scores) -> float:
    """Return the AUC of probabilities as they are written, of the rows that have one."""
    known = ~np.isnan(probability)
    return auc(y[known], np.round(probability[known], PROBABILITY_DIGITS))
