"""Net benefit against R's dcurves."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.stats.decision import decision_curve, net_benefit


def test_family_history_of_the_made_up_cancer_cohort_equals_r() -> None:
    """R's dcurves 0.3 on its simulated df_binary, as the Python package dcurves 1.1.7 ships the results (r_dca_famhistory.csv).

    750 patients, 105 with cancer; 24 of these and 91 of the others have a family history.
    """
    y = np.repeat([1, 1, 0, 0], [24, 81, 91, 554])
    history = np.repeat([1.0, 0.0, 1.0, 0.0], [24, 81, 91, 554])
    thresholds = np.array([0.05, 0.1, 0.2, 0.35, 0.5])
    found = decision_curve(y, history, thresholds, np.ones((1, 750)))
    in_r = [0.025614035087719, 0.018518518518519, 0.001666666666667, -0.033333333333333, -0.089333333333333]
    all_in_r = [0.0947368421052631, 0.0444444444444444, -0.0749999999999999, -0.3230769230769231, -0.72]
    assert found["model"].tolist() == pytest.approx(in_r, abs=1e-12)
    assert found["everybody"].tolist() == pytest.approx(all_in_r, abs=1e-12)
    assert (found["nobody"] == 0).all()
    assert found["gain"].tolist() == pytest.approx(
        [model - max(other, 0) for model, other in zip(in_r, all_in_r, strict=True)]
    )


def test_the_gain_has_an_interval_that_is_paired() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    weights = rng.multinomial(100, np.full(100, 0.01), size=(300, 2)).reshape(300, 200).astype(float)
    useful = decision_curve(
        y, np.clip(0.5 + 0.3 * (2 * y - 1) + 0.1 * rng.normal(size=200), 0, 1), np.array([0.5]), weights
    )
    useless = decision_curve(y, rng.random(200), np.array([0.5]), weights)
    assert useful["gain_low"].item() > 0.3
    assert useless["gain_low"].item() < 0 < useless["gain_high"].item()
    assert (useful["low"] <= useful["model"]).all()


def test_weights_are_repeated_rows() -> None:
    y, p, t = np.array([1, 0, 1]), np.array([0.9, 0.6, 0.2]), np.array([0.3, 0.7])
    twice = net_benefit(y[[0, 0, 1, 2]], p[[0, 0, 1, 2]], t, np.ones((1, 4)))
    assert net_benefit(y, p, t, np.array([[2.0, 1.0, 1.0]])) == pytest.approx(twice)
