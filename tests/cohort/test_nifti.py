"""Property tests of reading and writing: whatever the file's orientation, the world stays where it is."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from scipy.spatial.transform import Rotation

from radiogen.cohort.nifti import Grid, read_grid, read_image, read_labels, write_image, write_labels
from radiogen.errors import GeometryError, ImageError, OutputError

ORIENTATIONS = [codes for order in itertools.permutations(("LR", "AP", "SI")) for codes in itertools.product(*order)]
"""All 48 ways to store a volume along its anatomical axes."""

RAS_AFFINE = np.array([[1.5, 0, 0, -20], [0, 2.0, 0, 7], [0, 0, 3.0, -5], [0, 0, 0, 1]])


def ras_volume() -> np.ndarray:
    return np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5) + 1


def stored_as(codes: tuple[str, ...], affine: np.ndarray = RAS_AFFINE) -> nib.Nifti1Image:
    """Return the RAS volume stored along other axes, made by nibabel alone."""
    ras = nib.Nifti1Image(ras_volume(), affine)
    return ras.as_reoriented(nib.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes)))


def write_case(path: Path, **changes: object) -> Path:
    image = nib.Nifti1Image(changes.pop("data", ras_volume()), changes.pop("affine", RAS_AFFINE))
    nib.save(image, path)
    return path


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_every_orientation_reads_as_the_same_ras_volume(tmp_path, codes):
    path = tmp_path / "image.nii"
    nib.save(stored_as(codes), path)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, ras_volume())
    np.testing.assert_allclose(image.affine, RAS_AFFINE, atol=1e-5)
    assert image.data.dtype == np.float32
    assert image.grid.voxel_size_mm == pytest.approx((1.5, 2.0, 3.0), abs=1e-5)


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_labels_go_back_onto_the_files_own_grid(tmp_path, codes):
    path, out = tmp_path / "image.nii", tmp_path / "mask.nii.gz"
    original = stored_as(codes)
    nib.save(original, path)
    image = read_image(path)
    labels = (image.data % 4).astype(np.uint8)
    write_labels(out, labels, image.grid)
    written = nib.load(out)
    assert written.shape == original.shape
    assert nib.aff2axcodes(written.affine) == codes
    np.testing.assert_allclose(written.affine, original.affine, atol=1e-5)
    # The label of each stored voxel is that of the image voxel beside it on disk.
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(original.dataobj) % 4)
    again, grid = read_labels(out)
    np.testing.assert_array_equal(again, labels)
    assert grid.same_space(image.grid)


@st.composite
def oblique_affines(draw) -> np.ndarray:
    angles = draw(st.tuples(*[st.floats(-40, 40)] * 3))
    sizes = draw(st.tuples(*[st.floats(0.2, 8.0)] * 3))
    flips = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    origin = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    order = draw(st.permutations([0, 1, 2]))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(sizes) @ np.diag(flips)
    affine[:3, :3] = affine[:3, order]
    affine[:3, 3] = origin
    return affine


shapes = st.tuples(*[st.integers(1, 6)] * 3)


@settings(max_examples=60, deadline=None)
@given(affine=oblique_affines(), shape=shapes)
def test_canonical_order_is_undone_exactly_on_oblique_anisotropic_grids(affine, shape):
    grid = Grid(shape, affine)
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    canonical = grid.to_canonical(data)
    assert canonical.shape == grid.canonical_shape
    np.testing.assert_array_equal(grid.from_canonical(canonical), data)
    assert grid.same_space(Grid(grid.canonical_shape, grid.canonical_affine))


@settings(max_examples=60, deadline=None)
@given(affine=oblique_affines(), shape=shapes, seed=st.integers(0, 2**16))
def test_each_voxel_keeps_its_place_in_the_world(affine, shape, seed):
    grid = Grid(shape, affine)
    index = np.random.default_rng(seed).integers(0, shape)
    data = np.zeros(shape, dtype=np.float32)
    data[tuple(index)] = 1
    moved = np.argwhere(grid.to_canonical(data))[0]
    before = affine @ [*index, 1]
    after = grid.canonical_affine @ [*moved, 1]
    np.testing.assert_allclose(after, before, atol=1e-6 * max(1, np.abs(before).max()))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=oblique_affines(), shape=st.tuples(*[st.integers(2, 6)] * 3), suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_image_round_trip_through_a_file(tmp_path, affine, shape, suffix):
    data = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    grid = Grid(shape, affine)
    path = tmp_path / f"image{suffix}"
    write_image(path, grid.to_canonical(data), grid)
    image = read_image(path)
    np.testing.assert_array_equal(image.grid.from_canonical(image.data), data)
    np.testing.assert_allclose(image.grid.affine, affine, rtol=1e-5, atol=1e-4)
    assert image.grid.same_space(grid) or image.grid.corner_distance_mm(grid) < 1e-2


@pytest.mark.parametrize("codes", ORIENTATIONS[::5], ids="".join)
def test_same_space_does_not_depend_on_storage_order(codes):
    ornt = nib.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    shape = ras_volume().shape
    stored = nib.orientations.apply_orientation(ras_volume(), ornt).shape
    other = Grid(stored, RAS_AFFINE @ inv_ornt_aff(ornt, shape))
    assert Grid(shape, RAS_AFFINE).same_space(other)
    shifted = other.affine.copy()
    shifted[0, 3] += 0.01
    assert not Grid(shape, RAS_AFFINE).same_space(Grid(stored, shifted))


def test_grids_of_other_shape_are_infinitely_far_apart():
    assert Grid((3, 4, 5), np.eye(4)).corner_distance_mm(Grid((3, 4, 6), np.eye(4))) == float("inf")


def test_four_dimensional_singleton_is_one_volume(tmp_path):
    path = write_case(tmp_path / "a.nii.gz", data=ras_volume()[..., None, None])
    assert read_grid(path).shape == (3, 4, 5)
    np.testing.assert_array_equal(read_image(path).data, ras_volume())


@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 4), (3, 4, 5, 1, 2)])
def test_more_or_less_than_one_volume_is_refused(tmp_path, shape):
    path = write_case(tmp_path / "a.nii", data=np.ones(shape, dtype=np.float32))
    with pytest.raises(ImageError, match="one 3-D volume"):
        read_grid(path)


def test_big_endian_file(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(ras_volume().astype(np.int16), RAS_AFFINE, header)
    nib.save(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii").data, ras_volume())


def test_scale_and_offset_of_the_header_are_applied(tmp_path):
    image = nib.Nifti1Image(ras_volume().astype(np.int16), RAS_AFFINE)
    image.header.set_slope_inter(0.5, 100)
    nib.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_image(tmp_path / "a.nii.gz").data, 0.5 * ras_volume() + 100, rtol=1e-6)


def test_compressed_and_plain_files_read_the_same(tmp_path):
    write_case(tmp_path / "a.nii")
    write_case(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii").data, read_image(tmp_path / "a.nii.gz").data)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused_with_their_number(tmp_path, value):
    data = ras_volume()
    data[0, 0, :2] = value
    with pytest.raises(ImageError, match="2 NaN or infinite"):
        read_image(write_case(tmp_path / "a.nii", data=data))


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_without_contrast_is_refused(tmp_path, value):
    with pytest.raises(ImageError, match=f"the value {value:g} in every voxel"):
        read_image(write_case(tmp_path / "a.nii", data=np.full((3, 4, 5), value, dtype=np.float32)))


def test_all_zero_labels_are_read(tmp_path):
    labels, _ = read_labels(write_case(tmp_path / "a.nii", data=np.zeros((3, 4, 5), dtype=np.uint8)))
    assert labels.dtype == np.uint8
    assert not labels.any()


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan])
def test_an_image_is_not_a_label_map(tmp_path, value):
    data = np.zeros((3, 4, 5), dtype=np.float32)
    data[1, 1, 1] = value
    with pytest.raises(ImageError, match="not a label map"):
        read_labels(write_case(tmp_path / "a.nii", data=data))


def test_labels_stored_as_rounded_floats_are_read(tmp_path):
    data = np.zeros((3, 4, 5), dtype=np.float64)
    data[1, 1, 1] = 3.0000001
    assert read_labels(write_case(tmp_path / "a.nii", data=data))[0].max() == 3


def bad_files(folder: Path) -> dict[str, Path]:
    whole = write_case(
        folder / "whole.nii.gz", data=np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    )
    short = folder / "short.nii.gz"
    short.write_bytes(whole.read_bytes()[:9000])
    stub = folder / "stub.nii.gz"
    stub.write_bytes(whole.read_bytes()[:40])
    text = folder / "text.nii.gz"
    text.write_text("not an image\n")
    zipped_text = folder / "zipped.nii.gz"
    zipped_text.write_bytes(gzip.compress(b"not an image"))
    empty = folder / "empty.nii.gz"
    empty.write_bytes(b"")
    cut = folder / "cut.nii"
    cut.write_bytes(gzip.decompress(whole.read_bytes())[:9000])
    return {path.stem: path for path in (short, stub, text, zipped_text, empty, cut, folder / "absent.nii.gz")}


@pytest.mark.parametrize("kind", ["short.nii", "stub.nii", "text.nii", "zipped.nii", "empty.nii", "cut", "absent.nii"])
def test_unusable_files_give_one_clear_error(tmp_path, kind):
    path = bad_files(tmp_path)[kind]
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert path.name in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_folder_is_not_an_image(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path)


def test_a_singular_affine_is_refused(tmp_path):
    image = nib.Nifti1Image(ras_volume(), None)
    image.header["pixdim"][1:4] = (1, 1, 1)
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    for name in ("srow_x", "srow_y", "srow_z"):
        image.header[name] = (1, 0, 0, 0)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[280:328] = np.tile(np.array([1, 0, 0, 0], dtype="<f4"), 3).tobytes()
    raw[252:256] = np.array([0, 1], dtype="<i2").tobytes()
    path.write_bytes(raw)
    with pytest.raises(ImageError, match="singular affine"):
        read_grid(path)


def test_complex_and_colour_images_are_refused(tmp_path):
    path = write_case(tmp_path / "a.nii", data=np.ones((3, 4, 5), dtype=np.complex64))
    with pytest.raises(ImageError, match="one real number per voxel"):
        read_image(path)


def test_data_of_another_shape_cannot_go_onto_a_grid():
    with pytest.raises(GeometryError, match="cannot go back"):
        Grid((3, 4, 5), np.eye(4)).from_canonical(np.zeros((3, 4, 4)))


def test_writing_into_a_file_as_folder_is_an_output_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        write_labels(tmp_path / "file" / "mask.nii.gz", np.zeros((3, 4, 5), dtype=np.uint8), Grid((3, 4, 5), np.eye(4)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_written_bytes_do_not_depend_on_time_or_name(tmp_path):
    grid, labels = Grid((3, 4, 5), RAS_AFFINE), np.ones((3, 4, 5), dtype=np.uint8)
    write_labels(tmp_path / "a" / "mask.nii.gz", labels, grid)
    write_labels(tmp_path / "b" / "mask.nii.gz", labels, grid)
    assert (tmp_path / "a" / "mask.nii.gz").read_bytes() == (tmp_path / "b" / "mask.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"srow_x": [6.0, 2.3e15, 0.0, 0.0]}, "no voxel size or direction"),
        ({"srow_y": [0.0, 1e-30, 0.0, 0.0]}, "not the size of a head"),
        ({"srow_z": [0.0, 0.0, 4000.0, 0.0]}, "not the size of a head"),
        ({"vox_offset": 1e30}, "damaged or cut short"),
        ({"dim": [3, 31777, 39, 12065, 1, 1, 1, 1]}, "not the size of a head"),
    ],
    ids=["sheared flat", "no width", "20 m", "voxels beyond the file", "terabytes"],
)
def test_damaged_header_is_refused_in_one_line(tmp_path, row, said):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(ras_volume(), RAS_AFFINE), path)
    header = np.frombuffer(path.read_bytes()[:348], dtype=nib.Nifti1Header.template_dtype).copy()
    for name, value in row.items():
        header[name] = value
    path.write_bytes(header.tobytes() + path.read_bytes()[348:])
    with pytest.raises(ImageError, match=said):
        read_image(path)
