from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radiogen.stats.overlap import WORST_HD95_MM, dice, hd95_mm, lesion_wise, normalised_surface_dice

ISOTROPIC = (1.0, 1.0, 1.0)


def box(
    start: tuple[int, int, int], size: tuple[int, int, int], shape: tuple[int, int, int] = (40, 40, 40)
) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return mask


EMPTY = np.zeros((40, 40, 40), dtype=bool)


def test_identical_masks_are_perfect() -> None:
    mask = box((5, 5, 5), (6, 7, 8))
    assert dice(mask, mask) == 1
    assert hd95_mm(mask, mask, ISOTROPIC) == 0
    assert normalised_surface_dice(mask, mask, ISOTROPIC) == 1


def test_the_policy_for_empty_masks() -> None:
    mask = box((5, 5, 5), (4, 4, 4))
    assert (dice(EMPTY, EMPTY), hd95_mm(EMPTY, EMPTY, ISOTROPIC), normalised_surface_dice(EMPTY, EMPTY, ISOTROPIC)) == (
        1,
        0,
        1,
    )
    for a, b in ((mask, EMPTY), (EMPTY, mask)):
        assert dice(a, b) == 0
        assert hd95_mm(a, b, ISOTROPIC) == WORST_HD95_MM
        assert normalised_surface_dice(a, b, ISOTROPIC) == 0


def test_a_shifted_box_has_the_distance_of_the_shift_in_millimetres() -> None:
    a, b = box((5, 5, 5), (1, 10, 10)), box((9, 5, 5), (1, 10, 10))
    assert hd95_mm(a, b, ISOTROPIC) == 4
    assert hd95_mm(a, b, (2.5, 1.0, 1.0)) == 10
    assert normalised_surface_dice(a, b, ISOTROPIC, tolerance_mm=3.9) == 0
    assert normalised_surface_dice(a, b, ISOTROPIC, tolerance_mm=4.0) == 1


def test_dice_of_half_an_overlap() -> None:
    assert dice(box((0, 0, 0), (4, 4, 4)), box((2, 0, 0), (4, 4, 4))) == pytest.approx(0.5)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, (5, 6, 4)), arrays(bool, (5, 6, 4)))
def test_overlap_is_symmetric_and_bounded(a: np.ndarray, b: np.ndarray) -> None:
    size_mm = (1.0, 0.7, 3.0)
    assert dice(a, b) == dice(b, a)
    assert 0 <= dice(a, b) <= 1
    assert hd95_mm(a, b, size_mm) == pytest.approx(hd95_mm(b, a, size_mm))
    assert normalised_surface_dice(a, b, size_mm) == pytest.approx(normalised_surface_dice(b, a, size_mm))


@settings(max_examples=20, deadline=None)
@given(arrays(bool, (5, 6, 4)), arrays(bool, (5, 6, 4)), st.permutations([0, 1, 2]), st.sampled_from([0, 1, 2]))
def test_mirrored_and_permuted_masks_score_alike(a: np.ndarray, b: np.ndarray, axes: list[int], mirrored: int) -> None:
    size_mm = (1.0, 0.7, 3.0)
    moved = [np.flip(mask.transpose(axes), mirrored) for mask in (a, b)]
    moved_size = (size_mm[axes[0]], size_mm[axes[1]], size_mm[axes[2]])
    assert hd95_mm(moved[0], moved[1], moved_size) == pytest.approx(hd95_mm(a, b, size_mm))
    assert lesion_wise(moved[0], moved[1], moved_size).dice == pytest.approx(lesion_wise(a, b, size_mm).dice)
