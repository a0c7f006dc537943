"""scikit-learn's own checks of every estimator that is fitted inside the fold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from radiogen.fusion.harmonise import Combat
from radiogen.fusion.prepare import BestColumns, ClippedScaler, MedianImputer, SparseColumns, UsableColumns
from radiogen.fusion.reduce import EmbeddingReduction
from radiogen.fusion.select import (
    Boruta,
    CorrelationClusters,
    CorrelationPruning,
    Mrmr,
    StabilitySelection,
    StableColumns,
)
from radiogen.fusion.svm import CalibratedSvm

ESTIMATORS = [
    UsableColumns(),
    MedianImputer(),
    ClippedScaler(),
    BestColumns(),
    SparseColumns(),
    CorrelationPruning(),
    CorrelationClusters(),
    Mrmr(),
    StabilitySelection(halves=4),
    Boruta(rounds=2, trees=3),
    StableColumns(),
    Combat(),
    EmbeddingReduction(),
    CalibratedSvm(),
]


def excused(estimator: BaseEstimator) -> dict[str, str]:
    """Return the checks that an estimator fails on purpose: name -> why."""
    if not estimator.get_params():
        return {}
    # radiogen itself raises nothing there: only the tests' run-time type checker refuses, say, a text for a number.
    return {"check_do_not_raise_errors_in_init_or_set_params": "annotations are checked at run time in the tests"}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=excused)
def test_scikit_learn_accepts_it(
    estimator: BaseEstimator, check: Callable[[BaseEstimator], None] | partial[None]
) -> None:
    check(estimator)
