"""Early fusion: prepares, tunes on inner folds, averages. Everything it learns comes from the rows given to `fit`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, logit

from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.fusion.base import EPSILON, IMPORTANCE_COLUMNS, FusedModel, without_context
from radiogen.fusion.context import RowContext
from radiogen.fusion.outside import family_named
from radiogen.fusion.prepare import preparation
from radiogen.fusion.search import InnerFold, tune
from radiogen.types import Labels01


class FusedClassifier(FusedModel):
    """Early fusion: one table, preparation, classifiers tuned on inner folds of patients, and the mean of their log-odds.

    Log-odds, because averaged probabilities are drawn towards one half.

    Each classifier's candidates are compared by the log loss of their inner out-of-fold probabilities, a proper score, which keeps the
    probabilities honest as well as the ranking. The preparation is fitted again inside each inner fold.

    Args:
        settings: of preparation, classifiers and tuning, as `ClassifySettings` dumps them; None: the defaults.
        seed: seed of inner folds, selectors and classifiers.
        branch_of: not looked at.
    """

    def fit(
        self, X: pd.DataFrame, y: Labels01, patient: np.ndarray | None = None, context: RowContext | None = None
    ) -> FusedClassifier:
        """Tune on inner folds and fit on all given rows.

        Args:
            X: one row per case, columns of numbers, NaN where missing.
            y: 0/1 label per row.
            patient: patient id per row, so that inner folds keep patients together; every row is its own patient by default.
            context: sites, covariates and perturbed values of the rows, where harmonisation or the ICC selector needs them.
        """
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.classes_ = np.array([0, 1])
        settings, values = self._chosen, X.to_numpy(dtype=float)
        context = without_context(X) if context is None else context
        group = np.arange(len(y)) if patient is None else np.asarray(patient, dtype=object)
        families = {name: family_named(name, settings.class_weight) for name in settings.classifiers}
        folds = self._inner_folds(values, y, group, context)
        self.choices_, inner = {}, {}
        for name, family in families.items():
            self.choices_[name], inner[name] = tune(
                family, folds, y, search=settings.search, trials=settings.trials, seed=self.seed
            )
        self.preparation_ = preparation(settings, self.seed)
        prepared = self.preparation_.fit_transform(values, y, context)
        used = list(families) if settings.combine == "average" else [min(self.choices_, key=self._inner_loss)]
        self.members_ = {
            name: families[name].fit(prepared, y, self.choices_[name]["parameters"], seed=self.seed, patient=group)
            for name in used
        }
        # Of the training rows, by models that did not see them: thresholds, calibration and conformal sets are learned from it
        # (fusion/decision.py takes it away again, so that it is in no bundle). A fusion strategy without it is fitted anew on inner folds.
        self.inner_probability_ = _mean_log_odds([inner[name] for name in used])
        return self

    def _inner_loss(self, name: str) -> float:
        return float(self.choices_[name]["inner_log_loss"])

    def _inner_folds(self, values: np.ndarray, y: Labels01, group: np.ndarray, context: RowContext) -> list[InnerFold]:
        count = min(self._chosen.inner_folds, patients_of_smaller_class(group, y))
        policy = self._chosen.unseen_site
        inner_policy = "identity" if policy == "refuse" else policy
        folds = []
        for test in grouped_folds(group, y, count, self.seed):
            train = np.setdiff1d(np.arange(len(y)), test)
            # An inner fold may leave a small site out; only `predict_proba` refuses.
            prepare = preparation(self._chosen.model_copy(update={"unseen_site": inner_policy}), self.seed)
            before = prepare.fit_transform(values[train], y[train], context.take(train))
            after = prepare.transform(values[test], context.take(test))
            folds.append(InnerFold(test, before, after, y[train], group[train]))
        return folds

    def predict_proba(self, X: pd.DataFrame, context: RowContext | None = None) -> Float[np.ndarray, "n 2"]:
        """Return the probabilities of class 0 and 1 per row.

        Args:
            X: holds every column seen in `fit`, in any order; NaN where missing.
            context: sites and covariates of the rows, where the model harmonises; without it all sites are new.
        """
        context = without_context(X) if context is None else context
        prepared = self.preparation_.transform(X[list(self.feature_names_in_)].to_numpy(dtype=float), context)
        each = [model.predict_proba(prepared)[:, 1].astype(float) for model in self.members_.values()]
        positive = _mean_log_odds(each)
        return np.column_stack([1 - positive, positive])

    def importance(self) -> pd.DataFrame:
        """Return one row per column that reached the classifiers: `selected` (used by any of them), `coefficient`, `gain`."""
        names = self.preparation_.get_feature_names_out(self.feature_names_in_)
        table = pd.DataFrame(0.0, index=pd.Index(names, name="feature"), columns=IMPORTANCE_COLUMNS)
        gains = []
        for name, model in self.members_.items():
            family = family_named(name, "none")
            weights = family.weights(model)
            table["selected"] = np.maximum(table["selected"], (weights != 0).astype(float))
            if family.signed:
                table["coefficient"] += weights
            else:
                gains.append(weights)
        if gains:
            table["gain"] = np.mean(gains, axis=0)
        return table


def _mean_log_odds(probabilities: list[np.ndarray]) -> np.ndarray:
    return expit(np.mean([logit(np.clip(item, EPSILON, 1 - EPSILON)) for item in probabilities], axis=0))
