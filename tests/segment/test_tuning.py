from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import optuna
import pytest

from radiogen.config.postprocess import ComponentRule, PostprocessSettings
from radiogen.config.tune import TuneSettings
from radiogen.errors import ConfigError, InputError
from radiogen.segment.tuning import search, tune, values_of, with_values
from radiogen.segment.tuning_cases import TuneCase
from tests.segment.tuning_data import BEST, made_up


def made_up_cases(n: int, *, without_enhancement: frozenset[int] = frozenset()) -> dict[str, TuneCase]:
    cases = {}
    for number in range(n):
        p, reference = made_up(number, enhancing=number not in without_enhancement)
        name = f"case{number}"
        cases[name] = TuneCase.of(name, p, reference, (1.0, 1.0, 1.0), lesion_wise=True)
    return cases


CASES = made_up_cases(6)
FOLDS = {case: number % 3 for number, case in enumerate(CASES)}
GRID = TuneSettings(
    method="grid",
    threshold_grid=(0.35, 0.5, 0.65, 0.75),
    component_ml_grid=(0.0, 0.01),
    tune=("thresholds", "components"),
)


def test_the_grid_finds_what_gives_the_reference_back() -> None:
    tuned = tune(CASES, FOLDS, GRID)
    assert tuned.settings.thresholds == BEST
    assert tuned.settings.components["wt"].smallest_ml == 0.01
    assert (tuned.scores["tuned"] > 0.99).all()
    assert tuned.scores["untuned"].mean() < 0.9
    assert tuned.scores["case"].value_counts().eq(3).all()
    assert tuned.clustered is None


def test_tpe_comes_near_and_the_same_seed_gives_the_same_values() -> None:
    settings = TuneSettings(
        trials=60, tune=("thresholds",), start=PostprocessSettings(components={"wt": ComponentRule(smallest_ml=0.01)})
    )
    cases = list(CASES.values())[:3]
    before = optuna.logging.get_verbosity()
    values = search(cases, settings.start, settings)
    assert optuna.logging.get_verbosity() == before
    assert values == search(cases, settings.start, settings)
    assert all(abs(values[f"threshold.{name}"] - best) < 0.12 for name, best in BEST.items())


def test_the_start_stays_where_nothing_is_better() -> None:
    start = PostprocessSettings(thresholds=BEST, components={"wt": ComponentRule(smallest_ml=0.01)})
    cases = list(CASES.values())[:2]
    for method in ("grid", "tpe"):
        settings = TuneSettings.parse(
            {"method": method, "trials": 10, "tune": ["thresholds", "et-decision", "et-ratio"]}
        )
        assert search(cases, start, settings) == values_of(start, settings)


@pytest.mark.parametrize("method", ["grid", "tpe"])
def test_what_cannot_be_judged_or_has_no_effect_stays_as_it_was(method: str) -> None:
    cases = []
    for number in range(3):
        p, reference = made_up(number)
        whole = {"wt": p["wt"]}
        cases.append(TuneCase.of(str(number), whole, reference, (1.0, 1.0, 1.0), regions=("wt",)))
    start = PostprocessSettings(thresholds={"tc": 0.6})
    settings = TuneSettings.parse(
        {"method": method, "trials": 15, "tune": ["thresholds", "components", "small-et", "et-ratio"]}
    )
    values, before = search(cases, start, settings), values_of(start, settings)
    assert set(values) == set(before)
    changed = {name for name in values if values[name] != before[name]}
    assert changed <= {"threshold.wt", "component_ml.wt"}
    assert changed
    everything = list(CASES.values())[:2]
    fitting = PostprocessSettings(thresholds=BEST)
    found = search(everything, fitting, settings.model_copy(update={"tune": ("thresholds", "components", "et-ratio")}))
    assert (
        found["et_ratio"] == 0
    )  # enhancing tumour is a large share of these: no ratio has an effect unless it does harm


def test_no_case_is_scored_with_rules_that_it_helped_to_tune() -> None:
    seen: list[tuple[str, ...]] = []

    def cluster_of(training: Sequence[str]) -> Mapping[str, int]:
        seen.append(tuple(training))
        return dict.fromkeys(CASES, 0)

    settings = GRID.model_copy(update={"tune": ("thresholds",), "least_cluster_cases": 2})
    tuned = tune(CASES, FOLDS, settings, cluster_of=cluster_of)
    for fold, training in enumerate(seen[:3]):
        assert set(training) == {case for case in CASES if FOLDS[case] != fold}
    assert set(seen[3]) == set(CASES)
    # What a case says must not change the rules it is scored with: spoil one case's reference, and its fold's values stay.
    p, reference = made_up(0)
    spoilt = {**CASES, "case0": TuneCase.of("case0", p, np.zeros_like(reference), (1.0, 1.0, 1.0), lesion_wise=True)}
    assert tune(spoilt, FOLDS, settings).by_fold[0] == tuned.by_fold[0]


def test_rules_per_cluster_help_where_clusters_differ() -> None:
    """In half of the cases no enhancement is true, and what is predicted is a few voxels."""
    odd = frozenset(range(1, 8, 2))
    cases = made_up_cases(8, without_enhancement=odd)
    folds = {case: number // 2 % 2 for number, case in enumerate(cases)}
    clusters = {case: number % 2 for number, case in enumerate(cases)}
    settings = TuneSettings(
        method="grid", tune=("small-et",), small_et_ml_grid=(0.0, 0.02, 10.0), least_cluster_cases=2,
        start=PostprocessSettings(thresholds=BEST),
    )  # fmt: skip
    tuned = tune(cases, folds, settings, cluster_of=lambda training: clusters)
    assert tuned.clustered is not None
    assert set(tuned.clustered.clusters) == {0, 1}
    means = tuned.scores.groupby("region")[["tuned", "clustered"]].mean().loc["et"]
    assert means["clustered"] >= means["tuned"]
    few = settings.model_copy(update={"least_cluster_cases": 5})
    alone = tune(cases, folds, few, cluster_of=lambda training: clusters)
    assert alone.clustered is not None
    assert alone.clustered.clusters == {}
    assert alone.scores["clustered"].equals(alone.scores["tuned"].rename("clustered"))


def test_values_go_in_and_come_out_unchanged() -> None:
    settings = TuneSettings(tune=("thresholds", "components", "et-ratio", "small-et", "et-decision"))
    values = {name: 0.1 + number / 100 for number, name in enumerate(values_of(PostprocessSettings(), settings))}
    start = PostprocessSettings(components={"wt": ComponentRule(most=2)}, thresholds={"rc": 0.3})
    rules = with_values(start, values)
    assert values_of(rules, settings) == values
    assert rules.components["wt"].most == 2
    assert rules.thresholds["rc"] == 0.3


def test_what_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(InputError, match="at least two folds"):
        tune(CASES, dict.fromkeys(CASES, 0), GRID)
    with pytest.raises(ConfigError, match=r"between 0\.05 and 0\.95"):
        TuneSettings.parse({"threshold_grid": [0.0, 0.5]})
    with pytest.raises(ConfigError, match="did you mean 'trials'"):
        TuneSettings.parse({"trails": 3})
