from __future__ import annotations

import numpy as np
import pytest

from radiogen.segment.lesion import LesionRules, close, dilate, erode, fill, find_lesion, two_classes


def ball(centre: tuple[int, int, int], radius: float, shape: tuple[int, int, int] = (64, 64, 64)) -> np.ndarray:
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return np.asarray(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))) <= radius**2


BRAIN = ball((32, 32, 32), 28)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def z_of(*parts: tuple[np.ndarray, float]) -> np.ndarray:
    z = np.where(BRAIN, np.random.default_rng(0).normal(0, 0.3, BRAIN.shape), 0)
    for mask, level in parts:
        z[mask] = level
    return z.astype(np.float32)


def test_a_bright_ball_with_a_dark_cyst_is_found_whole() -> None:
    truth = ball((44, 32, 32), 9)
    found = find_lesion(z_of((truth, 6.0), (ball((44, 32, 32), 4), -3.0)), BRAIN, 2.0, LesionRules())
    assert dice(found, truth) > 0.95


def test_a_one_sided_lesion_is_preferred_to_brighter_symmetric_structures() -> None:
    pair = ball((16, 32, 32), 6) | ball((48, 32, 32), 6)
    lesion = ball((22, 40, 44), 7) & ~pair
    found = find_lesion(z_of((pair, 7.0), (lesion, 5.0)), BRAIN, 2.0, LesionRules())
    assert (found & lesion).sum() / lesion.sum() > 0.8


def test_a_second_focus_of_the_same_kind_is_kept() -> None:
    first, second = ball((44, 32, 32), 8), ball((20, 46, 38), 7)
    found = find_lesion(z_of((first, 6.0), (second, 6.0)), BRAIN, 2.0, LesionRules())
    assert dice(found, first | second) > 0.9


def test_growth_stops_where_the_lesion_would_run_over() -> None:
    core, haze = ball((44, 32, 32), 7), ball((36, 32, 32), 20)
    found = find_lesion(z_of((haze, 2.2), (core, 6.0)), BRAIN, 2.0, LesionRules())
    assert dice(found, core) > 0.8


def test_nothing_is_found_where_nothing_stands_out() -> None:
    assert not find_lesion(np.where(BRAIN, -1.0, 0.0).astype(np.float32), BRAIN, 2.0, LesionRules()).any()


def test_the_two_class_split_finds_two_classes_and_says_when_there_is_one() -> None:
    rng = np.random.default_rng(0)
    threshold, gap, share = two_classes(np.concatenate([rng.normal(0, 0.4, 3000), rng.normal(4, 0.4, 1000)]))
    assert 1 < threshold < 3
    assert gap == pytest.approx(4, abs=0.3)
    assert share > 0.9
    assert two_classes(np.zeros(100))[1:] == (0.0, 0.0)


def test_morphology_in_millimetres_knows_anisotropic_voxels() -> None:
    point = np.zeros((21, 21, 21), bool)
    point[10, 10, 10] = True
    grown = dilate(point, (1.0, 1.0, 5.0), 5.0)
    assert np.flatnonzero(grown[:, 10, 10]).size == 11
    assert np.flatnonzero(grown[10, 10, :]).size == 3
    assert erode(grown, (1.0, 1.0, 5.0), 4.9)[10, 10, 10]
    assert (close(point, 1.0, 3.0) & point).sum() == 1


def test_filling_closes_rings_in_a_plane() -> None:
    ring = np.zeros((9, 9, 3), bool)
    ring[2:7, 2:7, 1] = True
    ring[3:6, 3:6, 1] = False
    assert fill(ring)[4, 4, 1]
