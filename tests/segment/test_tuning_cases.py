from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from radiogen.cohort.masks import region_masks
from radiogen.config.postprocess import PostprocessSettings
from radiogen.errors import InputError
from radiogen.segment.postprocess import postprocess
from radiogen.segment.tuning_cases import LesionReference, TuneCase
from radiogen.stats.overlap import dice, lesion_wise
from tests.segment.tuning_data import made_up


def blobs(seed: int, share: float) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((18, 16, 14)), 1.3)
    return field > np.quantile(field, 1 - share) if share else np.zeros(field.shape, dtype=bool)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 1000),
    st.sampled_from([0, 0.02, 0.1, 0.3]),
    st.sampled_from([0, 0.02, 0.1, 0.3]),
    st.sampled_from([1.0, 8.0]),
)
def test_the_quick_lesion_dice_is_that_of_the_standard(
    seed: int, predicted: float, truth: float, voxel_mm3: float
) -> None:
    prediction, reference = blobs(seed, predicted), blobs(seed + 7, truth)
    side = voxel_mm3 ** (1 / 3)
    expected = lesion_wise(prediction, reference, (side, side, side)).dice
    assert LesionReference.of(reference, voxel_mm3).dice(prediction) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["dice", "lesion-dice"])
def test_cutting_a_case_to_its_tumour_changes_no_score(metric: str) -> None:
    p, reference = made_up(1)
    shape = (60, 50, 40)
    whole, truth = {name: np.zeros(shape, dtype=np.float32) for name in p}, np.zeros(shape, dtype=np.uint8)
    inner = np.s_[20:42, 15:35, 10:28]
    truth[inner] = reference
    for name in p:
        whole[name][inner] = np.where(p[name] > 0.04, p[name], 0)
    whole["wt"][2, 2, 2] = 0.9
    case = TuneCase.of("a", whole, truth, (1.0, 1.0, 1.0), lesion_wise=True)
    rules = PostprocessSettings.parse({"thresholds": {"et": 0.6}, "small_et": {"least_ml": 0.01}})
    found, expected = region_masks(postprocess(whole, rules, 0.001)), region_masks(truth)
    score = case.scores(rules, metric)
    for name in p:
        a, b = found[name], expected[name]
        exact = dice(a, b) if metric == "dice" else lesion_wise(a, b, (1.0, 1.0, 1.0)).dice
        assert score[name] == pytest.approx(exact, abs=1e-9)


def test_a_case_without_any_tumour_is_scored() -> None:
    nothing = {name: np.zeros((8, 8, 8), dtype=np.float32) for name in ("wt", "tc", "et")}
    case = TuneCase.of("a", nothing, np.zeros((8, 8, 8), dtype=np.uint8), (1.0, 1.0, 1.0), lesion_wise=True)
    for metric in ("dice", "lesion-dice"):
        assert case.scores(PostprocessSettings(), metric) == {"wt": 1, "tc": 1, "et": 1}


def test_only_regions_that_both_know_are_scored() -> None:
    p, reference = made_up(0)
    case = TuneCase.of("a", p, (reference > 0).astype(np.uint8), (1.0, 1.0, 1.0), regions=("wt",))
    assert list(case.scores(PostprocessSettings(), "dice")) == ["wt"]
    with pytest.raises(InputError, match="do not fit"):
        TuneCase.of("a", p, reference[:5], (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="do not fit"):
        TuneCase.of("a", {"tc": p["tc"]}, reference, (1.0, 1.0, 1.0), regions=("wt",))
