"""Which columns reach the classifiers: selectors that are fitted on the training rows of their fold, like every other step."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import binom, rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import f_classif
from sklearn.linear_model import lars_path

from radiogen.fusion.context import RowContext
from radiogen.fusion.steps import Classes, ColumnSelector, Rows
from radiogen.stats.icc import icc_3_1

_CHUNK = 512
_LEAST_CASES = 3
_MOST_CLUSTERED = 4000
"""Columns whose distances are all held in memory; above it a group is represented by its first column."""


class CorrelationPruning(ColumnSelector):
    """Keep a column unless it is highly correlated with one kept before it.

    Args:
        max_correlation: largest absolute Pearson correlation between two kept columns.

    Example:
        >>> CorrelationPruning(0.9).fit_transform(np.array([[0.0, 0.0, 1.0], [1.0, 2.0, 0.0], [2.0, 4.0, 1.0]])).tolist()
        [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]]
    """

    def __init__(self, max_correlation: float = 0.95) -> None:
        self.max_correlation = max_correlation

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        centred = X - X.mean(axis=0)
        length = np.sqrt((centred**2).sum(axis=0))
        unit = centred / np.where(length > 0, length, 1.0)
        kept: list[int] = []
        for start in range(0, X.shape[1], _CHUNK):
            chunk = np.arange(start, min(start + _CHUNK, X.shape[1]))
            free = np.ones(len(chunk), dtype=bool)
            if kept:
                free = np.abs(unit[:, kept].T @ unit[:, chunk]).max(axis=0) <= self.max_correlation
            alike = np.abs(unit[:, chunk].T @ unit[:, chunk]) > self.max_correlation
            for position in range(len(chunk)):
                if free[position]:
                    kept.append(int(chunk[position]))
                    free[position + 1 :] &= ~alike[position, position + 1 :]
        self.kept_ = np.array(kept, dtype=np.int64)


class CorrelationClusters(ColumnSelector):
    """Keep one column of every cluster of columns that rank the cases alike; labels are not looked at.

    Average linkage on one minus the absolute rank correlation; of each cluster the column that correlates best with the others stays. With more than
    4,000 columns, whose distances would fill gigabytes, the first of each group of correlated columns stays instead.

    Args:
        max_correlation: clusters closer than this mean absolute Spearman correlation are joined.

    Source: Spearman correlation; agglomerative clustering with average linkage (Sokal, Michener 1958).

    Example:
        >>> X = np.array([[0.0, 0.0, 3.0], [1.0, 10.0, 1.0], [2.0, 11.0, 2.0], [3.0, 12.0, 0.5]])
        >>> CorrelationClusters(0.95).fit_transform(X).shape
        (4, 2)
    """

    def __init__(self, max_correlation: float = 0.95) -> None:
        self.max_correlation = max_correlation

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        ranks = rankdata(X, axis=0)
        if X.shape[1] > _MOST_CLUSTERED:
            self.kept_ = CorrelationPruning(self.max_correlation).fit(ranks).kept_
            return
        if X.shape[1] < 2:
            self.kept_ = np.arange(X.shape[1])
            return
        unit = _unit_columns(ranks)
        alike = np.clip(np.abs(unit.T @ unit), 0.0, 1.0)
        distance = 1 - (alike + alike.T) / 2
        np.fill_diagonal(distance, 0.0)
        tree = linkage(squareform(distance, checks=False), "average")
        cluster = fcluster(tree, 1 - self.max_correlation, "distance")
        kept = []
        for number in np.unique(cluster):
            members = np.flatnonzero(cluster == number)
            closeness = alike[np.ix_(members, members)].mean(axis=1)
            kept.append(int(members[np.argmax(np.round(closeness, 12))]))
        self.kept_ = np.array(sorted(kept), dtype=np.int64)


def _unit_columns(X: Rows) -> Rows:
    centred = X - X.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    return centred / np.where(length > 0, length, 1.0)


class Mrmr(ColumnSelector):
    """Keep columns that tell the classes apart and do not repeat each other, chosen one after another.

    The next column has the largest F between the classes, divided by its mean absolute correlation with those chosen before (at least the standard
    error of a correlation).

    Args:
        count: how many columns stay, where there are so many.

    Source: Ding, Peng, J Bioinform Comput Biol 2005;3:185 (minimum redundancy, maximum relevance); Zhao et al. 2019, arXiv:1908.05376 (FCQ, the
    quotient of F and correlation).
    """

    needs_labels = True

    def __init__(self, count: int = 50) -> None:
        self.count = count

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            relevance = np.nan_to_num(f_classif(X, y)[0], nan=0.0, posinf=1e12)
        unit = _unit_columns(X)
        redundancy = np.zeros(X.shape[1])
        least = 1 / np.sqrt(len(X))  # below its own error a correlation says nothing; divided by it, noise would win
        chosen: list[int] = []
        score = relevance.copy()
        for _ in range(min(self.count, X.shape[1])):
            best = int(np.argmax(score))
            chosen.append(best)
            redundancy += np.abs(unit[:, best] @ unit)
            score = relevance / np.maximum(redundancy / len(chosen), least)
            score[chosen] = -np.inf
        self.kept_ = np.array(sorted(chosen), dtype=np.int64)


class StabilitySelection(ColumnSelector):
    """Keep columns that a lasso chooses again and again on halves of the training rows.

    Each half lets the first columns enter that the lasso's path takes up; what enters in at least `threshold` of the halves stays, or the one that
    enters most often where none does. The expected number of columns kept by chance is at most q^2 / ((2 threshold - 1) p), for q columns entering
    of p; q is set so that this bound is 1, where half the rows allow so many.

    Args:
        threshold: share of the halves, above one half.
        halves: how many are drawn, in pairs that complement each other.
        seed: of the draws.

    Source: Meinshausen, Buehlmann, J R Stat Soc B 2010;72:417, theorem 1; complementary pairs: Shah, Samworth, J R Stat Soc B 2013;75:55. The lasso
    on 0/1 labels by least angle regression: Efron et al., Ann Stat 2004;32:407.
    """

    needs_labels = True
    least_rows = 2

    def __init__(self, threshold: float = 0.6, halves: int = 50, seed: int = 0) -> None:
        self.threshold = threshold
        self.halves = halves
        self.seed = seed

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        rng = np.random.default_rng(self.seed)
        entered, drawn = np.zeros(X.shape[1]), 0
        allowed = int(np.sqrt((2 * self.threshold - 1) * X.shape[1]))
        for _ in range(max(1, self.halves // 2)):
            for rows in _complementary_halves(y, rng):
                entering = min(max(1, allowed), max(1, len(rows) // 2), X.shape[1])
                entered[_first_entering(X[rows], y[rows], entering)] += 1
                drawn += 1
        self.share_ = entered / drawn
        kept = np.flatnonzero(self.share_ >= self.threshold)
        self.kept_ = kept if len(kept) else np.array([int(np.argmax(self.share_))], dtype=np.int64)


def _complementary_halves(y: Classes, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    # Each class is halved, so that both halves hold all classes.
    first, second = [], []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        first.append(rows[: len(rows) // 2])
        second.append(rows[len(rows) // 2 :])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _first_entering(X: Rows, y: Classes, count: int) -> list[int]:
    unit = _unit_columns(X)
    _, active, _ = lars_path(unit, y - y.mean(), method="lasso", max_iter=count, return_path=False)
    return [int(column) for column in active]


class Boruta(ColumnSelector):
    """Keep columns that a random forest finds more useful than the best of shuffled copies of the columns.

    The copies are shuffled anew in every round. Kept is what beats them in more rounds than chance does (binomial, one half, alpha 0.05), at least
    one column.

    Args:
        rounds: forests.
        trees: of each.
        seed: of shuffling and forests.

    Source: Kursa, Rudnicki, J Stat Softw 2010;36(11). Simplified: all columns take part in all rounds, and no correction for their number is made.
    With thousands of columns the trees see each too rarely: put another selector before it.
    """

    needs_labels = True

    def __init__(self, rounds: int = 12, trees: int = 100, seed: int = 0) -> None:
        self.rounds = rounds
        self.trees = trees
        self.seed = seed

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        rng = np.random.default_rng(self.seed)
        hits = np.zeros(X.shape[1])
        for _ in range(self.rounds):
            shadows = rng.permuted(X, axis=0)
            seed = int(rng.integers(2**31))
            forest = RandomForestClassifier(self.trees, max_depth=5, n_jobs=1, random_state=seed)
            importance = forest.fit(np.hstack([X, shadows]), y).feature_importances_
            hits += importance[: X.shape[1]] > importance[X.shape[1] :].max()
        self.hits_ = hits / self.rounds
        needed = binom.ppf(0.95, self.rounds, 0.5) / self.rounds
        kept = np.flatnonzero(self.hits_ > needed)
        self.kept_ = kept if len(kept) else np.array([int(np.argmax(self.hits_))], dtype=np.int64)


class StableColumns(ColumnSelector):
    """Keep columns that perturbing the image or the mask hardly changes: ICC(3,1) of the training cases.

    Every family of perturbations is judged by itself, with the unperturbed values as one more measurement, and a column stays when the lower end
    of its interval reaches `least_icc` in all of them; where none does, the one with the best estimate stays. Columns that were not measured under
    perturbations stay. Fitted inside the fold from the
    training cases alone: an ICC over all cases would have seen the test cases.

    Args:
        least_icc: smallest lower confidence bound.

    Source: Zwanenburg et al., Sci Rep 2019;9:614 (perturbations and ICC); Koo, Li, J Chiropr Med 2016;15:155 (0.75: good).
    """

    allows_missing = True

    def __init__(self, least_icc: float = 0.75) -> None:
        self.least_icc = least_icc

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        self.kept_ = np.arange(X.shape[1])
        if context is None or context.perturbed is None:
            return
        own = context.perturbed
        own = own[own.index.get_level_values(0).isin(set(context.case))]
        measured = [name for name in context.columns if name in own.columns]
        stable = np.ones(len(measured), dtype=bool)
        for values in by_family(own[measured]).values():
            # A column that some cases lack (a region they do not have) is judged on the others; one that too few have is not judged stable.
            stable &= np.nan_to_num(icc_3_1(values).low, nan=-1.0) >= self.least_icc
        dropped = {name for name, good in zip(measured, stable, strict=True) if not good}
        kept = np.array([name not in dropped for name in context.columns])
        self.kept_ = np.flatnonzero(kept) if kept.any() else np.array([self._least_unstable(own, measured, context)])

    def _least_unstable(self, own: pd.DataFrame, measured: list[str], context: RowContext) -> int:
        worst = np.min([np.nan_to_num(icc_3_1(one).icc, nan=-1.0) for one in by_family(own[measured]).values()], axis=0)
        return int(np.flatnonzero(context.columns == measured[int(np.argmax(worst))])[0])


def by_family(perturbed: pd.DataFrame) -> dict[str, Float[np.ndarray, "n k p"]]:
    """Return per family of perturbations the cases that have all of its measurements, the unperturbed first.

    Args:
        perturbed: table with index (case, perturbation); a family is the perturbation's name before the first `-`, and `none` is the unperturbed row.

    Returns:
        Family -> values of cases, measurements, columns; families with fewer than three complete cases are left out.
    """
    wide = perturbed.sort_index()
    names = wide.index.get_level_values(1)
    families: dict[str, list[str]] = {}
    for name in sorted(set(names) - {"none"}):
        families.setdefault(name.split("-")[0], []).append(name)
    found = {}
    for family, members in families.items():
        layers = [wide.xs(name, level=1) for name in ("none", *members) if name in set(names)]
        cases = sorted(set.intersection(*(set(layer.index) for layer in layers)))
        if len(cases) >= _LEAST_CASES and len(layers) >= 2:
            found[family] = np.stack([layer.loc[cases].to_numpy(dtype=float) for layer in layers], axis=1)
    return found
