"""Makes DICOM files from volumes whose place in the world is known, with made-up personal data in every text element."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from radiogen.cohort.nifti import Grid

PHI_MARK = "QXPHI"
"""Begins every made-up personal text, so that one search finds any of them."""
BIRTH_DATE, STUDY_DATE = "19570314", "20190823"
PHI = (PHI_MARK, PHI_MARK.lower(), BIRTH_DATE, STUDY_DATE, "1957", "2019-08", "Doe", "doe^", "4711", "061Y")
MR_STORAGE, ENHANCED_MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"


@dataclass(frozen=True)
class Sequence4:
    """How one of the four sequences is acquired and described."""

    description: str
    te_ms: float
    tr_ms: float
    ti_ms: float | None = None
    scanning: tuple[str, ...] = ("SE",)
    agent: str | None = None
    acquisition: str = "2D"


T1N = Sequence4("t1_mpr_sag nativ", 2.5, 1900.0, 900.0, ("GR", "IR"), acquisition="3D")
T1C = Sequence4("t1_mpr nach KM", 2.5, 1900.0, 900.0, ("GR", "IR"), agent="GADOVIST", acquisition="3D")
T2W = Sequence4("t2_tse_tra", 95.0, 5200.0)
T2F = Sequence4("t2_tirm_tra_dark-fluid", 110.0, 9000.0, 2500.0, ("SE", "IR"))
FOUR = {"t1n": T1N, "t1c": T1C, "t2w": T2W, "t2f": T2F}


@dataclass
class Study:
    """Identifiers that the series of one visit share."""

    uid: str = field(default_factory=generate_uid)
    space: str = field(default_factory=generate_uid)
    date: str = STUDY_DATE


def volume(shape: tuple[int, int, int] = (20, 16, 9), seed: int = 0) -> np.ndarray:
    """Return made-up stored values in which every slice differs."""
    return np.random.default_rng(seed).integers(1, 2000, shape).astype(np.uint16)


def tilted(spacing_mm: tuple[float, float, float] = (0.9, 1.1, 5.5), degrees: float = 20.0) -> np.ndarray:
    """Return a RAS affine of an oblique axial stack as scanners store it (columns to the left, rows to the back)."""
    turn = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ np.diag([-1.0, -1.0, 1.0]) @ np.diag(spacing_mm)
    affine[:3, 3] = (12.3, 40.7, -31.9)
    return affine


def write_series(
    folder: Path,
    data: np.ndarray,
    affine: np.ndarray,
    kind: Sequence4 = T1N,
    *,
    study: Study | None = None,
    series_uid: str = "",
    time: str = "101500",
    seed: int = 0,
    duplicate: int | None = None,
    leave_out: tuple[int, ...] = (),
    slope: float = 1.0,
    intercept: float = 0.0,
    change: Any = None,
) -> list[Path]:
    """Write one file per slice, under shuffled names and with wrong instance numbers.

    Args:
        folder: made when it is not there.
        data: uint16, on axes column, row, slice of `affine`.
        affine: RAS, mm.
        kind: what the header says.
        duplicate: slice written a second time.
        leave_out: slices not written.
        change: called with every dataset before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study, series_uid = study or Study(), series_uid or generate_uid()
    numbers = [k for k in range(data.shape[2]) if k not in leave_out] + ([] if duplicate is None else [duplicate])
    names = np.random.default_rng(seed).permutation(len(numbers)) + 1
    paths = []
    for k, name in zip(numbers, names, strict=True):
        dataset = _common(study, series_uid, kind, time, MR_STORAGE)
        dataset.InstanceNumber = int(names[::-1][name - 1])
        _place(dataset, affine, k)
        dataset.PixelSpacing = [_ds(np.linalg.norm(affine[:3, 1])), _ds(np.linalg.norm(affine[:3, 0]))]
        dataset.SliceThickness = "3.0"  # deliberately not the distance between slices
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)
        _pixels(dataset, data[:, :, k].T)
        if change is not None:
            change(dataset)
        path = folder / f"Image-{name}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_enhanced(
    path: Path,
    data: np.ndarray,
    affine: np.ndarray,
    kind: Sequence4 = T1N,
    *,
    study: Study | None = None,
    seed: int = 0,
    echoes_ms: tuple[float, ...] = (),
    slope: float = 1.0,
) -> Path:
    """Write one Enhanced MR file with its frames in shuffled order; every echo has the same frames, scaled by its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = _common(study or Study(), generate_uid(), kind, "101500", ENHANCED_MR_STORAGE)
    for keyword in ("EchoTime", "RepetitionTime", "InversionTime", "ScanningSequence", "SequenceVariant"):
        if keyword in dataset:
            del dataset[keyword]
    dataset.EchoPulseSequence = "GRADIENT" if "GR" in kind.scanning else "SPIN"
    dataset.InversionRecovery = "YES" if "IR" in kind.scanning else "NO"
    frames = [(echo, k) for echo in echoes_ms or (kind.te_ms,) for k in range(data.shape[2])]
    order = np.random.default_rng(seed).permutation(len(frames))
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = [
        _ds(np.linalg.norm(affine[:3, 1])),
        _ds(np.linalg.norm(affine[:3, 0])),
    ]
    shared.PixelMeasuresSequence[0].SliceThickness = "3.0"
    shared.PixelValueTransformationSequence = Sequence([Dataset()])
    shared.PixelValueTransformationSequence[0].RescaleSlope = str(slope)
    shared.PixelValueTransformationSequence[0].RescaleIntercept = "0"
    shared.PixelValueTransformationSequence[0].RescaleType = "US"
    shared.MRTimingAndRelatedParametersSequence = Sequence([Dataset()])
    shared.MRTimingAndRelatedParametersSequence[0].RepetitionTime = str(kind.tr_ms)
    if kind.ti_ms is not None:
        shared.MRModifierSequence = Sequence([Dataset()])
        shared.MRModifierSequence[0].InversionTimes = kind.ti_ms
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence()
    for index in order:
        echo, k = frames[index]
        item, place = Dataset(), Dataset()
        _place(place, affine, k)
        item.PlanePositionSequence = Sequence([Dataset()])
        item.PlanePositionSequence[0].ImagePositionPatient = place.ImagePositionPatient
        item.PlaneOrientationSequence = Sequence([Dataset()])
        item.PlaneOrientationSequence[0].ImageOrientationPatient = place.ImageOrientationPatient
        item.MREchoSequence = Sequence([Dataset()])
        item.MREchoSequence[0].EffectiveEchoTime = echo
        item.FrameContentSequence = Sequence([Dataset()])
        item.FrameContentSequence[0].FrameComments = f"{PHI_MARK}FRAME"
        dataset.PerFrameFunctionalGroupsSequence.append(item)
    echo_number = {echo: number + 1 for number, echo in enumerate(echoes_ms or (kind.te_ms,))}
    stack = np.stack([data[:, :, k].T * echo_number[echo] for echo, k in (frames[index] for index in order)])
    _pixels(dataset, stack[0])
    dataset.NumberOfFrames = len(stack)
    dataset.PixelData = stack.astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_case(folder: Path, volumes: dict[str, tuple[np.ndarray, np.ndarray]], **options: Any) -> Study:
    """Write a study of up to four sequences, a folder each under meaningless names, in the order they are scanned."""
    study = Study()
    for number, role in enumerate(role for role in ("t2f", "t1n", "t2w", "t1c") if role in volumes):
        data, affine = volumes[role]
        write_series(
            folder / f"S{7 - number}",
            data,
            affine,
            FOUR[role],
            study=study,
            time=f"10{number}500",
            seed=number,
            **options,
        )
    return study


def compress_with_itk(path: Path, compressor: str) -> str:
    """Replace a file's pixels by what ITK's GDCM makes of them and return the transfer syntax."""
    writer, beside = SimpleITK.ImageFileWriter(), path.with_name("beside.dcm")
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.SetFileName(str(beside))
    dataset = pydicom.dcmread(path)
    writer.Execute(SimpleITK.GetImageFromArray(dataset.pixel_array))
    compressed = pydicom.dcmread(beside)
    beside.unlink()
    dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
    dataset.PixelData = compressed.PixelData
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return str(dataset.file_meta.TransferSyntaxUID)


def from_grid(data: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return canonical data as stored by a scanner: uint16 with columns to the left and rows to the back, and its affine."""
    flipped = np.ascontiguousarray(data[::-1, ::-1])
    affine = grid.canonical_affine.copy()
    affine[:3, 3] += affine[:3, 0] * (data.shape[0] - 1) + affine[:3, 1] * (data.shape[1] - 1)
    affine[:3, :2] *= -1
    return np.clip(flipped, 0, 65_535).astype(np.uint16), affine


