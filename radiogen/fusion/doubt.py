"""What stands beside a probability: threshold, conformal set and whether the case is like the training cases; all learned on the training side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.config.classify import ClassifySettings
from radiogen.fusion.base import FusedModel
from radiogen.fusion.context import RowContext
from radiogen.fusion.decision import Decision, fit_decision
from radiogen.fusion.familiarity import Familiarity, fit_familiarity
from radiogen.types import Labels01, Scores

DOUBT_COLUMNS = ["threshold", "prediction_set", "out_of_distribution"]
"""What predictions carry beside the probability; `prediction_set` only where a coverage is asked for."""


@dataclass(frozen=True)
class Doubt:
    """Decision and familiarity of one training side.

    Args:
        decision: calibration, threshold, conformal limits.
        familiarity: what the training cases looked like.
    """

    decision: Decision
    familiarity: Familiarity

    def columns(self, probability: Scores, features: pd.DataFrame) -> pd.DataFrame:
        """Return `y_prob` (calibrated), `threshold`, `prediction_set` where there are sets, and `out_of_distribution` (0 or 1).

        Args:
            probability: of the model, before calibration.
            features: one row per probability.
        """
        calibrated = self.decision.calibration.apply(probability)
        sets = self.decision.sets(calibrated)
        told = {"y_prob": calibrated, "threshold": self.decision.threshold}
        told |= {} if sets is None else {"prediction_set": sets}
        strange = (self.familiarity.strangeness(features) > 1).astype(np.int64)
        return pd.DataFrame({**told, "out_of_distribution": strange}, index=features.index)


def fit_doubt(
    model: FusedModel,
    make: Callable[[], FusedModel],
    features: pd.DataFrame,
    y: Labels01,
    patient: np.ndarray,
    context: RowContext | None,
    settings: ClassifySettings,
) -> Doubt:
    """Learn what stands beside the probabilities of a fitted model, from its training rows alone.

    Args:
        model: fitted on these rows; the out-of-fold probabilities it kept are used and taken away from it.
        make: returns an unfitted model like it; called where it kept none.
        features: training rows.
        y: 0/1 label per row.
        patient: patient per row.
        context: of the rows.
        settings: of decision and familiarity.
    """
    scores = model.__dict__.pop("inner_probability_", None)
    if scores is None and _needs_scores(settings):
        scores = cross_fitted(make, features, y, patient, context, settings)
    decision = fit_decision(np.full(len(y), 0.5) if scores is None else scores, y, settings, patient)
    return Doubt(decision, fit_familiarity(features, patient, share=settings.familiar_share, seed=settings.seed))


def _needs_scores(settings: ClassifySettings) -> bool:
    return settings.calibrate != "none" or settings.threshold != "half" or settings.coverage is not None


def cross_fitted(
    make: Callable[[], FusedModel],
    features: pd.DataFrame,
    y: Labels01,
    patient: np.ndarray,
    context: RowContext | None,
    settings: ClassifySettings,
) -> Scores:
    """Return a probability per row by models, tuning included, that did not see the row's patient.

    Args:
        make: returns an unfitted model.
        features: rows.
        y: 0/1 label per row.
        patient: patient per row.
        context: of the rows.
        settings: `inner_folds` and `seed`.

    Source: Wolpert, Neural Networks 1992, 5:241 (out-of-fold scores for a second level).
    """
    found = np.full(len(y), np.nan)
    # One patient of each class must be left to train on in every inner fold of an inner fold.
    folds = max(2, min(settings.inner_folds, patients_of_smaller_class(patient, y)))
    for test in grouped_folds(patient, y, folds, settings.seed):
        train = np.setdiff1d(np.arange(len(y)), test)
        some, others = (None, None) if context is None else (context.take(train), context.take(test))
        model = make().fit(features.iloc[train], y[train], patient[train], some)
        found[test] = model.predict_proba(features.iloc[test], others)[:, 1]
    return found


def decision_from_card(card: dict[str, Any]) -> Decision | None:
    """Return the decision that a model's card describes; None where the model was made before there were any."""
    return Decision.from_card(card["decision"]) if card.get("decision") else None
