"""The made-up glioma: growth along tissue, traits that overlap, labels that nest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from radiogen.cohort.phantom_anatomy import Anatomy
from radiogen.cohort.phantom_tumour import Traits, draw_traits, grow_tumour, travel_time
from radiogen.types import ED, ET


def test_travel_time_is_distance_over_speed_on_an_open_field() -> None:
    tissue = np.ones((21, 21, 21), dtype=bool)
    speed = np.full(tissue.shape, 0.5, dtype=np.float32)

    time, distance = travel_time(tissue, speed, np.array([10, 10, 10]), 2.0)

    assert time[10, 10, 20] == pytest.approx(20 / 0.5)
    assert distance[10, 10, 20] == pytest.approx(20)
    # A path on the 26-neighbourhood is at most sqrt(1 + (sqrt 2 - 1)^2 + (sqrt 3 - sqrt 2)^2) = 1.128 times the straight line.
    inside = time < 500
    assert ((time * 0.5)[inside] >= distance[inside] - 1e-3).all()
    assert ((time * 0.5)[inside] <= 1.129 * distance[inside] + 1e-3).all()


def test_front_goes_round_a_wall_and_never_into_it() -> None:
    tissue = np.ones((21, 21, 5), dtype=bool)
    tissue[10, :18] = False
    speed = np.ones(tissue.shape, dtype=np.float32)

    time, distance = travel_time(tissue, speed, np.array([5, 2, 2]), 1.0)

    assert (time[~tissue] > 1000).all()
    assert time[15, 2, 2] > 2.5 * distance[15, 2, 2]


def slab_anatomy() -> Anatomy:
    """A block of grey matter with a sheet of white matter through it and a wall of fluid on one side."""
    shape = (40, 40, 40)
    white = np.zeros(shape, dtype=np.float32)
    white[:, :, 17:23] = 1
    fluid = np.zeros(shape, dtype=np.float32)
    fluid[29:] = 1
    white[29:] = 0
    flat = np.zeros(shape, dtype=np.float32)
    return Anatomy(np.ones(shape, dtype=bool), 1 - white - fluid, white, fluid, flat + 20, flat, flat, 2.0)


def traits(**changes: object) -> Traits:
    values: dict[str, object] = {
        "mutant_like": 0.1, "enhancement": "ring", "enhancing_fraction": 0.4, "necrosis_fraction": 0.4, "core_fraction": 0.4,
        "mismatch": False, "roughness": 0.2, "irregularity": 0.2, "margin_mm": 2.0, "t2_gain": 1.0, "n_foci": 1, "volume_ml": 40.0,
    }  # fmt: skip
    return Traits(**{**values, **changes})  # type: ignore[arg-type]


def test_tumour_spreads_along_white_matter_and_stops_at_fluid() -> None:
    anatomy = slab_anatomy()

    tumour = grow_tumour(anatomy, traits(), np.array([[20, 20, 20]]), np.random.default_rng(0))

    i, j, k = np.nonzero(tumour.labels)
    assert np.ptp(j) > 1.3 * np.ptp(k)
    assert i.max() < 30
    assert (tumour.presence[31:] < 0.2).all()
    assert tumour.labels.astype(bool).sum() * 0.008 == pytest.approx(40, rel=0.15)


@pytest.mark.parametrize("enhancement", ["ring", "patchy", "none"])
def test_labels_and_shares_agree(enhancement: str) -> None:
    tumour = grow_tumour(
        slab_anatomy(), traits(enhancement=enhancement), np.array([[18, 20, 20]]), np.random.default_rng(1)
    )
    whole, core, enhancing = tumour.labels > 0, np.isin(tumour.labels, (1, 3)), tumour.labels == ET

    assert (tumour.presence[whole] > 0.5).all()
    assert (tumour.presence[~whole] <= 0.5).all()
    assert core.sum() == pytest.approx(0.4 * whole.sum(), rel=0.05)
    assert tumour.core[core].mean() > 0.75
    assert tumour.core[tumour.labels == ED].mean() < 0.35
    expected = {"ring": 0.6, "patchy": 0.4, "none": 0.0}[enhancement]
    assert enhancing.sum() == pytest.approx(expected * core.sum(), rel=0.05, abs=1)
    if enhancement == "ring":
        assert tumour.necrotic[enhancing].mean() < 0.3 < tumour.necrotic[core & ~enhancing].mean()
    else:
        assert not tumour.necrotic.any()


def test_second_focus_is_a_second_core() -> None:
    seeds = np.array([[8, 20, 20], [8, 20, 20]])
    seeds[1] += [16, 0, 0]

    tumour = grow_tumour(slab_anatomy(), traits(n_foci=2, volume_ml=30.0), seeds, np.random.default_rng(2))

    assert label(np.isin(tumour.labels, (1, 3)))[1] >= 2


def drawn(idh: int, effect: float, n: int = 300, grade: int = 3) -> list[Traits]:
    return [
        draw_traits(
            np.random.default_rng(seed),
            idh=idh,
            grade=grade,
            idh_effect=effect,
            multifocal_fraction=0.15,
            volume_ml=50.0,
        )
        for seed in range(n)
    ]


def test_planted_signs_are_those_of_the_field_and_overlap() -> None:
    wild, mutated = drawn(0, 4.0), drawn(1, 4.0)

    def share(group: list[Traits], pattern: str) -> float:
        return float(np.mean([one.enhancement == pattern for one in group]))

    assert share(wild, "ring") > 0.6
    assert 0.4 < share(mutated, "none") < 0.8
    assert 0 < share(mutated, "ring") < 0.3
    assert 0 < share(wild, "none") < 0.2
    assert 0.2 < np.mean([one.mismatch for one in mutated]) < 0.5
    assert np.mean([one.mismatch for one in wild]) < 0.05
    assert np.mean([one.roughness for one in wild]) > 1.5 * np.mean([one.roughness for one in mutated])


def test_effect_sets_how_far_the_phenotypes_overlap() -> None:
    """Two unit normals `d` apart, squashed, have the AUC Phi(d / sqrt 2)."""
    y = np.repeat([0, 1], 300)
    for effect, expected in ((0.0, 0.5), (1.0, 0.760), (4.0, 0.998)):
        # The second half draws other seeds, so that the two classes are independent.
        scores = [one.mutant_like for one in drawn(0, effect, 600)[:300]] + [
            one.mutant_like for one in drawn(1, effect, 600)[300:]
        ]
        assert roc_auc_score(y, scores) == pytest.approx(expected, abs=0.05)
