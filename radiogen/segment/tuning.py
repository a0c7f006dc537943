"""Postprocessing tuned on one's own cases, with scores on cases that it was not tuned on: thresholds do not transfer between networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import optuna
import pandas as pd

from radiogen.config.postprocess import ComponentRule, PostprocessRules, PostprocessSettings
from radiogen.config.tune import PARTS, TuneSettings
from radiogen.errors import InputError, RadiogenError
from radiogen.run.executor import run_cases
from radiogen.run.log import quiet_optuna
from radiogen.segment.tuning_cases import TuneCase, mean_score
from radiogen.types import REGIONS

Values = dict[str, float]
"""Name of a tuned value, such as `threshold.wt`, -> value; 0 turns every rule but a threshold off."""

ClusterOf = Callable[[Sequence[str]], Mapping[str, int]]
"""Case ids that clusters may be fitted on -> the cluster of every case."""

_LEAST_GAIN = 1e-9
_DECIMALS = 3
_GROUPS: dict[str, list[tuple[str, ...]]] = {
    "thresholds": [(f"threshold.{name}",) for name in REGIONS],
    "components": [(f"component_ml.{name}",) for name in REGIONS],
    "et-ratio": [("et_ratio",)],
    "small-et": [("small_et_ml",)],
    "et-decision": [("decision_et_ml", "decision_ncr_ml")],
}


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Args:
        settings: common rules: the median over the folds of every tuned value.
        clustered: the same with rules per cluster, tuned on all cases; None where that was not asked for.
        scores: one row per held-out case and region: `case, fold, region, untuned, tuned` and, where asked for, `clustered`. Each case is scored with
            rules that were tuned without it.
        by_fold: fold -> the values tuned without it.
    """

    settings: PostprocessSettings
    clustered: PostprocessSettings | None
    scores: pd.DataFrame
    by_fold: dict[int, Values]


