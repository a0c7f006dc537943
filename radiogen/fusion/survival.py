"""Risk of death from features: prepared, tuned and calibrated inside the training rows it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from jaxtyping import Bool, Float
from sklearn.ensemble import RandomForestRegressor
from threadpoolctl import threadpool_limits

from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.config.classify import ClassifySettings
from radiogen.config.survival_model import SurvivalModelSettings
from radiogen.fusion.base import without_context
from radiogen.fusion.prepare import Preparation, preparation
from radiogen.stats.survival_cox import NotEstimableError, cox_regression
from radiogen.stats.survival_tests import best_cut, log_rank_scores

Times = Float[np.ndarray, " n"]
Died = Bool[np.ndarray, " n"]
Rows = Float[np.ndarray, "n p"]
Risk = Float[np.ndarray, " m"]

_CANDIDATES: dict[str, list[dict[str, float]]] = {
    "cox-elastic-net": [
        {"l1_ratio": ratio, "strength": strength} for strength in (1.0, 0.6, 0.3, 0.1, 0.03) for ratio in (0.1, 0.9)
    ],
    "boosted-cox": [{"rounds": rounds, "depth": depth} for rounds in (10.0, 40.0, 120.0) for depth in (1.0, 3.0)],
    "cox-forest": [{"depth": depth} for depth in (2.0, 4.0)],
    "log-rank-forest": [{"leaf": leaf} for leaf in (40.0, 15.0)],
}
"""What is tried on inner folds, the simplest first."""

_NUMBERS = ("mean", "slope", "cut")
"""Fitted numbers of a model: the training patients' mean, the slope of its risks, the cut of the risk groups."""

_LINEAR_ROUNDS = 100
_TREES = 200


