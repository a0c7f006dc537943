"""Cross-validation down to one number: the AUC of the first repeat inside test splits, everything fitted inside the training sides.

Inside test splits, because scores of different models are not compared there; it is also what the verdict uses (radiogen.evaluate.within)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer
from threadpoolctl import threadpool_limits

from radiogen.cohort.splits import Split, make_splits
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.frozen import scheme_of
from radiogen.fusion.join import FusionTable
from radiogen.fusion.nested import PROBABILITY_DIGITS, fit_doubts, fit_split
from radiogen.stats.auc import auc
from radiogen.stats.within import within_auc
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
    """Return the AUC of the first repeat inside test splits, everything fitted inside the training sides.

    Args:
        table: features with labels, true or permuted.
        settings: as for cross-validation.
        splits: frozen splits to use instead of drawing them.
    """
    probability, strata = np.full(len(table.y), np.nan), np.zeros(len(table.y), dtype=np.int64)
    for number, split in enumerate(first_repeat(table, settings, splits)[0]):
        with threadpool_limits(1):
            model = fit_split(table, split, settings)
            context = None if table.context is None else table.context.take(split.test)
            found = model.predict_proba(table.features.iloc[split.test], context)[:, 1].astype(float)
            if settings.calibrate != "none":
                found = fit_doubts(table, split.train, model, settings).decision.calibration.apply(found)
        probability[split.test], strata[split.test] = found, number
    return split_auc(table.y, probability, strata)


def split_auc(y: Labels01, probability: Scores, strata: Integer[np.ndarray, " n"]) -> float:
    """Return the AUC inside test splits of probabilities as they are written; over all cases where no split holds both classes.

    Args:
        y: 0/1 label per row.
        probability: of the positive class; NaN where a row was not tested.
        strata: number of the test split per row.
    """
    known = ~np.isnan(probability)
    rounded = np.round(probability[known], PROBABILITY_DIGITS)
    inside = within_auc(y[known], rounded, strata[known])
    return auc(y[known], rounded) if np.isnan(inside) else inside
