"""Fitting habitats to training patients: from voxels to a model, its stability and its risk groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from radiogen.branches.habitats.clustering import ClusterCheck, check_clusters, stability_loss
from radiogen.branches.habitats.features import paper_features
from radiogen.branches.habitats.learn import TrainingData, learn_encoder, with_centres
from radiogen.branches.habitats.model import HabitatModel, RiskGroups
from radiogen.branches.habitats.optimise import Evaluation, optimise
from radiogen.branches.habitats.refits import Refit, reasons_of, refit
from radiogen.branches.habitats.voxels import within_quantiles
from radiogen.config.habitats import HabitatSettings
from radiogen.stats.survival import log_rank

LEAST_GROUP = 0.1
"""Share of patients that a risk group must have; groups of single patients would give small p values by chance."""


EQUAL_LOSS = 0.02
"""Losses that differ by less are taken as equal."""


@dataclass(frozen=True)
class Fitted:
    """The end of a fit.

    Args:
        model: the chosen one; None where no number of habitats stands.
        evaluations: every point of the optimisation.
        checks: number of habitats -> its check at its best point.
        refits: number of habitats -> it fitted again; of those only that stand by their check and were in question.
        chosen: the point of the model; of the lowest loss where there is no model.
        p: of the log-rank test among the training patients; NaN without survival.
    """

    model: HabitatModel | None
    evaluations: list[Evaluation]
    checks: Mapping[int, ClusterCheck]
    refits: Mapping[int, list[Refit]]
    chosen: Evaluation
    p: float

    def reasons(self, k: int) -> list[str]:
        """Return why a number of habitats is refused, one sentence each; nothing where it stands."""
        return [*self.checks[k].reasons, *reasons_of(self.refits.get(k, []))]


def fit_habitats(
    data: TrainingData,
    settings: HabitatSettings,
    known: Sequence[Evaluation] = (),
    tell: Callable[[list[Evaluation]], None] = lambda done: None,
) -> Fitted:
    """Find the number of habitats and the quantile filter, and fit the model; refuse where no number stands.

    Of the numbers whose clusters beat structureless data, the one of lowest loss is taken; of those that are as good, within 0.02, the one of the
    largest gap statistic. Without that step stability favours few: three of five well-parted habitats merge the same way in everybody. It is fitted
    again without each site and with other seeds; where that changes too much, the number falls, and the next one is taken.

    Args:
        data: training patients only.
        settings: of the method.
        known: evaluations of an earlier run.
        tell: called with all evaluations after each one.
    """
    encoders: dict[float, HabitatModel] = {}

    def encoded(gamma: float) -> HabitatModel:
        if gamma not in encoders:
            encoders[gamma] = learn_encoder(data, settings, gamma)
        return encoders[gamma]

    evaluations = optimise(lambda gamma, k: _evaluate(data, settings, encoded(gamma), k), settings, known, tell)
    checks: dict[int, ClusterCheck] = {}
    for each in sorted(evaluations, key=lambda each: (each.loss, each.k, each.gamma)):
        if each.k not in checks:
            checks[each.k] = _check(data, settings, encoded(each.gamma), each.k)
    best = sorted(evaluations, key=lambda each: (each.loss, each.k, each.gamma))
    standing = [each for each in best if not checks[each.k].reasons]
    checks, refits = dict(sorted(checks.items())), {}
    while standing:
        equal = [each for each in standing if each.loss <= standing[0].loss + EQUAL_LOSS]
        chosen = max(equal, key=lambda each: checks[each.k].gap)  # of one number, the first: that of lowest loss
        model = with_centres(encoded(chosen.gamma), data, settings, chosen.k)
        refits[chosen.k] = refit(data, settings, model)
        if not reasons_of(refits[chosen.k]):
            model, p = with_groups(model, data)
            return Fitted(model, evaluations, checks, refits, chosen, p)
        standing = [each for each in standing if each.k != chosen.k]
    return Fitted(None, evaluations, checks, refits, best[0], float("nan"))


def with_groups(model: HabitatModel, data: TrainingData) -> tuple[HabitatModel, float]:
    """Return the model with risk groups of the training patients, and their log-rank p; without survival, the model and NaN.

    The two habitats whose fractions are among the features are those whose halves of patients differ most in survival; the paper does not say which.

    Args:
        model: with habitats.
        data: training patients.
    """
    follow_up = data.follow_up
    if follow_up is None:
        return model, float("nan")
    table = pd.DataFrame.from_dict(
        {case: model.features(data.cases[case]) for case in follow_up.index}, orient="index", columns=model.columns
    )
    p_of = [_halves_p(table[name], follow_up) for name in model.columns[: model.k]]
    significant = sorted(int(place) + 1 for place in np.argsort(p_of, kind="stable")[:2])
    groups = RiskGroups.learn(table, paper_features(model.k, significant))
    if _rate(follow_up, ~groups.assign(table)) > _rate(follow_up, groups.assign(table)):
        groups = groups.turned(1 - groups.high)
    return replace(model, groups=groups), group_p(follow_up, groups.assign(table))


def group_p(follow_up: pd.DataFrame, high: np.ndarray) -> float:
    """Return the log-rank p value of two groups; 1 where one has fewer than a tenth of the patients.

    Args:
        follow_up: columns `days` and `died`.
        high: who is in the high-risk group.
    """
    if min(high.sum(), (~high).sum()) < max(1.0, LEAST_GROUP * len(high)):
        return 1.0
    return log_rank(*_times(follow_up), high.astype(np.int64)).p


def _evaluate(data: TrainingData, settings: HabitatSettings, model: HabitatModel, k: int) -> tuple[float, float]:
    rows, who = data.sample(settings.sample_voxels, settings.seed)
    loss = stability_loss(
        model.code(rows), who, k, splits=settings.stability_splits, share=settings.stability_share, seed=settings.seed,
        learn=within_quantiles(rows, model.gamma),
    )  # fmt: skip
    if data.follow_up is None or settings.alpha >= 1:
        return loss, float("nan")
    return loss, with_groups(with_centres(model, data, settings, k), data)[1]


def _check(data: TrainingData, settings: HabitatSettings, model: HabitatModel, k: int) -> ClusterCheck:
    rows, who = data.sample(settings.sample_voxels // 2, settings.seed + 1)
    return check_clusters(
        model.scaling.apply(rows), who, k, model.encoder.encode, splits=settings.stability_splits,
        share=settings.stability_share, n_references=settings.n_references, seed=settings.seed,
    )  # fmt: skip


def _halves_p(values: pd.Series, follow_up: pd.DataFrame) -> float:
    return group_p(follow_up, (values > values.median()).to_numpy())


def _rate(follow_up: pd.DataFrame, chosen: np.ndarray) -> float:
    days, died = _times(follow_up)
    return float(died[chosen].sum() / max(days[chosen].sum(), 1.0))


def _times(follow_up: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return follow_up["days"].to_numpy(dtype=float), follow_up["died"].to_numpy(dtype=bool)
