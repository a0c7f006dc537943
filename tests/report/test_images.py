from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from radiogen.cohort.masks import read_mask
from radiogen.cohort.nifti import read_image
from radiogen.errors import GeometryError
from radiogen.report.images import case_picture, contact_sheet
from radiogen.report.slices import (
    PLANES,
    foreground,
    head_box,
    intensity_window,
    outline,
    plane_slice,
    regions_present,
    slices_to_show,
)
from radiogen.report.style import REGION_COLOURS, png
from radiogen.types import ED, ET, NCR, RC

SHAPE = (40, 48, 30)
SIZE = (1.0, 1.0, 1.0)


def head(seed: int = 0) -> np.ndarray:
    """A bright ellipsoid in air of exactly zero."""
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    inside = sum(axis**2 for axis in grid) < 0.8
    noise = np.random.default_rng(seed).normal(100, 10, SHAPE)
    return np.where(inside, noise, 0).astype(np.float32)


def tumour() -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[22:32, 20:32, 10:20] = ED
    labels[24:30, 22:30, 12:18] = ET
    labels[26:28, 24:28, 14:16] = NCR
    return labels


def pixels(figure: object) -> np.ndarray:
    with Image.open(io.BytesIO(png(figure))) as picture:  # type: ignore[arg-type]
        return np.asarray(picture.convert("RGB")).astype(int)


def of_colour(picture: np.ndarray, colour: str) -> np.ndarray:
    wanted = np.array([round(255 * part) for part in to_rgb(colour)])
    return np.abs(picture - wanted).max(axis=2) < 40


def test_the_outline_changes_pixels_only_around_the_tumour() -> None:
    images = {"t1c": head()}
    blank = np.zeros(SHAPE, dtype=np.uint8)
    blank[27, 26, 15] = ED  # keeps the same slices
    with_tumour, without = (
        pixels(case_picture(images, tumour(), SIZE, "a")),
        pixels(case_picture(images, blank, SIZE, "a")),
    )
    assert with_tumour.shape == without.shape
    rows, _columns = np.nonzero((with_tumour != without).any(axis=2)[90:])
    assert len(rows) > 200
    axial = with_tumour[90:330]
    assert all(of_colour(axial, REGION_COLOURS[name]).sum() > 20 for name in ("wt", "tc", "et"))


def test_radiological_convention_right_is_left() -> None:
    image = head()
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[30:36, 20:28, 12:18] = ED  # high first index in RAS: the patient's right
    picture = pixels(case_picture({"t1c": image}, labels, SIZE, ""))
    first = case_picture({"t1c": image}, labels, SIZE, "").axes[0].get_position()
    top, bottom = int((1 - first.y1) * picture.shape[0]), int((1 - first.y0) * picture.shape[0])
    _, columns = np.nonzero(of_colour(picture[top:bottom], REGION_COLOURS["wt"]))
    middle = (first.x0 + first.x1) / 2 * picture.shape[1]
    assert len(columns) > 20
    assert columns.max() < middle


def test_planes_put_front_and_top_where_they_belong() -> None:
    volume = np.zeros((3, 4, 5), dtype=np.uint8)
    volume[2, 3, 4] = 1  # right, anterior, superior
    assert plane_slice(volume, "axial", 4)[0, 0] == 1
    assert plane_slice(volume, "coronal", 3)[0, 0] == 1
    assert plane_slice(volume, "sagittal", 2)[0, 0] == 1
    assert plane_slice(volume, "axial", 4).shape == (4, 3)
    assert plane_slice(volume, "coronal", 3).shape == (5, 3)
    assert plane_slice(volume, "sagittal", 2).shape == (5, 4)


@pytest.mark.parametrize("thickness_mm", [1.0, 5.5])
def test_voxels_keep_their_physical_shape(thickness_mm: float) -> None:
    figure = case_picture({"t1c": head()}, None, (1.0, 1.0, thickness_mm), "")
    box = head_box({"t1c": head()}, None, (1.0, 1.0, thickness_mm))
    extents_mm = [(part.stop - part.start) * size for part, size in zip(box, (1.0, 1.0, thickness_mm), strict=True)]
    for plane, axes in zip(PLANES, figure.axes, strict=True):
        left, right, bottom, top = axes.images[0].get_extent()
        across, up = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}[plane]
        assert (right - left, bottom - top) == pytest.approx((extents_mm[across], extents_mm[up]))
        assert axes.get_aspect() == 1


def test_only_the_sequences_that_are_there_and_in_the_fixed_order() -> None:
    figure = case_picture({"t2f": head(1), "t1n": head(2)}, None, SIZE, "x")
    assert [axes.get_title().split()[0] for axes in figure.axes[:2]] == ["t1n", "t2f"]
    assert len(figure.axes) == 6
    assert any("no mask" in text.get_text() for text in figure.texts)


def test_legend_names_exactly_the_regions_present() -> None:
    labels = np.where(tumour() == ED, ED, 0).astype(np.uint8)
    figure = case_picture({"t1c": head()}, labels, SIZE, "x")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["whole tumour"]
    labels[5, 5, 5] = RC
    assert regions_present([None, labels]) == ["wt", "rc"]


