"""The joint loss, its sign, and a search that finds a known optimum and can be resumed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.habitats.optimise import Evaluation, joint_loss, optimise
from radiogen.config.habitats import HabitatSettings

SETTINGS = HabitatSettings(bo_init=5, bo_steps=8, alpha=1.0)


def bowl(gamma: float, k: int) -> tuple[float, float]:
    """A loss with one optimum, at gamma 0.1 and 5 habitats."""
    return 0.1 + 4 * (gamma - 0.1) ** 2 + 0.05 * (k - 5) ** 2, float("nan")


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-6, 0.99), st.floats(1e-6, 0.99), st.floats(0, 1), st.floats(0.05, 0.95))
def test_lower_is_better_in_p_and_in_stability(one: float, other: float, stability: float, alpha: float) -> None:
    low, high = sorted((one, other))
    assert joint_loss(stability, low, alpha, 0.05) <= joint_loss(stability, high, alpha, 0.05)
    assert joint_loss(low, 0.5, alpha, 0.05) <= joint_loss(high, 0.5, alpha, 0.05)
    assert 0 <= joint_loss(stability, low, alpha, 0.05) <= 1


def test_the_optimum_is_found_in_few_steps() -> None:
    done = optimise(bowl, SETTINGS)
    best = min(done, key=lambda each: each.loss)
    assert best.k == 5
    assert best.gamma == pytest.approx(0.1, abs=0.04)
    assert len(done) <= 5 + 2 * 8
    assert len({(each.gamma, each.k) for each in done}) == len(done)
    assert {each.found_by for each in done} == {"random", "improvement", "surrogate"}


def test_a_stopped_search_goes_on_with_the_same_points() -> None:
    whole = optimise(bowl, SETTINGS)
    asked: list[tuple[float, int]] = []

    def counted(gamma: float, k: int) -> tuple[float, float]:
        asked.append((gamma, k))
        return bowl(gamma, k)

    stored: list[list[Evaluation]] = []
    again = optimise(counted, SETTINGS, whole[:9], stored.append)
    assert [(each.gamma, each.k, each.loss) for each in again] == [(each.gamma, each.k, each.loss) for each in whole]
    assert asked == [(each.gamma, each.k) for each in whole[9:]]
    assert stored[-1] == again


def test_one_point_alone_ends_the_search() -> None:
    only = HabitatSettings(clusters=(4, 4), quantile=(0.1, 0.1), bo_steps=3)
    assert [(each.gamma, each.k) for each in optimise(bowl, only)] == [(0.1, 4)]
