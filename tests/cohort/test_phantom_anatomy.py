"""The made-up brain: tissues that add up, deformations that do what they say."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.cohort.phantom_anatomy import Deformation, build_anatomy, grid_affine, grid_shape, load_template

SPACING_MM = 4.0


@pytest.fixture(scope="module")
def plain() -> Deformation:
    return Deformation(np.random.default_rng(0), SPACING_MM, 0.0)


def test_grid_is_that_of_the_field_of_view() -> None:
    assert grid_shape(1.0) == (193, 229, 193)
    assert grid_affine(2.0).diagonal().tolist() == [2.0, 2.0, 2.0, 1.0]


def test_without_variation_the_phantom_is_the_template(plain: Deformation) -> None:
    np.testing.assert_allclose(plain.template_mm, plain.world_mm, atol=1e-3)


def test_tissues_add_up_and_stay_inside_the_brain() -> None:
    deformation = Deformation(np.random.default_rng(3), SPACING_MM, 1.0)
    anatomy = build_anatomy(deformation, load_template(SPACING_MM), np.random.default_rng(4))
    total = anatomy.grey + anatomy.white + anatomy.fluid

    np.testing.assert_allclose(total[anatomy.brain], 1, atol=1e-4)
    assert not total[~anatomy.brain].any()
    # ICBM 2009: more grey than white matter, and some fluid
    assert anatomy.grey.sum() > anatomy.white.sum() > anatomy.fluid.sum() > 0
    edge = np.ones_like(anatomy.brain)
    edge[1:-1, 1:-1, 1:-1] = False
    assert not anatomy.brain[edge].any()


def test_brains_of_different_seeds_differ() -> None:
    template = load_template(SPACING_MM)
    one, other = (
        build_anatomy(Deformation(np.random.default_rng(seed), SPACING_MM, 1.0), template, np.random.default_rng(9))
        for seed in (1, 2)
    )
    overlap = 2 * (one.brain & other.brain).sum() / (one.brain.sum() + other.brain.sum())

    assert 0.85 < overlap < 0.995


def test_mass_effect_pushes_tissue_outwards(plain: Deformation) -> None:
    deformation = Deformation(np.random.default_rng(0), SPACING_MM, 0.0)
    centre = deformation.world_mm[:, 30, 30, 30].copy()

    deformation.push(centre, 20.0, 5.0)

    moved = np.linalg.norm(deformation.template_mm - plain.template_mm, axis=0)
    assert moved[30, 30, 30] == 0
    assert moved[35, 30, 30] == pytest.approx(5.0, abs=1e-3)
    assert moved[5, 5, 5] < 0.2
    # What is seen 20 mm from the centre came from nearer to it.
    assert np.linalg.norm(deformation.template_mm[:, 35, 30, 30] - centre) == pytest.approx(15.0, abs=1e-3)


def test_tumours_start_in_supratentorial_white_matter() -> None:
    template = load_template(SPACING_MM)
    i, j, k = np.nonzero(template.seeds)
    x, y, z = (np.linalg.inv(template.to_voxel) @ np.stack([i, j, k, np.ones_like(i)]))[:3]

    assert np.abs(x).min() > 10
    assert z.min() > -20
    assert {x.min() < -30, x.max() > 30, y.min() < -60, y.max() > 30} == {True}
    assert template.white[i, j, k].mean() > 0.6
