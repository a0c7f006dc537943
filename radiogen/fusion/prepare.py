"""Preparation inside the fold: every statistic here is learned from training rows only, because each step is an estimator in a pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectKBest, f_classif

from radiogen.config.classify import ClassifySettings
from radiogen.fusion.classifiers import ElasticNetFamily
from radiogen.fusion.context import RowContext
from radiogen.fusion.harmonise import Combat
from radiogen.fusion.reduce import EmbeddingReduction
from radiogen.fusion.select import (
    Boruta,
    CorrelationClusters,
    CorrelationPruning,
    Mrmr,
    StabilitySelection,
    StableColumns,
)
from radiogen.fusion.steps import Classes, ColumnSelector, FoldStep, Names, Prepared, Rows

_MOST_PATTERNS = 20
_LEAST_MISSING_SHARE = 0.05


class UsableColumns(ColumnSelector):
    """Drop columns that hold fewer than two different values in the training rows; where all do, the first stays, and says nothing.

    Example:
        >>> UsableColumns().fit_transform(np.array([[1.0, 2.0, np.nan], [1.0, 3.0, np.nan]])).tolist()
        [[2.0], [3.0]]
    """

    allows_missing = True

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        low = np.min(np.where(np.isnan(X), np.inf, X), axis=0, initial=np.inf)
        high = np.max(np.where(np.isnan(X), -np.inf, X), axis=0, initial=-np.inf)
        kept = np.flatnonzero(high > low)
        self.kept_ = kept if len(kept) else np.array([0])


class MedianImputer(FoldStep):
    """Fill missing values with the training median and add one indicator per pattern of missingness.

    A sequence that some cases lack leaves hundreds of columns missing together; they share one indicator. Patterns in less than 5 % of the
    training rows get none, and at most 20 are kept, the most frequent first. A column without any training value is filled with 0.

    Example:
        >>> MedianImputer().fit_transform(np.array([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0], [np.nan, 8.0]])).tolist()
        [[1.0, 5.0, 0.0], [2.0, 6.0, 1.0], [3.0, 7.0, 0.0], [2.0, 8.0, 1.0]]
    """

    allows_missing = True

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        missing = np.isnan(X)
        known = ~missing.all(axis=0)
        self.medians_ = np.zeros(X.shape[1])
        self.medians_[known] = np.nanmedian(X[:, known], axis=0)
        share = missing.mean(axis=0)
        candidates = np.flatnonzero((share >= _LEAST_MISSING_SHARE) & (missing.sum(axis=0) >= 2) & (share < 1))
        first: dict[bytes, int] = {}
        for column in candidates:
            first.setdefault(missing[:, column].tobytes(), int(column))
        ranked = sorted(first.values(), key=lambda column: (-share[column], column))[:_MOST_PATTERNS]
        self.indicators_ = np.array(ranked, dtype=np.int64)

    def _apply(self, X: Rows, context: RowContext | None) -> Prepared:
        missing = np.isnan(X)
        return np.hstack([np.where(missing, self.medians_, X), missing[:, self.indicators_].astype(float)])

    def _names_out(self, names: Names) -> Names:
        return np.array([*names, *(f"missing:{name}" for name in names[self.indicators_])], dtype=object)


class ClippedScaler(FoldStep):
    """Centre on the median, divide by the interquartile range's normal equivalent, clip, then bring to mean 0 and variance 1.

    Args:
        clip_z: robust z-scores beyond this are set to it.

    Source: the interquartile range of a normal distribution is 1.349 standard deviations.
    """

    def __init__(self, clip_z: float = 5.0) -> None:
        self.clip_z = clip_z

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        low, self.center_, high = np.percentile(X, [25, 50, 75], axis=0)
        spread = (high - low) / 1.349
        deviation = X.std(axis=0)
        # Half of a rare indicator's or a spiky column's values are equal: its interquartile range is 0, but for rounding.
        usable = np.where(spread > 1e-9 * np.abs(self.center_), spread, deviation)
        self.spread_ = np.where(usable > 0, usable, 1.0)
        clipped = self._clipped(X)
        self.mean_ = clipped.mean(axis=0)
        deviation = clipped.std(axis=0)
        self.deviation_ = np.where(deviation > 1e-9, deviation, 1.0)

    def _clipped(self, X: Rows) -> Rows:
        return np.clip((X - self.center_) / self.spread_, -self.clip_z, self.clip_z)

    def _apply(self, X: Rows, context: RowContext | None) -> Prepared:
        return (self._clipped(X) - self.mean_) / self.deviation_


class BestColumns(ColumnSelector):
    """Keep the columns with the largest ANOVA F between the classes.

    Args:
        count: how many columns stay, where there are so many.
    """

    needs_labels = True

    def __init__(self, count: int = 50) -> None:
        self.count = count

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ranked = SelectKBest(f_classif, k=min(self.count, X.shape[1])).fit(X, y)
        self.kept_ = np.flatnonzero(ranked.get_support())


class SparseColumns(BestColumns):
    """Keep the columns to which an L1-penalised logistic model gives a coefficient; all of them when it gives none.

    Args:
        strength: penalty as a share of the smallest one that gives no coefficient at all.
    """

    def __init__(self, strength: float = 0.2) -> None:
        self.strength = strength

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        model = ElasticNetFamily().fit(X, y, {"l1_ratio": 1.0, "strength": self.strength}, seed=0)
        kept = np.flatnonzero((model.coef_ != 0).any(axis=0))
        self.kept_ = kept if len(kept) else np.arange(X.shape[1])


class Preparation(BaseEstimator):
    """Steps one after another, each fitted on the training rows; those that need it are told the rows' sites, covariates and case ids.

    Args:
        steps: name and unfitted step.
    """

    def __init__(self, steps: list[tuple[str, FoldStep]]) -> None:
        self.steps = steps

    def fit(self, X: Rows, y: Classes, context: RowContext) -> Preparation:
        """Fit every step on what the steps before it give."""
        self.fit_transform(X, y, context)
        return self

    def fit_transform(self, X: Rows, y: Classes, context: RowContext) -> Prepared:
        """Fit every step and return the prepared training rows."""
        for _, step in self.steps:
            X = step.fit(X, y, context).transform(X, context)
            context = _narrowed(context, step)
        return X

    def transform(self, X: Rows, context: RowContext) -> Prepared:
        """Return prepared rows; nothing is learnt from them."""
        for _, step in self.steps:
            X = step.transform(X, context)
        return X

    def get_feature_names_out(self, input_features: Names) -> Names:
        """Return the names of the prepared columns."""
        for _, step in self.steps:
            input_features = step.get_feature_names_out(input_features)
        return input_features


def _narrowed(context: RowContext, step: FoldStep) -> RowContext:
    # Columns are counted on as long as steps speak of the table's own ones: before imputation adds indicators.
    if not isinstance(step, UsableColumns | StableColumns):
        return context
    return replace(context, columns=context.columns[step.kept_], from_images=context.from_images[step.kept_])


def preparation(settings: ClassifySettings, seed: int = 0) -> Preparation:
    """Return the unfitted preparation: stable and usable columns, harmonisation, imputation, scaling, reduction of embeddings, selection.

    Args:
        settings: `clip_z`, `selection`, `harmonise`, `reduce` and their options are used.
        seed: of the selectors that draw.
    """
    steps: list[tuple[str, FoldStep]] = [("columns", UsableColumns())]
    if "icc" in settings.selection:
        steps.append(("icc", StableColumns(settings.least_icc)))
    if settings.harmonise == "combat":
        steps.append(("harmonise", Combat(tuple(settings.covariates), settings.unseen_site, settings.least_site_cases)))
    steps += [("impute", MedianImputer()), ("scale", ClippedScaler(settings.clip_z))]
    selectors: dict[str, ColumnSelector] = {
        "correlation": CorrelationPruning(settings.max_correlation),
        "correlation-clusters": CorrelationClusters(settings.max_correlation),
        "univariate": BestColumns(settings.max_columns),
        "mrmr": Mrmr(settings.max_columns),
        "l1": SparseColumns(),
        "stability": StabilitySelection(settings.stability_threshold, seed=seed),
        "boruta": Boruta(seed=seed),
    }
    if settings.reduce != "none":
        steps.append(("reduce", EmbeddingReduction(settings.reduce, settings.components)))
    steps += [(name, selectors[name]) for name in settings.selection if name != "icc"]
    return Preparation(steps)
