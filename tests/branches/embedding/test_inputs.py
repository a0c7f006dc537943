"""What networks see: mirrored and permuted cases, borders, empty masks, the way back, and the preparation of films as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.inputs import NO_TUMOUR_NOTE, back_to_case, box_of, coarser, prepare, prepare_input
from radiogen.branches.embedding.intensities import INTENSITIES
from radiogen.cohort.masks import read_mask
from radiogen.cohort.nifti import Grid, read_image
from radiogen.errors import CaseError, ConfigError, GeometryError

SIZE = (1.0, 1.2, 2.0)
CENTRES = ("tumour", "brain", "volume")


def case(seed: int = 0, shape: tuple[int, int, int] = (24, 20, 18)) -> tuple[np.ndarray, np.ndarray]:
    """Return a brain in a black frame, with a tumour off the middle."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, dtype=np.float32)
    image[3:20, 2:17, 4:15] = rng.uniform(50, 200, (17, 15, 11))
    labels = np.zeros(shape, dtype=np.uint8)
    low = rng.integers(4, 9, 3)
    i, j, k = (slice(start, start + int(n)) for start, n in zip(low, rng.integers(2, 6, 3), strict=True))
    labels[i, j, k] = 2
    return image, labels


def spec(centre: str = "tumour", intensity: str = "zscore", shape: tuple[int, int, int] = (8, 10, 12)) -> InputSpec:
    return InputSpec(centre, (1.5, 1.0, 1.5), shape, intensity)  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(CENTRES), st.sampled_from(list(INTENSITIES)), st.integers(0, 2))
def test_a_mirrored_case_gives_the_mirrored_input(seed: int, centre: str, intensity: str, axis: int) -> None:
    image, labels = case(seed)
    wanted = spec(centre, intensity)
    plain = prepare_input(image, SIZE, labels, wanted)
    mirrored = prepare_input(
        np.ascontiguousarray(np.flip(image, axis)), SIZE, np.ascontiguousarray(np.flip(labels, axis)), wanted
    )
    assert plain.any()
    np.testing.assert_allclose(mirrored, np.flip(plain, axis), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("intensity", [name for name in INTENSITIES if name != "video255"])  # its axes are not alike
def test_permuted_axes_give_the_permuted_input(centre: str, intensity: str) -> None:
    image, labels = case()
    order = (2, 0, 1)
    wanted = InputSpec(centre, (1.0, 1.5, 2.0), (8, 9, 10), intensity)  # type: ignore[arg-type]
    turned = InputSpec(
        wanted.centre,
        tuple(wanted.voxel_size_mm[axis] for axis in order),  # type: ignore[arg-type]
        tuple(wanted.shape[axis] for axis in order),  # type: ignore[arg-type]
        intensity,
    )
    plain = prepare_input(image, SIZE, labels, wanted)
    found = prepare_input(
        image.transpose(order).copy(), (SIZE[2], SIZE[0], SIZE[1]), labels.transpose(order).copy(), turned
    )
    np.testing.assert_allclose(found, plain.transpose(order), rtol=1e-4, atol=1e-3)


def test_the_same_voxels_are_cut_out_exactly() -> None:
    image, labels = (
        np.random.default_rng(1).uniform(1, 2, (12, 12, 12)).astype(np.float32),
        np.zeros((12,) * 3, np.uint8),
    )
    labels[4:8, 5:7, 3:9] = 1
    found = prepare_input(image, (1.0, 1.0, 1.0), labels, InputSpec("tumour", (1.0, 1.0, 1.0), (6, 4, 8), "raw"))
    np.testing.assert_array_equal(found, image[3:9, 4:8, 2:10])


def test_a_tumour_at_the_border_is_padded_with_background() -> None:
    image, labels = np.full((10, 10, 10), 7, np.float32), np.zeros((10, 10, 10), np.uint8)
    labels[:2, 4:6, 8:] = 3
    found = prepare_input(image, (1.0, 1.0, 1.0), labels, InputSpec("tumour", (1.0, 1.0, 1.0), (6, 6, 6), "raw"))
    expected = np.zeros((6, 6, 6), np.float32)
    expected[2:, :, :4] = 7
    np.testing.assert_array_equal(found, expected)


def test_what_lies_beyond_the_image_is_as_dark_as_air_for_imagenet() -> None:
    image, labels = case()
    labels[:] = 0
    labels[0, 0, 0] = 1
    found = prepare_input(image, SIZE, labels, spec(intensity="imagenet", shape=(30, 30, 30)))
    assert found.min() == pytest.approx(-0.449 / 0.226, abs=1e-5)
    assert found[0, 0, 0] == found.min()


def test_an_empty_mask_looks_at_the_brain_and_says_so() -> None:
    image, labels = case()
    grid = Grid((24, 20, 18), np.diag([1.0, 1.2, 2.0, 1.0]))
    empty = prepare(image, grid, np.zeros_like(labels), spec())
    brain = prepare(image, grid, None, spec("brain"))
    np.testing.assert_array_equal(empty.data, brain.data)
    assert empty.notes == (NO_TUMOUR_NOTE,)
    assert brain.notes == ()
    assert prepare(image, grid, labels, spec()).notes == ()


def test_a_cavity_alone_is_what_there_is_of_a_tumour() -> None:
    image, labels = case()
    labels[:] = 0
    labels[10:12, 10:12, 10:12] = 4
    assert box_of(image, SIZE, labels, spec()).centre == (10.5, 10.5, 10.5)


def test_a_single_slice_is_the_one_with_most_tumour() -> None:
    image, labels = case()
    labels[:] = 0
    labels[5:7, 5:7, 4:14] = 2
    labels[5:12, 5:9, 6:9] = 1
    one = InputSpec("tumour", (1.0, 1.0, 1.0), (8, 8, 1), "zscore")
    assert box_of(image, SIZE, labels, one).centre == (8.0, 6.5, 7.0)
    assert box_of(image, SIZE, labels, spec()).centre == (8.0, 6.5, 8.5)


def test_bad_input_is_named() -> None:
    image, labels = case()
    with pytest.raises(CaseError, match="has no mask"):
        prepare_input(image, SIZE, None, spec())
    with pytest.raises(GeometryError, match=r"\(24, 20, 17\)"):
        prepare_input(image, SIZE, labels[:, :, :-1].copy(), spec())
    with pytest.raises(ConfigError, match="Did you mean 'zscore'"):
        prepare_input(image, SIZE, labels, spec(intensity="zscores"))
    with pytest.raises(GeometryError, match="its grid"):
        prepare(image, Grid((24, 20, 17), np.eye(4)), labels, spec())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(CENTRES))
