"""The AUC over pairs of rows of one stratum: predictions of different models, or of different hospitals, are never compared.

Pooled over held-out folds, an AUC compares predictions of different models. A model that was trained without the positives of a fold expects
fewer of them there, so without any signal the pooled AUC falls below 0.5; with hospitals that differ it moves for reasons that are no medicine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.stats import norm, rankdata

from radiogen.stats.auc import PairedTest, perfect_auc_interval
from radiogen.stats.resampling import Patients, patient_weights, percentile_interval, resample_blocks
from radiogen.types import Labels01, Scores


def within_auc(y: Labels01, scores: Scores, strata: Integer[np.ndarray, " n"]) -> float:
    """Return the share of positive-negative pairs inside strata that are in order, ties counted half.

    Args:
        y: 0/1 outcome per row.
        scores: higher means more positive; rows with NaN are left out.
        strata: stratum number per row, such as the fold that tested it; one stratum gives the ordinary AUC.

    Returns:
        From 0 to 1: the mean of the strata's AUCs, weighted by their pairs; NaN without any pair.

    Source: Janes & Pepe 2009, Biometrika 96:371 (covariate-adjusted AUC); weights by pairs: van Elteren 1960.

    Example:
        >>> y, fold = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
        >>> within_auc(y, np.array([0.1, 0.2, 0.7, 0.8]), fold)
        1.0
    """
    sorted_scores = _SortedWithin.of(y, scores, strata)
    wins, pairs = sorted_scores.wins_and_pairs(np.ones((1, len(y))))
    return float(wins[0] / pairs[0]) if pairs[0] > 0 else math.nan


def pairs_within(y: Labels01, strata: Integer[np.ndarray, " n"]) -> int:
    """Return the number of positive-negative pairs inside strata.

    Example:
        >>> pairs_within(np.array([0, 1, 1, 0]), np.array([0, 0, 0, 1]))
        2
    """
    codes = np.unique(strata, return_inverse=True)[1]
    positives = np.bincount(codes, weights=y)
    return int(positives @ (np.bincount(codes) - positives))


def within_covariance(
    y: Labels01,
    scores: Float[np.ndarray, "k n"],
    strata: Integer[np.ndarray, " n"],
    groups: Integer[np.ndarray, " n"] | None = None,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """Return the within-stratum AUCs of `k` scores and their covariance, with patients as independent units.

    Args:
        y: 0/1 outcome per row.
        scores: one row per score, without NaN.
        strata: stratum number per row.
        groups: patient number per row; None: every row is its own patient.

    Returns:
        AUCs and covariance; NaN where a class comes from fewer than two patients.

    Source: DeLong et al. 1988, Biometrics 44:837, and Obuchowski 1997, Biometrics 53:567, for pairs inside strata: a row's contribution is its
        wins minus the AUC times its pairs, over all pairs. With one stratum it equals theirs.
    """
    codes = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    positive, n_groups = y == 1, int(codes.max()) + 1 if len(codes) else 0
    n_with_positive, n_with_negative = len(np.unique(codes[positive])), len(np.unique(codes[~positive]))
    found = [_influence(y, row, strata) for row in scores]
    aucs = np.array([area for area, _ in found])
    if min(n_with_positive, n_with_negative) < 2 or np.isnan(aucs).any():
        return aucs, np.full((len(scores), len(scores)), np.nan)
    of_positives = np.stack([np.bincount(codes, np.where(positive, row, 0.0), n_groups) for _, row in found])
    of_negatives = np.stack([np.bincount(codes, np.where(positive, 0.0, row), n_groups) for _, row in found])
    cross = of_positives @ of_negatives.T
    covariance = (
        n_with_positive / (n_with_positive - 1) * of_positives @ of_positives.T
        + n_with_negative / (n_with_negative - 1) * of_negatives @ of_negatives.T
        + n_groups / (n_groups - 1) * (cross + cross.T)
    )
    return aucs, covariance


def within_test(
    y: Labels01,
    scores_a: Scores,
    scores_b: Scores,
    strata: Integer[np.ndarray, " n"],
    *,
    groups: Integer[np.ndarray, " n"] | None = None,
) -> PairedTest:
    """Return the paired test of two within-stratum AUCs on the same rows, clustered by patient.

    Args:
        y: 0/1 outcome per row.
        scores_a: first score, without NaN.
        scores_b: second score, without NaN.
        strata: stratum number per row.
        groups: patient number per row.

    Source: DeLong et al. 1988, eq. 9, with the covariance of `within_covariance`.
    """
    aucs, covariance = within_covariance(y, np.stack([scores_a, scores_b]), strata, groups)
    difference = float(aucs[0] - aucs[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if math.isnan(variance):
        return PairedTest(float(aucs[0]), float(aucs[1]), difference, math.nan, math.nan)
    error = math.sqrt(max(variance, 0.0))
    p = float(abs(difference) < 1e-9) if error < 1e-9 else float(2 * norm.sf(abs(difference) / error))
    return PairedTest(float(aucs[0]), float(aucs[1]), difference, error, p)


def bootstrap_within_aucs(
    y: Labels01,
    scores: Float[np.ndarray, "k n"],
    strata: Integer[np.ndarray, " n"],
    *,
    groups: Integer[np.ndarray, " n"] | None = None,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> Float[np.ndarray, "k b"]:
    """Return the within-stratum AUCs of `k` scores in the same bootstrap resamples of patients.

    Args:
        y: 0/1 outcome per row.
        scores: one row per score; NaN where a score is unknown.
        strata: stratum number per row.
        groups: patient number per row.
        n_resamples: number of resamples.
        rng: source of randomness.

    Returns:
        One row per score; NaN where a resample holds no pair.

    Source: as `resampling.bootstrap_aucs`.
    """
    patients = Patients.of(y, groups)
    sorted_scores = [_SortedWithin.of(y, row, strata) for row in scores]
    blocks = []
    for weights in patient_weights(patients, n_resamples, rng):
        found = []
        for row in sorted_scores:
            wins, pairs = row.wins_and_pairs(weights)
            found.append(np.divide(wins, pairs, out=np.full(len(wins), np.nan), where=pairs > 0))
        blocks.append(np.stack(found))
    return np.concatenate(blocks, axis=1)


def within_interval_from(
    area: float, resamples: Float[np.ndarray, " b"], n_smaller_class: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the expanded percentile interval of a within-stratum AUC; `perfect_auc_interval` where it is exactly 0 or 1.

    Args:
        area: the AUC.
        resamples: of `bootstrap_within_aucs`.
        n_smaller_class: patients of the smaller class.
        confidence: coverage.
    """
    if area in (0.0, 1.0):
        return perfect_auc_interval(area, n_smaller_class, confidence)
    return percentile_interval(resamples, n_smaller_class, confidence)


