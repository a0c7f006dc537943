"""scikit-learn's own checks of every estimator that is fitted inside the fold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_set_params,
    parametrize_with_checks,
)

from radiogen.fusion.base import FusedModel
from radiogen.fusion.harmonise import Combat
from radiogen.fusion.late import LateFusion
from radiogen.fusion.model import FusedClassifier
from radiogen.fusion.network import NetworkFusion
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


@pytest.mark.parametrize("kind", [FusedClassifier, LateFusion, NetworkFusion])
@pytest.mark.parametrize(
    "check",
    [check_estimator_cloneable, check_get_params_invariance, check_set_params, check_no_attributes_set_in_init],
)
def test_fusions_can_be_cloned_and_set(kind: type[FusedModel], check: Callable[[str, BaseEstimator], None]) -> None:
    """The other checks give arrays without names and more than two classes, where a fusion needs a table of named columns and 0/1 labels."""
    check(kind.__name__, kind())


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=excused)
def test_scikit_learn_accepts_it(
    estimator: BaseEstimator, check: Callable[[BaseEstimator], None] | partial[None]
) -> None:
    check(estimator)
