"""Made-up patients for training: reproducible, consistent with their truth, and varied in the ways that the issue lists."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.config.train import DataSettings
from radiogen.segment.randomised.anatomy import Head
from radiogen.segment.randomised.contrast import SIGNAL, TISSUES
from radiogen.segment.randomised.dataset import RandomisedPatients, make_patient
from radiogen.segment.randomised.fields import Draws, blur, length, soft_step
from radiogen.segment.randomised.glioma import KINDS, travel_mm
from radiogen.types import SEQUENCES

COARSE_MM = 5.0


@pytest.fixture(scope="module")
def patients() -> list:
    return [make_patient((3, index), COARSE_MM, SEQUENCES) for index in range(40)]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_regions_are_nested_and_lie_in_the_brain(seed: int) -> None:
    patient = make_patient((seed,), 6.0, ("t1c", "t2f"))
    whole, core, enhancing = patient.target.bool()
    assert not (enhancing & ~core).any()
    assert not (core & ~whole).any()
    assert not (whole & ~patient.brain).any()
    assert torch.isfinite(patient.images).all()
    assert (patient.images[:, ~patient.brain] == 0).all()


def test_a_patient_depends_on_its_seed_only() -> None:
    first = make_patient((1, 2), 6.0, SEQUENCES)
    torch.manual_seed(99)
    np.random.default_rng(5).random()
    again = make_patient((1, 2), 6.0, SEQUENCES)
    other = make_patient((1, 3), 6.0, SEQUENCES)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.images, other.images)


def test_intensities_are_z_scored_inside_the_brain(patients: list) -> None:
    for patient in patients[:8]:
        for image in patient.images:
            assert abs(float(image[patient.brain].mean())) < 0.25
            assert 0.4 < float(image[patient.brain].std()) < 1.35


def test_tumours_vary_in_size_and_in_what_enhances(patients: list) -> None:
    volumes_ml = np.array([float(p.target[0].sum()) * COARSE_MM**3 / 1000 for p in patients])
    enhancing_ml = np.array([float(p.target[2].sum()) * COARSE_MM**3 / 1000 for p in patients])
    assert np.median(volumes_ml) > 20
    assert volumes_ml.max() > 120
    assert (volumes_ml < 10).any()
    assert 0.1 < (enhancing_ml == 0).mean() < 0.6


def test_contrast_agent_brightens_what_is_labelled_enhancing(patients: list) -> None:
    t1n, t1c = SEQUENCES.index("t1n"), SEQUENCES.index("t1c")
    gains = []
    for patient in patients:
        enhancing = patient.target[2].bool()
        if enhancing.sum() > 20:
            rise = patient.images[t1c] - patient.images[t1n]
            gains.append(float(rise[enhancing].mean() - rise[patient.brain & ~enhancing].mean()))
    assert len(gains) > 10
    assert np.mean(np.array(gains) > 0) > 0.9


def test_the_whole_tumour_is_bright_on_flair(patients: list) -> None:
    t2f = SEQUENCES.index("t2f")
    rise = [
        float(p.images[t2f][p.target[0].bool()].mean() - p.images[t2f][p.brain & ~p.target[0].bool()].mean())
        for p in patients
        if p.target[0].sum() > 20
    ]
    assert np.mean(np.array(rise) > 0) > 0.9


def test_dropped_sequences_are_zero_and_one_is_always_left() -> None:
    data = RandomisedPatients(
        DataSettings(spacing_mm=8.0, patch_size=(16, 16, 16), sequence_dropout=1.0), seed=4, length=30
    )
    left = [int((data[index]["image"].flatten(1).abs().sum(dim=1) > 0).sum()) for index in range(30)]
    assert set(left) == {1, 2, 3}


def test_a_patch_larger_than_the_grid_is_padded_and_a_smaller_one_finds_the_tumour() -> None:
    large = RandomisedPatients(DataSettings(spacing_mm=8.0, patch_size=(32, 32, 32)), seed=0, length=1)[0]
    assert large["image"].shape == (4, 32, 32, 32)
    small = DataSettings(spacing_mm=5.0, patch_size=(8, 8, 8), foreground_share=1.0)
    found = [float(RandomisedPatients(small, seed=0, length=12)[index]["target"][0].sum()) > 0 for index in range(12)]
    assert np.mean(found) > 0.8


def test_the_front_goes_round_what_stops_it() -> None:
    start = torch.full((21, 21, 3), 50.0)
    start[2, 10, :] = -1.0
    wall = torch.ones((21, 21, 3))
    free = travel_mm(start, wall, 1.0, 30.0)
    assert float(free[12, 10, 1]) == pytest.approx(10.0, abs=1e-4)
    assert float(free[2, 13, 1]) == pytest.approx(3.0, abs=1e-4)
    wall[6, 2:19, :] = 100.0
    assert float(travel_mm(start, wall, 1.0, 30.0)[12, 10, 1]) > 15


def test_the_healthy_brain_has_tissues_that_sum_to_one() -> None:
    brain = Head(Draws((0,), (32, 38, 32), 5.0)).brain()
    total = brain.grey + brain.deep_grey + brain.white + brain.fluid
    inner = brain.inside > 0.9
    assert torch.allclose(total[inner], torch.ones(int(inner.sum())), atol=1e-3)
    assert 900 < float(inner.sum()) * 0.125 < 2200


def test_every_tissue_has_limits_in_every_sequence() -> None:
    assert set(SIGNAL) == set(SEQUENCES)
    for limits in SIGNAL.values():
        assert set(limits) == set(TISSUES)
        assert all(low < high for low, high in limits.values())
    assert sum(KINDS.values()) == pytest.approx(1.0)


def test_field_is_standardised_and_smooth() -> None:
    draws = Draws((1,), (48, 48, 48), 2.0)
    field = draws.field(16.0)
    assert 0.6 < float(field.std()) < 1.4
    assert float((field[1:] - field[:-1]).std()) < 0.5 * float(field.std())


def test_blur_keeps_the_sum_away_from_the_border_and_length_is_euclidean() -> None:
    impulse = torch.zeros((1, 15, 15, 15))
    impulse[0, 7, 7, 7] = 1
    blurred = blur(impulse, (1.0, 0.1, 0.8))
    assert float(blurred.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(blurred[0, 7, 6, 7]) == 0
    vectors = torch.tensor([3.0, 4.0, 12.0]).reshape(3, 1, 1, 1)
    assert float(length(vectors)) == pytest.approx(13.0)
    assert float(soft_step(torch.zeros(1), 2.0)) == pytest.approx(0.5)
