"""DICOM trees made from volumes with a known place in the world come back as those volumes, and nothing personal comes with them."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, RLELossless, generate_uid

from radiogen.cohort.dicom import find_series, read_series
from radiogen.cohort.dicom_layouts import find_dicom_cases
from radiogen.cohort.nifti import Grid, Image, read_image
from radiogen.cohort.sequence_identity import identify
from radiogen.errors import ImageError
from tests.cohort.dicom_data import (
    FOUR,
    PHI,
    T1C,
    T1N,
    T2F,
    T2W,
    Study,
    compress_with_itk,
    from_grid,
    tilted,
    volume,
    write_case,
    write_enhanced,
    write_series,
)


def expected(data: np.ndarray, affine: np.ndarray) -> Image:
    grid = Grid(data.shape, affine)
    return Image(grid.to_canonical(data.astype(np.float32)), grid)


def assert_same_place(image: Image, truth: Image) -> None:
    assert image.grid.corner_distance_mm(truth.grid) < 0.1
    np.testing.assert_allclose(image.data, truth.data, rtol=1e-6)


def assert_no_phi(*things: object) -> None:
    text = "\n".join(map(repr, things)) + "\n".join(map(str, things))
    assert [phi for phi in PHI if phi in text] == []


@pytest.mark.parametrize("degrees", [0.0, 20.0, 55.0, 90.0])
def test_shuffled_oblique_slices_come_back_in_place(tmp_path: Path, degrees: float) -> None:
    data, affine = volume(), tilted(degrees=degrees)
    write_series(tmp_path / "a", data, affine, slope=2.5, intercept=-7.0)
    found = find_series(tmp_path / "a")
    assert len(found.series) == 1
    assert found.series[0].problems == ()
    assert_same_place(read_series(found.series[0]), expected(data * 2.5 - 7, affine))


def test_header_keeps_only_what_is_listed(tmp_path: Path) -> None:
    write_series(tmp_path / "a", volume(), tilted(), T1C)
    header = find_series(tmp_path / "a").series[0].header
    assert header.modality == "MR"
    assert header.contrast_agent is True
    assert (header.te_ms, header.tr_ms, header.ti_ms) == (2.5, 1900.0, 900.0)
    assert header.scanning_sequence == ("GR", "IR")
    assert header.image_type == ("ORIGINAL", "PRIMARY", "M")
    assert header.words == ("km", "mpr", "nach", "t1")
    assert header.plane == "axial"
    assert header.acquisition_3d is True
    assert header.field_strength_t == 3.0
    assert_no_phi(header)


@pytest.mark.parametrize(("text", "agent"), [("NONE", False), ("", False), ("no", False), ("Dotarem 10ml", True)])
def test_contrast_agent_is_yes_or_no(tmp_path: Path, text: str, agent: bool) -> None:
    def change(dataset) -> None:
        dataset.ContrastBolusAgent = text

    write_series(tmp_path, volume(), tilted(), change=change)
    assert find_series(tmp_path).series[0].header.contrast_agent is agent


def test_identical_duplicate_is_left_out_and_said(tmp_path: Path) -> None:
    data, affine = volume(), tilted()
    write_series(tmp_path, data, affine, duplicate=4)
    series = find_series(tmp_path).series[0]
    assert series.problems == ()
    assert series.notes == ("1 duplicate slice(s) with identical values left out",)
    assert_same_place(read_series(series), expected(data, affine))


def test_duplicate_with_other_values_is_a_problem(tmp_path: Path) -> None:
    data, uid, study = volume(), generate_uid(), Study()
    write_series(tmp_path / "a", data, tilted(), series_uid=uid, study=study)
    write_series(tmp_path / "b", data + 1, tilted(), series_uid=uid, study=study, leave_out=(0, 1, 2, 3, 5, 6, 7, 8))
    series = find_series(tmp_path).series[0]
    assert len(series.problems) == 1
    assert "1 place(s) hold slices with different values" in series.problems[0]
    with pytest.raises(ImageError, match="different values"):
        read_series(series)


def test_gap_is_reported_with_its_size(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), tilted(spacing_mm=(1.0, 1.0, 5.0)), leave_out=(3, 4))
    with pytest.raises(ImageError) as caught:
        read_series(find_series(tmp_path).series[0])
    assert caught.value.problems == [
        "uneven slice spacing: 15.00 mm between slice 3 and 4 where 5.00 mm is usual (2 slice(s) missing)"
    ]


def test_echoes_of_one_series_become_volumes(tmp_path: Path) -> None:
    data, affine, uid, study = volume(), tilted(), generate_uid(), Study()
    for name, echo in (("late", 90.0), ("early", 12.0)):
        kind = type(T2W)(T2W.description, echo, T2W.tr_ms)
        write_series(tmp_path / name, data + int(echo), affine, kind, series_uid=uid, study=study)
    series = find_series(tmp_path).series
    assert [item.header.te_ms for item in series] == [12.0, 90.0]
    assert [item.key[-2:] for item in series] == ["-1", "-2"]
    for item, echo in zip(series, (12, 90), strict=True):
        assert_same_place(read_series(item), expected(data + echo, affine))


def test_a_time_series_is_split_by_acquisition_or_refused(tmp_path: Path) -> None:
    for numbered in (True, False):
        uid, study, folder = generate_uid(), Study(), tmp_path / str(numbered)
        for number in range(1, 6):

            def change(dataset, number: int = number, numbered: bool = numbered) -> None:
                dataset.AcquisitionNumber = number if numbered else 1

            write_series(
                folder / str(number), volume(seed=number), tilted(), series_uid=uid, study=study, change=change
            )
    volumes = find_series(tmp_path / "True").series
    assert [len(item.files) for item in volumes] == [9] * 5
    assert_same_place(read_series(volumes[3]), expected(volume(seed=4), tilted()))
    (unsplit,) = find_series(tmp_path / "False").series
    assert unsplit.problems == ("it holds 5 volumes of 9 slice(s) that nothing in the header tells apart",)


def test_wandering_echo_time_does_not_split_a_volume(tmp_path: Path) -> None:
    times = iter(np.linspace(80, 90, 9))

    def change(dataset) -> None:
        dataset.EchoTime = f"{next(times):.2f}"

    write_series(tmp_path, volume(), tilted(), T2W, change=change)
    assert len(find_series(tmp_path).series) == 1


def test_three_plane_localizer_in_one_series_is_split(tmp_path: Path) -> None:
    uid, study = generate_uid(), Study()
    for number, degrees in enumerate((0.0, 45.0, 90.0)):
        write_series(tmp_path / str(number), volume((20, 16, 3)), tilted(degrees=degrees), series_uid=uid, study=study)
    series = find_series(tmp_path).series
    assert [len(item.files) for item in series] == [3, 3, 3]
    assert all(not item.problems for item in series)


@pytest.mark.parametrize("echoes", [(), (20.0, 90.0)])
def test_enhanced_multi_frame(tmp_path: Path, echoes: tuple[float, ...]) -> None:
    data, affine = volume(), tilted(degrees=33)
    write_enhanced(tmp_path / "enhanced.dcm", data, affine, T2F, echoes_ms=echoes, slope=0.5)
    series = find_series(tmp_path).series
    assert [item.header.te_ms for item in series] == list(echoes or (T2F.te_ms,))
    for number, item in enumerate(series):
        assert item.problems == ()
        assert (item.header.ti_ms, item.header.tr_ms) == (T2F.ti_ms, T2F.tr_ms)
        assert item.header.scanning_sequence == ("SE", "IR")
        assert_same_place(read_series(item), expected(data * 0.5 * (number + 1), affine))
    assert_no_phi(series)


def test_multi_frame_without_places_is_a_problem(tmp_path: Path) -> None:
    def change(dataset) -> None:
        dataset.NumberOfFrames = 4
        dataset.PixelData = dataset.PixelData * 4

    write_series(tmp_path, volume(), tilted(), change=change)
    assert any("multi-frame" in problem for problem in find_series(tmp_path).series[0].problems)


def test_order_in_time_is_a_rank(tmp_path: Path) -> None:
    write_case(tmp_path, {role: (volume(), tilted()) for role in FOUR})
    order = {item.header.words: item.header.acquisition_order for item in find_series(tmp_path).series}
    assert order[("fluid", "t2", "tirm", "tra")] == 0
    assert order[("km", "mpr", "nach", "t1")] == 3


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("ImageOrientationPatient", None, "gives no orientation"),
        ("ImagePositionPatient", None, "gives no position"),
        ("PixelSpacing", None, "gives no pixel spacing"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "not two unit vectors"),
        ("PixelSpacing", [0, 0], "0 x 0 mm"),
        ("SamplesPerPixel", 3, "colour"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "mosaic"),
    ],
)
def test_unusable_headers_are_problems(tmp_path: Path, keyword: str, value: object, reason: str) -> None:
    def change(dataset) -> None:
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)

    write_series(tmp_path, volume(), tilted(), change=change)
    series = find_series(tmp_path).series[0]
    assert any(reason in problem for problem in series.problems)
    with pytest.raises(ImageError, match="cannot be read as one volume"):
        read_series(series)


def test_other_files_are_unused_with_a_reason(tmp_path: Path) -> None:
    write_series(tmp_path / "a", volume(), tilted())
    (tmp_path / "readme.txt").write_text("Doe")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "junk.dcm").write_bytes(b"\0" * 500)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    found = find_series(tmp_path)
    assert len(found.series) == 1
    assert {path.name for path in found.unused} == {"readme.txt", "empty.dcm", "junk.dcm"}
    assert set(found.unused.values()) == {"not a DICOM file"}


def test_blank_series_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, np.full((8, 8, 4), 5, np.uint16), tilted())
    with pytest.raises(ImageError, match="blank: the value 5"):
        read_series(find_series(tmp_path).series[0])


@pytest.mark.parametrize(
    ("compressor", "syntax"), [("JPEG", "1.2.840.10008.1.2.4.70"), ("JPEG2000", "1.2.840.10008.1.2.4.90")]
)
def test_lossless_compression_of_hospital_archives(tmp_path: Path, compressor: str, syntax: str) -> None:
    data, affine = volume((32, 32, 5)), tilted()
    for path in write_series(tmp_path, data, affine, slope=2.0, intercept=3.0):
        assert compress_with_itk(path, compressor) == syntax
    series = find_series(tmp_path).series[0]
    assert series.problems == ()
    assert_same_place(read_series(series), expected(data * 2.0 + 3, affine))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_other_lossless_compression(tmp_path: Path, syntax: str) -> None:
    data, affine = volume(), tilted()
    for path in write_series(tmp_path, data, affine):
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    assert_same_place(read_series(find_series(tmp_path).series[0]), expected(data, affine))


def test_compression_nobody_decodes_is_a_problem(tmp_path: Path) -> None:
    for path in write_series(tmp_path, volume(), tilted()):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
        dataset.PixelData = encapsulate([bytes(64)])
        dataset.save_as(path)
    series = find_series(tmp_path).series[0]
    assert len(series.problems) == 1
    assert "MPEG2" in series.problems[0]
    assert "export it uncompressed" in series.problems[0]


def test_unknown_transfer_syntax_is_a_problem(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), tilted())
    for path in sorted(tmp_path.iterdir()):
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0", 1))
    series = find_series(tmp_path)
    assert [list(item.problems) for item in series.series] == [
        ["9 of 9 frame(s): its transfer syntax is not one of the DICOM standard"]
    ]


def test_nothing_personal_comes_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    write_case(tmp_path / "a", {role: (volume(), tilted()) for role in FOUR}, duplicate=2)
    write_series(tmp_path / "b", volume(), tilted(), T1N, leave_out=(4,))
    for path in (tmp_path / "b").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    found = find_series(tmp_path)
    said: list[object] = [found, [vars(item.header) for item in found.series]]
    for item in found.series:
        try:
            said.append(read_series(item).grid)
        except ImageError as error:
            said += [error, error.problems, error.__cause__, error.__context__]
    out, err = capfd.readouterr()
    assert_no_phi(*said, out, err, caplog.text)
    assert any(isinstance(item, ImageError) for item in said)


@pytest.mark.parametrize("degrees", [0.0, 25.0, 70.0])
def test_another_reader_agrees_on_the_place(tmp_path: Path, degrees: float) -> None:
    write_series(tmp_path, volume(), tilted(degrees=degrees))
    series = find_series(tmp_path).series[0]
    image = read_series(series)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in series.files])
    theirs = reader.Execute()
    data = SimpleITK.GetArrayFromImage(theirs)
    for index in [(0, 0, 0), (19, 15, 8), (3, 11, 5)]:
        world = np.array(theirs.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        voxel = np.linalg.solve(image.affine, [*world, 1.0])[:3]
        np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-3)
        assert image.data[tuple(np.rint(voxel).astype(int))] == data[index[::-1]]


def test_reading_side_by_side_leaves_warnings_and_logging_as_they_were(tmp_path: Path) -> None:
    write_case(tmp_path, {role: (volume(), tilted()) for role in FOUR})
    found = find_series(tmp_path).series
    filters, logger = list(warnings.filters), logging.getLogger("pydicom")
    with ThreadPoolExecutor(4) as threads:
        images = list(threads.map(read_series, found * 3))
    assert len(images) == 12
    assert list(warnings.filters) == filters
    assert not logger.disabled


@pytest.mark.real_data
def test_a_real_case_comes_back_in_place(tmp_path: Path, shared_data: Path) -> None:
    names = {"t1n": "t1", "t1c": "t1c", "t2w": "t2", "t2f": "fla"}
    images = {role: read_image(shared_data / "mri/TCGA-FG-6692_raw" / f"{name}.nii.gz") for role, name in names.items()}
    write_case(
        tmp_path / "case", {role: from_grid(image.data, image.grid) for role, image in images.items()}, duplicate=5
    )
    case = find_dicom_cases([tmp_path / "case"])[0]
    assert case.case == "case"
    found = identify(case.series, case.folder_role)
    assert set(found.chosen) == set(names)
    assert found.others == {}
    by_key = {item.key: item for item in case.series}
    for role, choice in found.chosen.items():
        image = read_series(by_key[choice.key])
        assert image.grid.corner_distance_mm(images[role].grid) < 0.1
        np.testing.assert_allclose(image.data, np.floor(images[role].data.clip(0)), atol=1e-3)
        assert choice.confidence > 0.95
    assert_no_phi(case, found)
