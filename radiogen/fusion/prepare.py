"""Preparation inside the fold: every statistic here is learned from training rows only, because each step is an estimator in a pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Integer
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import SelectKBest, f_classif

from radiogen.config.classify import ClassifySettings
from radiogen.fusion.classifiers import ElasticNetFamily
from radiogen.fusion.context import RowContext
from radiogen.fusion.harmonise import Combat
from radiogen.fusion.reduce import EmbeddingReduction
from radiogen.fusion.select import (
    Boruta,
    ColumnSelector,
    CorrelationClusters,
    CorrelationPruning,
    Mrmr,
    StabilitySelection,
    StableColumns,
)

Rows = Float[np.ndarray, "n p"]
"""Cases by columns; NaN where missing until they are imputed."""

Prepared = Float[np.ndarray, "n q"]
"""Cases by prepared columns."""

Names = np.ndarray
"""Column names as an array of objects."""

_MOST_PATTERNS = 20
_LEAST_MISSING_SHARE = 0.05


class UsableColumns(TransformerMixin, BaseEstimator):
    """Drop columns that hold fewer than two different values in the training rows.

    Example:
        >>> UsableColumns().fit_transform(np.array([[1.0, 2.0, np.nan], [1.0, 3.0, np.nan]])).tolist()
        [[2.0], [3.0]]
    """

    def fit(self, X: Rows, y: object = None) -> UsableColumns:
        """Find the columns with at least two values."""
        low = np.min(np.where(np.isnan(X), np.inf, X), axis=0, initial=np.inf)
        high = np.max(np.where(np.isnan(X), -np.inf, X), axis=0, initial=-np.inf)
        self.kept_ = np.flatnonzero(high > low)
        return self

    def transform(self, X: Rows) -> Prepared:
        """Return the kept columns."""
        return X[:, self.kept_]

    def get_feature_names_out(self, input_features: Names) -> Names:
        """Return the names of the kept columns."""
        return input_features[self.kept_]


class MedianImputer(TransformerMixin, BaseEstimator):
    """Fill missing values with the training median and add one indicator per pattern of missingness.

    A sequence that some cases lack leaves hundreds of columns missing together; they share one indicator. Patterns in less than 5 % of the
    training rows get none, and at most 20 are kept, the most frequent first.

    Example:
        >>> MedianImputer().fit_transform(np.array([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0], [np.nan, 8.0]])).tolist()
        [[1.0, 5.0, 0.0], [2.0, 6.0, 1.0], [3.0, 7.0, 0.0], [2.0, 8.0, 1.0]]
    """

    def fit(self, X: Rows, y: object = None) -> MedianImputer:
        """Learn medians and patterns."""
        missing = np.isnan(X)
        self.medians_ = np.nanmedian(X, axis=0)
        share = missing.mean(axis=0)
        candidates = np.flatnonzero((share >= _LEAST_MISSING_SHARE) & (missing.sum(axis=0) >= 2) & (share < 1))
        first: dict[bytes, int] = {}
        for column in candidates:
            first.setdefault(missing[:, column].tobytes(), int(column))
        ranked = sorted(first.values(), key=lambda column: (-share[column], column))[:_MOST_PATTERNS]
        self.indicators_ = np.array(ranked, dtype=np.int64)
        return self

    def transform(self, X: Rows) -> Prepared:
        """Return filled columns, then indicators (1 = missing)."""
        missing = np.isnan(X)
        return np.hstack([np.where(missing, self.medians_, X), missing[:, self.indicators_].astype(float)])

    def get_feature_names_out(self, input_features: Names) -> Names:
        """Return the input names, then `missing:<column>` for each pattern's first column."""
        added = [f"missing:{name}" for name in input_features[self.indicators_]]
        return np.array([*input_features, *added], dtype=object)


class ClippedScaler(TransformerMixin, BaseEstimator):
    """Centre on the median, divide by the interquartile range's normal equivalent, clip, then bring to mean 0 and variance 1.

    Args:
        clip_z: robust z-scores beyond this are set to it.

    Source: the interquartile range of a normal distribution is 1.349 standard deviations.
    """

    def __init__(self, clip_z: float = 5.0) -> None:
        self.clip_z = clip_z

    def fit(self, X: Rows, y: object = None) -> ClippedScaler:
        """Learn medians, spreads, and mean and standard deviation after clipping."""
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
        return self

    def _clipped(self, X: Rows) -> Rows:
        return np.clip((X - self.center_) / self.spread_, -self.clip_z, self.clip_z)

    def transform(self, X: Rows) -> Prepared:
        """Return clipped, standardised columns."""
        return (self._clipped(X) - self.mean_) / self.deviation_

    def get_feature_names_out(self, input_features: Names) -> Names:
        """Return the input names."""
        return input_features


class BestColumns(ColumnSelector):
    """Keep the columns with the largest ANOVA F between the classes.

    Args:
        count: how many columns stay, where there are so many.
    """

    def __init__(self, count: int = 50) -> None:
        self.count = count

    def fit(self, X: Rows, y: Integer[np.ndarray, " n"]) -> BestColumns:
        """Rank the columns on the training rows."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ranked = SelectKBest(f_classif, k=min(self.count, X.shape[1])).fit(X, y)
        self.kept_ = np.flatnonzero(ranked.get_support())
        return self


class SparseColumns(BestColumns):
    """Keep the columns to which an L1-penalised logistic model gives a coefficient; all of them when it gives none.

    Args:
        strength: penalty as a share of the smallest one that gives no coefficient at all.
    """

    def __init__(self, strength: float = 0.2) -> None:
        self.strength = strength

    def fit(self, X: Rows, y: Integer[np.ndarray, " n"]) -> SparseColumns:
        """Fit the L1 model on the training rows."""
        model = ElasticNetFamily().fit(X, y, {"l1_ratio": 1.0, "strength": self.strength}, seed=0)
        kept = np.flatnonzero(model.coef_[0])
        self.kept_ = kept if len(kept) else np.arange(X.shape[1])
        return self


class Preparation(BaseEstimator):
    """Steps one after another, each fitted on the training rows; those that need it are told the rows' sites, covariates and case ids.

    Args:
        steps: name and unfitted step.
    """

    def __init__(self, steps: list[tuple[str, BaseEstimator]]) -> None:
        self.steps = steps

    def fit(self, X: Rows, y: Integer[np.ndarray, " n"], context: RowContext) -> Preparation:
        """Fit every step on what the steps before it give."""
        self.fit_transform(X, y, context)
        return self

    def fit_transform(self, X: Rows, y: Integer[np.ndarray, " n"], context: RowContext) -> Prepared:
        """Fit every step and return the prepared training rows."""
        for _, step in self.steps:
            if isinstance(step, Combat):
                X = step.fit(X, y, context).transform(X, context)
            elif isinstance(step, StableColumns | EmbeddingReduction):
                X = step.fit(X, y, context).transform(X)
            else:
                X = step.fit(X, y).transform(X)
            context = _narrowed(context, step)
        return X

    def transform(self, X: Rows, context: RowContext) -> Prepared:
        """Return prepared rows; nothing is learnt from them."""
        for _, step in self.steps:
            X = step.transform(X, context) if isinstance(step, Combat) else step.transform(X)
        return X

    def get_feature_names_out(self, input_features: Names) -> Names:
        """Return the names of the prepared columns."""
        for _, step in self.steps:
            input_features = step.get_feature_names_out(input_features)
        return input_features


def _narrowed(context: RowContext, step: BaseEstimator) -> RowContext:
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
    steps: list[tuple[str, BaseEstimator]] = [("columns", UsableColumns())]
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
