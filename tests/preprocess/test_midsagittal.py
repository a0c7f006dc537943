from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from radiogen.cohort.nifti import Grid
from radiogen.errors import CaseError
from radiogen.preprocess.midsagittal import Midplane, find_midplane, mirror_labels

SHAPE = (64, 76, 24)
AFFINE = np.array([[3.0, 0, 0, -96], [0, 3.0, 0, -114], [0, 0, 6.0, -72], [0, 0, 0, 1.0]])
GRID = Grid(SHAPE, AFFINE)


def head(yaw: float = 0.0, roll: float = 0.0, shift_mm: float = 0.0) -> np.ndarray:
    """A symmetric head of symmetric textures, turned and shifted by known amounts; zero around it."""
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.normal(size=(60, 60, 60)), 2.5)
    texture = texture + texture[::-1]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1).reshape(-1, 3)
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3] - [shift_mm, 0, 0]
    c, s = np.cos(yaw), np.sin(yaw)
    d, e = np.cos(roll), np.sin(roll)
    right = np.array([c * d, s * d, e])
    forward = np.array([-s, c, 0.0])
    up = np.cross(right, forward)
    own = world @ np.stack([right, forward, up], axis=1)
    inside = (own / [70, 88, 62]) ** 2
    values = 300 + 2500 * map_coordinates(texture, (own / 3.2 + 29.5).T, order=1, mode="nearest")
    return np.where(inside.sum(axis=1) < 1, values.clip(50), 0).reshape(SHAPE).astype(np.float32)


def ball(centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    return np.linalg.norm(world - np.array(centre_mm), axis=-1) < radius_mm


@pytest.mark.parametrize(("yaw", "roll", "shift"), [(10.0, -6.0, 7.0), (-13.0, 11.0, -9.0)])
def test_a_turned_and_shifted_head_has_its_plane_found_although_a_tumour_breaks_the_symmetry(
    yaw: float, roll: float, shift: float
) -> None:
    image = head(np.deg2rad(yaw), np.deg2rad(roll), shift)
    tumour = ball((30 + shift, 10, 5), 22)
    image[tumour] = 900
    plane = find_midplane({"t2f": image}, tumour, GRID)
    a, b = np.deg2rad([yaw, roll])
    true = np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)])
    angle = np.rad2deg(np.arccos(np.clip(np.array(plane.normal) @ true, -1, 1)))
    assert angle < 1.5
    assert abs(plane.offset_mm - true @ [shift, 0, 0]) < 1.5
    assert plane.symmetry > 0.95


def test_without_symmetry_the_case_says_so() -> None:
    noise = np.random.default_rng(0).normal(100, 30, SHAPE).astype(np.float32)
    slope = noise + np.linspace(0, 900, SHAPE[0], dtype=np.float32)[:, None, None]
    with pytest.raises(CaseError, match="No plane of symmetry"):
        find_midplane({"t1n": slope}, np.zeros(SHAPE, dtype=bool), GRID)


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-8, 8), st.integers(0, 100))
def test_mirroring_keeps_the_volume_and_twice_gives_the_tumour_back(
    yaw: float, roll: float, offset: float, seed: int
) -> None:
    normal = np.array([np.cos(yaw) * np.cos(roll), np.sin(yaw) * np.cos(roll), np.sin(roll)])
    plane = Midplane((float(normal[0]), float(normal[1]), float(normal[2])), offset, 1.0)
    x, y, z = np.random.default_rng(seed).uniform([20, -30, -15], [35, 30, 15])
    labels = ball((x, y, z), 20).astype(np.uint8)
    labels[ball((x, y, z), 10)] = 3
    mirrored = mirror_labels(labels, GRID, plane)
    assert mirrored.sum(dtype=float) == pytest.approx(labels.sum(dtype=float), rel=0.12)
    centre = np.argwhere(mirrored == 3).mean(axis=0) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    own = np.argwhere(labels == 3).mean(axis=0) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    assert np.linalg.norm(centre - plane.mirrored(own[None])[0]) < 2.5
    back = mirror_labels(mirrored, GRID, plane) > 0
    both = back & (labels > 0)
    assert 2 * both.sum() / (back.sum() + (labels > 0).sum()) > 0.8


def test_a_mirror_image_outside_the_field_of_view_is_empty() -> None:
    labels = ball((40, 0, 0), 10).astype(np.uint8)
    assert not mirror_labels(labels, GRID, Midplane((1.0, 0.0, 0.0), 400.0, 1.0)).any()
    assert not mirror_labels(np.zeros(SHAPE, dtype=np.uint8), GRID, Midplane((1.0, 0.0, 0.0), 0.0, 1.0)).any()
