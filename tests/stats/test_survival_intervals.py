from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.stats.survival_intervals import score_intervals, weighted_scores
from radiogen.stats.survival_scores import brier_scores, time_dependent_auc, uno_concordance

HORIZONS = np.array([4.0, 8.0])


def sample(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Whole-number times, so that deaths and censorings tie."""
    rng = np.random.default_rng(seed)
    risk = np.round(rng.normal(size=n), 1)
    lived = np.ceil(rng.exponential(8 * np.exp(-0.7 * risk)))
    until = rng.integers(3, 14, n).astype(float)
    predicted = np.exp(-np.outer(np.exp(0.7 * risk), HORIZONS / 8))
    return np.minimum(lived, until), lived <= until, risk, predicted


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_weights_of_one_are_the_plain_scores_and_whole_weights_are_repeated_patients(seed: int) -> None:
    times, died, risk, predicted = sample(seed)
    count = np.random.default_rng(seed).integers(0, 3, len(times))
    weights = np.column_stack([np.ones(len(times)), count.astype(float)])
    found = weighted_scores(times, died, risk, predicted, HORIZONS, weights)
    again = np.repeat(np.arange(len(times)), count)
    for place, rows in enumerate((slice(None), again)):
        part = (times[rows], died[rows], risk[rows])
        np.testing.assert_allclose(found.auc[:, place], time_dependent_auc(*part, HORIZONS))
        np.testing.assert_allclose(found.brier[:, place], brier_scores(*part[:2], predicted[rows], HORIZONS))
        assert found.uno_c[place] == pytest.approx(uno_concordance(*part, horizon=8.0))


def test_intervals_hold_the_estimate_and_shrink_with_more_patients() -> None:
    widths = []
    for n in (60, 600):
        times, died, risk, predicted = sample(1, n)
        uno, auc, brier, whole = score_intervals(times, died, risk, predicted, HORIZONS, seed=0, n_bootstrap=200)
        assert uno[0] < uno_concordance(times, died, risk, horizon=8.0) < uno[1]
        plain = brier_scores(times, died, predicted, HORIZONS)
        assert all(low < value < high for (low, high), value in zip(brier, plain, strict=True))
        assert whole[0] < plain.mean() < whole[1]
        widths.append(uno[1] - uno[0])
    assert all(0.5 < low < high for low, high in auc)
    assert widths[1] < 0.5 * widths[0]
