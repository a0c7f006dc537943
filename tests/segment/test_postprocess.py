from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.cohort.masks import region_masks
from radiogen.config.postprocess import (
    ComponentRule,
    EnhancementDecision,
    EnhancementRatio,
    PostprocessSettings,
    SmallEnhancement,
)
from radiogen.errors import InputError
from radiogen.segment.network import regions_to_labels
from radiogen.segment.postprocess import conflict_table, kept_components, postprocess
from radiogen.types import ED, ET, NCR, RC

VOXEL_ML = 0.001


def probabilities(seed: int = 0, shape: tuple[int, int, int] = (7, 8, 6)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape, dtype=np.float32) for name in ("wt", "tc", "et")}


def nested(wt: int = 10, tc: int = 6, et: int = 3, high: float = 0.9) -> dict[str, np.ndarray]:
    """Cubes one in the other, certain to `high`."""
    out = {}
    for name, size in (("wt", wt), ("tc", tc), ("et", et)):
        out[name] = np.full((16, 16, 16), 0.05, dtype=np.float32)
        out[name][2 : 2 + size, 2 : 2 + size, 2 : 2 + size] = high
    return out


def count(labels: np.ndarray, label: int) -> int:
    return int((labels == label).sum())


@settings(deadline=None)
@given(st.integers(0, 50), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_the_defaults_write_one_region_over_the_other(seed: int, core: float, enhancing: float) -> None:
    p = {**probabilities(seed), "rc": probabilities(seed + 99)["wt"]}
    thresholds = {"tc": core, "et": enhancing}
    expected = regions_to_labels(p, thresholds)
    assert np.array_equal(postprocess(p, PostprocessSettings(thresholds=thresholds), VOXEL_ML), expected)


@settings(deadline=None)
@given(st.integers(0, 50))
def test_outer_wins_never_reaches_beyond_the_whole_tumour(seed: int) -> None:
    p = probabilities(seed)
    labels = postprocess(p, PostprocessSettings(nested="outer-wins"), VOXEL_ML)
    found = region_masks(labels)
    assert np.array_equal(found["wt"], p["wt"] > 0.5)
    assert np.array_equal(found["tc"], (p["wt"] > 0.5) & (p["tc"] > 0.5))
    assert np.array_equal(found["et"], (p["wt"] > 0.5) & (p["tc"] > 0.5) & (p["et"] > 0.5))


@settings(deadline=None)
@given(
    st.integers(0, 30),
    st.sampled_from(["inner-wins", "outer-wins"]),
    st.integers(0, 6),
    st.sampled_from(["outer", "ncr", "next-class", "background"]),
)
def test_rules_only_take_away_from_a_region(seed: int, order: str, voxels: int, becomes: str) -> None:
    p = probabilities(seed)
    plain = PostprocessSettings.parse({"nested": order})
    strict = PostprocessSettings.parse(
        {
            "nested": order,
            "components": {name: {"smallest_voxels": voxels} for name in p},
            "small_et": {"least_voxels": 10 * voxels, "becomes": becomes},
        }
    )
    before, after = (region_masks(postprocess(p, settings, VOXEL_ML)) for settings in (plain, strict))
    for name in ("wt", "et"):
        assert not (after[name] & ~before[name]).any()
    assert not (after["et"] & ~after["tc"]).any()


def test_no_conflict_gives_the_labels_of_nested_regions() -> None:
    for order in ("inner-wins", "outer-wins"):
        table = conflict_table(PostprocessSettings.parse({"nested": order}))
        assert table[[0, 1, 3, 7]].tolist() == [0, ED, NCR, ET]


def test_an_absent_outer_region_is_where_the_inner_ones_are() -> None:
    p = nested()
    labels = postprocess({"et": p["et"]}, PostprocessSettings(nested="outer-wins"), VOXEL_ML)
    assert count(labels, ET) == 27
    labels = postprocess({"wt": p["wt"]}, PostprocessSettings(), VOXEL_ML)
    assert count(labels, ED) == 1000


def test_small_islands_go_and_their_inside_with_them() -> None:
    p = nested()
    for name in ("wt", "tc", "et"):
        p[name][14, 14, 13:15] = 0.9  # an island of two enhancing voxels
    p["et"][11, 11, 11] = 0.9  # one enhancing voxel in the oedema
    settings = PostprocessSettings.parse({"components": {"wt": {"smallest_ml": 0.003}, "et": {"smallest_voxels": 2}}})
    labels = postprocess(p, settings, VOXEL_ML)
    assert count(labels, ET) == 27
    assert labels[11, 11, 11] == ED
    assert not labels[14, 14].any()


def test_a_dropped_core_becomes_oedema() -> None:
    labels = postprocess(nested(), PostprocessSettings(components={"tc": ComponentRule(smallest_ml=1)}), VOXEL_ML)
    assert set(np.unique(labels)) == {0, ED}


def test_components_by_mean_probability_and_number() -> None:
    mask = np.zeros((12, 4, 4), dtype=bool)
    mask[0:2], mask[4:7], mask[9] = True, True, True
    p = np.where(np.arange(12)[:, None, None] < 3, 0.9, 0.6) * mask
    sure = kept_components(mask, p, ComponentRule(least_mean_probability=0.7), VOXEL_ML)
    assert np.flatnonzero(sure.any(axis=(1, 2))).tolist() == [0, 1]
    largest = kept_components(mask, p, ComponentRule(most=2), VOXEL_ML)
    assert np.flatnonzero(largest.any(axis=(1, 2))).tolist() == [0, 1, 4, 5, 6]
    none = kept_components(mask, p, ComponentRule(most=1, smallest_voxels=100), VOXEL_ML)
    assert not none.any()


@pytest.mark.parametrize(("becomes", "label"), [("ncr", NCR), ("outer", NCR), ("background", 0), ("next-class", 0)])
def test_little_enhancement_becomes_what_was_asked(becomes: str, label: int) -> None:
    # Where all regions are equally sure, core and oedema have no probability of their own: the next class is background.
    p = nested()
    settings = PostprocessSettings.parse({"small_et": {"least_ml": 0.0271, "becomes": becomes}})
    labels = postprocess(p, settings, VOXEL_ML)
    assert count(labels, ET) == 0
    assert labels[3, 3, 3] == label
    kept = postprocess(p, PostprocessSettings(small_et=SmallEnhancement(least_ml=0.0269)), VOXEL_ML)
    assert count(kept, ET) == 27


def test_the_next_class_is_the_most_probable_one_left() -> None:
    p = {"wt": np.full((1, 1, 3), 0.95), "tc": np.array([[[0.9, 0.6, 0.55]]]), "et": np.array([[[0.55, 0.58, 0.51]]])}
    rules = EnhancementDecision(et_at_most_ml=1.0, ncr_above_ml=0.0)
    labels = postprocess(
        {**p, "et": np.where(np.arange(3) < 2, p["et"], 0.1)}, PostprocessSettings(et_decision=rules), 0.001
    )
    assert labels.tolist() == [[[NCR, ED, NCR]]]


def test_little_enhancement_stays_where_the_necrosis_is_small() -> None:
    p = nested()
    for above_ml, expected in ((0.188, 0), (0.19, 27)):  # the core holds 216 - 27 = 189 voxels of necrosis
        rules = EnhancementDecision(et_at_most_ml=0.0271, ncr_above_ml=above_ml)
        assert count(postprocess(p, PostprocessSettings(et_decision=rules), VOXEL_ML), ET) == expected


def test_the_ratio_is_that_of_volumes_and_the_voxel_size_does_not_matter() -> None:
    p = nested()
    for least, expected in ((0.026, 27), (0.028, 0)):
        settings = PostprocessSettings(et_ratio=EnhancementRatio(least=least))
        for voxel_ml in (0.001, 0.008):
            assert count(postprocess(p, settings, voxel_ml), ET) == expected


def test_a_cavity_fills_only_what_is_no_tumour() -> None:
    p = {**nested(), "rc": np.full((16, 16, 16), 0.1, dtype=np.float32)}
    p["rc"][8:14, 8:14, 8:14] = 0.9
    p["rc"][0, 0, 0] = 0.9
    labels = postprocess(p, PostprocessSettings(components={"rc": ComponentRule(smallest_voxels=2)}), VOXEL_ML)
    assert count(labels, RC) == 6**3 - 4**3
    assert labels[8, 8, 8] == ED
    assert labels[0, 0, 0] == 0


def test_clusters_have_their_own_thresholds() -> None:
    p = nested(high=0.6)
    settings = PostprocessSettings.parse({"clusters": {"1": {"thresholds": {"et": 0.7}}}})
    assert count(postprocess(p, settings, VOXEL_ML), ET) == 27
    assert count(postprocess(p, settings, VOXEL_ML, cluster=1), ET) == 0


def test_half_precision_as_stored_is_accepted_and_nothing_found_is_empty() -> None:
    p = {name: values.astype(np.float16) for name, values in nested().items()}
    assert count(postprocess(p, PostprocessSettings(), VOXEL_ML), ET) == 27
    assert not postprocess(p, PostprocessSettings(thresholds=dict.fromkeys(p, 0.95)), VOXEL_ML).any()


def test_what_cannot_be_used_is_refused() -> None:
    p = nested()
    with pytest.raises(InputError, match="shapes differ: wt"):
        postprocess({"wt": p["wt"], "et": p["et"][:4]}, PostprocessSettings(), VOXEL_ML)
    with pytest.raises(InputError, match="unknown region 'core'"):
        postprocess({"wt": p["wt"], "core": p["tc"]}, PostprocessSettings(), VOXEL_ML)
    with pytest.raises(InputError, match="no tumour region"):
        postprocess({}, PostprocessSettings(), VOXEL_ML)
    with pytest.raises(InputError, match="three axes"):
        postprocess({"wt": p["wt"][0]}, PostprocessSettings(), VOXEL_ML)


@pytest.mark.benchmark
def test_a_whole_head_takes_about_a_second() -> None:
    shape = (240, 240, 155)
    distance = np.linalg.norm(np.indices(shape).reshape(3, -1).T - np.array([100, 120, 80]), axis=1).reshape(shape)
    p = {
        name: (1 / (1 + np.exp((distance - r) / 2))).astype(np.float32)
        for name, r in (("wt", 40), ("tc", 28), ("et", 20))
    }
    settings = PostprocessSettings.parse(
        {
            "components": {name: {"smallest_ml": 0.1, "least_mean_probability": 0.6} for name in p},
            "small_et": {"least_ml": 0.2},
        }
    )
    postprocess(p, settings, VOXEL_ML)
    start = perf_counter()
    postprocess(p, settings, VOXEL_ML)
    seconds = perf_counter() - start
    print(f"{seconds:.2f} s")
    assert seconds < 2
