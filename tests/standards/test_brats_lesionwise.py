"""The BraTS 2023 lesion-wise rule on designed cases.

Source: BraTS 2023 lesion-wise evaluation (Saluja et al., BraTS-2023-Metrics): reference dilated three times with the 18-neighbourhood, components by
26-neighbourhood, lesions of 50 voxels or less not scored, a missed lesion or a false positive counts as Dice 0 and HD95 374.
"""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.stats.overlap import lesion_wise
from tests.stats.test_overlap import EMPTY, ISOTROPIC, box

LARGE = box((2, 2, 2), (6, 6, 6))
FAR = box((28, 28, 28), (5, 5, 5))
TINY = box((20, 4, 30), (2, 2, 2))


def test_everything_found() -> None:
    score = lesion_wise(LARGE | FAR, LARGE | FAR, ISOTROPIC)
    assert (score.dice, score.hd95_mm, score.n_reference) == (1, 0, 2)


def test_a_missed_lesion_halves_the_score() -> None:
    score = lesion_wise(LARGE, LARGE | FAR, ISOTROPIC)
    assert (score.dice, score.hd95_mm) == (0.5, 187)
    assert (score.n_reference, score.n_false_negative, score.n_false_positive) == (2, 1, 0)


def test_a_false_positive_halves_the_score_however_small() -> None:
    score = lesion_wise(LARGE | TINY, LARGE, ISOTROPIC)
    assert (score.dice, score.hd95_mm) == (0.5, 187)
    assert (score.n_false_negative, score.n_false_positive) == (0, 1)


def test_reference_fragments_close_together_are_one_lesion() -> None:
    # Four voxels apart: three dilations from both sides meet.
    fragments = box((2, 2, 2), (5, 5, 5)) | box((11, 2, 2), (5, 5, 5))
    score = lesion_wise(box((2, 2, 2), (5, 5, 5)), fragments, ISOTROPIC)
    assert score.n_reference == 1
    assert score.n_false_negative == 0
    assert score.dice == pytest.approx(2 * 125 / (125 + 250))


def test_reference_fragments_far_apart_are_two_lesions() -> None:
    fragments = box((2, 2, 2), (5, 5, 5)) | box((20, 2, 2), (5, 5, 5))
    assert lesion_wise(fragments, fragments, ISOTROPIC).n_reference == 2


def test_one_prediction_over_two_lesions_is_scored_against_each() -> None:
    first, second = box((2, 2, 2), (5, 5, 5)), box((20, 2, 2), (5, 5, 5))
    bridge = box((2, 2, 2), (23, 5, 5))
    score = lesion_wise(bridge, first | second, ISOTROPIC)
    assert score.n_false_positive == 0
    assert score.dice == pytest.approx(2 * 125 / (125 + bridge.sum()))


def test_lesions_up_to_fifty_voxels_are_not_scored_and_excuse_what_touches_them() -> None:
    fifty = box((20, 20, 20), (5, 5, 2))
    missed = lesion_wise(LARGE, LARGE | fifty, ISOTROPIC)
    assert (missed.dice, missed.n_reference) == (1, 1)
    found = lesion_wise(LARGE | fifty, LARGE | fifty, ISOTROPIC)
    assert (found.dice, found.n_reference, found.n_false_positive) == (1, 1, 0)
    fifty_one = fifty.copy()
    fifty_one[20, 20, 22] = True
    assert lesion_wise(LARGE, LARGE | fifty_one, ISOTROPIC).n_false_negative == 1


def test_the_size_rule_is_in_cubic_millimetres() -> None:
    assert lesion_wise(EMPTY, TINY, (2.0, 2.0, 2.0)).n_reference == 1  # 8 voxels of 8 mm3
    assert lesion_wise(EMPTY, TINY, ISOTROPIC).n_reference == 0


def test_empty_reference() -> None:
    nothing = lesion_wise(EMPTY, EMPTY, ISOTROPIC)
    assert (nothing.dice, nothing.hd95_mm, nothing.n_reference) == (1, 0, 0)
    invented = lesion_wise(LARGE, EMPTY, ISOTROPIC)
    assert (invented.dice, invented.hd95_mm, invented.n_false_positive) == (0, 374, 1)


def test_a_prediction_beside_the_lesion_within_the_dilation_belongs_to_it() -> None:
    beside = np.roll(LARGE, 8, axis=0)  # two voxels of gap
    score = lesion_wise(beside, LARGE, ISOTROPIC)
    assert (score.n_false_negative, score.n_false_positive, score.dice) == (0, 0, 0)
    assert score.hd95_mm < 374
