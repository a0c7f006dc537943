"""From one parsed DICOM header to frames: values read one by one, each checked, none trusted.

Works on pydicom datasets through their mapping interface and does not import pydicom.
"""

from __future__ import annotations

import datetime
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from radiogen.cohort.dicom_geometry import Plane, Triple, plane_problem
from radiogen.cohort.dicom_series import Frame, SeriesHeader
from radiogen.cohort.dicom_words import find_words, groups_of

DICOM_ERRORS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError, NotImplementedError, RuntimeError, UnicodeError,
    ArithmeticError, MemoryError, struct.error, zlib.error,
)  # fmt: skip
"""What reading a damaged header raises (pydicom converts values when they are asked for)."""

_MODALITY_CODES = "MR CT PT NM US CR DX MG XA OT SC SEG RTSTRUCT RTDOSE SR PR KO REG"
_MODALITIES = frozenset(_MODALITY_CODES.split())
_SEQUENCES = frozenset({"SE", "IR", "GR", "EP", "RM"})
_VARIANTS = frozenset({"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "TOF"})
_IMAGE_TYPE_CODES = """
ORIGINAL DERIVED MIXED PRIMARY SECONDARY LOCALIZER SCOUT AXIAL OTHER NONE VOLUME NORM DIS2D DIS3D ND FM FIL MFSPLIT DEFACED
MPR REFORMATTED RESAMPLED MIP MNIP AVERAGE SUBTRACTION SUB COMBINED MOCO MOSAIC
ADC EADC TRACEW TRACE FA TENSOR DIFFUSION CALC_BVALUE DIFFUSION_ANISO
PERFUSION DYNAMIC CBF CBV RCBV RCBF MTT TTP TMAX KTRANS ASL PERFUSION_ASL FMRI BOLD SWI QSM ANGIO TOF FLOW VELOCITY
PHASE MAGNITUDE REAL IMAGINARY M P R I M_SE M_FFE M_IR M_TFE WATER FAT IN_PHASE OUT_PHASE UNI INV1 INV2
T1 T2 T2_STAR T1_MAP T2_MAP PROTON_DENSITY FLAIR STIR
"""
_IMAGE_TYPE_PHRASES = {"PROJECTION IMAGE", "T1 MAP", "T2 MAP", "PHASE MAP", "SCREEN SAVE"}
_IMAGE_TYPES = frozenset(_IMAGE_TYPE_CODES.split()) | _IMAGE_TYPE_PHRASES
_NO_AGENT = re.compile(r"(?i)\s*(none|no|n/?a|nil|0|off|ohne|kein\w*|(without|sans|sin|senza|sem)\b.*|native?|-+)?\s*")
_LARGEST_FRAMES = 20_000

Hash = Callable[[str], str]


def value_of(dataset: Any, keyword: str) -> Any:
    """Return an element's value, or None when it is missing or damaged."""
    try:
        return dataset.get(keyword) if dataset is not None else None
    except DICOM_ERRORS:
        return None


def text_of(dataset: Any, keyword: str) -> str:
    """Return an element's value as text, empty when there is none."""
    try:
        value = value_of(dataset, keyword)
        return "" if value is None else str(value).strip()
    except DICOM_ERRORS:
        return ""


def numbers_of(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return an element's values when there are exactly `count`, all finite."""
    value = value_of(dataset, keyword)
    if isinstance(value, bytes):
        return None
    try:
        numbers = [float(item) for item in ([value] if isinstance(value, int | float | str) else value or [])]
    except DICOM_ERRORS:
        return None
    return tuple(numbers) if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def number_of(dataset: Any, keyword: str) -> float | None:
    """Return the single, finite value of an element."""
    numbers = numbers_of(dataset, keyword, 1)
    return numbers[0] if numbers else None


def whole_number(dataset: Any, keyword: str) -> int | None:
    """Return the single value of an element as a whole number."""
    number = number_of(dataset, keyword)
    return None if number is None else int(number)


def _items(dataset: Any, keyword: str) -> list[Any]:
    try:
        return list(value_of(dataset, keyword) or [])
    except DICOM_ERRORS:
        return []


def _first(dataset: Any, keyword: str) -> Any:
    items = _items(dataset, keyword)
    return items[0] if items and hasattr(items[0], "get") else None


def _codes(dataset: Any, keyword: str, known: Iterable[str]) -> tuple[str, ...]:
    value = value_of(dataset, keyword)
    words = [value] if isinstance(value, str) else value if isinstance(value, Iterable) else []
    try:
        written = [str(word).strip().upper() for word in words]
    except DICOM_ERRORS:
        return ()
    return tuple(dict.fromkeys(word for word in written if word in known))


def frames_of(path: Path, dataset: Any, anonymous: Hash, encoding_problem: str) -> list[Frame]:
    """Return the frames of one file.

    Args:
        path: the file.
        dataset: its header.
        anonymous: makes a key of a UID.
        encoding_problem: why its pixels cannot be decoded, or empty.
    """
    stated = number_of(dataset, "NumberOfFrames")
    count = 1 if stated is None else int(stated)
    per_frame = _items(dataset, "PerFrameFunctionalGroupsSequence")
    header = _header(dataset, None)
    problems = [*_image_problems(dataset, header), *([encoding_problem] if encoding_problem else [])]
    enhanced = bool(per_frame) or "SharedFunctionalGroupsSequence" in dataset
    if (count > 1 or enhanced) and len(per_frame) != count:
        problems.append("it is multi-frame, but does not say where each of its frames lies")
        count, enhanced = 1, False
    if not 1 <= count <= _LARGEST_FRAMES:
        problems.append(f"it states {count} frames: 1 to {_LARGEST_FRAMES} are accepted")
        count, enhanced = 1, False
    common = {
        "series": anonymous(text_of(dataset, "SeriesInstanceUID")),
        "study": anonymous(text_of(dataset, "StudyInstanceUID")),
        "space": anonymous(uid) if (uid := text_of(dataset, "FrameOfReferenceUID")) else "",
        "time_s": _time_s(dataset),
        "series_number": whole_number(dataset, "SeriesNumber"),
        "acquisition": whole_number(dataset, "AcquisitionNumber"),
    }
    if not enhanced:
        return [_frame(path, 0, _Layered([dataset]), header, problems, common)]
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    return [
        _frame(path, index, group, _header(dataset, group), problems, common)
        for index, item in enumerate(per_frame)
        for group in [_Layered([dataset, shared, item])]
    ]


class _Layered:
    """The functional groups of one frame, its own before the shared ones, looked up as if they were plain elements.

    Source: DICOM PS3.3 C.7.6.16 (Multi-frame Functional Groups).
    """

    _MACROS = (
        "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "MREchoSequence", "MRTimingAndRelatedParametersSequence",
        "MRModifierSequence", "FrameContentSequence", "MRDiffusionSequence", "MRImageFrameTypeSequence", "PixelValueTransformationSequence",
    )  # fmt: skip

    def __init__(self, datasets: list[Any]) -> None:
        top, *groups = datasets
        self._parts = [
            part
            for group in reversed(groups)
            if group is not None
            for name in self._MACROS
            if (part := _first(group, name)) is not None
        ] + [top]

    def get(self, keyword: str) -> Any:
        return next((found for part in self._parts if (found := value_of(part, keyword)) is not None), None)


def _frame(
    path: Path, index: int, group: _Layered, header: SeriesHeader, problems: list[str], common: Mapping[str, Any]
) -> Frame:
    plane, reason = _plane(group)
    temporal = number_of(group, "TemporalPositionIdentifier")
    if temporal is None:
        temporal = number_of(group, "TemporalPositionIndex")
    b_value = number_of(group, "DiffusionBValue")
    return Frame(
        path=path,
        index=index,
        plane=plane,
        header=header,
        temporal=None if temporal is None else int(temporal),
        b_value=b_value,
        problems=tuple([*problems, reason] if reason else problems),
        **common,
    )


def _plane(group: _Layered) -> tuple[Plane | None, str]:
    position = numbers_of(group, "ImagePositionPatient", 3)
    orientation = numbers_of(group, "ImageOrientationPatient", 6)
    spacing = numbers_of(group, "PixelSpacing", 2)
    absent = [
        name
        for name, value in (("position", position), ("orientation", orientation), ("pixel spacing", spacing))
        if value is None
    ]
    if position is None or orientation is None or spacing is None:
        return None, f"its header gives no {' and no '.join(absent)}"
    shape = whole_number(group, "Rows") or 0, whole_number(group, "Columns") or 0
    row, column = _unit(orientation[:3]), _unit(orientation[3:])
    stated = Plane(
        _triple(position), _triple(orientation[:3]), _triple(orientation[3:]), (spacing[0], spacing[1]), shape
    )
    reason = plane_problem(stated)
    if reason:
        return None, reason
    return Plane(stated.position_mm, row, column, stated.spacing_mm, shape), ""


def _triple(numbers: tuple[float, ...]) -> Triple:
    return numbers[0], numbers[1], numbers[2]


def _unit(numbers: tuple[float, ...]) -> Triple:
    length = math.hypot(*numbers) or 1.0
    return numbers[0] / length, numbers[1] / length, numbers[2] / length


def _image_problems(dataset: Any, header: SeriesHeader) -> list[str]:
    problems = []
    samples = whole_number(dataset, "SamplesPerPixel")
    if (samples or 1) != 1 or text_of(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        problems.append("it is a colour image; one number per voxel is accepted")
    if "MOSAIC" in header.image_type:
        problems.append("it is a mosaic: several slices tiled into one image; export it unpacked")
    return problems


def _header(dataset: Any, group: _Layered | None) -> SeriesHeader:
    source = group if group is not None else _Layered([dataset])
    modality = text_of(dataset, "Modality").upper()
    te_ms = number_of(source, "EchoTime")
    ti_ms = number_of(source, "InversionTime")
    return SeriesHeader(
        modality=modality if modality in _MODALITIES else "other",
        contrast_agent=_contrast_agent(dataset),
        te_ms=_sensible(number_of(source, "EffectiveEchoTime") if te_ms is None else te_ms),
        tr_ms=_sensible(number_of(source, "RepetitionTime")),
        ti_ms=_sensible(number_of(source, "InversionTimes") if ti_ms is None else ti_ms),
        flip_angle_deg=_sensible(number_of(source, "FlipAngle")),
        field_strength_t=_sensible(_tesla(number_of(dataset, "MagneticFieldStrength"))),
        scanning_sequence=_codes(dataset, "ScanningSequence", _SEQUENCES) or _enhanced_sequence(dataset),
        sequence_variant=_codes(dataset, "SequenceVariant", _VARIANTS),
        image_type=tuple(
            dict.fromkeys((*_codes(dataset, "ImageType", _IMAGE_TYPES), *_codes(source, "FrameType", _IMAGE_TYPES)))
        ),
        acquisition_3d={"2D": False, "3D": True}.get(text_of(dataset, "MRAcquisitionType").upper()),
        words=_words(dataset),
    )


def _sensible(number: float | None) -> float | None:
    """Return a positive number; zero is what scanners write for 'does not apply'."""
    return number if number is not None and 0 < number < 1e6 else None


def _tesla(number: float | None) -> float | None:
    return number / 10_000 if number is not None and number > 100 else number  # some old scanners write gauss


def _enhanced_sequence(dataset: Any) -> tuple[str, ...]:
    """Return the classic codes for what an Enhanced MR header says (PS3.3 C.8.13.4)."""
    echo = text_of(dataset, "EchoPulseSequence").upper()
    codes = [code for code, values in (("SE", ("SPIN", "BOTH")), ("GR", ("GRADIENT", "BOTH"))) if echo in values]
    codes += ["IR"] if text_of(dataset, "InversionRecovery").upper() == "YES" else []
    codes += ["EP"] if text_of(dataset, "EchoPlanarPulseSequence").upper() == "YES" else []
    return tuple(codes)


def _contrast_agent(dataset: Any) -> bool | None:
    if _items(dataset, "ContrastBolusAgentSequence"):
        return True
    if "ContrastBolusAgent" not in dataset:
        return None
    return _NO_AGENT.fullmatch(text_of(dataset, "ContrastBolusAgent")) is None


def _words(dataset: Any) -> tuple[str, ...]:
    """Return the words of the series' own description; those of the protocol only where it says nothing, since one protocol names many series."""
    own = find_words(text_of(dataset, name) for name in ("SeriesDescription", "SequenceName", "PulseSequenceName"))
    if groups_of(own) - {"plane", "brain", "technique"}:
        return own
    return tuple(sorted({*own, *find_words([text_of(dataset, "ProtocolName")])}))


def _time_s(dataset: Any) -> float | None:
    """Return when the series was acquired, in seconds; used for ranks and never passed on."""
    moments = [_moment(text_of(dataset, "AcquisitionDateTime")[:8], text_of(dataset, "AcquisitionDateTime")[8:])]
    for kind in ("Acquisition", "Series", "Content"):
        date = text_of(dataset, f"{kind}Date") or text_of(dataset, "SeriesDate") or text_of(dataset, "StudyDate")
        moments.append(_moment(date, text_of(dataset, f"{kind}Time")))
    moments.append(_moment(text_of(dataset, "StudyDate"), text_of(dataset, "StudyTime")))
    return next((moment for moment in moments if moment is not None), None)


def _moment(date: str, time: str) -> float | None:
    found = re.match(r"(\d{2})(\d{2})?(\d{2})?(\.\d+)?", time)
    if found is None:
        return None
    try:
        day = datetime.date(int(date[:4]), int(date[4:6]), int(date[6:8])).toordinal()
    except ValueError:
        return None
    hours, minutes, seconds, fraction = (float(part) if part else 0.0 for part in found.groups())
    return day * 86_400 + hours * 3_600 + minutes * 60 + seconds + fraction


def rescale_of(dataset: Any, index: int) -> tuple[float, float]:
    """Return slope and intercept of one frame; 1 and 0 when the header gives none.

    Source: DICOM PS3.3 C.11.1 (Modality LUT), C.7.6.16.2.9 (Pixel Value Transformation).
    """
    per_frame = _items(dataset, "PerFrameFunctionalGroupsSequence")
    own = per_frame[index] if index < len(per_frame) else None
    group = _Layered([dataset, _first(dataset, "SharedFunctionalGroupsSequence"), own])
    slope, intercept = number_of(group, "RescaleSlope"), number_of(group, "RescaleIntercept")
    return (1.0 if slope is None or slope == 0 else slope), (0.0 if intercept is None else intercept)