def within_permutation_p(
    y: Labels01,
    scores: Scores,
    strata: Integer[np.ndarray, " n"],
    *,
    groups: Integer[np.ndarray, " n"] | None = None,
    blocks: Integer[np.ndarray, " n"] | None = None,
    widening: float = 1.0,
    n_permutations: int = 2000,
    rng: np.random.Generator,
) -> tuple[float, Float[np.ndarray, " m"]]:
    """Return the one-sided permutation p-value of the within-stratum AUC against chance, and the permuted AUCs.

    Outcomes are exchanged between patients with equally many rows inside a block, each patient's outcomes kept together. The predictions stay as
    they are. That is exact for a model that never saw these outcomes. In cross-validation every outcome also trained the models of the other
    folds, which makes chance results spread wider than permuted ones; `widening` stretches the permuted AUCs about 0.5 for that.

    Args:
        y: 0/1 outcome per row, both classes present.
        scores: higher means more positive, without NaN.
        strata: stratum number per row; pairs are compared inside strata.
        groups: patient number per row.
        blocks: outcomes are exchanged inside blocks; None: between all patients.
        widening: factor of the spread, 1 for an external test set.
        n_permutations: m.
        rng: source of randomness.

    Source: Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39, p = (b + 1) / (m + 1); see `cross_validation_widening`.
    """
    codes = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    exchange = _exchangeable(codes, np.zeros(len(y), dtype=np.int64) if blocks is None else blocks)
    stratum = np.unique(strata, return_inverse=True)[1]
    sizes = np.bincount(stratum)
    member = np.eye(len(sizes))[stratum]
    ranks = _ranks_within(scores, stratum)
    observed = within_auc(y, scores, strata)
    found = []
    for size in resample_blocks(n_permutations, len(y)):
        labels = np.empty((size, len(y)))
        for rows in exchange:  # patients x their rows
            drawn = rng.permuted(np.tile(np.arange(len(rows), dtype=np.int32), (size, 1)), axis=1)
            for column in range(rows.shape[1]):
                labels[:, rows[:, column]] = y[rows[:, column]][drawn]
        positives = labels @ member
        pairs = (positives * (sizes - positives)).sum(axis=1)
        wins = labels @ ranks - (positives * (positives + 1) / 2).sum(axis=1)
        found.append(np.divide(wins, pairs, out=np.full(size, 0.5), where=pairs > 0))
    permuted = 0.5 + widening * (np.concatenate(found) - 0.5)
    return float((np.sum(permuted >= observed - 1e-9) + 1) / (n_permutations + 1)), permuted


