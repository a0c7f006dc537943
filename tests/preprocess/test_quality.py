"""Quality of a case: every kind of damage raises its flag, a clean case none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter

from radiogen.cohort.nifti import Grid, Image, read_image
from radiogen.config.preprocess_quality import QualityThresholds
from radiogen.errors import GeometryError
from radiogen.preprocess.quality import CaseQuality, measure_quality
from radiogen.preprocess.quality_measures import better_shift, border_share, ghosting, noise_level
from radiogen.types import Mask, Volume

SHAPE, VOXEL_MM = (96, 112, 96), 2.0
MEANS = {
    "t1n": {"fluid": 25, "grey": 70, "white": 100, "skull": 20, "scalp": 140},
    "t1c": {"fluid": 25, "grey": 75, "white": 100, "skull": 25, "scalp": 130},
    "t2w": {"fluid": 220, "grey": 110, "white": 85, "skull": 20, "scalp": 120},
    "t2f": {"fluid": 20, "grey": 110, "white": 95, "skull": 20, "scalp": 90},
}
Head = tuple[dict[str, Image], Mask]


def made_up_head(seed: int = 0) -> Head:
    """Return four sequences of a head: scalp, skull, cortex, white matter, ventricles and two knots that break the symmetry; and its brain."""
    rng = np.random.default_rng(seed)
    axes = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
    axes[2] += 4

    def inside(a: float, b: float, c: float, shift: tuple[float, float, float] = (0, 0, 0)) -> Mask:
        size, centre = np.array([a, b, c]).reshape(3, 1, 1, 1), np.array(shift).reshape(3, 1, 1, 1)
        return np.asarray((((axes - centre) / size) ** 2).sum(axis=0) < 1)

    waves = 2.5 * np.sin(axes[0] / 3) * np.cos(axes[1] / 4) * np.sin(axes[2] / 3.5)
    brain = inside(33, 42, 32)
    depth = 1 - np.sqrt(((axes / np.array([33, 42, 32]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    white = brain & (depth * 33 > 5 + waves)
    fluid = inside(4, 12, 6, (5, 0, 2)) | inside(4, 12, 6, (-5, 0, 2)) | (brain & (depth * 33 < 1.2))
    fluid |= inside(5, 4, 5, (15, 14, 8))
    images = {}
    for name, mean in MEANS.items():
        head = np.full(SHAPE, 2.0)
        head[inside(41, 50, 40)] = mean["scalp"]
        head[inside(38, 47, 37)] = mean["skull"]
        for tissue, where in (("grey", brain), ("white", white), ("fluid", fluid)):
            head[where] = mean[tissue]
        noisy = np.abs(gaussian_filter(head, 0.5) + rng.normal(0, 1.5, SHAPE))
        images[name] = Image(noisy.astype(np.float32), Grid(SHAPE, np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])))
    return images, brain


@pytest.fixture(scope="module")
def head() -> Head:
    """One made-up head for all tests of this file."""
    return made_up_head()


def measured(images: Mapping[str, Image], brain: Mask, voxel_mm: float = VOXEL_MM) -> CaseQuality:
    """Return the quality of images that lie on one grid already."""
    unstripped = {name: image.data for name, image in images.items()}
    done = {name: np.where(brain, data, np.float32(0)) for name, data in unstripped.items()}
    return measure_quality("case", images, done, unstripped, brain, voxel_mm, {})


def changed(head: Head, name: str, change: Callable[[Volume], np.ndarray]) -> dict[str, Image]:
    """Return the images with one of them changed."""
    images = dict(head[0])
    images[name] = replace(images[name], data=change(images[name].data.copy()).astype(np.float32))
    return images


def test_a_clean_head_raises_no_flag(head: Head) -> None:
    quality = measured(*head)
    assert quality.flags == ()
    assert quality.values["missing"] is None
    assert quality.values["brain_ml"] == pytest.approx(head[1].sum() * 8 / 1000)


def cut_off(data: Volume) -> np.ndarray:
    """Leave out the upper 24 mm of the brain."""
    data[:, :, 64:] = 0
    return data


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("t2f", cut_off, "t2f was cut"),
        ("t1n", lambda data: data.max() - data, "t1n looks inverted"),
        ("t2w", lambda data: data.max() - data, "t2w looks inverted"),
        ("t2f", lambda data: data.max() - data, "t2f looks inverted"),
        ("t1c", lambda data: data + np.random.default_rng(1).normal(0, 35, SHAPE), "t1c is noisy"),
        ("t2f", lambda data: np.roll(data, 4, axis=0), "t2f would lie better on t1c if moved by 8 mm left"),
        ("t2w", lambda data: np.roll(data, -2, axis=1), "t2w would lie better on t1c if moved by 4 mm front"),
    ],
    ids=["cut", "inverted-t1", "inverted-t2", "inverted-flair", "noise", "shift-8", "shift-4"],
)
def test_damage_raises_its_flag_and_names_the_sequence(
    head: Head, name: str, change: Callable[[Volume], np.ndarray], words: str
) -> None:
    flags = measured(changed(head, name, change), head[1]).flags
    assert any(flag.startswith(words) for flag in flags), flags
    others = [other for other in MEANS if other != name]
    assert not [flag for flag in flags if flag.startswith(tuple(others))], flags


def test_a_doubled_sequence_is_named_with_its_double(head: Head) -> None:
    images = dict(head[0])
    images["t1n"] = replace(images["t1c"], data=1.7 * images["t1c"].data + 3)
    quality = measured(images, head[1])
    assert quality.values["doubled"] == "t1n=t1c"
    assert [flag for flag in quality.flags if "same image" in flag]


def test_missing_thick_small_and_contradictory_are_said(head: Head) -> None:
    images, brain = head
    thick = np.diag([1.0, 1.0, 9.0, 1.0])
    left = np.diag([-VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    few = {
        "t1c": replace(images["t1c"], grid=Grid(SHAPE, thick)),
        "t2f": replace(images["t2f"], grid=Grid(SHAPE, left)),
    }
    unstripped = {name: image.data for name, image in few.items()}
    quality = measure_quality(
        "case", few, unstripped, unstripped, np.asarray(binary_erosion(brain, iterations=9)), VOXEL_MM, {"t2f": 1.002},
        coverage={"t2f": 0.8}, header_problems={"t1c": "sform and qform put left and right on opposite sides"},
    )  # fmt: skip
    text = " ".join(quality.flags)
    for words in (
        "t1n, t2w missing.", "voxels of 9.0 mm", "9.0 times as long", "leaves out 20 %", "1.002 (limit 1.01",
        "right-handed in t1c and left-handed in t2f", "left and right cannot be trusted", "900 to 2000 is plausible",
    ):  # fmt: skip
        assert words in text, words


def test_limits_come_from_the_settings(head: Head) -> None:
    strict = QualityThresholds(brain_ml_low=1900.0, snr_low=1e6)
    images, brain = head
    unstripped = {name: image.data for name, image in images.items()}
    flags = measure_quality("c", images, unstripped, unstripped, brain, VOXEL_MM, {}, thresholds=strict).flags
    assert sum("signal-to-noise" in flag for flag in flags) == 4
    assert any("1900" in flag for flag in flags)


def test_a_sequence_without_its_head_on_version_is_refused(head: Head) -> None:
    images, brain = head
    with pytest.raises(GeometryError, match="t2f before brain extraction is not given"):
        measure_quality("c", images, {"t2f": images["t2f"].data}, {}, brain, VOXEL_MM, {})


def test_ghosts_of_motion_are_flagged_where_there_is_air(head: Head) -> None:
    images, brain = head
    rng = np.random.default_rng(2)
    wide = np.pad(images["t1n"].data, ((24, 24), (24, 24), (0, 0)))
    wide = np.abs(wide + rng.normal(0, 1.5, wide.shape))
    flags = {}
    for strength in (0.0, 0.4):
        moved = wide + strength * (np.roll(wide, 40, axis=1) + np.roll(wide, -40, axis=1)) / 2
        raw = {"t1n": Image(moved.astype(np.float32), Grid((144, 160, 96), images["t1n"].grid.affine))}
        unstripped = {"t1n": images["t1n"].data}
        flags[strength] = " ".join(measure_quality("c", raw, unstripped, unstripped, brain, VOXEL_MM, {}).flags)
    assert "t1n repeats itself" in flags[0.4]
    assert "repeats itself" not in flags[0.0]


@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_noise_is_recovered_beside_edges(head: Head, sigma: float) -> None:
    image = gaussian_filter(head[0]["t1c"].data, 1.5) + np.random.default_rng(0).normal(0, sigma, SHAPE)
    assert noise_level(image.astype(np.float32), head[1], slice_axis=2) == pytest.approx(sigma, rel=0.15)


def test_ghosts_need_air_with_noise(head: Head) -> None:
    data = head[0]["t1c"].data
    assert np.isnan(ghosting(np.where(head[1], data, np.float32(0))))
    assert np.isnan(ghosting(data[20:-20, 20:-20, 20:-20].copy()))
    assert abs(ghosting(data)) < 0.02


def test_a_stripped_brain_that_meets_a_face_is_cut(head: Head) -> None:
    stripped = np.where(head[1], head[0]["t1c"].data, np.float32(0))
    assert border_share(stripped) == 0
    assert border_share(stripped[:, :, :60].copy()) > 0.5
    assert border_share(stripped[:, :, 40:].copy()) == 0


def test_a_registered_pair_needs_no_shift(head: Head) -> None:
    images, brain = head
    assert better_shift(images["t1c"].data, images["t2f"].data, brain, VOXEL_MM) == (0.0, "", 0.0)


@pytest.mark.real_data
def test_a_real_case_raises_no_flag_until_it_is_damaged(shared_data: Path) -> None:
    case = "BraTS-GLI-00000-000"
    images = {}
    for name in MEANS:
        image = read_image(shared_data / "mri" / case / f"{case}-{name}.nii.gz")
        small = np.ascontiguousarray(image.data[::2, ::2, ::2])
        images[name] = Image(small, Grid((120, 120, 78), np.diag([2.0, 2.0, 2.0, 1.0])))
    brain = images["t1c"].data != 0
    assert measured(images, brain).flags == ()
    images["t1n"] = replace(images["t1n"], data=np.where(brain, 2000 - images["t1n"].data, 0).astype(np.float32))
    images["t2f"] = replace(images["t2f"], data=np.roll(images["t2f"].data, 3, axis=1))
    flags = measured(images, brain).flags
    assert any("t1n looks inverted" in flag for flag in flags), flags
    assert any("t2f would lie better on t1c" in flag for flag in flags), flags