class HazardModel:
    """A model of the hazard of death, relative to the training patients' mean, with survival probabilities.

    The inner out-of-fold risks of the training side serve three times: they choose among the candidates (by the partial likelihood of the held-out
    patients), they set the slope that shrinks too extreme risks and the baseline hazard, and they set the cut of the risk groups.

    Args:
        settings: model, inner folds, selection, cut, seed.

    After `fit`, `inner_risk_` holds the training rows' own calibrated risks, each from a model that did not see the row.

    Source:
        Cox 1972, J R Stat Soc B 34:187; elastic net: Simon et al. 2011, J Stat Softw 39(5); boosting on the partial likelihood: Ridgeway 1999, Comput
        Sci Stat 31:172; forest on log-rank scores: Hothorn and Lausen 2003, Comput Stat Data Anal 43:121, Ishwaran et al. 2008, Ann Appl Stat
        2:841 (its log-rank score rule, the scores taken once per training side); choice of the penalty: Verweij and van Houwelingen 1993, Stat
        Med 12:2305; slope: van Houwelingen 2000, Stat Med 19:3401; baseline hazard: Breslow 1972, J R Stat Soc B 34:216.
    """

    def __init__(self, settings: SurvivalModelSettings | None = None) -> None:
        self.settings = settings or SurvivalModelSettings()

    def fit(self, X: pd.DataFrame, times: Times, died: Died, patient: np.ndarray | None = None) -> HazardModel:
        """Tune on inner folds of patients, and fit on all given rows.

        Args:
            X: (n, p) numbers, NaN where missing.
            times: (n,) follow-up in days.
            died: (n,) whether it ended with death.
            patient: (n,) patient id per row; every row is its own patient by default.
        """
        self.columns_ = list(X.columns)
        values = X.to_numpy(dtype=float)
        group = np.arange(len(times)) if patient is None else np.asarray(patient, dtype=object)
        with threadpool_limits(1):
            inner = self._inner(values, times, died, group)
            losses = [_partial_loss(times, died, risk) for risk in inner]
            best = int(np.argmin(np.round(losses, 9)))
            self.choice_ = _CANDIDATES[self.settings.model][best]
            self.preparation_, prepared = self._prepared(values, died)
            self.model_ = _fit(self.settings, prepared, times, died, self.choice_)
        self.mean_ = float(_predict(self.settings.model, self.model_, prepared).mean())
        self._calibrate(inner[best], times, died)
        self.inner_risk_ = self.slope_ * inner[best]
        return self

    def _inner(self, values: Rows, times: Times, died: Died, group: np.ndarray) -> np.ndarray:
        label = died.astype(np.int64)
        candidates = _CANDIDATES[self.settings.model]
        found = np.zeros((len(candidates), len(times)))
        folds = min(self.settings.inner_folds, patients_of_smaller_class(group, label))
        for test in grouped_folds(group, label, folds, self.settings.seed):
            train = np.setdiff1d(np.arange(len(times)), test)
            prepare, before = self._prepared(values[train], died[train])
            after = prepare.transform(values[test], without_context(pd.DataFrame(values[test])))
            for number, candidate in enumerate(candidates):
                model = _fit(self.settings, before, times[train], died[train], candidate)
                centre = _predict(self.settings.model, model, before).mean()
                found[number, test] = _predict(self.settings.model, model, after) - centre
        return found

    def _prepared(self, values: Rows, died: Died) -> tuple[Preparation, np.ndarray]:
        chosen = ClassifySettings(selection=self.settings.selection, max_correlation=self.settings.max_correlation)
        prepare = preparation(chosen, self.settings.seed)
        # The selectors that are accepted do not look at the label.
        context = without_context(pd.DataFrame(values))
        return prepare, prepare.fit_transform(values, died.astype(np.int64), context)

    def _calibrate(self, inner: Risk, times: Times, died: Died) -> None:
        self.slope_ = 0.0
        if inner.std() > 0:
            try:
                fitted = cox_regression(pd.DataFrame({"risk": inner}), times, died)
                self.slope_ = max(0.0, float(fitted.table["coefficient"].iloc[0]))
            except NotEstimableError:
                self.slope_ = 0.0  # risks that separate nothing predict the same for everybody
        weight = np.exp(self.slope_ * inner)
        self.moments_ = np.unique(times[died])
        dead = np.array([(died & (times == moment)).sum() for moment in self.moments_], dtype=float)
        at_risk = np.array([weight[times >= moment].sum() for moment in self.moments_])
        self.hazard_ = np.cumsum(dead / at_risk)
        ordered = self.slope_ * inner
        self.cut_ = float(np.median(ordered))
        if self.settings.cut == "best" and len(np.unique(ordered)) > 1:
            self.cut_ = best_cut(times, died, ordered, seed=self.settings.seed, n_permutations=1).cut

    def risk(self, X: pd.DataFrame) -> Risk:
        """Return the calibrated log hazard ratio of each row against the training patients' mean."""
        values = X[self.columns_].to_numpy(dtype=float)
        with threadpool_limits(1):
            prepared = self.preparation_.transform(values, without_context(X[self.columns_]))
            return self.slope_ * (_predict(self.settings.model, self.model_, prepared) - self.mean_)

    def survival(self, X: pd.DataFrame, horizons_days: Float[np.ndarray, " h"]) -> Float[np.ndarray, "m h"]:
        """Return the probability of living beyond each horizon, one row per case."""
        place = np.searchsorted(self.moments_, horizons_days, side="right") - 1
        hazard = np.where(place >= 0, self.hazard_[np.maximum(place, 0)], 0.0)
        return np.exp(-np.exp(self.risk(X))[:, None] * hazard[None, :])

    def high(self, X: pd.DataFrame) -> Bool[np.ndarray, " m"]:
        """Return who belongs to the high-risk group, by the training side's cut."""
        return self.risk(X) > self.cut_

    def parts(self) -> dict[str, Any]:
        """Return what the fitted model needs to predict: columns, preparation, trees or coefficients, and plain numbers."""
        return {
            "columns": [str(name) for name in self.columns_],
            "preparation": self.preparation_,
            "booster": self.model_,
            "moments": self.moments_,
            "hazard": self.hazard_,
            **{name: float(getattr(self, f"{name}_")) for name in _NUMBERS},
        }

    @classmethod
    def from_parts(cls, settings: SurvivalModelSettings, parts: Mapping[str, Any]) -> HazardModel:
        """Return the model that `parts` were taken from.

        Args:
            settings: it was fitted with.
            parts: as `parts` returns them.
        """
        model = cls(settings)
        model.columns_ = list(parts["columns"])
        model.preparation_, model.model_ = parts["preparation"], parts["booster"]
        model.moments_, model.hazard_ = parts["moments"], parts["hazard"]
        for name in _NUMBERS:
            setattr(model, f"{name}_", parts[name])
        return model


