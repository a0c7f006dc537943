"""DICOM in: files to series to images. The only module that reads DICOM with pydicom (`dicom_seg` writes, with highdicom).

Only the elements listed in `_TAGS` are ever parsed, so that names, ids and free text are not in memory to be printed by accident; of the
texts among them (descriptions, contrast agent) only vocabulary words and a yes or no leave this module.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import SimpleITK
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from radiogen.cohort.dicom_header import DICOM_ERRORS, frames_of, rescale_of, text_of, whole_number
from radiogen.cohort.dicom_series import DicomSeries, FoundSeries, Frame, assemble
from radiogen.cohort.nifti import Image
from radiogen.errors import ImageError

_TAGS: list[str] = [
    "SOPClassUID", "Modality", "ImageType", "FrameType", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesDescription",
    "ProtocolName", "SequenceName", "PulseSequenceName", "ContrastBolusAgent", "ContrastBolusAgentSequence", "EchoTime", "RepetitionTime",
    "InversionTime", "FlipAngle", "MagneticFieldStrength", "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "VolumetricProperties",
    "EchoPulseSequence", "InversionRecovery", "EchoPlanarPulseSequence", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "TemporalPositionIdentifier", "DiffusionBValue", "SeriesNumber", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "SeriesDate",
    "SeriesTime", "StudyDate", "StudyTime", "ContentDate", "ContentTime", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PlanarConfiguration", "AcquisitionNumber", "RescaleSlope", "RescaleIntercept", "DirectoryRecordSequence",
]  # fmt: skip
_PIXEL_TAGS: list[str] = [*_TAGS, "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable"]
_ITK_DECODES = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91))
"""Transfer syntaxes that SimpleITK's GDCM decodes: JPEG, lossless JPEG (the usual one of hospital archives), JPEG-LS, JPEG 2000."""
_EMPTY_IF_ABSENT = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_FRAME_TAGS = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_PLAIN_SUFFIXES = (".dcm", ".ima", ".dicom")
_LARGEST_VOLUME = 2**31

_READ_ERRORS = (*DICOM_ERRORS, BytesLengthException, InvalidDicomError)

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from warning and logging: its texts quote header values. What matters is turned into problems instead."""
    logger = logging.getLogger("pydicom")
    with _ONE_AT_A_TIME, warnings.catch_warnings(), pydicom_config.disable_value_validation():
        warnings.simplefilter("ignore")
        was_disabled, logger.disabled = logger.disabled, True
        # An element of a wrong length becomes bytes, which no reader of values here accepts, instead of an error of pydicom's own kind.
        converted, pydicom_config.convert_wrong_length_to_UN = pydicom_config.convert_wrong_length_to_UN, True
        try:
            yield
        finally:
            logger.disabled = was_disabled
            pydicom_config.convert_wrong_length_to_UN = converted


def find_series(folder: str | Path, *, below: bool = True) -> FoundSeries:
    """Return every volume that the DICOM files of a folder make up, from their headers alone.

    Args:
        folder: searched with everything below it.
        below: False looks at the files directly in the folder only.

    Raises:
        ImageError: it is not a folder.
    """
    frames, unused = find_frames(folder, below=below)
    return join_frames(frames, unused)


def find_frames(folder: str | Path, *, below: bool = True) -> tuple[list[Frame], dict[Path, str]]:
    """Return every frame in a folder, and file -> why it holds none.

    Raises:
        ImageError: it is not a folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"{root} is not a folder.", hint="Give the folder that holds the DICOM files.")
    frames: list[Frame] = []
    unused: dict[Path, str] = {}
    for path in _files(root, below):
        found = _frames_or_reason(path)
        if isinstance(found, str):
            unused[path] = found
        else:
            frames += found
    return frames, unused


def join_frames(frames: list[Frame], unused: Mapping[Path, str]) -> FoundSeries:
    """Return the volumes that frames make up; the pixels of frames at one place are compared."""
    series, studies = assemble(frames, _same_pixels)
    return FoundSeries(series, unused, studies)


def read_series(series: DicomSeries) -> Image:
    """Read one volume: stored values times rescale slope plus intercept, per slice.

    Args:
        series: as `find_series` returned it.

    Returns:
        Canonical float32 data; the grid's axes are column, row and slice, its world RAS mm.

    Raises:
        ImageError: the series has problems, files cannot be decoded, voxels are not finite, or all voxels are the same; every problem is listed.
    """
    problems = list(series.problems)
    if series.grid is None and not problems:
        problems = ["its slices have no place in the world"]
    if series.grid is not None and int(np.prod(series.grid.shape)) > _LARGEST_VOLUME:
        problems.append(f"{int(np.prod(series.grid.shape))} voxels: up to {_LARGEST_VOLUME} are accepted")
    if problems or series.grid is None:
        raise _unreadable(series, problems)
    data = _stack(series, series.grid.shape)
    if not np.isfinite(data).all():
        raise _unreadable(series, [f"{int((~np.isfinite(data)).sum())} voxel(s) are NaN or infinite after rescaling"])
    if data.min() == data.max():
        raise _unreadable(series, [f"it is blank: the value {data.flat[0]:g} is in every voxel"])
    return Image(series.grid.to_canonical(data), series.grid)


