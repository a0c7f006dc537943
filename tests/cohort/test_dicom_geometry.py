"""Stacks of planes at random places in the world: the grid puts every voxel where its plane puts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from radiogen.cohort.dicom_geometry import (
    Plane,
    heights_mm,
    plane_name,
    plane_problem,
    same_places,
    stack_grid,
    stack_problems,
)

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def stack(
    rotation: np.ndarray, origin=(0.0, 0.0, 0.0), spacing=(1.0, 0.8), step=3.0, slices=5, shape=(6, 7)
) -> list[Plane]:
    row, column, normal = rotation[:, 0], rotation[:, 1], np.cross(rotation[:, 0], rotation[:, 1])
    return [
        Plane(tuple((np.array(origin) + k * step * normal).tolist()), tuple(row.tolist()), tuple(column.tolist()), spacing, shape)
        for k in range(slices)
    ]  # fmt: skip


def world_ras(plane: Plane, row: int, column: int) -> np.ndarray:
    lps = (
        np.array(plane.position_mm)
        + np.array(plane.row_direction) * plane.spacing_mm[1] * column
        + np.array(plane.column_direction) * plane.spacing_mm[0] * row
    )
    return lps * LPS_TO_RAS


@settings(max_examples=60, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    spacing=st.tuples(st.floats(0.3, 6), st.floats(0.3, 6)),
    step=st.floats(0.5, 12),
    seed=st.integers(0, 1000),
)
def test_every_voxel_lies_where_its_plane_puts_it(angles, origin, spacing, step, seed) -> None:
    planes = stack(Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), origin, spacing, step)
    shuffled = [planes[k] for k in np.random.default_rng(seed).permutation(len(planes))]
    order = [place[0] for place in same_places(heights_mm(shuffled).tolist())]
    back = [shuffled[k] for k in order]
    assert stack_problems(back) == []
    grid = stack_grid(back)
    for k, plane in enumerate(back):
        for row, column in ((0, 0), (5, 6), (2, 3)):
            found = (grid.affine @ [column, row, k, 1.0])[:3]
            np.testing.assert_allclose(found, world_ras(plane, row, column), atol=1e-6)
    assert grid.shape == (7, 6, 5)


@pytest.mark.parametrize(
    ("angles", "name"),
    [
        ((0, 0, 0), "axial"),
        ((20, 10, 0), "axial"),
        ((90, 0, 0), "coronal"),
        ((-75, 0, 0), "coronal"),
        ((0, 90, 0), "sagittal"),
        ((45, 0, 0), "oblique"),
    ],
)
def test_plane_names(angles: tuple[int, int, int], name: str) -> None:
    assert plane_name(stack(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())[0]) == name


def test_gaps_are_counted() -> None:
    planes = stack(np.eye(3), step=2.0, slices=12)
    assert stack_problems(planes[:4] + planes[6:]) == [
        "uneven slice spacing: 6.00 mm between slice 4 and 5 where 2.00 mm is usual (2 slice(s) missing)"
    ]
    wobbling = [replace(plane, position_mm=(0.0, 0.0, 2.0 * k + 0.8 * (k % 2))) for k, plane in enumerate(planes)]
    assert stack_problems(wobbling)[-1].startswith("uneven slice spacing at ")
    assert len(stack_problems(wobbling)) == 4


def test_rounding_of_positions_is_no_gap() -> None:
    planes = [replace(plane, position_mm=(0.0, 0.0, round(k * 1.2345, 2))) for k, plane in enumerate(stack(np.eye(3)))]
    assert stack_problems(planes) == []


def test_a_sheared_stack_is_a_problem() -> None:
    sheared = [replace(plane, position_mm=(0.5 * k, 0.0, 3.0 * k)) for k, plane in enumerate(stack(np.eye(3)))]
    assert stack_problems(sheared) == [
        "slices are shifted sideways against each other by up to 2.0 mm (a sheared stack)"
    ]


def test_one_slice_is_no_volume() -> None:
    assert stack_problems(stack(np.eye(3), slices=1)) == ["it has one slice; a volume has two or more"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": (0, 5)}, "0 rows"),
        ({"shape": (60_000, 5)}, "60000 rows"),
        ({"position_mm": (0.0, float("nan"), 0.0)}, "not a finite number"),
        ({"position_mm": (0.0, 1e9, 0.0)}, "further than"),
        ({"spacing_mm": (0.0, 1.0)}, "pixel spacing is 0 x 1 mm"),
        ({"row_direction": (2.0, 0.0, 0.0)}, "unit vectors"),
        ({"row_direction": (0.0, 1.0, 0.0)}, "unit vectors"),
        ({}, ""),
    ],
)
def test_planes_that_cannot_be_placed(change: dict, reason: str) -> None:
    problem = plane_problem(replace(stack(np.eye(3))[0], **change))
    assert reason in problem
    assert bool(problem) == bool(reason)