def _fit(settings: SurvivalModelSettings, X: Rows, times: Times, died: Died, candidate: dict[str, float]) -> Any:
    if settings.model == "log-rank-forest":
        # A regression tree on log-rank scores cuts where the standardised log-rank score statistic is largest.
        forest = RandomForestRegressor(
            _TREES, min_samples_leaf=int(candidate["leaf"]), max_features=_root_share(X), max_samples=0.63, random_state=settings.seed
        )  # fmt: skip
        return forest.fit(X, log_rank_scores(times, died))
    # XGBoost's Cox objective takes censored times as negative numbers; a time of zero would lose its sign.
    signed = np.where(died, 1.0, -1.0) * np.maximum(times, 1e-3)
    data = xgboost.DMatrix(X, label=signed)
    common = {"objective": "survival:cox", "seed": settings.seed, "nthread": 1, "verbosity": 0, "base_score": 1.0}
    if settings.model == "cox-elastic-net":
        penalty = candidate["strength"] * _largest_penalty(X, times, died, candidate["l1_ratio"])
        linear = {
            "booster": "gblinear", "updater": "coord_descent", "feature_selector": "cyclic", "eta": 0.5,
            "reg_alpha": penalty * candidate["l1_ratio"], "reg_lambda": penalty * (1 - candidate["l1_ratio"]),
        }  # fmt: skip
        return xgboost.train({**common, **linear}, data, num_boost_round=_LINEAR_ROUNDS)
    trees = {"max_depth": int(candidate["depth"]), "min_child_weight": 2.0, "tree_method": "hist"}
    if settings.model == "cox-forest":
        forest = {"num_parallel_tree": _TREES, "eta": 1.0, "subsample": 0.63, "colsample_bynode": _root_share(X)}
        return xgboost.train({**common, **trees, **forest}, data, num_boost_round=1)
    boosted = {"eta": 0.05, "subsample": 0.8, "colsample_bytree": 0.5, "reg_lambda": 5.0}
    return xgboost.train({**common, **trees, **boosted}, data, num_boost_round=int(candidate["rounds"]))


def _root_share(X: Rows) -> float:
    return float(min(1.0, max(1, round(X.shape[1] ** 0.5)) / max(1, X.shape[1])))


def _largest_penalty(X: Rows, times: Times, died: Died, l1_ratio: float) -> float:
    """Return the smallest penalty at which every coefficient is zero (Simon et al. 2011, section 2.3)."""
    return float(np.abs(X.T @ log_rank_scores(times, died)).max(initial=1e-6) / len(times) / l1_ratio)


def _predict(model: str, fitted: Any, X: Rows) -> np.ndarray:
    if model == "log-rank-forest":
        return np.asarray(fitted.predict(X), dtype=float)
    return np.asarray(fitted.predict(xgboost.DMatrix(X), output_margin=True), dtype=float)


def _partial_loss(times: Times, died: Died, risk: Risk) -> float:
    """Return the negative partial log-likelihood per death (Breslow's ties)."""
    order = np.argsort(-times, kind="stable")
    log_sum = np.logaddexp.accumulate(risk[order])
    # Everybody with the same time is at risk together: the sum at the last of them counts for all.
    last = np.searchsorted(-times[order], -times[order], side="right") - 1
    dead = died[order]
    return float(-(risk[order] - log_sum[last])[dead].mean())
