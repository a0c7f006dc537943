"""The BraTS 2023 lesion-wise rule on designed cases.

Source: rachitsaluja/BraTS-2023-Metrics, `eval.py` at 0e272e69. What each test takes from it:
- `get_LesionWiseScores`: `dilation_struct = generate_binary_structure(3, 2)` (the 18-neighbourhood), `iterations = dil_factor` (3 for BraTS-GLI);
  components by 26-neighbourhood; `pred_tmp*gt_tmp_dilation` (a predicted component belongs to a lesion whose dilation it touches); Dice and
  `compute_robust_hausdorff(..., 95)` of the undilated lesion against all of these components; `fp` are the components that no lesion touches.
- `get_LesionWiseResults`: lesions with `gt_lesion_vol <= 50` are not scored; infinite distances become 374; the sums are divided by
  `len(metric_df_thresh) + len(fp)`, with 374 per false positive; nothing to divide by gives Dice 1 and HD95 0.
Expected values are derived by hand from these lines.
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


def test_lesions_merge_up_to_six_voxels_apart() -> None:
    # Three dilations from each side fill six voxels; the dilated masks then touch. Across seven, one voxel stays free.
    first = box((2, 2, 2), (5, 5, 5))
    for gap, lesions in ((6, 1), (7, 2)):
        both = first | box((7 + gap, 2, 2), (5, 5, 5))
        assert lesion_wise(both, both, ISOTROPIC).n_reference == lesions


@pytest.mark.parametrize(
    ("offset", "belongs"),
    [
        ((3, 0, 0), True),
        ((4, 0, 0), False),
        ((3, 3, 0), True),
        ((2, 2, 2), True),
        ((3, 2, 2), False),
        ((3, 3, 3), False),
    ],
)
def test_the_dilation_is_by_the_eighteen_neighbourhood(offset: tuple[int, int, int], belongs: bool) -> None:
    # A step of the 18-neighbourhood moves along two axes at most: three steps reach no more than six in sum and three along one axis.
    corner = box((2, 2, 2), (6, 6, 6))
    at = tuple(7 + side for side in offset)
    score = lesion_wise(box((at[0], at[1], at[2]), (1, 1, 1)), corner, ISOTROPIC)
    assert (score.n_false_negative, score.n_false_positive) == ((0, 0) if belongs else (1, 1))


def test_predicted_voxels_that_touch_by_a_corner_are_one_false_positive() -> None:
    stairs = box((20, 20, 20), (1, 1, 1)) | box((21, 21, 21), (1, 1, 1)) | box((22, 22, 22), (1, 1, 1))
    score = lesion_wise(LARGE | stairs, LARGE, ISOTROPIC)
    assert (score.n_false_positive, score.dice) == (1, 0.5)


def test_only_lesions_that_are_too_small_to_score_count_as_nothing_to_find() -> None:
    score = lesion_wise(EMPTY, box((20, 20, 20), (5, 5, 2)), ISOTROPIC)
    assert (score.dice, score.hd95_mm, score.n_reference, score.n_false_negative) == (1, 0, 0, 0)


def test_the_distance_is_the_larger_direction_and_weighs_area() -> None:
    """A bar of 100 voxels of which the prediction has the first 90.

    Surface points are the corners of voxels, layers z = 0..100 of four each. A corner on the side of the bar has sqrt(1/2) mm2 of surface around it,
    one at an end sqrt(3)/8. The last layers are z - 90 mm from the prediction. All area is 99 x 4 x 0.7071 + 8 x 0.2165 = 281.75 mm2, 95 % of it
    267.66; the layers up to z have 0.866 + 2.8284 z, which reaches it first at z = 95: 5 mm. From prediction to reference every distance is 0.
    """
    shape = (3, 3, 102)
    reference, prediction = box((1, 1, 1), (1, 1, 100), shape), box((1, 1, 1), (1, 1, 90), shape)
    for one, other in ((prediction, reference), (reference, prediction)):
        score = lesion_wise(one, other, ISOTROPIC)
        assert score.hd95_mm == 5
        assert score.dice == pytest.approx(2 * 90 / (90 + 100))
    # Together with a false positive: the mean of 5 and 374 mm.
    wide = (3, 12, 102)
    bars = [box((1, 1, 1), (1, 1, length), wide) for length in (100, 90)]
    assert lesion_wise(bars[1] | box((1, 10, 50), (1, 1, 1), wide), bars[0], ISOTROPIC).hd95_mm == pytest.approx(
        (5 + 374) / 2
    )