def _stack(series: DicomSeries, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the slices of a series, decoded, on its own axes; every file is decoded once."""
    data = np.zeros(shape, dtype=np.float32)
    slices_of: dict[Path, list[int]] = {}
    for number, path in enumerate(series.files):
        slices_of.setdefault(path, []).append(number)
    failed: dict[str, int] = {}
    for path, numbers in slices_of.items():
        try:
            frames = _decode(path)
            for number in numbers:
                data[:, :, number] = _one(frames, series.frames[number], shape[:2])
        except ImageError as error:
            failed[error.message] = failed.get(error.message, 0) + len(numbers)
    if failed:
        raise _unreadable(
            series, [f"{count} of {len(series.files)} slice(s): {text}" for text, count in failed.items()]
        )
    return data


def source_headers(series: DicomSeries) -> list[Dataset]:
    """Return the whole headers of a series' files, in the order of its slices, for an object that must refer to them (a DICOM SEG).

    Elements that the standard wants to be there, if only empty, are added empty. These are the patient's headers: keep them out of messages and logs.

    Raises:
        ImageError: a file cannot be read, or there is no frame of reference.
    """
    with quiet():
        try:
            headers: list[Dataset] = [
                pydicom.dcmread(path, stop_before_pixels=True) for path in dict.fromkeys(series.files)
            ]
            for header in headers:
                _share_orientation(header)
                for keyword in _EMPTY_IF_ABSENT:
                    if keyword not in header:
                        setattr(header, keyword, None)
                if header.PatientSex not in ("M", "F", "O"):
                    header.PatientSex = None
        except (OSError, *_READ_ERRORS) as error:
            raise ImageError(f"The headers of series {series.key} cannot be read ({type(error).__name__}).") from None
    if not series.space:
        raise ImageError(
            f"The DICOM series {series.key} has no frame of reference, so nothing can be drawn on it.",
            hint="Write the mask as NIfTI instead.",
        )
    return headers


def _share_orientation(header: Dataset) -> None:
    """Move an orientation that all frames of a multi-frame header repeat to its shared groups, where highdicom looks for it."""
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence")
    if not frames or not shared or "PlaneOrientationSequence" in shared[0]:
        return
    stated = [frame.get("PlaneOrientationSequence") for frame in frames]
    if all(item is not None and item == stated[0] for item in stated):
        shared[0].PlaneOrientationSequence = stated[0]
        for frame in frames:
            del frame.PlaneOrientationSequence


def derived_uid(*texts: str) -> str:
    """Return a valid DICOM UID that is always the same for the same texts."""
    return str(generate_uid(entropy_srcs=list(texts)))


def anonymous(uid: str) -> str:
    """Return a short, stable key for a DICOM UID that does not lead back to it.

    Example:
        >>> anonymous("1.2.3") == anonymous("1.2.3"), len(anonymous("1.2.3"))
        (True, 12)
    """
    return hashlib.sha256(f"radiogen DICOM key {uid}".encode()).hexdigest()[:12]


def _unreadable(series: DicomSeries, problems: list[str]) -> ImageError:
    return ImageError(
        f"The DICOM series {series.key} cannot be read as one volume:",
        problems=problems,
        hint="Export the series again, uncompressed and complete, or choose another series in the override file.",
    )


def _files(root: Path, below: bool) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if below else []
        real = Path(folder).resolve()
        if real in seen:  # a link that leads back to a folder above it
            folders[:] = []
            continue
        seen.add(real)
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _frames_or_reason(path: Path) -> list[Frame] | str:
    with quiet():
        try:
            dataset = _header(path)
            if dataset is None:
                return "not a DICOM file"
            if "DirectoryRecordSequence" in dataset or path.name.upper() == "DICOMDIR":
                return "a DICOMDIR index, not an image"
            if not text_of(dataset, "SeriesInstanceUID"):
                return "a DICOM file without a SeriesInstanceUID"
            if text_of(dataset, "Modality") == "SEG":
                return "a DICOM segmentation, not an image"
            if not whole_number(dataset, "Rows") or not whole_number(dataset, "Columns"):
                return "a DICOM file that holds no image"
            return frames_of(path, dataset, anonymous, _encoding_problem(dataset))
        except OSError as error:
            return f"cannot be opened: {error.strerror or 'unreadable'}"
        except _READ_ERRORS as error:
            return f"a damaged DICOM file ({type(error).__name__} while reading its header)"


def _header(path: Path) -> Dataset | None:
    if path.stat().st_size == 0:
        return None
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except InvalidDicomError:
        if path.suffix.lower() not in _PLAIN_SUFFIXES:
            return None
    dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
    return dataset if "SOPClassUID" in dataset and "SeriesInstanceUID" in dataset else None


def _transfer_syntax(dataset: Dataset) -> UID:
    stated = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if stated:
        return UID(str(stated))
    implicit, little = dataset.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _encoding_problem(dataset: Dataset) -> str:
    syntax = _transfer_syntax(dataset)
    if syntax.is_private or syntax.name == str(syntax) or not syntax.is_transfer_syntax:
        return "its transfer syntax is not one of the DICOM standard"
    if not syntax.is_compressed or str(syntax) in _ITK_DECODES or _pydicom_decodes(syntax):
        return ""
    return f"it is compressed as {syntax.name}, which cannot be decoded here; export it uncompressed"


def _pydicom_decodes(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _same_pixels(one: Frame, other: Frame) -> bool:
    try:
        return bool(np.array_equal(_decode(one.path)[one.index], _decode(other.path)[other.index]))
    except (ImageError, IndexError):
        return False


def _one(frames: np.ndarray, index: int, shape: tuple[int, int]) -> np.ndarray:
    """Return one decoded frame with its column index first."""
    if index >= len(frames) or frames.shape[1:] != (shape[1], shape[0]):
        raise ImageError("its pixels do not have the rows and columns that its header states")
    return frames[index].T


def _decode(path: Path) -> np.ndarray:
    """Return every frame of a file, rescaled: float32 of shape (frames, rows, columns).

    Raises:
        ImageError: the pixels cannot be decoded; the message names neither file nor header value.
    """
    with quiet():
        try:
            dataset = pydicom.dcmread(path, specific_tags=_PIXEL_TAGS, force=True)
            syntax = _transfer_syntax(dataset)
            if syntax.is_compressed and not syntax.is_deflated and not _pydicom_decodes(syntax):
                frames = _decode_with_itk(dataset, syntax)
            else:
                dataset.file_meta.TransferSyntaxUID = syntax
                frames = dataset.pixel_array
            if frames.ndim == 2:
                frames = frames[np.newaxis]
            if frames.ndim != 3:
                raise ImageError("it is a colour image; one number per voxel is accepted")
            scale = np.array([rescale_of(dataset, index) for index in range(len(frames))])
            return (frames * scale[:, :1, np.newaxis] + scale[:, 1:, np.newaxis]).astype(np.float32)
        except OSError as error:
            raise ImageError("its file cannot be opened") from error
        except _READ_ERRORS as error:
            # pydicom's own text may quote the header, so only its kind is passed on, and no cause is chained.
            raise ImageError(f"its pixels are damaged or cut short ({type(error).__name__})") from None


def _decode_with_itk(dataset: Dataset, syntax: UID) -> np.ndarray:
    """Return the stored values of every frame, decoded by GDCM.

    GDCM is given a new file per frame with nothing but the pixels: on a damaged header it searches for seconds, and this one may name a patient.
    """
    count = whole_number(dataset, "NumberOfFrames") or 1
    frames = list(generate_frames(dataset.PixelData, number_of_frames=count))
    if len(frames) != count or not all(frame[:2] in (b"\xff\xd8", b"\xff\x4f") for frame in frames):
        raise ImageError("its compressed pixels are damaged or cut short")
    with TemporaryDirectory() as folder:
        return np.stack([_decode_frame(dataset, syntax, frame, Path(folder) / "frame.dcm") for frame in frames])


def _decode_frame(dataset: Dataset, syntax: UID, frame: bytes, path: Path) -> np.ndarray:
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.SOPClassUID, bare.SOPInstanceUID = MRImageStorage, generate_uid()
    for keyword in _FRAME_TAGS:
        setattr(bare, keyword, dataset[keyword].value)
    bare.PixelData = encapsulate([frame])
    bare["PixelData"].is_undefined_length = True
    bare.save_as(path, enforce_file_format=True)
    warned = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        values = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError:
        raise ImageError("its compressed pixels cannot be decoded") from None
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(warned)
    return values[0] if values.ndim == 3 else values