def tune(
    cases: Mapping[str, TuneCase],
    folds: Mapping[str, int],
    settings: TuneSettings,
    *,
    cluster_of: ClusterOf | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> Tuned:
    """Tune postprocessing by cross-validation over cases.

    For every fold the rules are tuned on the cases of the other folds and scored on its own.

    Args:
        cases: case -> what it is scored with; the probabilities must come from networks that were not trained on the case.
        folds: case -> fold.
        settings: what is tuned and how.
        cluster_of: gives the clusters where there are to be rules per cluster; called with the cases of the training folds, then with all.
        jobs: folds worked on at the same time.
        progress: show a progress bar.

    Raises:
        InputError: there are fewer than two folds.

    Source: see `TuneSettings`.
    """
    numbers = sorted({folds[case] for case in cases})
    if len(numbers) < 2:
        raise InputError(f"Tuning needs cases in at least two folds; there are {len(cases)} case(s) in {len(numbers)}.")
    work = _Fold(dict(cases), dict(folds), settings, cluster_of)
    done, failures = run_cases(work, {str(n): n for n in numbers}, stage="tune", jobs=jobs, progress=progress)
    if failures:
        raise RadiogenError(f"Fold {failures[0].case} could not be tuned: {failures[0].cause}", hint=failures[0].fix)
    by_fold = {int(name): values for name, (values, _) in done.items()}
    common = {
        name: float(np.median([values[name] for values in by_fold.values()])) for name in next(iter(by_fold.values()))
    }
    tuned = with_values(settings.start, common)
    clustered = None
    if cluster_of is not None:
        clustered = tune_clusters(list(cases.values()), tuned, cluster_of(list(cases)), settings)
    scores = pd.DataFrame([row for _, rows in done.values() for row in rows])
    return Tuned(tuned, clustered, scores.sort_values(["case", "region"], ignore_index=True), by_fold)


@dataclass(frozen=True)
class _Fold:
    cases: dict[str, TuneCase]
    folds: dict[str, int]
    settings: TuneSettings
    cluster_of: ClusterOf | None

    def __call__(self, _name: str, fold: int) -> tuple[Values, list[dict[str, object]]]:
        """Tune without a fold; return the values, and the scores of the fold's cases."""
        training = [item for case, item in self.cases.items() if self.folds[case] != fold]
        start, metric = self.settings.start, self.settings.metric
        values = search(training, start, self.settings)
        tuned = with_values(start, values)
        clusters: Mapping[str, int] = {}
        clustered = tuned
        if self.cluster_of is not None:
            clusters = self.cluster_of([item.case for item in training])
            clustered = tune_clusters(training, tuned, clusters, self.settings)
        rows: list[dict[str, object]] = []
        for case, item in self.cases.items():
            if self.folds[case] != fold:
                continue
            columns = {"untuned": item.scores(start, metric), "tuned": item.scores(tuned, metric)}
            if self.cluster_of is not None:
                columns["clustered"] = item.scores(clustered, metric, clusters.get(case))
            rows += [
                {
                    "case": case,
                    "fold": fold,
                    "region": region,
                    **{name: score[region] for name, score in columns.items()},
                }
                for region in columns["untuned"]
            ]
        return values, rows


def tune_clusters(
    cases: Sequence[TuneCase], common: PostprocessSettings, clusters: Mapping[str, int], settings: TuneSettings
) -> PostprocessSettings:
    """Return common rules with rules for every cluster that has enough cases, tuned on its cases from the common ones on.

    Args:
        cases: to tune on.
        common: the rules of all cases.
        clusters: case -> cluster; a case without one is left out.
        settings: what is tuned and how.
    """
    rules: dict[int, PostprocessRules] = {}
    for cluster in sorted(set(clusters.values())):
        members = [item for item in cases if clusters.get(item.case) == cluster]
        if len(members) >= settings.least_cluster_cases:
            own = with_values(common, search(members, common, settings))
            rules[cluster] = PostprocessRules.parse(_tuned_fields(own, settings))
    return common.model_copy(update={"clusters": rules})


def search(cases: Sequence[TuneCase], start: PostprocessSettings, settings: TuneSettings) -> Values:
    """Return the values that score best on the cases; those of the start where nothing is better, or where no case has the region.

    Args:
        cases: to tune on.
        start: rules that the search starts from.
        settings: what is tuned and how.
    """
    plain = start.model_copy(update={"clusters": {}})
    scored = {region for item in cases for region in item.reference}
    names = _tuned_names(settings, scored)
    first = {name: value for name, value in values_of(plain, settings).items() if name in names}

    def score(values: Values) -> float:
        rules = with_values(plain, values)
        return mean_score([item.scores(rules, settings.metric) for item in cases])

    found = _grid(first, score, settings) if settings.method == "grid" else _tpe(first, score, settings)
    return {**values_of(plain, settings), **found}


def _tuned_names(settings: TuneSettings, scored: set[str]) -> set[str]:
    """Return the values that can be judged: those of regions that are scored."""
    names = {name for part in settings.tune for group in _GROUPS[part] for name in group}
    return {name for name in names if (name.split(".")[1] if "." in name else "et") in scored}


def _grid(values: Values, score: Callable[[Values], float], settings: TuneSettings) -> Values:
    best = score(values)
    grids = _grids(settings)
    for part in (part for part in PARTS if part in settings.tune):
        for names in _GROUPS[part]:
            if not set(names) <= set(values):
                continue
            before = values
            for candidate in product(*(grids[name] for name in names)):
                trial = {**before, **dict(zip(names, candidate, strict=True))}
                reached = score(trial)
                if reached > best + _LEAST_GAIN:
                    best, values = reached, trial
    return values


def _tpe(first: Values, score: Callable[[Values], float], settings: TuneSettings) -> Values:
    """Return the best of the trials, the first of which is the start, without what has no effect.

    Source: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization, NeurIPS 24; Optuna's TPESampler.
    """
    grids = _grids(settings)
    ranges = {name: (min(*grids[name], first[name]), max(*grids[name], first[name])) for name in first}

    def objective(trial: optuna.Trial) -> float:
        return score(_rounded({name: trial.suggest_float(name, low, high) for name, (low, high) in ranges.items()}))

    if not first:
        return first
    with quiet_optuna():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=settings.seed))
        study.enqueue_trial(first)
        study.optimize(objective, n_trials=settings.trials)
    return _simplest(first, _rounded(study.best_params), score)


