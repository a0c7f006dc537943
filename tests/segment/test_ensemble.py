from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.cohort.masks import region_masks
from radiogen.config.postprocess import PostprocessSettings
from radiogen.config.recipes import RecipeEnsemble
from radiogen.errors import ConfigError, InputError
from radiogen.segment.ensemble import (
    combine,
    combine_probabilities,
    majority_vote,
    mean_probabilities,
    pick_per_region,
    plane_vote,
    staple,
    staple_labels,
    weights_from_scores,
)
from radiogen.types import ED, ET, NCR, RC

SHAPE = (5, 6, 4)
PLAIN = PostprocessSettings()


def random_labels(seed: int, n: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 5, size=(n, *SHAPE)).astype(np.uint8))


def random_probabilities(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(SHAPE, dtype=np.float32) for name in ("wt", "tc", "et")}


def ball(radius: float, shift: int = 0) -> np.ndarray:
    i, j, k = np.indices((24, 20, 20))
    return np.sqrt((i - 9 - shift) ** 2 + (j - 10) ** 2 + (k - 10) ** 2) < radius


def test_the_published_weights_are_used_as_they_are() -> None:
    a, b = random_probabilities(0), random_probabilities(1)
    ensemble = RecipeEnsemble(method="weighted", weights={"nnunet": 0.4722, "mednext": 0.5278})
    mixed = combine_probabilities({"nnunet": a, "mednext": b}, ensemble)
    for name in a:
        assert np.allclose(mixed[name], 0.4722 * a[name] + 0.5278 * b[name], atol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 100), st.lists(st.floats(0.1, 5), min_size=3, max_size=3))
def test_a_mean_lies_between_its_members_and_does_not_depend_on_their_order(seed: int, weights: list[float]) -> None:
    members = [random_probabilities(seed + n) for n in range(3)]
    mean = mean_probabilities(members, weights)["wt"]
    stack = np.stack([member["wt"] for member in members])
    assert (mean >= stack.min(axis=0) - 1e-6).all()
    assert (mean <= stack.max(axis=0) + 1e-6).all()
    turned = mean_probabilities(members[::-1], weights[::-1])["wt"]
    assert np.allclose(mean, turned, atol=1e-6)


def test_weights_that_do_not_fit_are_refused() -> None:
    a = random_probabilities(0)
    with pytest.raises(ConfigError, match="weights are for x, y"):
        combine_probabilities({"x": a, "z": a}, RecipeEnsemble(method="weighted", weights={"x": 1, "y": 1}))
    with pytest.raises(InputError, match="one weight"):
        mean_probabilities([a, a], [1.0, -1.0])
    with pytest.raises(InputError, match="know et, tc, wt are 0"):
        mean_probabilities([a, a], [0.0, 0.0])
    with pytest.raises(InputError, match="do not share their voxels"):
        mean_probabilities([a, {"wt": a["wt"][:2]}])
    with pytest.raises(InputError, match="score above 0"):
        weights_from_scores({"a": 0.9, "b": float("nan")})


def test_each_region_comes_from_the_network_chosen_for_it() -> None:
    a, b = random_probabilities(0), random_probabilities(1)
    picked = pick_per_region({"a": a, "b": b}, {"wt": "a", "tc": "b", "et": "b"})
    assert np.array_equal(picked["wt"], a["wt"])
    assert np.array_equal(picked["et"], b["et"])
    with pytest.raises(ConfigError, match="rc from 'a'"):
        pick_per_region({"a": a}, {"rc": "a"})


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 5))
def test_a_label_with_more_than_half_of_the_votes_wins(seed: int, n: int) -> None:
    labels = random_labels(seed, n)
    voted = majority_vote(labels)
    stack = np.stack(labels)
    for label in range(5):
        clear = 2 * (stack == label).sum(axis=0) > n
        assert (voted[clear] == label).all()


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 4))
def test_a_vote_does_not_depend_on_the_order_and_copies_change_nothing(seed: int, n: int) -> None:
    labels = random_labels(seed, n)
    voted = majority_vote(labels)
    assert np.array_equal(voted, majority_vote(labels[::-1]))
    assert np.array_equal(voted, majority_vote(labels * 2))


def test_ties_are_settled_region_by_region() -> None:
    votes = [[0, 0, ED, NCR, RC], [ED, ET, ET, ET, 0], [ET, ET, NCR, ED, ED]]
    voted = plane_vote([np.array([[vote]], dtype=np.uint8) for vote in votes])
    assert voted.tolist() == [[[ED, ET, NCR, NCR, RC]]]
    two = majority_vote([np.array([[[ED, ET, 0]]], dtype=np.uint8), np.array([[[0, NCR, 0]]], dtype=np.uint8)])
    assert two.tolist() == [[[0, NCR, 0]]]
    with pytest.raises(InputError, match="three label maps"):
        plane_vote(random_labels(0, 2))


def test_staple_trusts_the_raters_that_agree() -> None:
    truth = ball(6)
    rng = np.random.default_rng(0)
    good = [truth ^ (rng.random(truth.shape) < 0.02) for _ in range(3)]
    bad = [truth ^ (rng.random(truth.shape) < 0.4) for _ in range(2)]
    found = staple([*good, *bad]) > 0.5
    errors = int((found ^ truth).sum())
    vote = majority_vote([mask.astype(np.uint8) * ED for mask in (*good, *bad)]) > 0
    assert errors < int((vote ^ truth).sum())


def test_staple_where_there_is_nothing_to_estimate() -> None:
    nothing, all_, one = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    one[1, 1, 1] = True
    assert not staple([nothing, nothing]).any()
    assert (staple([all_, all_, all_]) == 1).all()
    for masks in ([nothing, one], [all_, nothing], [all_, one, one]):
        found = staple(masks)
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 1)).all()


def test_staple_of_labels_is_nested_and_near_its_raters() -> None:
    raters = []
    for shift in (0, 0, 1):
        labels = np.where(ball(7, shift), ED, 0).astype(np.uint8)
        labels[ball(5, shift)], labels[ball(3, shift)] = NCR, ET
        labels[20:23, 2:5, 2:5] = RC
        raters.append(labels)
    found = staple_labels(raters)
    regions, first = region_masks(found), region_masks(raters[0])
    assert not (regions["et"] & ~regions["tc"]).any()
    assert not (regions["tc"] & ~regions["wt"]).any()
    assert all(2 * (regions[n] & first[n]).sum() / (regions[n].sum() + first[n].sum()) > 0.9 for n in regions)
    assert int((found == RC).sum()) == 27


@pytest.mark.parametrize("method", ["mean", "weighted", "majority", "staple", "per-region", "planes"])
def test_three_copies_of_one_network_are_that_network(method: str) -> None:
    p = {"wt": ball(7) * 0.9, "tc": ball(5) * 0.9, "et": ball(3) * 0.9}
    ensemble = RecipeEnsemble.parse(
        {"method": method, "weights": {"a": 1, "b": 2, "c": 3}, "regions": {"wt": "a", "tc": "b", "et": "c"}}
    )
    labels = combine({"a": p, "b": p, "c": p}, ensemble, PLAIN, 0.001)
    expected = combine({"a": p}, RecipeEnsemble(), PLAIN, 0.001)
    assert np.array_equal(labels, expected)
    assert set(np.unique(labels)) == {0, NCR, ED, ET}
