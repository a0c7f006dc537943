from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from radiogen.cohort.nifti import Grid, Image, read_image
from radiogen.errors import GeometryError, ImageError
from radiogen.preprocess.brain import extract_brain
from radiogen.preprocess.deface import deface, face_plane
from radiogen.preprocess.resample import resample, resized_shape

NOSE_MM, CHIN_MM, CROWN_MM, OCCIPUT_MM = (0.0, 105.0, -45.0), (0.0, 80.0, -95.0), (0.0, 0.0, 85.0), (0.0, -85.0, 0.0)


def grid_of(spacing_mm: tuple[float, float, float], rotation_deg: tuple[float, float, float], flips: str) -> Grid:
    """A grid of 260 mm about the world's origin, turned and stored with some axes backwards."""
    shape = tuple(int(np.ceil(260 / size)) for size in spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix() @ np.diag(spacing_mm)
    for axis, name in enumerate("ijk"):
        if name in flips:
            affine[:3, axis] *= -1
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Grid((shape[0], shape[1], shape[2]), affine)


def world_of(grid: Grid) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.canonical_shape], indexing="ij"), axis=-1)
    return index @ grid.canonical_affine[:3, :3].T + grid.canonical_affine[:3, 3]


def head_and_brain(grid: Grid) -> tuple[Image, np.ndarray]:
    """A brain of two ellipsoids (cerebrum, cerebellum) in an image without any background of its own."""
    world = world_of(grid)
    cerebrum = ((world / (65, 82, 62)) ** 2).sum(axis=-1) < 1
    cerebellum = (((world - (0, -40, -45)) / (50, 32, 28)) ** 2).sum(axis=-1) < 1
    rng = np.random.default_rng(0)
    data = rng.uniform(1, 2, grid.canonical_shape).astype(np.float32)
    data[-1, -1, -1] = 0.25
    return Image(data, grid), cerebrum | cerebellum


def at(grid: Grid, point_mm: tuple[float, float, float]) -> tuple[int, ...]:
    voxel = np.linalg.inv(grid.canonical_affine) @ np.array([*point_mm, 1.0])
    return tuple(np.rint(voxel[:3]).astype(int))


angles = st.floats(-20, 20)
spacings = st.sampled_from([(3.0, 3.0, 3.0), (2.0, 2.5, 6.0), (6.0, 3.0, 3.0), (4.0, 4.0, 4.0)])


@given(spacings, st.tuples(angles, angles, angles), st.sampled_from(["", "i", "jk", "ijk"]))
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_the_brain_is_never_touched_and_the_face_is_gone_on_any_grid(spacing_mm, rotation_deg, flips):
    grid = grid_of(spacing_mm, rotation_deg, flips)
    image, brain = head_and_brain(grid)
    defaced = deface(image, brain)
    assert np.array_equal(defaced[brain], image.data[brain])
    changed = defaced != image.data
    assert set(np.unique(defaced[changed])) == {np.float32(0.25)}
    assert changed[at(grid, NOSE_MM)]
    assert changed[at(grid, CHIN_MM)]
    assert not changed[at(grid, CROWN_MM)]
    assert not changed[at(grid, OCCIPUT_MM)]


@given(st.tuples(angles, angles, angles), st.sampled_from(["", "k", "ij"]))
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_the_plane_lies_along_a_flat_base_of_the_brain_whatever_the_grid(rotation_deg, flips):
    grid = grid_of((3.0, 3.0, 3.0), rotation_deg, flips)
    world = world_of(grid)
    toward_face = (world[..., 1] - world[..., 2]) / np.sqrt(2)
    brain = head_and_brain(grid)[1] & (toward_face < 50)
    plane = face_plane(brain, grid.canonical_affine, buffer_mm=10.0)
    tilt_deg = np.degrees(np.arctan2(-plane.superior, plane.anterior))
    assert tilt_deg == pytest.approx(45, abs=6)
    middle_mm = plane.offset_mm / (plane.anterior - plane.superior) * np.sqrt(2)
    assert middle_mm == pytest.approx(60, abs=4)


def test_the_plane_stays_the_buffer_away_from_the_brain():
    grid = grid_of((3.0, 3.0, 3.0), (10.0, 0.0, 0.0), "")
    brain = head_and_brain(grid)[1]
    for buffer_mm in (0.0, 10.0, 25.0):
        plane = face_plane(brain, grid.canonical_affine, buffer_mm=buffer_mm)
        assert plane.beyond_mm(grid.canonical_shape, grid.canonical_affine)[brain].max() == pytest.approx(-buffer_mm)


def test_a_mask_that_reaches_down_the_neck_does_not_leave_the_nose():
    grid = grid_of((3.0, 3.0, 3.0), (0.0, 0.0, 0.0), "")
    image, brain = head_and_brain(grid)
    world = world_of(grid)
    brain |= (np.abs(world[..., 0]) < 12) & (np.abs(world[..., 1] + 20) < 12) & (world[..., 2] < 0)
    changed = deface(image, brain) != image.data
    assert changed[at(grid, NOSE_MM)]
    assert not changed[brain].any()


def test_bad_masks_are_refused():
    image, brain = head_and_brain(grid_of((6.0, 6.0, 6.0), (0.0, 0.0, 0.0), ""))
    with pytest.raises(GeometryError, match="shape"):
        deface(image, brain[:-1])
    with pytest.raises(ImageError, match="empty"):
        deface(image, np.zeros_like(brain))
    line = np.zeros_like(brain)
    line[10, 10, 10:20] = True
    with pytest.raises(ImageError, match="no outline"):
        deface(image, line)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "path", ["TCGA-FG-6692_raw/t1.nii.gz", "lgg/TCGA_HT_A5RC_19990831/TCGA_HT_A5RC_19990831_t1c.nii.gz"]
)
def test_real_heads(shared_data, path):
    image = read_image(shared_data / "mri" / path)
    size = image.grid.voxel_size_mm
    small = (3.0, 3.0, 3.0)
    coarse = extract_brain(resample(image.data, size, small, resized_shape(image.data.shape, size, small)), 3.0)
    brain = resample(coarse.astype(np.float32), small, size, image.data.shape) > 0.5
    defaced = deface(image, brain)
    assert np.array_equal(defaced[brain], image.data[brain])
    removed = defaced != image.data
    assert 0.03 < removed.mean() < 0.3
    # The lowest slice of the head loses its front, and the highest one keeps everything.
    assert removed[:, -image.data.shape[1] // 3 :, 0].mean() > 0.5
    assert not removed[:, :, -1].any()