def test_a_prepared_voxel_shows_the_place_its_matrix_says(seed: int, centre: str) -> None:
    _, labels = case(seed)
    grid = Grid((24, 20, 18), np.array([[-1.0, 0, 0, 30], [0, -1.2, 0, 20], [0, 0, 2.0, -40], [0, 0, 0, 1]]))
    labels = grid.to_canonical(labels)
    # An image of world coordinates: what a voxel shows is where it is.
    i, j, k = np.indices(grid.canonical_shape)
    at = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ grid.canonical_affine.T
    wanted = InputSpec(centre, (0.8, 0.9, 1.1), (5, 6, 7), "raw")  # type: ignore[arg-type]
    for axis in range(3):
        found = prepare(at[..., axis].astype(np.float32), grid, labels, wanted)
        voxel = np.stack([*np.indices(wanted.shape), np.ones(wanted.shape)], axis=-1)
        in_case = voxel @ found.affine_to_case.T
        inner = np.all((in_case[..., :3] >= 3) & (in_case[..., :3] <= np.array(grid.canonical_shape) - 4), axis=-1)
        world = (in_case @ grid.canonical_affine.T)[..., axis]
        assert inner.any()
        # A triangle sampled at whole voxels is off its centre by up to a few hundredths of a voxel.
        np.testing.assert_allclose(found.data[inner], world[inner], atol=0.1)


def test_a_map_goes_back_to_where_it_was_taken_from() -> None:
    image, labels = (
        np.random.default_rng(3).uniform(1, 2, (16, 16, 16)).astype(np.float32),
        np.zeros((16,) * 3, np.uint8),
    )
    labels[1:4, 6:10, 12:] = 1
    grid = Grid((16, 16, 16), np.eye(4))
    found = prepare(image, grid, labels, InputSpec("tumour", (1.0, 1.0, 1.0), (7, 6, 8), "raw"))
    back = back_to_case(found.data, found.affine_to_case, (16, 16, 16))
    inside = back != 0
    np.testing.assert_allclose(back[inside], image[inside], rtol=1e-6)
    assert inside.sum() == 6 * 6 * 6  # the box is 7 x 6 x 8; one plane along i and two along k are beyond the border


