"""What every step of the preparation is: a scikit-learn transformer that may be told the rows' sites, covariates and case ids."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from radiogen.fusion.context import RowContext

Rows = Float[np.ndarray, "n p"]
"""Cases by columns."""

Prepared = Float[np.ndarray, "n q"]
"""Cases by prepared columns."""

Classes = Integer[np.ndarray, " n"]
"""Number of each row's class."""

Names = np.ndarray
"""Column names as an array of objects."""


class FoldStep(TransformerMixin, BaseEstimator):
    """A step of the preparation, fitted on training rows; input is checked here, what is learned is the step's own affair.

    `needs_labels`: the labels of the training rows are looked at. `allows_missing`: columns may hold NaN. `least_rows`: fewest training rows.
    """

    needs_labels = False
    allows_missing = False
    least_rows = 1

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.needs_labels
        tags.input_tags.allow_nan = self.allows_missing
        return tags

    def fit(self, X: Any, y: Any = None, context: RowContext | None = None) -> FoldStep:
        """Learn from training rows.

        Args:
            X: cases by columns of numbers.
            y: class per row; looked at by some steps only.
            context: sites, covariates and case ids of the same rows, and names of the columns, where a step needs them.
        """
        rules = {
            "dtype": np.float64,
            "ensure_all_finite": "allow-nan" if self.allows_missing else True,
            "ensure_min_samples": self.least_rows,
        }
        if y is None and not self.needs_labels:
            X = validate_data(self, X, **rules)
            self._learn(X, np.zeros(len(X), dtype=np.int64), context)
        else:
            X, y = validate_data(self, X, y, **rules)
            self._learn(X, np.unique(y, return_inverse=True)[1].astype(np.int64), context)
        return self

    @abstractmethod
    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        """Learn from checked rows."""

    def transform(self, X: Any, context: RowContext | None = None) -> Prepared:
        """Return prepared rows; nothing is learnt from them.

        Args:
            X: cases by the columns seen in `fit`.
            context: of these rows, where a step needs it.
        """
        check_is_fitted(self)
        finite = "allow-nan" if self.allows_missing else True
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite=finite, reset=False)
        return self._apply(X, context)

    @abstractmethod
    def _apply(self, X: Rows, context: RowContext | None) -> Prepared:
        """Return prepared rows of checked ones."""

    def get_feature_names_out(self, input_features: Any = None) -> Names:
        """Return the names of the prepared columns.

        Args:
            input_features: names of the columns; None: those seen in `fit`, or `x0`, `x1`, ...
        """
        check_is_fitted(self)
        return self._names_out(np.asarray(_check_feature_names_in(self, input_features), dtype=object))

    def _names_out(self, names: Names) -> Names:
        return names


class ColumnSelector(FoldStep):
    """A step that keeps some columns and changes nothing; what it learns is their positions, `kept_`."""

    kept_: np.ndarray

    def _apply(self, X: Rows, context: RowContext | None) -> Prepared:
        return X[:, self.kept_]

    def _names_out(self, names: Names) -> Names:
        return names[self.kept_]
