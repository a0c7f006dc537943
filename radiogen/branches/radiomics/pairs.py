"""Features of any image and mask, as PyRadiomics' own command line gives them: no cohort, no sequences, no tumour regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
import yaml
from radiomics import imageoperations

from radiogen.branches.base import read_entry
from radiogen.branches.radiomics.branch import RadiomicsBranch
from radiogen.branches.radiomics.extract import CaseFeatures, extract_case
from radiogen.branches.radiomics.plan import Plan, make_plan
from radiogen.branches.radiomics.quiet import contained
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.config.features import RadiomicsSettings
from radiogen.errors import CaseError, GeometryError, ImageError
from radiogen.run.atomic import write_json
from radiogen.run.provenance import content_hash, hash_inputs
from radiogen.types import ET

_SEQUENCE, _REGION = "t1c", "et"
"""Names under which the engine, made for tumours, measures a pair; they are taken off again."""
_SAME_PLACE_MM = 1e-3


@dataclass(frozen=True)
class Pair:
    """One image with the mask it is measured in.

    Args:
        image: file that SimpleITK reads (NIfTI, NRRD, MetaImage, ...); None: there is none for this mask.
        mask: likewise, on the voxels of the image; None: there is none for this image.
        label: the mask's value that marks the region; None: that of the settings, or the only one the mask has.
    """

    image: Path | None
    mask: Path | None
    label: int | None = None


@dataclass(frozen=True)
class PairPlan:
    """What is computed of every pair.

    Args:
        plan: features and settings.
        label: PyRadiomics' setting `label`, where it is set.
        correct_mask: PyRadiomics' setting `correctMask`: a mask on another grid is resampled to the image, nearest neighbour.
    """

    plan: Plan
    label: int | None
    correct_mask: bool

    def as_dict(self) -> dict[str, Any]:
        """Return what changes the features, as plain values."""
        plan = {name: value for name, value in self.plan.as_dict().items() if name not in ("sequences", "regions")}
        return {**plan, "label": self.label, "correct_mask": self.correct_mask}


def pair_plan(settings: RadiomicsSettings) -> PairPlan:
    """Return the checked plan for settings; `sequences` and `regions` have no meaning for pairs.

    Raises:
        ConfigError: the settings or the parameter file are not accepted.

    Example:
        >>> pair_plan(RadiomicsSettings(setting={"label": 2})).label
        2
    """
    plan = replace(make_plan(settings), sequences=(_SEQUENCE,), regions=(_REGION,))
    given = settings.setting
    if settings.params is not None:  # read and checked above; JSON is YAML
        content = yaml.safe_load(settings.params.read_text(encoding="utf-8")) or {}
        given = content.get("setting") or {}
    label = given.get("label")
    return PairPlan(plan, None if label is None else int(label), bool(given.get("correctMask", False)))


def pair_features(case: str, pair: Pair, *, plan: PairPlan, cache_folder: Path | None) -> CaseFeatures:
    """Return the features of one pair under PyRadiomics' own names, from the cache where the same content was measured before.

    The voxels are measured in the order in which the file stores them, as PyRadiomics does; intensities are held as float32, exact for whole numbers
    up to 2**24.

    Raises:
        ImageError: a file is missing, unreadable, not one 3-D volume, holds NaN, or the mask lacks the label.
        GeometryError: image and mask are on different grids.
        CaseError: the region is too small for every feature.
    """
    entry = None if cache_folder is None else Path(cache_folder) / f"{_cache_key(pair, plan)}.json"
    known = _read_entry(entry)
    if known is not None:
        return known
    found = _measure(case, pair, plan)
    if entry is not None:
        write_json(entry, {"values": found.values, "notes": found.notes})
    return found


def _read_entry(entry: Path | None) -> CaseFeatures | None:
    stored = read_entry(entry)
    return None if stored is None else CaseFeatures(*stored)


def _cache_key(pair: Pair, plan: PairPlan) -> str:
    packages = ("pyradiomics-bhklab", "SimpleITK", "PyWavelets", "numpy")
    return content_hash(
        {
            "plan": plan.as_dict(),
            "label": pair.label,
            "algorithm": algorithm(),
            "inputs": hash_inputs({"image": pair.image, "mask": pair.mask}),
            "versions": {name: version(name) for name in packages},
        }
    )


def algorithm() -> Any:
    """Return the number that the branch raises when it computes a feature in another way."""
    return RadiomicsBranch(RadiomicsSettings()).provenance_settings()["algorithm"]


def _measure(case: str, pair: Pair, plan: PairPlan) -> CaseFeatures:
    if pair.image is None or pair.mask is None:
        lacking = "image" if pair.image is None else "mask"
        raise ImageError(f"The pair has no {lacking}.", hint=f"Add the {lacking}, or leave the other file out.")
    image, mask = _read(pair.image), _read(pair.mask)
    label = _label(mask, pair.mask, pair.label if pair.label is not None else plan.label)
    notes = []
    if not _same_grid(image, mask):
        if not plan.correct_mask:
            raise GeometryError(
                "Image and mask are on different grids:",
                problems=[f"image: {_describe(image)}", f"mask: {_describe(mask)}"],
                hint="Resample the mask to the image, or let PyRadiomics' setting correctMask do it.",
            )
        mask = _corrected(image, mask, label)
        notes.append("the mask was resampled to the image (correctMask)")
    inside = np.asarray(sitk.GetArrayFromImage(mask) == label)
    data = _intensities(image, pair.image)
    size = image.GetSpacing()
    # The engine turns canonical volumes to LPS, so an upright grid with both axes reversed gives it the file's own order.
    upright = Grid((data.shape[0], data.shape[1], data.shape[2]), np.diag([size[0], size[1], size[2], 1.0]))
    volume = CaseImages(case, {_SEQUENCE: data}, upright)
    labels = np.ascontiguousarray(_upright(inside).astype(np.uint8) * np.uint8(ET))
    found = extract_case(volume, labels, plan.plan)
    notes += [note.removeprefix(f"{_SEQUENCE} ").removeprefix(f"{_REGION}: ") for note in found.notes]
    if not found.values:
        raise CaseError(f"No feature could be computed: {'; '.join(notes)}.", hint="Check the mask.")
    return CaseFeatures({_own_name(name): value for name, value in found.values.items()}, notes)


def _own_name(name: str) -> str:
    return name.removeprefix(f"{_SEQUENCE}_").removeprefix(f"{_REGION}_")


def _upright(stored: np.ndarray) -> np.ndarray:
    return stored.T[::-1, ::-1]


def _read(path: Path) -> sitk.Image:
    if not path.is_file():
        raise ImageError(f"{path.name} does not exist (looked in {path.parent}).", hint="Correct the path.")
    try:
        with contained():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ImageError(
            f"{path.name} cannot be read: {reason}", hint="Give NIfTI, NRRD or MetaImage files."
        ) from error
    size = image.GetSize()
    while len(size) > 3 and size[-1] == 1:
        image = image[(*[slice(None)] * (len(size) - 1), 0)]
        size = image.GetSize()
    if len(size) != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        channels = image.GetNumberOfComponentsPerPixel()
        raise ImageError(
            f"{path.name} has size {'x'.join(map(str, size))} and {channels} value(s) per voxel; one 3-D volume is accepted.",
            hint="Split it first.",
        )
    return image


def _intensities(image: sitk.Image, path: Path) -> np.ndarray:
    stored = sitk.GetArrayFromImage(image)
    if not np.isfinite(stored).all():
        count = int((~np.isfinite(stored)).sum())
        raise ImageError(f"{path.name} holds {count} NaN or infinite voxel(s).", hint="Write the image without them.")
    return np.ascontiguousarray(_upright(stored), dtype=np.float32)


def _label(mask: sitk.Image, path: Path, label: int | None) -> int:
    stored = sitk.GetArrayViewFromImage(mask)
    labels = [value for value in np.unique(stored) if value != 0]
    text = ", ".join(f"{value:g}" for value in labels[:8]) + (", ..." if len(labels) > 8 else "")
    if not labels:
        raise ImageError(f"{path.name} is empty: it has no voxel but 0.", hint="Check the mask.")
    if label is None and len(labels) > 1:
        raise ImageError(
            f"{path.name} has the labels {text}; which one is not said.",
            hint="Choose with --label N or the column Label.",
        )
    if label is not None and label not in labels:
        raise ImageError(f"{path.name} has no label {label}; it has {text}.", hint="Choose another with --label N.")
    chosen = labels[0] if label is None else label
    if chosen != int(chosen):
        raise ImageError(f"{path.name} is no mask: its value is {text}.", hint="Give whole numbers as labels.")
    return int(chosen)


def _corners(image: sitk.Image) -> np.ndarray:
    far = [number - 1 for number in image.GetSize()]
    corners = [(i, j, k) for i in (0, far[0]) for j in (0, far[1]) for k in (0, far[2])]
    return np.array([image.TransformIndexToPhysicalPoint(corner) for corner in corners])


def _same_grid(image: sitk.Image, mask: sitk.Image) -> bool:
    if image.GetSize() != mask.GetSize():
        return False
    return bool(np.linalg.norm(_corners(image) - _corners(mask), axis=1).max() <= _SAME_PLACE_MM)


def _describe(image: sitk.Image) -> str:
    spacing = " x ".join(f"{value:.4g}" for value in image.GetSpacing())
    origin = ", ".join(f"{value:.2f}" for value in image.GetOrigin())
    direction = " ".join(f"{value:.3g}" for value in image.GetDirection())
    size = "x".join(map(str, image.GetSize()))
    return f"{size} voxels of {spacing} mm, origin ({origin}) mm, direction {direction}"


def _corrected(image: sitk.Image, mask: sitk.Image, label: int) -> sitk.Image:
    settings: Mapping[str, Any] = {"label": label, "correctMask": True, "minimumROIDimensions": 1}
    try:
        with contained():
            _, corrected = imageoperations.checkMask(image, sitk.Cast(mask, sitk.sitkUInt32), **settings)
    except ValueError as error:
        raise GeometryError(
            f"The mask cannot be resampled to the image: {error}.", hint="Give a matching mask."
        ) from error
    return mask if corrected is None else corrected
