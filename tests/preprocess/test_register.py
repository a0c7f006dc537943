from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff
from scipy.ndimage import gaussian_filter

from radiogen.cohort.nifti import Grid, Image, read_image, read_labels
from radiogen.errors import ConfigError, GeometryError, ImageError
from radiogen.preprocess.poses import scaling
from radiogen.preprocess.register import (
    is_stripped,
    normalised_mutual_information,
    pose,
    register,
    resample_onto,
    rigid,
)
from radiogen.preprocess.resample import resample, resized_shape


def made_up(n: int = 30, voxel_mm: float = 5.0) -> Image:
    """A blob of blurred noise on an empty background."""
    rng = np.random.default_rng(3)
    texture = gaussian_filter(rng.normal(size=(n, n + 4, n - 3)), 2)
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in texture.shape], indexing="ij")
    inside = sum((axis / radius) ** 2 for axis, radius in zip(axes, (0.6, 0.7, 0.65), strict=True)) < 1
    data = np.where(inside, 2 + texture / texture.std(), 0).astype(np.float32)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = (-70.0, -80.0, -60.0)
    return Image(data, Grid((data.shape[0], data.shape[1], data.shape[2]), affine))


def coarse(image: Image, voxel_mm: float = 2.0) -> Image:
    """The image on coarser voxels (thick slices stay as thick as they are) that share its centre."""
    size = image.grid.voxel_size_mm
    new = (max(size[0], voxel_mm), max(size[1], voxel_mm), max(size[2], voxel_mm))
    shape = resized_shape(image.data.shape, size, new)
    affine = image.affine.copy()
    affine[:3, :3] *= np.array(new) / size
    affine[:3, 3] = middle(image) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Image(resample(image.data, size, new, shape), Grid(shape, affine))


def middle(image: Image) -> np.ndarray:
    return np.asarray(image.affine[:3, :3] @ ((np.array(image.data.shape) - 1) / 2) + image.affine[:3, 3])


def moved(image: Image, matrix: np.ndarray) -> Image:
    """The same voxels at other world positions: the truth is exact, nothing is interpolated."""
    i, j, k = image.data.shape
    return Image(image.data, Grid((i, j, k), matrix @ image.affine))


def misalignment(seed: int, centre: np.ndarray, turn_deg: float = 20.0, shift_mm: float = 20.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angles, shift = rng.normal(size=3), rng.normal(size=3)
    angles *= turn_deg / np.linalg.norm(angles)
    shift *= shift_mm / np.linalg.norm(shift)
    return rigid(tuple(map(float, angles)), tuple(map(float, shift)), centre)


def errors(found: np.ndarray, truth: np.ndarray, centre: np.ndarray) -> tuple[float, float]:
    """Mean distance between where both put points within 50 mm of the centre, and the angle between them."""
    offsets = np.array([[x, y, z] for x in (-50, 0, 50) for y in (-50, 0, 50) for z in (-50, 0, 50)], dtype=float)
    points = centre + offsets * (50 / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 50))
    apart = points @ (found - truth)[:3, :3].T + (found - truth)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).mean()), pose(found @ np.linalg.inv(truth))[0]


@lru_cache(maxsize=4)
def pair(folder: Path, skull: bool) -> tuple[Image, Image]:
    stem = "lgg/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_" if skull else "BraTS-GLI-00000-000/BraTS-GLI-00000-000-"
    first, second = (read_image(folder / "mri" / f"{stem}{name}.nii.gz") for name in ("t1c", "t2f"))
    return coarse(first), coarse(second)


