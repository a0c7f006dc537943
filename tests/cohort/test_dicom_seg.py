"""Segmentations written on a DICOM series and read back by highdicom lie where the mask lies."""

from __future__ import annotations

from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from radiogen.cohort.dicom import find_series, read_series
from radiogen.cohort.dicom_seg import SEGMENTS, write_segmentation
from radiogen.cohort.dicom_series import DicomSeries
from radiogen.cohort.nifti import Grid
from radiogen.errors import GeometryError, ImageError
from tests.cohort.dicom_data import PHI_MARK, T1C, T2W, Study, from_grid, tilted, volume, write_enhanced, write_series

RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def labels_for(series: DicomSeries, seed: int = 3) -> np.ndarray:
    assert series.grid is not None
    return np.random.default_rng(seed).integers(0, 5, series.grid.canonical_shape).astype(np.uint8)


def read_back(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (slice, row, column) and their affine to RAS, as highdicom gives them."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return volume.array, RAS_LPS @ volume.affine


def assert_written(path: Path, labels: np.ndarray, series: DicomSeries) -> None:
    array, affine = read_back(path)
    back = Grid(array.shape, affine)
    assert series.grid is not None
    assert back.corner_distance_mm(series.grid) < 0.01
    np.testing.assert_array_equal(back.to_canonical(array), labels)


@pytest.mark.parametrize("degrees", [0.0, 20.0, 70.0])
def test_classic_series(tmp_path: Path, degrees: float) -> None:
    write_series(tmp_path / "s", volume(), tilted(degrees=degrees), T1C, duplicate=3)
    series = find_series(tmp_path / "s").series[0]
    labels = labels_for(series)
    write_segmentation(tmp_path / "seg.dcm", labels, series.grid, series)
    assert_written(tmp_path / "seg.dcm", labels, series)


def test_what_it_refers_to_and_says(tmp_path: Path) -> None:
    study = Study()
    write_series(tmp_path / "s", volume(), tilted(), T1C, study=study)
    series = find_series(tmp_path / "s").series[0]
    write_segmentation(tmp_path / "seg.dcm", labels_for(series), series.grid, series)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    assert dataset.FrameOfReferenceUID == study.space
    assert dataset.StudyInstanceUID == study.uid
    assert dataset.Manufacturer == "radiogen"
    assert PHI_MARK in str(dataset.PatientName)  # a SEG carries the header of its source, as its docstring says
    assert dataset.NumberOfFrames == 4 * 9
    assert [item.SegmentNumber for item in dataset.SegmentSequence] == list(SEGMENTS)
    codes = [item.SegmentedPropertyTypeCodeSequence[0].CodeValue for item in dataset.SegmentSequence]
    assert codes == ["6574001", "79654002", "C113842", "RC"]
    assert {item.SegmentAlgorithmName for item in dataset.SegmentSequence} == {"radiogen"}
    referenced = {
        item.ReferencedSOPInstanceUID for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "s").iterdir()}


def test_an_empty_mask_is_written_too(tmp_path: Path) -> None:
    write_series(tmp_path / "s", volume(), tilted())
    series = find_series(tmp_path / "s").series[0]
    labels = np.zeros(series.grid.canonical_shape, np.uint8)
    write_segmentation(tmp_path / "seg.dcm", labels, series.grid, series)
    assert_written(tmp_path / "seg.dcm", labels, series)


@pytest.mark.parametrize("echoes", [(), (15.0, 95.0)])
def test_enhanced_source(tmp_path: Path, echoes: tuple[float, ...]) -> None:
    write_enhanced(tmp_path / "s" / "e.dcm", volume(), tilted(), T2W, echoes_ms=echoes)
    series = find_series(tmp_path / "s").series[-1]
    labels = labels_for(series)
    write_segmentation(tmp_path / "seg.dcm", labels, series.grid, series)
    assert_written(tmp_path / "seg.dcm", labels, series)


def test_source_without_patient_elements(tmp_path: Path) -> None:
    def strip(dataset) -> None:
        for keyword in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyID",
            "StudyDate",
            "StudyTime",
        ):
            del dataset[keyword]

    write_series(tmp_path / "s", volume(), tilted(), change=strip)
    series = find_series(tmp_path / "s").series[0]
    labels = labels_for(series)
    write_segmentation(tmp_path / "seg.dcm", labels, series.grid, series)
    assert_written(tmp_path / "seg.dcm", labels, series)


def test_refusals(tmp_path: Path) -> None:
    write_series(tmp_path / "s", volume(), tilted())
    series = find_series(tmp_path / "s").series[0]
    labels = labels_for(series)
    moved = Grid(series.grid.shape, series.grid.affine + np.eye(4)[:, [0, 0, 0, 0]] * [0, 0, 0, 2.0])
    with pytest.raises(GeometryError, match="does not lie on the voxels"):
        write_segmentation(tmp_path / "seg.dcm", labels, moved, series)
    with pytest.raises(ImageError, match="label\\(s\\) 9"):
        write_segmentation(tmp_path / "seg.dcm", np.full_like(labels, 9), series.grid, series)
    assert not (tmp_path / "seg.dcm").exists()


def test_no_frame_of_reference(tmp_path: Path) -> None:
    def strip(dataset) -> None:
        del dataset.FrameOfReferenceUID

    write_series(tmp_path / "s", volume(), tilted(), change=strip)
    series = find_series(tmp_path / "s").series[0]
    with pytest.raises(ImageError, match="no frame of reference"):
        write_segmentation(tmp_path / "seg.dcm", labels_for(series), series.grid, series)


@pytest.mark.real_data
def test_an_expert_mask_goes_out_and_comes_back(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "mri/BraTS-GLI-00000-000"
    image = nib.load(folder / "BraTS-GLI-00000-000-t1c.nii.gz")
    mask = nib.load(folder / "BraTS-GLI-00000-000-seg.nii.gz")
    grid = Grid(image.shape, image.affine)
    canonical = grid.to_canonical(np.asarray(mask.dataobj).astype(np.uint8))
    data, affine = from_grid(grid.to_canonical(np.asarray(image.dataobj)), grid)
    write_series(tmp_path / "s", data[:, :, 60:90], affine @ shift(60), T1C, series_uid=generate_uid())
    series = find_series(tmp_path / "s").series[0]
    labels = np.ascontiguousarray(canonical[:, :, 60:90])
    assert read_series(series).data.shape == labels.shape
    write_segmentation(tmp_path / "seg.dcm", labels, series.grid, series)
    assert_written(tmp_path / "seg.dcm", labels, series)
    assert set(np.unique(labels)) == {0, 1, 2, 3}


def shift(slices: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[2, 3] = slices
    return matrix
