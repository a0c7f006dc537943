"""The race inside test splits: cases that different models scored are never compared.

In cross-validation every test split has its own model. Compared across splits, scores carry the models' different levels - a model trained
without a site of many positives expects few - and the sites' different looks. Without any signal the pooled AUC then lies below 0.5 and spreads far
more than its interval says. Inside a split all scores come from one model, so the verdict counts only such pairs wherever the table names its
splits and enough cases lie in splits with both classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.baselines import Baseline
from radiogen.evaluate.verdict import EXTERNAL, GROUPED_KFOLD, SITE_HELD_OUT
from radiogen.stats.resampling import Patients, percentile_interval
from radiogen.stats.within import (
    bootstrap_within_aucs,
    cross_validation_widening,
    pairs_within,
    within_auc,
    within_interval_from,
    within_permutation_p,
    within_test,
)
from radiogen.types import Labels01, Scores

POOLED, WITHIN = "pooled", "within-split"
"""Which AUC the verdict uses."""

_BINS = 40


@dataclass(frozen=True)
class SplitRows:
    """The predictions table's rows, one per case and repeat.

    Args:
        y: 0/1 outcome per row.
        scores: the model's probability.
        splits: number of repeat and split.
        patients: patient number.
        cases: position of the case in the table of cases.
        repeats: number of the repeat, from 0.
        n_splits: splits per repeat.
        scheme: how cases were held out.
    """

    y: Labels01
    scores: Scores
    splits: Integer[np.ndarray, " n"]
    patients: Integer[np.ndarray, " n"]
    cases: Integer[np.ndarray, " n"]
    repeats: Integer[np.ndarray, " n"]
    n_splits: int
    scheme: str

    @property
    def widening(self) -> float:
        """Return how much wider chance results spread than permuted ones."""
        return widening(self.scheme, self.n_splits)

    @property
    def blocks(self) -> Integer[np.ndarray, " n"] | None:
        """Return inside what outcomes may be exchanged: held-out sites differ in their shares of positives, random folds do not."""
        return self.splits if self.scheme == SITE_HELD_OUT and self.repeats.max() == 0 else None

    def spread(self, baseline: Baseline) -> Scores:
        """Return a baseline's score per row."""
        if baseline.by_repeat is None or len(baseline.by_repeat) <= self.repeats.max():
            return baseline.scores[self.cases]
        return np.asarray(baseline.by_repeat[self.repeats, self.cases])


def widening(scheme: str, n_splits: int) -> float:
    """Return the factor by which chance results spread wider than permuted ones.

    Args:
        scheme: how cases were held out; an external test set needs no widening, an unknown scheme is taken for cross-validation of many folds.
        n_splits: splits per repeat.

    Source: see `stats.within.cross_validation_widening`.
    """
    if scheme == EXTERNAL:
        return 1.0
    return cross_validation_widening(n_splits) if n_splits > 1 else math.sqrt(2.0)