@pytest.mark.real_data
@pytest.mark.parametrize("skull", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_known_misalignment_of_two_real_sequences_is_found(shared_data: Path, skull: bool, seed: int) -> None:
    fixed, moving = pair(shared_data, skull)
    truth = misalignment(seed, middle(fixed))
    found = register(fixed, moved(moving, truth))
    error_mm, error_deg = errors(found.matrix, truth, middle(fixed))
    assert error_mm < 1
    assert error_deg < 1
    assert found.similarity_after > found.similarity_before
    assert found.problems == ()


@pytest.mark.real_data
def test_full_resolution_is_registered_as_well(shared_data: Path) -> None:
    folder = shared_data / "mri" / "BraTS-GLI-00000-000"
    fixed, moving = (read_image(folder / f"{folder.name}-{name}.nii.gz") for name in ("t1c", "t2f"))
    truth = misalignment(7, middle(fixed))
    error_mm, error_deg = errors(register(fixed, moved(moving, truth)).matrix, truth, middle(fixed))
    assert error_mm < 0.5
    assert error_deg < 0.5


@pytest.mark.real_data
def test_a_head_meets_its_own_brain_from_another_world(shared_data: Path) -> None:
    """The published brain of this patient lies 200 mm away from the raw scan; a few voxels touch, and must not attract."""
    brain = coarse(read_image(shared_data / "mri/TCGA-FG-6692/TCGA-FG-6692_t1c_bet.nii.gz"))
    head = coarse(read_image(shared_data / "mri/TCGA-FG-6692_raw/t1c.nii.gz"))
    there, back = register(brain, head), register(head, brain)
    assert there.problems == back.problems == ()
    assert there.similarity_after > 1.2
    error_mm, error_deg = errors(back.matrix @ there.matrix, np.eye(4), middle(brain))
    assert error_mm < 0.1
    assert error_deg < 0.1


def test_same_seed_same_bytes() -> None:
    fixed = made_up()
    moving = moved(Image(-fixed.data, fixed.grid), misalignment(1, middle(fixed), 10, 10))
    first, second = (register(fixed, moving, seed=5) for _ in range(2))
    assert first.matrix.tobytes() == second.matrix.tobytes()


@settings(max_examples=6, deadline=None)
@given(order=st.permutations([0, 1, 2]), flips=st.tuples(*[st.sampled_from([-1, 1])] * 3))
def test_storage_order_does_not_matter(order: list[int], flips: tuple[int, int, int]) -> None:
    fixed = made_up()
    moving = moved(fixed, misalignment(2, middle(fixed), 8, 9))
    ornt = np.column_stack([order, flips]).astype(float)
    stored = apply_orientation(moving.data, ornt)
    grid = Grid(tuple(stored.shape), moving.affine @ inv_ornt_aff(ornt, moving.data.shape))
    np.testing.assert_allclose(register(fixed, Image(grid.to_canonical(stored), grid)).matrix, REFERENCE(), atol=1e-6)


@lru_cache(maxsize=1)
def REFERENCE() -> np.ndarray:  # noqa: N802
    fixed = made_up()
    return register(fixed, moved(fixed, misalignment(2, middle(fixed), 8, 9))).matrix


def test_an_affine_change_is_found() -> None:
    fixed = made_up()
    truth = misalignment(4, middle(fixed), 8, 8) @ np.diag([1.08, 0.95, 1.05, 1.0])
    found = register(fixed, moved(fixed, truth), kind="affine")
    assert errors(found.matrix, truth, middle(fixed))[0] < 1.0


def test_unrelated_images_are_reported() -> None:
    fixed = made_up()
    noise = np.random.default_rng(1).normal(10, 1, fixed.data.shape).astype(np.float32)
    assert register(fixed, Image(noise, fixed.grid)).problems != ()


def test_wrong_input_is_refused() -> None:
    image = made_up(16)
    with pytest.raises(ConfigError):
        register(image, image, kind="elastic")
    with pytest.raises(ConfigError):
        resample_onto(image, image.grid, np.eye(4), interpolation="cubic")
    with pytest.raises(ImageError):
        register(image, Image(np.zeros_like(image.data), image.grid))
    with pytest.raises(GeometryError):
        register(image, image, fixed_mask=np.ones((3, 3, 3), bool))
    with pytest.raises(ImageError):
        register(image, image, moving_mask=np.zeros(image.data.shape, bool))


def test_stripped_and_whole_heads_are_told_apart() -> None:
    image = made_up()
    assert is_stripped(image)
    assert not is_stripped(
        Image(image.data + np.random.default_rng(0).random(image.data.shape).astype(np.float32), image.grid)
    )


@pytest.mark.parametrize("interpolation", ["linear", "nearest", "bspline"])
def test_resampling_by_the_identity_keeps_every_voxel(interpolation: str) -> None:
    image = made_up(16)
    same = resample_onto(image, image.grid, np.eye(4), interpolation=interpolation)
    assert same.tobytes() == image.data.tobytes()
    flipped = Grid(image.grid.shape, image.affine @ inv_ornt_aff([[0, -1], [1, 1], [2, -1]], image.data.shape))
    assert resample_onto(image, flipped, np.eye(4), interpolation=interpolation).tobytes() == image.data.tobytes()


def test_whole_voxels_of_shift_move_voxels() -> None:
    image = made_up(16)
    shifted = resample_onto(image, image.grid, rigid((0.0, 0.0, 0.0), (5.0, -10.0, 0.0)), interpolation="linear")
    np.testing.assert_allclose(shifted[:-1, 2:], image.data[1:, :-2], atol=1e-5)


@pytest.mark.real_data
def test_labels_survive_the_way_there_and_back(shared_data: Path) -> None:
    labels, grid = read_labels(shared_data / "mri/BraTS-GLI-00000-000/BraTS-GLI-00000-000-seg.nii.gz")
    image = Image(labels.astype(np.float32), grid)
    matrix = misalignment(3, middle(image), 12, 7)
    there = resample_onto(image, grid, matrix, interpolation="nearest")
    assert set(np.unique(there)) <= set(np.unique(image.data))
    canonical = Grid(grid.canonical_shape, grid.canonical_affine)
    back = resample_onto(Image(there, canonical), grid, np.linalg.inv(matrix), interpolation="nearest")
    for label in (1, 2, 3):
        a, b = back == label, labels == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), turn=st.floats(0.01, 170), shift=st.floats(0, 100))
def test_poses_are_read_back(seed: int, turn: float, shift: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    along = np.eye(3)[seed % 3] * turn
    matrix = rigid(tuple(map(float, along)), tuple(map(float, axis / np.linalg.norm(axis) * shift)), axis)
    found_deg, found_mm = pose(matrix, axis)
    assert found_deg == pytest.approx(turn, abs=1e-6)
    assert found_mm == pytest.approx(shift, abs=1e-6)
    assert scaling(matrix) == pytest.approx((1, 1))


def test_normalised_mutual_information_has_its_bounds() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((40, 40, 40)), rng.random((40, 40, 40))
    inside = np.ones(a.shape, bool)
    assert normalised_mutual_information(a, 3 - 2 * a, inside) == pytest.approx(2, abs=0.01)
    assert normalised_mutual_information(a, b, inside) == pytest.approx(1, abs=0.01)
    assert normalised_mutual_information(a, b, ~inside) == 1
    assert 1.1 < normalised_mutual_information(a, a + 0.05 * b, inside) < 2
