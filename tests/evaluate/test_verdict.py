"""The verdict's rule, its sentence, and how often it is wrong on studies with a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.config.evaluate import EvaluateSettings
from radiogen.evaluate.audit import quick_verdict
from radiogen.evaluate.baselines import Baseline, race
from radiogen.evaluate.verdict import Verdict, decide, hardest_baseline, judge, verdict_sentence, weakest_stratum

WINS, LOSES = {"name": "age", "delta_ci": (0.02, 0.2)}, {"name": "grade", "delta_ci": (-0.01, 0.2)}
UNKNOWN = {"name": "sex", "delta_ci": (float("nan"), float("nan"))}


@pytest.mark.parametrize(
    ("n", "interval", "p", "baselines", "expected"),
    [
        ((9, 90), (0.8, 0.95), 0.001, [WINS], "undetermined"),
        ((90, 9), (0.8, 0.95), 0.001, [WINS], "undetermined"),
        ((50, 50), (0.45, 0.66), 0.2, [WINS], "no-better-than-chance"),
        ((50, 50), (0.51, 0.66), 0.06, [WINS], "no-better-than-chance"),
        ((50, 50), (0.49, 0.66), 0.04, [WINS], "no-better-than-chance"),
        ((12, 12), (0.40, 0.85), 0.2, [WINS], "undetermined"),
        ((50, 50), (0.40, 0.75), 0.2, [WINS], "undetermined"),
        ((50, 50), (0.45, 0.66), 0.2, [], "no-better-than-chance"),
        ((50, 50), (0.70, 0.90), 0.001, [WINS], "beats-baselines"),
        ((50, 50), (0.70, 0.90), 0.001, [WINS, LOSES], "no-better-than-baselines"),
        ((50, 50), (0.70, 0.90), 0.001, [WINS, UNKNOWN], "no-better-than-baselines"),
        ((50, 50), (0.70, 0.90), 0.001, [WINS, LOSES | {"counts": False}], "beats-baselines"),
        ((50, 50), (0.70, 0.90), 0.001, [LOSES | {"counts": False}], "undetermined"),
        ((50, 50), (0.70, 0.90), 0.001, [], "undetermined"),
    ],
)  # fmt: skip
def test_the_rule(n: tuple[int, int], interval: tuple[float, float], p: float, baselines: list, expected: str) -> None:
    assert decide(*n, interval, p, baselines).name == expected


def test_the_rules_numbers_are_settings() -> None:
    assert decide(9, 90, (0.8, 0.9), 0.01, [WINS], EvaluateSettings(min_per_class=5)).name == "beats-baselines"
    assert decide(50, 50, (0.4, 0.66), 0.2, [], EvaluateSettings(useful_auc=0.65)).name == "undetermined"
    assert "0.65 is not excluded" in decide(50, 50, (0.4, 0.66), 0.2, [], EvaluateSettings(useful_auc=0.65)).reason


def metrics(**changed: object) -> dict[str, object]:
    row = {"auc_ci": (0.6, 0.85), "delta": 0.1, "delta_ci": (-0.01, 0.2), "n": 90, "counts": True}
    return {
        "target": "idh", "n": 100, "n_positive": 40, "n_sites": 3, "split": "site-held-out", "auc": 0.9, "auc_ci": (0.8, 0.95),
        "permutation_p": 0.0005,
        "baselines": [row | {"name": "age", "auc": 0.8}, row | {"name": "grade", "auc": 0.88, "delta": 0.02}],
        "strata": [
            {"stratum": "grade", "value": "3", "n": 40, "auc": 0.7, "auc_ci": (0.55, 0.82)},
            {"stratum": "grade", "value": "4", "n": 9, "auc": 0.65, "auc_ci": (0.2, 0.95)},
            {"stratum": "site", "value": "A", "n": 5, "auc": None, "auc_ci": None},
        ],
    } | changed  # fmt: skip


def test_the_sentence_names_what_a_reviewer_asks_for() -> None:
    facts = metrics()
    text = verdict_sentence(facts, Verdict("no-better-than-baselines", "above chance, but ..."))
    for part in (
        "In 100 cases (40 positive) the IDH model reaches AUC 0.900 (95% CI 0.800 to 0.950, permutation p 0.0005)",
        "the strongest baseline, grade alone, reaches 0.880 (model minus baseline +0.020, -0.010 to +0.200, n=90)",
        "within grade 3 the AUC falls to 0.700 (0.550 to 0.820, n=40)",
        "whole sites were held out (3 sites)",
    ):
        assert part in text
    assert text.endswith(".")
    assert "\n" not in text
    assert weakest_stratum(facts)["value"] == "3"  # grade 4 is lower, but its interval says nothing
    assert hardest_baseline([]) is None


@pytest.mark.parametrize(
    ("split", "n_sites", "words"),
    [
        ("grouped-kfold", 3, "its 3 sites were not held out"),
        ("grouped-kfold", 1, "all cases come from one site"),
        ("grouped-kfold", 0, "sites are unknown"),
        ("external", 1, "external test set"),
        ("unknown", 2, "does not say how cases were held out"),
    ],
)
def test_the_sentence_says_how_cases_were_held_out(split: str, n_sites: int, words: str) -> None:
    text = verdict_sentence(metrics(split=split, n_sites=n_sites, baselines=[], strata=[]), Verdict("x", "y"))
    assert words in text
    assert "baseline" not in text


def test_an_interval_that_does_not_exist_is_called_unknown() -> None:
    text = verdict_sentence(metrics(auc_ci=(float("nan"), float("nan")), strata=[]), Verdict("undetermined", "too few"))
    assert "95% CI unknown" in text
    assert "nan" not in text


FAST = EvaluateSettings(bootstrap_resamples=200, permutations=199, crossfit_repeats=1, crossfit_folds=5)


def study(rng: np.random.Generator, image: float, n: int = 120) -> str:
    """Return the verdict of a study whose model sees age as well as age itself does, and `image` more."""
    y = np.repeat([0, 1], n // 2)
    age = 55 - 11 * y + rng.normal(0, 10, n)
    model = -(age - 50) / 10 + image * (2 * y - 1) + 0.4 * rng.normal(size=n)
    table = pd.DataFrame(
        {"case": [f"c{i}" for i in range(n)], "y_true": y, "y_prob": 1 / (1 + np.exp(-model)), "age": age}
    )
    return quick_verdict(table, None, FAST)["verdict"]


def test_a_model_that_only_knows_age_hardly_ever_beats_age() -> None:
    rng = np.random.default_rng(0)
    verdicts = [study(rng, image=0.0) for _ in range(50)]
    assert verdicts.count("beats-baselines") <= 2  # 2.5 % of 50 is 1; the noise makes it rarer
    assert verdicts.count("no-better-than-baselines") >= 44


def test_a_model_that_sees_more_than_age_is_found() -> None:
    rng = np.random.default_rng(1)
    verdicts = [study(rng, image=0.8) for _ in range(20)]
    assert verdicts.count("beats-baselines") >= 16


def test_what_is_judged_and_judged_again() -> None:
    """The pairs inside splits decide where they are there; a p of the refitted pipeline replaces the quick one."""
    inside = {"within_auc": 0.6, "within_auc_ci": [0.5, 0.7], "within_delta": 0.3, "within_delta_ci": [0.2, 0.4]}
    facts = metrics(verdict_auc="within-split", within_split={"auc": 0.88, "auc_ci": [0.8, 0.95]})
    facts["baselines"] = [row | inside for row in facts["baselines"]]  # type: ignore[operator,attr-defined]
    found = judge(facts)
    assert found["verdict"] == "beats-baselines"
    assert (
        "and 0.880 (0.800 to 0.950, permutation p 0.0005) between cases of the same test split" in found["verdict_text"]
    )
    assert "reaches 0.600 (model minus baseline +0.300" in found["verdict_text"]
    assert judge(facts | {"verdict_auc": "pooled"})["verdict"] == "no-better-than-baselines"
    assert judge(facts | {"permutation_refit_p": 0.3})["verdict"] == "undetermined"
    assert "permutation p 0.30" in judge(facts | {"permutation_refit_p": 0.3})["verdict_text"]


def test_a_model_equal_to_its_baseline_wins_at_most_at_the_nominal_rate() -> None:
    """Image score and age carry the same signal independently: the true difference is exactly zero."""
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 50)
    wins = 0
    for _ in range(200):
        age, score = rng.normal(size=(2, 100)) + 1.2 * y
        rows = race(y, score, [Baseline("age", age, "its rank")], np.arange(100), FAST, rng)
        wins += decide(50, 50, (0.6, 0.9), 0.005, rows).name == "beats-baselines"
    assert wins <= 12  # 2.5 % expected (5); 12 is its 99.8th percentile
