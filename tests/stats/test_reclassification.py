"""Reclassification against the published Framingham example, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.stats.reclassification import improvement_resamples, integrated_discrimination, net_reclassification


def test_framingham_hdl() -> None:
    """Pencina et al. 2008, Statistics in Medicine 27:157, table II: of 183 events 29 moved up and 7 down, of 3081 others 173 up and 174 down.

    They report an improvement of 0.121 with z = 3.616.
    """
    y = np.repeat([1, 0], [183, 3081])
    old = np.full(len(y), 0.5)
    new = np.concatenate([np.repeat([0.9, 0.1, 0.5], [29, 7, 147]), np.repeat([0.9, 0.1, 0.5], [173, 174, 2734])])
    for found in (net_reclassification(y, old, new, (0.3, 0.7)), net_reclassification(y, old, new)):
        assert found.value == pytest.approx(22 / 183 + 1 / 3081)
        assert round(found.value, 3) == 0.121
        assert found.value / found.standard_error == pytest.approx(3.616, abs=5e-4)
        assert found.p == pytest.approx(2.99e-4, abs=2e-6)


def test_integrated_discrimination_by_hand() -> None:
    """Made small enough to do by hand: positives gain 0.1 and 0.3, negatives lose 0.2 and 0."""
    y, old = np.array([1, 1, 0, 0]), np.array([0.5, 0.5, 0.4, 0.4])
    found = integrated_discrimination(y, old, np.array([0.6, 0.8, 0.2, 0.4]))
    assert (found.of_positives, found.of_negatives) == (pytest.approx(0.2), pytest.approx(0.1))
    assert found.standard_error == pytest.approx(np.sqrt(0.02 / 2 + 0.02 / 2))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_swapping_the_models_turns_the_sign_and_resamples_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, (old, new) = np.arange(40) % 2, rng.random((2, 40))
    forth, back = net_reclassification(y, old, new, (0.5,)), net_reclassification(y, new, old, (0.5,))
    assert forth.value == pytest.approx(-back.value)
    once = np.ones((1, 40))
    nri, idi = improvement_resamples(y, old, new, once, (0.5,))
    assert (nri[0], idi[0]) == (pytest.approx(forth.value), pytest.approx(integrated_discrimination(y, old, new).value))
    assert improvement_resamples(y, old, new, once)[0][0] == pytest.approx(net_reclassification(y, old, new).value)


def test_no_change_is_no_improvement() -> None:
    y, p = np.array([0, 1, 0, 1]), np.array([0.1, 0.5, 0.2, 0.9])
    assert (net_reclassification(y, p, p).value, net_reclassification(y, p, p).p) == (0.0, 1.0)
