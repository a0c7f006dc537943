"""Verdicts of negative controls on scores whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.config.controls import ControlsSettings
from radiogen.evaluate.controls import judge_image, judge_model, judge_probe, judge_shuffles, mean_site_auc
from radiogen.stats.auc import auc

SETTINGS = ControlsSettings(bootstrap_resamples=400, permutations=199)
N = 120


def scores(strength: float, seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = (np.arange(n) % 2).astype(np.int64)
    noise = np.random.default_rng(seed).normal(size=n)
    return y, 1 / (1 + np.exp(-(strength * (y - 0.5) + noise))), np.array([f"p{i}" for i in range(n)], dtype=object)


@pytest.mark.parametrize(
    ("tumour", "control", "n", "verdict"),
    [(2.0, 0.0, N, "passed"), (2.0, 2.0, N, "failed"), (0.0, 0.0, N, "undecided"), (0.8, 1.2, 24, "undecided")],
)
def test_image_controls(tumour: float, control: float, n: int, verdict: str) -> None:
    y, model, patient = scores(tumour, 1, n)
    _, other, _ = scores(control, 2, n)
    result = judge_image("contralateral", y, model, other, patient, SETTINGS)
    assert result.verdict == verdict
    assert result.delta == pytest.approx(auc(y, model) - auc(y, other))
    assert result.delta_ci is not None
    assert result.delta_ci[0] < result.delta < result.delta_ci[1]
    assert result == judge_image("contralateral", y, model, other, patient, SETTINGS)


def test_shuffled_labels_fail_only_where_their_mean_is_above_chance() -> None:
    rng = np.random.default_rng(0)
    null = [float(value) for value in rng.normal(0.5, 0.07, 20)]
    assert judge_shuffles(0.7, null, 60, SETTINGS).verdict == "passed"
    assert judge_shuffles(0.7, [value - 0.1 for value in null], 60, SETTINGS).verdict == "passed"
    leaky = judge_shuffles(0.99, [value + 0.35 for value in null], 60, SETTINGS)
    assert leaky.verdict == "failed"
    assert "The pipeline leaks" in leaky.text
    assert leaky.auc == pytest.approx(np.mean(null) + 0.35)


@pytest.mark.parametrize(
    ("strength", "n", "verdict"), [(3.0, 60, "failed"), (0.0, 300, "passed"), (0.0, 24, "undecided")]
)
def test_the_site_probe(strength: float, n: int, verdict: str) -> None:
    rng = np.random.default_rng(3)
    code = np.arange(n) % 3
    odds = rng.normal(size=(n, 3)) + strength * np.eye(3)[code]
    index = pd.Index([f"c{i}" for i in range(n)], name="case")
    table = pd.DataFrame(1 / (1 + np.exp(-odds)), index=index, columns=["A", "B", "C"])
    site = pd.Series(np.array(["A", "B", "C"])[code], index=index)
    result = judge_probe(table, site, pd.Series(index, index=index), SETTINGS)
    assert result.verdict == verdict
    assert result.facts is not None
    assert result.facts["sites"] == {"A": n // 3, "B": n // 3, "C": n // 3}
    expected = np.mean([auc((code == k).astype(np.int64), odds[:, k]) for k in range(3)])
    assert result.auc == pytest.approx(expected) == pytest.approx(mean_site_auc(code, odds))


def test_the_models_own_line_has_no_verdict() -> None:
    y, model, patient = scores(2.0)
    line = judge_model(y, model, patient, SETTINGS)
    assert (line.verdict, line.n) == ("", N)
    assert line.auc == auc(y, model)
    assert line.as_dict()["meaning"].startswith("The model itself")