def test_same_case_same_bytes_and_odd_titles_are_drawn_as_they_are() -> None:
    one = case_picture({"t1c": head()}, tumour(), SIZE, "case $1_ <&> $" * 6)
    two = case_picture({"t1c": head()}, tumour(), SIZE, "case $1_ <&> $" * 6)
    assert png(one) == png(two)


def test_sequences_on_different_voxels_are_refused_with_the_numbers() -> None:
    with pytest.raises(GeometryError, match="40x48x30"):
        case_picture({"t1c": head(), "t1n": head()[:20]}, None, SIZE, "x")
    with pytest.raises(GeometryError, match="at least one"):
        case_picture({}, None, SIZE, "x")


def test_tiny_flat_and_one_voxel_images_are_drawn() -> None:
    for image in (np.ones((1, 1, 1), np.float32), np.full((3, 4, 2), -2, np.float32), np.zeros((5, 5, 1), np.float32)):
        assert pixels(case_picture({"t1c": image}, None, SIZE, "x")).std() > 0


def test_contact_sheet_draws_missing_sequences_as_missing() -> None:
    cases = {
        "one<&>": ({"t1c": head(), "t2f": head(1)}, tumour(), SIZE),
        "two": ({"t1n": head(2)}, None, (1.0, 1.0, 5.0)),
        "none": ({}, None, SIZE),
    }
    figure = contact_sheet(cases, title="sheet")
    assert len(figure.axes) == 3 * 4
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words.count("missing") == 2 + 3 + 4
    assert {"one<&>", "two", "none"} <= {text.get_text() for text in figure.texts}
    assert pixels(figure).std() > 10


def test_contact_sheet_without_cases_and_with_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogen.report.images._MOST_ROWS", 3)
    with pytest.raises(ValueError, match="at least one case"):
        contact_sheet({})
    flat = {"t1c": np.arange(27, dtype=np.float32).reshape(3, 3, 3)}
    figure = contact_sheet({f"case {number}": (flat, None, SIZE) for number in range(5)}, title="many")
    assert len(figure.axes) == 3 * 4
    assert any("first 3 of 5" in text.get_text() for text in figure.texts)


def test_slices_show_the_largest_cut_through_the_tumour() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[10:13, 10:13, 10:13] = ED
    labels[11, 5:20, 12] = ED
    assert slices_to_show({"t1c": head()}, labels) == (11, 11, 12)
    labels[11:13, 11:13, 10] = ET
    assert slices_to_show({"t1c": head()}, labels) == (11, 11, 12)
    labels[10:13, 10:13, 10] = ET  # an enhancing slice outweighs a slightly larger one without enhancement
    assert slices_to_show({"t1c": head()}, labels)[2] == 10
    middle = slices_to_show({"t1c": head()}, np.zeros(SHAPE, dtype=np.uint8))
    assert np.abs(np.array(middle) - np.array(SHAPE) / 2).max() <= 1


def test_window_ignores_the_air() -> None:
    low, high = intensity_window(head())
    assert 70 < low < 90
    assert 110 < high < 130
    noisy = head() + np.random.default_rng(1).random(SHAPE).astype(np.float32)
    assert foreground(noisy).mean() == pytest.approx(foreground(head()).mean(), abs=0.01)
    shifted = np.where(head() > 0, (head() - 100) / 10, -9).astype(np.float32)  # z-scores with a constant ground
    assert np.array_equal(foreground(shifted), foreground(head()))


def test_outline_is_closed_and_has_the_length_of_the_border() -> None:
    mask = np.zeros((6, 7), dtype=bool)
    mask[2:5, 0:4] = True  # touches the picture's edge
    segments = outline(mask, (0.5, 2.0))
    lengths = np.linalg.norm(segments[:, 0] - segments[:, 1], axis=1)
    assert lengths.sum() == pytest.approx(2 * (4 * 0.5) + 2 * (3 * 2.0))
    ends, times = np.unique(segments.reshape(-1, 2), axis=0, return_counts=True)
    assert (times % 2 == 0).all()
    assert ends[:, 0].max() == 2.0
    assert len(outline(np.zeros((3, 3), dtype=bool), (1.0, 1.0))) == 0


@pytest.mark.real_data
def test_a_real_case_shows_three_regions(shared_data: Path) -> None:
    folder = shared_data / "mri" / "BraTS-GLI-00000-000"
    image = read_image(folder / "BraTS-GLI-00000-000-t1c.nii.gz")
    labels, grid = read_mask(folder / "BraTS-GLI-00000-000-seg.nii.gz")
    figure = case_picture({"t1c": image.data}, labels, grid.voxel_size_mm, "BraTS-GLI-00000-000")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "whole tumour",
        "tumour core",
        "enhancing tumour",
    ]
    picture = pixels(figure)
    assert all(of_colour(picture, colour).sum() > 100 for colour in REGION_COLOURS.values())
