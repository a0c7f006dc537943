"""Random effects against R's metafor on the BCG vaccine trials, and pooled AUCs by hand."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.stats.pooling import between_variance, pooled_auc, random_effects

# Colditz et al. 1994, JAMA 271:698: vaccinated with and without tuberculosis, controls with and without. metafor calls it dat.bcg.
BCG = np.array(
    [[4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619], [33, 5036, 47, 5761], [180, 1361, 372, 1079],
     [8, 2537, 10, 619], [505, 87886, 499, 87892], [29, 7470, 45, 7232], [17, 1699, 65, 1600], [186, 50448, 141, 27197], [5, 2493, 3, 2338],
     [27, 16886, 29, 17825]], dtype=float
)  # fmt: skip
RISKS = BCG[:, 0] / BCG[:, :2].sum(axis=1), BCG[:, 2] / BCG[:, 2:].sum(axis=1)
EFFECTS = np.log(RISKS[0] / RISKS[1])
VARIANCES = 1 / BCG[:, 0] - 1 / BCG[:, :2].sum(axis=1) + 1 / BCG[:, 2] - 1 / BCG[:, 2:].sum(axis=1)


def test_bcg_restricted_maximum_likelihood_with_hartung_and_knapp() -> None:
    """The output of rma(yi, vi, data=dat, test="knha") in metafor's README, which prints four digits."""
    found = random_effects(EFFECTS, VARIANCES)
    assert found.k == 13
    assert found.estimate == pytest.approx(-0.7145, abs=5e-5)
    assert found.standard_error == pytest.approx(0.1808, abs=5e-5)
    assert found.interval == pytest.approx((-1.1084, -0.3206), abs=5e-5)
    assert (found.tau2, found.i2) == (pytest.approx(0.3132, abs=5e-5), pytest.approx(0.9222, abs=5e-5))
    assert found.q == pytest.approx(152.2330, abs=5e-5)
    assert found.q_p < 0.0001
    assert np.exp(found.prediction_interval) == pytest.approx([0.14, 1.76], abs=5e-3)


def test_bcg_moments() -> None:
    """Viechtbauer 2010, J Stat Software 36(3), and metafor's help: DerSimonian and Laird's tau2 is 0.3088."""
    assert between_variance(EFFECTS, VARIANCES, method="dl") == pytest.approx(0.3088, abs=5e-5)


def test_sites_that_agree_have_no_heterogeneity_and_no_narrow_interval() -> None:
    found = random_effects(np.full(4, 0.3), np.full(4, 0.04))
    assert (found.tau2, found.i2, found.q) == (0.0, 0.0, pytest.approx(0.0))
    assert found.standard_error == pytest.approx(0.1)  # Hartung and Knapp alone would say 0
    assert found.prediction_interval == pytest.approx(found.interval)


def test_one_site_has_no_interval() -> None:
    found = random_effects(np.array([0.3]), np.array([0.04]))
    assert found.estimate == pytest.approx(0.3)
    assert np.isnan([*found.interval, *found.prediction_interval]).all()


def test_pooled_auc_stays_inside_and_a_perfect_site_counts() -> None:
    areas, sizes = np.array([1.0, 0.6, 0.85, 0.75]), np.array([12, 40, 40, 40])
    found = pooled_auc(areas, np.array([0.0, 0.003, 0.002, 0.0025]), sizes, sizes)
    assert 0.6 < found.estimate < 1.0
    assert found.tau2 > 0
    assert 0 < found.prediction_interval[0] < found.interval[0] < found.estimate
    assert found.estimate < found.interval[1] < found.prediction_interval[1] < 1
    alike = pooled_auc(np.full(3, 0.8), np.full(3, 0.001), sizes[1:], sizes[1:])
    assert alike.estimate == pytest.approx(0.8)
    assert alike.standard_error == pytest.approx(np.sqrt(0.001 / 3) / 0.16)
