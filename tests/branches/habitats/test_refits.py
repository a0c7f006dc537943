"""A division fitted again: without each site, and with other seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.habitats.learn import TrainingData, learn_encoder, with_centres
from radiogen.branches.habitats.refits import habitat_dice, reasons_of, refit
from radiogen.config.habitats import HabitatSettings
from tests.branches.habitats.planted import training

PLAIN = HabitatSettings(encoder="none", sample_voxels=2000, n_refits=2)


def two_sites(k: int) -> TrainingData:
    data, _ = training(k)
    return replace(data, site_of={case: "west" if number % 2 else "east" for number, case in enumerate(data.cases)})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_renamed_habitats_are_the_same_ones(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(60) % k)
    assert habitat_dice(labels, rng.permutation(k)[labels], k) == pytest.approx(1)


def test_planted_habitats_are_the_same_without_a_site_and_with_other_seeds() -> None:
    data = two_sites(3)
    found = refit(data, PLAIN, with_centres(learn_encoder(data, PLAIN, 0.05), data, PLAIN, 3))
    assert [(each.kind, each.name, each.n_patients) for each in found] == [
        ("site", "east", 5),
        ("site", "west", 5),
        ("seed", "1", 10),
        ("seed", "2", 10),
    ]
    assert all(each.adjusted_rand > 0.95 and min(each.dice) > 0.95 and each.mismatch < 0.02 for each in found)
    assert reasons_of(found) == []


def test_a_division_that_one_site_makes_falls() -> None:
    data = two_sites(3)
    # Of the maps of one site another half is bright: where a voxel belongs depends on who was learned from.
    east = {name: case for name, case in data.cases.items() if data.site_of[name] == "east"}
    torn = {name: replace(case, values=6 * case.values[:, ::-1] - 20) for name, case in east.items()}
    data = replace(data, cases={**data.cases, **torn})
    found = refit(data, PLAIN, with_centres(learn_encoder(data, PLAIN, 0.0), data, PLAIN, 3))
    assert max(each.mismatch for each in found if each.kind == "site") > 0.2
    assert any("unstable over sites: learned without site" in reason for reason in reasons_of(found))
    assert found[0].facts["dice"] == [None if np.isnan(value) else value for value in found[0].dice]


def test_one_site_is_not_left_out() -> None:
    data, _ = training(3, 4)
    model = with_centres(learn_encoder(data, PLAIN, 0.0), data, PLAIN, 3)
    assert [each.kind for each in refit(replace(data, site_of=dict.fromkeys(data.cases, "west")), PLAIN, model)] == [
        "seed",
        "seed",
    ]