def split_rows(
    tidy: pd.DataFrame, cases: pd.DataFrame, scheme: str, settings: EvaluateSettings
) -> tuple[SplitRows | None, list[str]]:
    """Return the rows to compare inside splits, or None with the reason where the table does not allow it.

    Args:
        tidy: as `check_predictions` returns it.
        cases: as `per_case` returns it.
        scheme: of `split_scheme`.
        settings: how many cases must be comparable.
    """
    if scheme not in {SITE_HELD_OUT, GROUPED_KFOLD}:
        return None, []
    names = tidy["repeat"].astype(str) + " " + tidy["split"].astype(str)
    splits = np.unique(names.to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    y = tidy["y_true"].to_numpy(dtype=np.int64)
    share = np.bincount(splits, weights=y) / np.bincount(splits)
    compared = (share[splits] > 0) & (share[splits] < 1)
    patients = np.unique(tidy["patient"].astype(str).to_numpy(dtype=object), return_inverse=True)[1]
    fewest = min(len(np.unique(patients[compared & (y == value)])) for value in (0, 1))
    if compared.mean() < settings.within_share or fewest < settings.min_per_class:
        why = (
            f"only {compared.mean():.0%} of the rows lie in a test split that holds both classes"
            if compared.mean() < settings.within_share
            else f"only {fewest} patient(s) of the rarer class lie in a test split that holds both classes"
        )
        return None, [
            f"Cases of different splits are compared with each other although different models scored them, because {why}."
        ]
    position = pd.Series(np.arange(len(cases)), index=cases.index)[tidy["case"]].to_numpy()
    repeats = np.unique(tidy["repeat"].to_numpy(), return_inverse=True)[1]
    rows = SplitRows(
        y,
        tidy["y_prob"].to_numpy(dtype=np.float64),
        splits,
        patients,
        position,
        repeats,
        round(len(share) / (repeats.max() + 1)),
        scheme,
    )
    return rows, []


def within_splits(rows: SplitRows, settings: EvaluateSettings, rng: np.random.Generator) -> dict[str, Any]:
    """Return the model's AUC over pairs inside splits: `auc`, `n_splits`, `n_pairs`, `permutation_p`, `widening` and the permutations' histogram.

    Args:
        rows: of `split_rows`.
        settings: permutations.
        rng: source of randomness.
    """
    p, permuted = within_permutation_p(
        rows.y, rows.scores, rows.splits, groups=rows.patients, blocks=rows.blocks, widening=rows.widening,
        n_permutations=settings.permutations, rng=rng,
    )  # fmt: skip
    return {
        "auc": within_auc(rows.y, rows.scores, rows.splits),
        "n_splits": rows.n_splits,
        "n_pairs": pairs_within(rows.y, rows.splits),
        "permutation_p": p,
        "widening": rows.widening,
        "permutation_histogram": histogram(permuted),
    }


def histogram(permuted: Float[np.ndarray, " m"]) -> dict[str, list[float]]:
    """Return the counts of permuted AUCs in 40 bins from 0 to 1: `edges`, `counts`; what widening moved outside lies in the outermost bins."""
    counts, edges = np.histogram(np.clip(permuted, 0.0, 1.0), bins=np.linspace(0.0, 1.0, _BINS + 1))
    return {"edges": edges.round(6).tolist(), "counts": counts.astype(float).tolist()}


def race_within(
    rows: SplitRows, baselines: list[Baseline], settings: EvaluateSettings, rng: np.random.Generator
) -> tuple[list[float], list[dict[str, Any]]]:
    """Return the interval of the model's AUC inside splits, and for every baseline its AUC and the paired difference there.

    Args:
        rows: of `split_rows`.
        baselines: the competitors.
        settings: resamples and coverage.
        rng: source of randomness; all share the same resamples.

    Returns:
        The interval, and one mapping per baseline: `within_auc, within_auc_ci, within_delta, within_delta_ci, within_p`, and `constant_in_splits`
        where a split's cases all have the same score, as with the site where sites are held out.
    """
    theirs = [rows.spread(baseline) for baseline in baselines]
    ours = [np.where(np.isnan(scores), np.nan, rows.scores) for scores in theirs]
    different = {row.tobytes(): row for row in [rows.scores, *ours]}
    stacked = np.stack([*different.values(), *theirs])
    drawn = bootstrap_within_aucs(
        rows.y, stacked, rows.splits, groups=rows.patients, n_resamples=settings.bootstrap_resamples, rng=rng
    )
    place = {key: number for number, key in enumerate(different)}
    smaller = Patients.of(rows.y, rows.patients).smaller_class
    area = within_auc(rows.y, rows.scores, rows.splits)
    interval = within_interval_from(area, drawn[0], smaller, settings.confidence)
    found = []
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        pair = drawn[[place[our.tobytes()], len(different) + number]]
        found.append(_compared(rows, our, their, pair, settings))
    return list(interval), found


def _compared(
    rows: SplitRows, ours: Scores, theirs: Scores, drawn: Float[np.ndarray, "2 b"], settings: EvaluateSettings
) -> dict[str, Any]:
    known = ~np.isnan(theirs)
    y, splits, patients = rows.y[known], rows.splits[known], rows.patients[known]
    test = within_test(y, ours[known], theirs[known], splits, groups=patients)
    smaller = Patients.of(y, patients).smaller_class
    table = pd.Series(theirs[known]).groupby(splits)
    return {
        "within_auc": test.auc_b,
        "within_auc_ci": list(within_interval_from(test.auc_b, drawn[1], smaller, settings.confidence)),
        "within_delta": test.difference,
        "within_delta_ci": list(percentile_interval(drawn[0] - drawn[1], smaller, settings.confidence)),
        "within_p": test.p,
        "constant_in_splits": bool((table.nunique() == 1).all()),
    }