def _place(dataset: Dataset, affine: np.ndarray, k: int) -> None:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    directions = lps[:3, :2] / np.linalg.norm(lps[:3, :2], axis=0)
    dataset.ImageOrientationPatient = [_ds(value) for value in directions.T.ravel()]
    dataset.ImagePositionPatient = [_ds(value) for value in lps[:3, 3] + k * lps[:3, 2]]


def _ds(value: float) -> str:
    return f"{value:.8f}"[:16]


def _pixels(dataset: Dataset, frame: np.ndarray) -> None:
    dataset.Rows, dataset.Columns = frame.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = np.ascontiguousarray(frame).astype("<u2").tobytes()


def _common(study: Study, series_uid: str, kind: Sequence4, time: str, sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study.uid, series_uid
    dataset.FrameOfReferenceUID, dataset.Modality = study.space, "MR"
    dataset.PatientName, dataset.PatientID = f"{PHI_MARK}Doe^Jane", f"{PHI_MARK}4711"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = BIRTH_DATE, "F", "061Y"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = study.date
    dataset.StudyTime = "093000"
    dataset.AcquisitionTime = dataset.SeriesTime = dataset.ContentTime = time
    for keyword in (
        "AccessionNumber", "ReferringPhysicianName", "InstitutionName", "InstitutionAddress", "StationName", "StudyDescription", "OperatorsName",
        "PatientComments", "ImageComments", "StudyID", "PerformingPhysicianName", "RequestedProcedureDescription", "Manufacturer",
        "DeviceSerialNumber", "OtherPatientIDs", "PatientAddress", "AdditionalPatientHistory", "BodyPartExamined", "SoftwareVersions",
        "PerformedProcedureStepDescription",
    ):  # fmt: skip
        setattr(dataset, keyword, f"{PHI_MARK}{len(keyword)}"[:16])
    dataset.SeriesDescription = f"{kind.description} {PHI_MARK}DESC"
    dataset.ProtocolName = f"{kind.description} {PHI_MARK}PROT"
    dataset.SequenceName = f"*{PHI_MARK}SEQ"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", f"{PHI_MARK}TYPE"]
    dataset.EchoTime, dataset.RepetitionTime = str(kind.te_ms), str(kind.tr_ms)
    if kind.ti_ms is not None:
        dataset.InversionTime = str(kind.ti_ms)
    dataset.ScanningSequence, dataset.SequenceVariant = list(kind.scanning), ["SK", "SP"]
    dataset.MRAcquisitionType, dataset.MagneticFieldStrength, dataset.FlipAngle = kind.acquisition, "3", "9"
    if kind.agent is not None:
        dataset.ContrastBolusAgent = f"{kind.agent} {PHI_MARK}AGENT"
    private = dataset.private_block(0x0029, f"{PHI_MARK} PRIVATE", create=True)
    private.add_new(0x01, "LO", f"{PHI_MARK}Doe^Jane")
    private.add_new(0x02, "UN", f"{PHI_MARK}Doe^Jane ".encode())
    return dataset
