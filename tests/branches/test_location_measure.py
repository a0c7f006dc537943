"""The place of tumours whose place is known, and what they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from radiogen.branches.location.anatomy import template_maps, values_at
from radiogen.branches.location.measure import composition, outside_brain, place, region_points
from radiogen.cohort.nifti import Grid
from tests.branches.location_cases import AFFINE, GRID, sphere

LEFT_FRONTAL = (-30.0, 35.0, 20.0)


def placed(labels: np.ndarray) -> dict[str, float]:
    return place(region_points(labels > 0, GRID, np.eye(4)), 0.05, None)


def test_a_left_frontal_ball_lies_where_it_was_put() -> None:
    found = placed(sphere(LEFT_FRONTAL, 12.0))
    assert [found[f"centroid_{axis}_mm"] for axis in "xyz"] == pytest.approx(LEFT_FRONTAL, abs=1e-6)
    assert (found["left_fraction"], found["right_fraction"], found["laterality_index"]) == (1.0, 0.0, 1.0)
    assert found["crosses_midline"] == 0.0
    assert found["midline_distance_mm"] == pytest.approx(18.0)
    assert found["grey_matter_fraction"] + found["white_matter_fraction"] == pytest.approx(0.9, abs=0.15)
    assert found["ventricle_fraction"] == 0.0


def test_distances_agree_with_those_of_all_voxels() -> None:
    maps, labels = template_maps(), sphere(LEFT_FRONTAL, 6.0)
    found = placed(labels)
    inside = np.argwhere(labels > 0)
    for name, target in (("ventricle", maps.ventricles > 0), ("surface", ~maps.brain)):
        expected = cKDTree(np.argwhere(target[:110, 110:])).query(inside - (0, 110, 0))[0].min()
        assert found[f"{name}_distance_mm"] == pytest.approx(expected, abs=1e-4)


def test_a_ball_on_the_midline_crosses_it_and_reaches_the_third_ventricle() -> None:
    found = placed(sphere((0.0, -15.0, 4.0), 8.0))
    assert (found["left_fraction"], found["crosses_midline"], found["laterality_index"]) == (0.5, 1.0, 0.0)
    assert (found["midline_distance_mm"], found["ventricle_distance_mm"]) == (0.0, 0.0)
    assert found["ventricle_fraction"] > 0.05


@pytest.mark.parametrize(("x", "crosses"), [(-12.0, 0.0), (-9.0, 0.0), (-7.0, 1.0)])
def test_a_small_share_on_the_other_side_does_not_count_as_crossing(x: float, crosses: float) -> None:
    # A cap of height 1 of a ball of radius 10 holds 0.7 % of it, one of height 3 holds 6 %.
    found = placed(sphere((x, 0.0, 50.0), 10.0))
    assert found["crosses_midline"] == crosses
    assert found["midline_distance_mm"] == max(0.0, -x - 10.0)


def test_points_off_the_brain_are_seen() -> None:
    assert outside_brain(region_points(sphere(LEFT_FRONTAL, 8.0) > 0, GRID, np.eye(4))) == 0.0
    assert outside_brain(region_points(sphere((-80.0, 70.0, 60.0), 8.0) > 0, GRID, np.eye(4))) == 1.0


def test_the_middle_of_the_lateral_ventricle_is_ventricle_and_that_of_white_matter_is_not() -> None:
    maps = template_maps()
    points = np.array(
        [[14.0, -15.0, 23.0], [-14.0, -15.0, 23.0], [0.0, -45.0, -32.0], [28.0, -20.0, 28.0], [40.0, -10.0, 10.0]]
    ).T
    assert values_at(maps.ventricles, maps.grid, points).tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert values_at(maps.white, maps.grid, points)[3] > 0.9


def test_ventricles_are_even_and_apart_from_the_surface() -> None:
    maps = template_maps()
    assert np.array_equal(maps.ventricles, maps.ventricles[::-1])
    assert maps.surface_mm[maps.ventricles > 0].min() > 5


@settings(max_examples=12, deadline=None)
@given(x=st.integers(-45, 45), y=st.integers(-60, 40), z=st.integers(-10, 45), radius=st.floats(4.0, 12.0))
def test_a_mirrored_tumour_has_mirrored_columns(x: int, y: int, z: int, radius: float) -> None:
    found = placed(sphere((float(x), float(y), float(z)), radius))
    mirrored = placed(sphere((float(-x), float(y), float(z)), radius))
    signs = {"centroid_x_mm": -1, "laterality_index": -1}
    swapped = {"left_fraction": "right_fraction", "right_fraction": "left_fraction"}
    for name, value in found.items():
        expected = signs.get(name, 1) * mirrored[swapped.get(name, name)]
        assert value == pytest.approx(expected, abs=1e-5), name


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(*[st.floats(0.5, 6.0)] * 3))
def test_points_fill_a_region_evenly_whatever_its_voxels(size: tuple[float, float, float]) -> None:
    grid = Grid((4, 4, 4), np.diag([*size, 1.0]))
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[1:3, 1, 2] = True
    points = region_points(mask, grid, np.eye(4))
    assert points.mean(axis=1) == pytest.approx(np.array([1.5, 1.0, 2.0]) * size)
    assert (
        np.abs(points - (np.array([1.5, 1.0, 2.0]) * size)[:, None])
        <= np.array([1.0, 0.5, 0.5])[:, None] * np.array(size)[:, None]
    ).all()
    assert points.shape[1] == 2 * np.prod([max(1, round(one)) for one in size])


def test_ratios_are_those_of_the_volumes() -> None:
    labels = sphere(LEFT_FRONTAL, 12.0)
    found = composition(labels, GRID, 0.1, whole_only=False)
    ncr, ed, et = ((labels == value).sum() for value in (1, 2, 3))
    assert found["tc_wt_volume_ratio"] == (ncr + et) / (ncr + ed + et)
    assert found["et_wt_volume_ratio"] == et / (ncr + ed + et)
    assert found["ncr_tc_volume_ratio"] == ncr / (ncr + et)
    assert found["et_tc_volume_ratio"] == et / (ncr + et)
    assert found["ed_wt_volume_ratio"] == ed / (ncr + ed + et)
    assert (found["wt_lesion_count"], found["wt_largest_lesion_fraction"], found["wt_multifocal"]) == (1.0, 1.0, 0.0)
    assert found["et_focus_count"] == 1.0


def test_lesions_are_counted_from_a_size_on_and_touch_by_corners() -> None:
    grid = Grid((12, 3, 3), np.diag([5.0, 5.0, 5.0, 1.0]))  # 0.125 ml
    labels = np.zeros((12, 3, 3), dtype=np.uint8)
    labels[0, 0, 0], labels[1, 1, 1] = 3, 2  # one lesion by a corner
    labels[4:7, 0, 0] = 3
    labels[9, 0, 0] = 2
    found = composition(labels, grid, 0.2, whole_only=False)
    assert (found["wt_lesion_count"], found["et_focus_count"], found["wt_multifocal"]) == (2.0, 1.0, 1.0)
    assert found["wt_largest_lesion_fraction"] == pytest.approx(3 / 6)
    assert composition(labels, grid, 0.1, whole_only=False)["wt_lesion_count"] == 3.0


def test_nothing_enhancing_is_a_ratio_of_0_and_no_core_makes_its_own_ratios_blank() -> None:
    found = composition(
        np.where(sphere(LEFT_FRONTAL, 6.0) > 0, 2, 0).astype(np.uint8), Grid(GRID.shape, AFFINE), 0.1, whole_only=False
    )
    assert (found["et_wt_volume_ratio"], found["ed_wt_volume_ratio"], found["et_focus_count"]) == (0.0, 1.0, 0.0)
    assert np.isnan([found["ncr_tc_volume_ratio"], found["et_tc_volume_ratio"]]).all()