def _simplest(first: Values, best: Values, score: Callable[[Values], float]) -> Values:
    """Return the best values with those of the start wherever they do as well: what has no effect is not left at a random value."""
    values, reached = best, score(best)
    for name in best:
        trial = {**values, name: first[name]}
        if score(trial) >= reached - _LEAST_GAIN:
            values = trial
    return values if reached > score(first) + _LEAST_GAIN else first


def _rounded(values: Mapping[str, float]) -> Values:
    return {name: round(value, _DECIMALS) for name, value in values.items()}


def _grids(settings: TuneSettings) -> dict[str, tuple[float, ...]]:
    return {
        **{f"threshold.{name}": settings.threshold_grid for name in REGIONS},
        **{f"component_ml.{name}": settings.component_ml_grid for name in REGIONS},
        "et_ratio": settings.et_ratio_grid,
        "small_et_ml": settings.small_et_ml_grid,
        "decision_et_ml": settings.decision_et_ml_grid,
        "decision_ncr_ml": settings.decision_ncr_ml_grid,
    }


def values_of(rules: PostprocessRules, settings: TuneSettings) -> Values:
    """Return the values that are tuned, as the rules have them.

    Example:
        >>> values_of(PostprocessRules(thresholds={"et": 0.7}), TuneSettings(tune=("thresholds", "small-et")))
        {'threshold.wt': 0.5, 'threshold.tc': 0.5, 'threshold.et': 0.7, 'small_et_ml': 0.0}
    """
    everything = {
        **{f"threshold.{name}": rules.threshold(name) for name in REGIONS},
        **{f"component_ml.{name}": rules.components.get(name, ComponentRule()).smallest_ml for name in REGIONS},
        "et_ratio": rules.et_ratio.least,
        "small_et_ml": rules.small_et.least_ml,
        "decision_et_ml": rules.et_decision.et_at_most_ml,
        "decision_ncr_ml": rules.et_decision.ncr_above_ml,
    }
    tuned = {name for part in settings.tune for names in _GROUPS[part] for name in names}
    return {name: value for name, value in everything.items() if name in tuned}


def with_values(rules: PostprocessSettings, values: Mapping[str, float]) -> PostprocessSettings:
    """Return rules with tuned values in place of theirs.

    Example:
        >>> with_values(PostprocessSettings(), {"threshold.et": 0.7, "small_et_ml": 0.2}).small_et.least_ml
        0.2
    """
    thresholds, components = dict(rules.thresholds), dict(rules.components)
    for name in REGIONS:
        if f"threshold.{name}" in values:
            thresholds[name] = values[f"threshold.{name}"]
        if f"component_ml.{name}" in values:
            before = components.get(name, ComponentRule())
            components[name] = before.model_copy(update={"smallest_ml": values[f"component_ml.{name}"]})
    decision = {"decision_et_ml": "et_at_most_ml", "decision_ncr_ml": "ncr_above_ml"}
    changes = {
        "thresholds": thresholds,
        "components": components,
        "et_ratio": rules.et_ratio.model_copy(update=_taken(values, {"et_ratio": "least"})),
        "small_et": rules.small_et.model_copy(update=_taken(values, {"small_et_ml": "least_ml"})),
        "et_decision": rules.et_decision.model_copy(update=_taken(values, decision)),
    }
    return rules.model_copy(update=changes)


def _taken(values: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    return {field: values[name] for name, field in names.items() if name in values}


def _tuned_fields(rules: PostprocessRules, settings: TuneSettings) -> dict[str, object]:
    fields = {
        "thresholds": "thresholds", "components": "components", "et-ratio": "et_ratio", "small-et": "small_et", "et-decision": "et_decision",
    }  # fmt: skip
    return rules.model_dump(mode="json", include={fields[part] for part in settings.tune})
