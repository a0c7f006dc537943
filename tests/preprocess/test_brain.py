from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogen.cohort.nifti import read_image, read_labels
from radiogen.errors import CaseError
from radiogen.preprocess.brain import extract_brain, find_brain
from radiogen.preprocess.resample import resample, resized_shape
from radiogen.preprocess.surface import fill_surface, icosphere


def head(shape: tuple[int, int, int] = (80, 96, 72), voxel_mm: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """A made-up head on a neck: brain 100, a dark gap, a bright scalp; and the brain's true mask."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * voxel_mm for n in shape], indexing="ij")

    def inside(radii: tuple[float, float, float]) -> np.ndarray:
        return sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) <= 1

    brain, gap, scalp = inside((66, 82, 60)), inside((73, 89, 67)), inside((80, 96, 75))
    image = np.where(scalp, 180.0, 0.0)
    image[gap] = 10
    image[brain] = 100
    image += rng.normal(0, 3, shape)
    return image.astype(np.float32), brain


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_sphere_is_closed_and_round() -> None:
    sphere = icosphere(3)
    assert len(sphere.points) == 642
    assert len(sphere.points) - len(sphere.edges) + len(sphere.triangles) == 2  # Euler
    np.testing.assert_allclose(np.linalg.norm(sphere.points, axis=1), 1)
    np.testing.assert_allclose(np.asarray(sphere.neighbours.sum(axis=1)).ravel(), 1)


def test_a_filled_sphere_has_the_volume_of_a_sphere() -> None:
    mask = fill_surface(icosphere(4).points * 12 + 20.0, (41, 41, 41))
    assert mask.sum() == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.03)


def test_the_surface_finds_a_brain_of_known_shape() -> None:
    image, brain = head()
    assert dice(extract_brain(image, 2.5), brain) > 0.93


@pytest.mark.parametrize("background", [0.0, -3.2])
def test_a_stripped_brain_is_taken_as_it_is(background: float) -> None:
    image, brain = head()
    found = find_brain({"t2f": np.where(brain, image, np.float32(background))}, 2.5)
    assert not found.skull_on
    assert dice(found.mask, brain) > 0.999


def test_a_head_is_recognised_as_such() -> None:
    image, _ = head()
    assert find_brain({"t1n": image, "t2f": image}, 2.5).skull_on


def test_a_head_without_anything_in_it_is_refused() -> None:
    tiny = np.zeros((150, 150, 150), np.float32)
    tiny[70:76, 70:76, 70:76] = 1.0
    tiny[0, 0, 0] = -1.0
    with pytest.raises(CaseError):
        extract_brain(tiny, 2.0)


@pytest.mark.real_data
def test_a_real_head_keeps_its_tumour_and_loses_its_skull(shared_data: Path) -> None:
    folder = shared_data / "mri" / "lgg" / "TCGA_CS_6667_20011105"
    image = read_image(folder / f"{folder.name}_t2f.nii.gz")
    labels, _ = read_labels(folder / f"{folder.name}_mask.nii.gz")
    size = image.grid.voxel_size_mm
    shape = resized_shape(image.data.shape, size, (2.5,) * 3)
    work = resample(image.data, size, (2.5,) * 3, shape)
    tumour = resample((labels > 0).astype(np.float32), size, (2.5,) * 3, shape) > 0.5
    found = find_brain({"t2f": work}, 2.5)
    assert found.skull_on
    assert 1000 < found.mask.sum() * 2.5**3 / 1000 < 2300
    assert (found.mask & tumour).sum() / tumour.sum() > 0.95
