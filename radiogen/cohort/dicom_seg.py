"""DICOM SEG out: a mask as a DICOM segmentation of the series it was drawn on. The home of highdicom."""

from __future__ import annotations

import hashlib
from pathlib import Path

import highdicom
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept

from radiogen import __version__
from radiogen.cohort.dicom import derived_uid, quiet, source_headers
from radiogen.cohort.dicom_header import DICOM_ERRORS
from radiogen.cohort.dicom_series import DicomSeries
from radiogen.cohort.nifti import Grid
from radiogen.errors import GeometryError, ImageError
from radiogen.run.atomic import writing
from radiogen.types import ED, ET, NCR, RC, LabelVolume

PRIVATE_SCHEME = "99RADIOGEN"
"""Coding scheme of what no public one names; designators that begin with 99 are reserved for private use (DICOM PS3.16, 8.2)."""

SEGMENTS: dict[int, tuple[str, tuple[str, str, str], tuple[str, str, str]]] = {
    NCR: ("Necrotic core", ("49755003", "SCT", "Morphologically Abnormal Structure"), ("6574001", "SCT", "Necrosis")),
    ED: ("Oedema or infiltration", ("49755003", "SCT", "Morphologically Abnormal Structure"), ("79654002", "SCT", "Edema")),
    ET: ("Enhancing tumour", ("49755003", "SCT", "Morphologically Abnormal Structure"), ("C113842", "NCIt", "Enhancing Lesion")),
    RC: ("Resection cavity", ("49755003", "SCT", "Morphologically Abnormal Structure"), ("RC", PRIVATE_SCHEME, "Resection cavity")),
}  # fmt: skip
"""Label -> segment label, category and type, each as code, scheme and meaning.

Source: DICOM PS3.16 CID 7150 (category), CID 7168 and 7169 (brain lesions: necrosis and edema in SNOMED CT, enhancing lesion in the NCI Thesaurus,
where it lists no SNOMED CT code). There is none for a resection cavity; a private one is written rather than one that means something else.
"""
_BRAIN = ("12738006", "SCT", "Brain")
_ARTIFICIAL_INTELLIGENCE = ("123110", "DCM", "Artificial Intelligence")
_COLOURS = {NCR: (220, 60, 60), ED: (80, 170, 80), ET: (70, 130, 220), RC: (200, 170, 60)}
_SERIES_NUMBER = 9_900


def write_segmentation(path: str | Path, labels: LabelVolume, grid: Grid, series: DicomSeries) -> None:
    """Write a mask as a DICOM SEG that lies on its source series: the same frame of reference, one frame per slice and segment.

    A SEG belongs to the study of its source: it carries the patient's header (name, id, birth date, study date) of the source files and is **no**
    de-identified output. Segments are numbered as radiogen's labels, all four are always there, and an empty one has empty frames.

    Args:
        path: `.dcm`, written whole or not at all.
        labels: RAS-canonical, values 0 to 4.
        grid: grid of the labels: that of the source series.
        series: the source, as `find_series` returned it.

    Raises:
        GeometryError: the labels do not lie on the voxels of the series.
        ImageError: the series has problems, a label is not one of radiogen's, or the source headers do not allow a SEG.
    """
    data = _checked(labels, grid, series)
    digest = hashlib.sha256(data.tobytes()).hexdigest()
    with quiet():
        sources = source_headers(series)
        try:
            segmentation = Segmentation(
                source_images=sources,
                pixel_array=_volume(data, series, str(sources[0].FrameOfReferenceUID)),
                segmentation_type=SegmentationTypeValues.BINARY,
                segment_descriptions=[_segment(label) for label in SEGMENTS],
                series_instance_uid=derived_uid(series.key, digest, "series"),
                series_number=_SERIES_NUMBER,
                sop_instance_uid=derived_uid(series.key, digest, "instance"),
                instance_number=1,
                manufacturer="radiogen",
                manufacturer_model_name="radiogen",
                software_versions=__version__,
                device_serial_number="none",
                content_description="Glioma sub-regions; research use only",
                series_description="radiogen glioma segmentation",
                omit_empty_frames=False,
            )
        except DICOM_ERRORS as error:
            # highdicom's text may quote the patient's header, so only its kind is passed on.
            raise ImageError(
                f"The headers of series {series.key} do not allow a DICOM SEG ({type(error).__name__}).",
                hint="Write the mask as NIfTI instead.",
            ) from None
        with writing(path) as beside:
            segmentation.save_as(beside)


def _checked(labels: LabelVolume, grid: Grid, series: DicomSeries) -> np.ndarray:
    """Return the labels on the axes of the series: column, row, slice."""
    if series.grid is None or series.problems:
        raise ImageError(f"The DICOM series {series.key} cannot be written on:", problems=series.problems)
    if not grid.same_space(series.grid):
        raise GeometryError(
            "The mask does not lie on the voxels of the DICOM series:",
            problems=[f"mask: {grid.describe()}", f"series: {series.grid.describe()}"],
            hint="Bring the mask back to the grid of its source series first.",
        )
    unknown = sorted(set(np.unique(labels).tolist()) - {0, *SEGMENTS})
    if unknown:
        raise ImageError(
            f"The mask holds the label(s) {', '.join(map(str, unknown))}; 0 to {max(SEGMENTS)} are accepted."
        )
    return series.grid.from_canonical(labels)


def _volume(data: np.ndarray, series: DicomSeries, space: str) -> highdicom.Volume:
    if series.grid is None:
        raise ImageError(f"The DICOM series {series.key} has no place in the world.")
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ series.grid.affine
    affine = np.column_stack([to_lps[:, 2], to_lps[:, 1], to_lps[:, 0], to_lps[:, 3]])
    return highdicom.Volume(
        np.ascontiguousarray(data.transpose(2, 1, 0)), affine, coordinate_system="PATIENT", frame_of_reference_uid=space
    )


def _segment(label: int) -> SegmentDescription:
    name, category, kind = SEGMENTS[label]
    return SegmentDescription(
        segment_number=label,
        segment_label=name,
        segmented_property_category=CodedConcept(*category),
        segmented_property_type=CodedConcept(*kind),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="radiogen", version=__version__, family=CodedConcept(*_ARTIFICIAL_INTELLIGENCE)
        ),
        anatomic_regions=[CodedConcept(*_BRAIN)],
        display_color=CIELabColor.from_rgb(*_COLOURS[label]),
    )