def cross_validation_widening(n_folds: int) -> float:
    """Return how much wider a cross-validated AUC without signal spreads than one of a fixed model: sqrt(1 + k / (k - 1)).

    Each pair of rows in different folds counts twice, once as training and test and once the other way round, so the folds' results move
    together. The variance factor is that of Nadeau & Bengio's corrected resampled t-test with k tests of n / k rows.

    Args:
        n_folds: folds of one repeat, 2 or more.

    Source: Nadeau & Bengio 2003, Machine Learning 52:239, section 3.

    Example:
        >>> cross_validation_widening(5)
        1.5
    """
    return math.sqrt(1 + n_folds / (n_folds - 1))


@dataclass(frozen=True)
class _SortedWithin:
    """Negatives sorted by stratum and score once, so that every resample needs only running sums.

    Args:
        positive: known positive rows.
        negative: known negative rows, by stratum, then score.
        start: for every positive, where its stratum begins among the negatives.
        below: for every positive, how many negatives up to those of its stratum that score lower.
        not_above: the same for those that score lower or the same.
        end: where its stratum ends.
    """

    positive: Integer[np.ndarray, " p"]
    negative: Integer[np.ndarray, " q"]
    start: Integer[np.ndarray, " p"]
    below: Integer[np.ndarray, " p"]
    not_above: Integer[np.ndarray, " p"]
    end: Integer[np.ndarray, " p"]

    @classmethod
    def of(cls, y: Labels01, scores: Scores, strata: Integer[np.ndarray, " n"]) -> _SortedWithin:
        known = ~np.isnan(scores)
        stratum = np.unique(strata, return_inverse=True)[1]
        # One number per row that orders by stratum first: dense ranks are below the number of rows.
        dense = np.zeros(len(y), dtype=np.int64)
        dense[known] = np.unique(scores[known], return_inverse=True)[1]
        key = stratum * (len(y) + 1) + dense
        positive, negative = np.flatnonzero(known & (y == 1)), np.flatnonzero(known & (y != 1))
        negative = negative[np.argsort(key[negative], kind="stable")]
        keys = key[negative]
        first = stratum[positive] * (len(y) + 1)
        return cls(
            positive,
            negative,
            np.searchsorted(keys, first, side="left"),
            np.searchsorted(keys, key[positive], side="left"),
            np.searchsorted(keys, key[positive], side="right"),
            np.searchsorted(keys, first + len(y) + 1, side="left"),
        )

    def wins_and_pairs(
        self, weights: Float[np.ndarray, "b n"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
        sums = np.zeros((len(weights), len(self.negative) + 1))
        np.cumsum(weights[:, self.negative], axis=1, out=sums[:, 1:])
        ours = weights[:, self.positive]
        before = sums[:, self.start]
        wins = np.einsum("bp,bp->b", ours, sums[:, self.below] - before)
        if not np.array_equal(self.below, self.not_above):  # ties count half
            wins = (wins + np.einsum("bp,bp->b", ours, sums[:, self.not_above] - before)) / 2
        return wins, np.einsum("bp,bp->b", ours, sums[:, self.end] - before)


def _influence(y: Labels01, scores: Scores, strata: Integer[np.ndarray, " n"]) -> tuple[float, Scores]:
    """Return the AUC and every row's share of it: its wins minus the AUC times its pairs, over all pairs."""
    stratum = np.unique(strata, return_inverse=True)[1]
    positive: Bool[np.ndarray, " n"] = y == 1
    positives = np.bincount(stratum, weights=y)[stratum]
    negatives = np.bincount(stratum)[stratum] - positives
    own = np.empty(len(y))
    for side in (positive, ~positive):
        own[side] = _ranks_within(scores[side], stratum[side])
    wins = _ranks_within(scores, stratum) - own
    wins = np.where(positive, wins, positives - wins)
    pairs = np.where(positive, negatives, positives)
    total = float(pairs[positive].sum())
    if total == 0:
        return math.nan, np.full(len(y), np.nan)
    area = float(wins[positive].sum() / total)
    return area, (wins - area * pairs) / total


def _ranks_within(scores: Scores, stratum: Integer[np.ndarray, " n"]) -> Scores:
    ranks = np.empty(len(scores))
    order = np.argsort(stratum, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        ranks[rows] = rankdata(scores[rows])
    return ranks


def _exchangeable(
    codes: Integer[np.ndarray, " n"], blocks: Integer[np.ndarray, " n"]
) -> list[Integer[np.ndarray, "p s"]]:
    """Return tables of rows, one per block and number of rows: patients x their rows."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(codes)))
    block = blocks[order[starts]]
    return list(_tables(order, starts, sizes, block))


def _tables(
    order: Integer[np.ndarray, " n"],
    starts: Integer[np.ndarray, " p"],
    sizes: Integer[np.ndarray, " p"],
    block: Integer[np.ndarray, " p"],
) -> Iterator[Integer[np.ndarray, "p s"]]:
    for name in np.unique(block):
        for size in np.unique(sizes[block == name]):
            members = starts[(block == name) & (sizes == size)]
            yield order[members[:, None] + np.arange(size)[None, :]]