def test_a_coarse_map_covers_the_same_box() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 4.5
    hot = np.zeros((2, 2, 2), np.float32)
    hot[1, 0, 0] = 1
    back = back_to_case(hot, coarser(affine, (4, 4, 4), (2, 2, 2)), (16, 16, 16))
    centre = [
        float((back.sum(axis=tuple(a for a in range(3) if a != axis)) * np.arange(16)).sum() / back.sum())
        for axis in range(3)
    ]
    # The 4 x 4 x 4 box covers 4-12 (voxel 3.5 to 11.5); the second of two halves lies above 8.
    assert centre[0] > 8
    assert centre[1] < 7.5
    assert centre[2] < 7.5
    assert not back[:3].any()
    assert not back[:, 13:].any()


@pytest.mark.parametrize("name", [name for name in INTENSITIES if name != "video255"])
def test_intensities_do_not_depend_on_the_unit(name: str) -> None:
    image = case()[0]
    if name == "raw":
        np.testing.assert_array_equal(INTENSITIES[name](image), image)
    else:
        np.testing.assert_allclose(INTENSITIES[name](image * 16), INTENSITIES[name](image), atol=1e-3)
    assert not INTENSITIES[name](np.zeros((3, 3, 3), np.float32))[1:].any() or name == "imagenet"


def test_zscore_counts_what_is_not_zero() -> None:
    found = INTENSITIES["zscore"](case()[0])
    inside = case()[0] != 0
    assert found[inside].mean() == pytest.approx(0, abs=1e-4)
    assert found[inside].std() == pytest.approx(1, abs=1e-4)
    assert not found[~inside].any()


def test_video_is_prepared_in_the_published_order() -> None:
    """Resample to 1 x 1 x 3 mm, pad to 126 x 126 x 50, normalise over all of it, zero the air, cut 112 x 112 x 48 around what is not air."""
    rng = np.random.default_rng(5)
    image = np.zeros((100, 90, 30), np.float32)
    image[20:80, 10:80, 5:25] = rng.uniform(2, 300, (60, 70, 20))
    image[0, 0, 0] = 0.9  # air: not above 1
    padded = np.zeros((126, 126, 50), np.float32)
    padded[13:113, 18:108, 10:40] = image
    film = (padded - padded.mean()) / padded.std() * 255 / 8 + 255 / 3
    film[padded <= 1] = 0
    # Middle of the bounding box: (20 + 79) / 2 + 13, (10 + 79) / 2 + 18, (5 + 24) / 2 + 10: 62.5, 62.5, 24.5.
    expected = film[7:119, 7:119, 1:49]
    found = prepare_input(image, (1.0, 1.0, 3.0), None, InputSpec("brain", (1.0, 1.0, 3.0), (112, 112, 48), "video255"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_an_image_normalised_before_keeps_its_dark_half_in_a_film() -> None:
    image = INTENSITIES["zscore"](case()[0])
    assert (INTENSITIES["video255"](image) != 0).sum() == (image != 0).sum()


@pytest.mark.real_data
def test_a_real_tumour_lies_in_the_middle_and_goes_back_to_its_place(shared_data: Path) -> None:
    folder = shared_data / "mri" / "BraTS-GLI-00000-000"
    image = read_image(folder / "BraTS-GLI-00000-000-t2f.nii.gz")
    labels, grid = read_mask(folder / "BraTS-GLI-00000-000-seg.nii.gz")
    wanted = InputSpec("tumour", (1.0, 1.0, 1.0), (96, 96, 96), "minmax255")
    found = prepare(image.data, grid, labels, wanted)
    back = back_to_case(found.data, found.affine_to_case, grid.canonical_shape)
    tumour = labels > 0
    whole = INTENSITIES["minmax255"](image.data)
    # The box may lie half a voxel off the case's voxels: interpolated twice, and yet the same picture.
    covered = tumour & (back != 0)
    assert covered.sum() > 0.9 * tumour.sum()
    assert np.corrcoef(back[covered], whole[covered])[0, 1] > 0.97
    film = prepare_input(
        image.data, grid.voxel_size_mm, None, InputSpec("brain", (1.0, 1.0, 3.0), (112, 112, 48), "video255")
    )
    # The whole image's mean is 255 / 3; the brain is brighter than the air around it, which is 0.
    assert film[film != 0].min() > 255 / 3 - 255 / 8 * 3
    assert 0.5 < (film != 0).mean() < 1
