"""One case -> its features: sequences times regions times image types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from radiomics import imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from radiogen.branches.radiomics.binned import Binned, bin_region
from radiogen.branches.radiomics.classes import CLASSES
from radiogen.branches.radiomics.filters import filtered_images, passes
from radiogen.branches.radiomics.images import Frame, crop, frames
from radiogen.branches.radiomics.plan import Plan
from radiogen.branches.radiomics.quiet import contained
from radiogen.branches.radiomics.regions import measured_regions, region_order
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.errors import ImageError
from radiogen.types import LabelVolume

SHAPE = "shape"
"""The source of features that depend on the mask alone."""


@dataclass(frozen=True)
class CaseFeatures:
    """What PyRadiomics says about one case.

    Args:
        values: column -> value; NaN where PyRadiomics has none.
        notes: why columns are blank, one line each.
    """

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Piece(NamedTuple):
    """What is measured, and cached, at once: one filter of one sequence in one region, or a region's shape.

    Args:
        sequence: blank for a shape that depends on the mask alone.
        region: name of the region.
        source: `shape`, or the pass: PyRadiomics' image type, for the Laplacian of Gaussian with its sigma.
    """

    sequence: str
    region: str
    source: str


def extract_case(case: CaseImages, labels: LabelVolume, plan: Plan) -> CaseFeatures:
    """Compute the features of one case.

    A sequence the case lacks, a region without voxels and a region too small for PyRadiomics (one voxel, one line, or fewer voxels than its setting
    `minimumROISize`) have no columns here and a note; they are blank in the cohort's table. A region of constant intensity keeps PyRadiomics' own
    conventions for it (variance 0, entropy 0, correlation 1).

    Args:
        case: the sequences.
        labels: mask in radiogen's labels on the same voxels.
        plan: what is computed.

    Raises:
        ImageError: a sequence holds NaN or infinite voxels.
    """
    absent = [name for name in plan.sequences if name not in case.images]
    return merged(extract_pieces(case, labels, plan).values(), absent)


def merged(pieces: Iterable[CaseFeatures], absent: Iterable[str]) -> CaseFeatures:
    """Return all pieces of a case as one, with a note for every sequence the case lacks; a note is kept once."""
    notes = {f"{name}: the case has no such sequence": None for name in absent}
    values: dict[str, float] = {}
    for piece in pieces:
        values.update(piece.values)
        notes.update(dict.fromkeys(piece.notes))
    return CaseFeatures(values, list(notes))


def pieces_of(plan: Plan, present: Iterable[str]) -> list[Piece]:
    """Return the pieces that a plan has on the sequences that are present."""
    here = [name for name in plan.sequences if name in set(present)]
    shape = [name for name in plan.feature_classes if name.startswith("shape")]
    shaped = (here if plan.shape_per_sequence else [""] if here else []) if shape else []
    textured = here if len(shape) < len(plan.feature_classes) else []
    return [Piece(sequence, region, SHAPE) for sequence in shaped for region in plan.regions] + [
        Piece(sequence, region, name) for sequence in textured for name, _, _ in passes(plan) for region in plan.regions
    ]


def extract_pieces(case: CaseImages, labels: LabelVolume, plan: Plan) -> dict[Piece, CaseFeatures]:
    """Compute the features of one case, piece by piece; the values of a piece do not depend on what else the plan has.

    Args:
        case: the sequences; those that the plan does not name only say where the head is, for rings.
        labels: mask in radiogen's labels on the same voxels.
        plan: what is computed.

    Raises:
        ImageError: a sequence holds NaN or infinite voxels.
    """
    _check_finite(case, plan)
    found = {piece: CaseFeatures() for piece in pieces_of(plan, case.images)}
    masks = {}
    for region, mask in measured_regions(case, labels, plan.regions).items():
        if mask.any():
            masks[region] = mask
        else:
            _note(found, f"{region}: the mask has no such voxel", region=region)
    with contained() as remarks:
        for sequence in plan.sequences:
            if sequence not in case.images or not masks:
                continue
            refused: dict[str, str] = {}
            for frame in frames(case.images[sequence], case.grid, masks, plan, refused):
                _measure(frame, sequence, plan, found, remarks)
            for region, reason in refused.items():
                _note(found, f"{sequence} {region}: {reason}", sequence=sequence, region=region)
    return found


def _check_finite(case: CaseImages, plan: Plan) -> None:
    damaged = {name: ~np.isfinite(image) for name, image in case.images.items() if name in plan.sequences}
    problems = [f"{name}: {int(voxels.sum())} voxel(s)" for name, voxels in damaged.items() if voxels.any()]
    if problems:
        raise ImageError(
            "The case has NaN or infinite voxels:", problems=problems, hint="Write the images without them."
        )


def _note(
    found: dict[Piece, CaseFeatures], note: str, *, region: str = "", sequence: str = "", source: str = ""
) -> None:
    # Every piece that the note is about keeps it, so that a cached piece brings it back.
    for piece, features in found.items():
        if region in ("", piece.region) and sequence in ("", piece.sequence) and source in ("", piece.source):
            features.notes.append(note)


def _measure(frame: Frame, sequence: str, plan: Plan, found: dict[Piece, CaseFeatures], remarks: list[str]) -> None:
    regions = _usable(frame, sequence, plan, found)
    for region, usable in regions.items():
        piece = Piece(sequence if plan.shape_per_sequence else "", region, SHAPE)
        if piece in found and not found[piece].values:
            _add(found[piece], f"{sequence}_{region}" if plan.shape_per_sequence else region, _shape(usable, plan))
    _pass_on(remarks, found, sequence, SHAPE, regions)
    if all(name.startswith("shape") for name in plan.feature_classes):
        return
    for source, image_type, settings in passes(plan):
        for image, name, used in filtered_images(frame, image_type, settings):
            for region, usable in regions.items():
                into = found[Piece(sequence, region, source)]
                try:
                    binned = bin_region(image[usable.slices], usable.inside, frame.image.GetSpacing(), used)
                except ValueError as error:  # numpy: the range of intensities is too small to be cut into bins
                    into.notes.append(f"{sequence} {region}: {name}: {error}")
                    continue
                _add(into, f"{sequence}_{region}", _textures(binned, name, used, plan))
        _pass_on(remarks, found, sequence, source, regions)


def _pass_on(
    remarks: list[str], found: dict[Piece, CaseFeatures], sequence: str, source: str, regions: Iterable[str]
) -> None:
    for region in regions:
        for piece in (Piece(sequence, region, source), Piece("", region, source)):
            if piece in found:
                found[piece].notes.extend(remarks)
    remarks.clear()


@dataclass(frozen=True)
class _Region:
    image: sitk.Image
    whole_mask: sitk.Image  # before the optional selection by intensity
    mask: sitk.Image
    box: np.ndarray  # PyRadiomics' bounding box: first and last index per axis, alternating
    slices: tuple[slice, ...]  # the same, for arrays with axes (k, j, i)
    inside: np.ndarray  # the mask in its box


def _usable(frame: Frame, sequence: str, plan: Plan, found: dict[Piece, CaseFeatures]) -> dict[str, _Region]:
    regions = {}
    image = crop(frame.image, frame.inner)
    for region, mask in frame.masks.items():
        selected = mask
        try:
            box, _ = imageoperations.checkMask(image, mask, **plan.setting)
            if plan.setting.get("resegmentRange") is not None:
                selected = imageoperations.resegmentMask(image, mask, **plan.setting)
                box, _ = imageoperations.checkMask(image, selected, **plan.setting)
        except ValueError as error:
            for owner in (sequence, "") if Piece("", region, SHAPE) in found else (sequence,):
                _note(found, f"{sequence} {region}: {error}", sequence=owner, region=region)
            continue
        slices = tuple(slice(int(first), int(last) + 1) for first, last in box.reshape(3, 2)[::-1])
        inside = np.ascontiguousarray(sitk.GetArrayViewFromImage(selected)[slices] == 1)
        regions[region] = _Region(image, mask, selected, box, slices, inside)
    return regions


def _shape(region: _Region, plan: Plan) -> Mapping[str, Any]:
    extractor = RadiomicsFeatureExtractor()
    extractor.enabledFeatures = plan.feature_classes
    mask = region.mask if plan.setting.get("resegmentShape") else region.whole_mask
    return extractor.computeShape(region.image, mask, region.box, **plan.setting)


def _textures(binned: Binned, name: str, settings: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    values = {}
    for class_name, wanted in plan.feature_classes.items():
        if class_name.startswith("shape"):
            continue
        features = CLASSES[class_name](binned, **settings)
        for feature in wanted:
            features.enableFeatureByName(feature)
        for feature, value in features.execute().items():
            values[f"{name}_{class_name}_{feature}"] = value
    return values


def _add(found: CaseFeatures, prefix: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        number = float(np.real(value))
        found.values[f"{prefix}_{name}"] = number if np.isfinite(number) else float("nan")


def feature_names(plan: Plan) -> list[str]:
    """Return every column that a plan can give, in the order of the tables, by running it on a small made-up image."""
    spacing = [size or 1.0 for size in plan.setting.get("resampledPixelSpacing") or (1.0, 1.0, 1.0)]
    sigmas = [sigma for own in plan.image_types.values() for sigma in {**plan.setting, **own}.get("sigma", [])]
    size = max(16, 2 * int(np.ceil(max(sigmas, default=0.0) / min(spacing))))
    data = np.random.default_rng(0).normal(100.0, 10.0, (size, size, size)).astype(np.float32)
    labels = np.zeros(data.shape, dtype=np.uint8)
    labels[4:-4, 4:-4, 4:-4] = 3
    unlimited = {**plan.setting, "minimumROISize": None, "resegmentRange": None, "resegmentShape": False}
    probe = Plan(plan.image_types, plan.feature_classes, unlimited, plan.normalisation, ("t1c",), ("et",))
    grid = Grid(data.shape, np.diag([*spacing, 1.0]))
    found = extract_case(CaseImages("probe", {"t1c": data}, grid), labels, probe).values
    names = []
    for name in found:
        by_sequence = name.startswith("t1c_")
        stem = name.removeprefix("t1c_").removeprefix("et_")
        for region in plan.regions:
            if by_sequence or plan.shape_per_sequence:
                names += [f"{sequence}_{region}_{stem}" for sequence in plan.sequences]
            else:
                names.append(f"{region}_{stem}")
    return in_table_order(names)


def in_table_order(names: list[str]) -> list[str]:
    """Return column names in the one order of all tables: shape first, then by sequence, region and name.

    Example:
        >>> in_table_order(["t1c_wt_original_glcm_MCC", "t1n_et_original_glcm_MCC", "et_original_shape_Flatness"])
        ['et_original_shape_Flatness', 't1n_et_original_glcm_MCC', 't1c_wt_original_glcm_MCC']
    """
    return sorted(names, key=_rank)


def _rank(name: str) -> tuple[int, int, str]:
    sequences = ["", "t1n", "t1c", "t2w", "t2f"]
    first, _, rest = name.partition("_")
    if first not in sequences:
        return 0, region_order(first), rest
    region, _, stem = rest.partition("_")
    return sequences.index(first), region_order(region), stem
