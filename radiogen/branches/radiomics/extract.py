"""One case -> its features: sequences times regions times image types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from radiomics import imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from radiogen.branches.radiomics.binned import Binned, bin_region
from radiogen.branches.radiomics.classes import CLASSES
from radiogen.branches.radiomics.filters import filtered_images
from radiogen.branches.radiomics.images import Frame, crop, frames
from radiogen.branches.radiomics.plan import Plan
from radiogen.branches.radiomics.quiet import contained
from radiogen.branches.radiomics.regions import measured_regions, region_order
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.types import LabelVolume


@dataclass(frozen=True)
class CaseFeatures:
    """What PyRadiomics says about one case.

    Args:
        values: column -> value; NaN where PyRadiomics has none.
        notes: why columns are blank, one line each.
    """

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def extract_case(case: CaseImages, labels: LabelVolume, plan: Plan) -> CaseFeatures:
    """Compute the features of one case.

    A sequence the case lacks, a region without voxels and a region too small for PyRadiomics (one voxel, one line, or fewer voxels than its setting
    `minimumROISize`) have no columns here and a note; they are blank in the cohort's table. A region of constant intensity keeps PyRadiomics' own
    conventions for it (variance 0, entropy 0, correlation 1).

    Args:
        case: the sequences.
        labels: mask in radiogen's labels on the same voxels.
        plan: what is computed.
    """
    found = CaseFeatures()
    masks = {}
    for region, mask in measured_regions(case, labels, plan.regions).items():
        if mask.any():
            masks[region] = mask
        else:
            found.notes.append(f"{region}: the mask has no such voxel")
    done: set[str] = set()
    with contained() as remarks:
        for sequence in plan.sequences:
            if sequence not in case.images:
                found.notes.append(f"{sequence}: the case has no such sequence")
                continue
            refused: list[str] = []
            for frame in frames(case.images[sequence], case.grid, masks, plan, refused) if masks else ():
                _measure(frame, sequence, plan, found, done)
            found.notes.extend(f"{sequence} {reason}" for reason in refused)
        found.notes.extend(remarks)
    return found


def _measure(frame: Frame, sequence: str, plan: Plan, found: CaseFeatures, done: set[str]) -> None:
    regions = _usable(frame, sequence, plan, found)
    for region, usable in regions.items():
        prefix = f"{sequence}_{region}" if plan.shape_per_sequence else region
        if prefix not in done:
            done.add(prefix)
            _add(found, prefix, _shape(usable, plan))
    if not any(not name.startswith("shape") for name in plan.feature_classes):
        return
    for image, name, settings in filtered_images(frame, plan):
        for region, usable in regions.items():
            try:
                binned = bin_region(image[usable.slices], usable.inside, frame.image.GetSpacing(), settings)
            except ValueError as error:  # numpy: the range of intensities is too small to be cut into bins
                found.notes.append(f"{sequence} {region}: {name}: {error}")
                continue
            _add(found, f"{sequence}_{region}", _textures(binned, name, settings, plan))


@dataclass(frozen=True)
class _Region:
    image: sitk.Image
    whole_mask: sitk.Image  # before the optional selection by intensity
    mask: sitk.Image
    box: np.ndarray  # PyRadiomics' bounding box: first and last index per axis, alternating
    slices: tuple[slice, ...]  # the same, for arrays with axes (k, j, i)
    inside: np.ndarray  # the mask in its box


def _usable(frame: Frame, sequence: str, plan: Plan, found: CaseFeatures) -> dict[str, _Region]:
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
            found.notes.append(f"{sequence} {region}: {error}")
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
