"""How good one case is: one row of numbers, and a plain sentence for each that is beyond its limit.

What cannot be known from the images alone, and is therefore not claimed: whether left and right were swapped in all sequences alike (a brain is
nearly its own
mirror image; only a marker or the source can tell); gaps between slices of a NIfTI file (only DICOM positions tell, see `cohort.dicom`); motion
where the air
around the head was removed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from radiogen.cohort.nifti import Image
from radiogen.config.preprocess_quality import QualityThresholds
from radiogen.errors import GeometryError
from radiogen.preprocess.intensity import background_value, foreground
from radiogen.preprocess.look import TissueOrder, measure_order
from radiogen.preprocess.quality_measures import (
    better_shift,
    border_share,
    correlation,
    ghosting,
    noise_level,
    surface_cut_share,
)
from radiogen.types import SEQUENCES, Mask, Volume

Value = float | str | None

_GAIN_THAT_COUNTS = 0.004
"""Normalised mutual information that a shift must add: of 31 sequences in place one gains more, of 9 moved by 4 or 8 mm eight do."""
_STRIPPED_SHARE = 0.1
_REFERENCES = ("t1c", "t1n", "t2f", "t2w")


@dataclass(frozen=True)
class CaseQuality:
    """One row of the quality table.

    Args:
        values: name -> number, word, or None for what cannot be measured; a name that belongs to a sequence starts with it.
        flags: what is beyond its limit, in plain sentences with the number and the limit.
    """

    values: Mapping[str, Value]
    flags: tuple[str, ...]


@dataclass
class _Row:
    limits: QualityThresholds
    values: dict[str, Value] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    def put(self, name: str, value: float) -> bool:
        """Keep a number; return whether it is one."""
        known = math.isfinite(value)
        self.values[name] = float(value) if known else None
        return known

    def flag(self, beyond: bool, sentence: str) -> None:
        if beyond:
            self.flags.append(sentence)


def measure_quality(
    case: str,
    raw: Mapping[str, Image],
    done: Mapping[str, Volume],
    unstripped: Mapping[str, Volume],
    brain: Mask,
    voxel_mm: float,
    similarity: Mapping[str, float],
    *,
    coverage: Mapping[str, float] | None = None,
    header_problems: Mapping[str, str] | None = None,
    thresholds: QualityThresholds | None = None,
) -> CaseQuality:
    """Measure one case.

    Args:
        case: case id; the row's name.
        raw: sequence -> image as read, on its own grid.
        done: sequence -> image as it is written: one grid, brain-extracted.
        unstripped: sequence -> the same before brain extraction and intensity methods, 0 where nothing was imaged.
        brain: on the voxels of `done`.
        voxel_mm: their edge, mm.
        similarity: sequence -> normalised mutual information with the reference after registration.
        coverage: sequence -> share of the brain that lies in the field it imaged (`preprocess.case.covers`), where the caller knows it.
        header_problems: sequence -> what its header contradicts (`cohort.nifti_header.orientation_problem`).
        thresholds: limits; the documented defaults without it.

    Raises:
        GeometryError: images and brain are not on the same voxels.
    """
    _check_shapes(done, unstripped, brain)
    row = _Row(thresholds or QualityThresholds())
    row.values["case"] = case
    missing = [name for name in SEQUENCES if name not in done]
    row.values["missing"] = ", ".join(missing) or None
    row.flag(bool(missing), f"{_listed(missing)} missing.")
    _brain(row, brain, voxel_mm)
    _doubled(row, unstripped, brain)
    for name in done:
        if name in raw:
            _sampling(row, name, raw[name])
            _noise(row, name, raw[name], unstripped[name], brain)
            _motion(row, name, raw[name].data)
        _field_of_view(row, name, raw.get(name), unstripped[name], brain, (coverage or {}).get(name))
        _tissue_order(row, name, raw.get(name), unstripped[name], brain, voxel_mm)
    _registration(row, unstripped, brain, voxel_mm, similarity)
    _sides(row, raw, header_problems or {})
    row.values["flags"] = float(len(row.flags))
    return CaseQuality(row.values, tuple(row.flags))


def _check_shapes(done: Mapping[str, Volume], unstripped: Mapping[str, Volume], brain: Mask) -> None:
    problems = [
        f"{name}: {'x'.join(map(str, image.shape))} voxels, the brain {'x'.join(map(str, brain.shape))}"
        for images in (done, unstripped)
        for name, image in images.items()
        if image.shape != brain.shape
    ]
    problems += [f"{name} before brain extraction is not given" for name in done if name not in unstripped]
    if problems:
        raise GeometryError("Quality needs images and brain on the same voxels:", problems=problems)


def _brain(row: _Row, brain: Mask, voxel_mm: float) -> None:
    volume_ml = float(brain.sum()) * voxel_mm**3 / 1000
    row.put("brain_ml", volume_ml)
    low, high = row.limits.brain_ml_low, row.limits.brain_ml_high
    row.flag(
        not low <= volume_ml <= high,
        f"The brain has {volume_ml:.0f} ml; {low:.0f} to {high:.0f} is plausible: look at its outline.",
    )


def _doubled(row: _Row, images: Mapping[str, Volume], brain: Mask) -> None:
    limit, pairs = row.limits.doubled_correlation, []
    highest = float("nan")
    for first, second in combinations(images, 2):
        found = correlation(images[first], images[second], brain)
        if not math.isfinite(found):
            continue
        highest = max(found, highest) if math.isfinite(highest) else found
        if found > limit:
            pairs.append(f"{first}={second}")
            row.flags.append(
                f"{first} and {second} are the same image (correlation {found:.5f}, limit {limit:g}): one is missing."
            )
    row.put("highest_correlation", highest)
    row.values["doubled"] = ", ".join(pairs) or None


def _sampling(row: _Row, name: str, image: Image) -> None:
    size_mm = image.grid.voxel_size_mm
    thickest, ratio = max(size_mm), max(size_mm) / min(size_mm)
    row.put(f"{name}_slice_mm", thickest)
    row.put(f"{name}_anisotropy", ratio)
    row.flag(
        thickest > row.limits.slice_thickness_mm,
        f"{name} has voxels of {thickest:.1f} mm in one direction (limit {row.limits.slice_thickness_mm:g} mm).",
    )
    row.flag(
        ratio > row.limits.anisotropy,
        f"{name} has voxels {ratio:.1f} times as long as wide (limit {row.limits.anisotropy:g}).",
    )


def _noise(row: _Row, name: str, image: Image, unstripped: Volume, brain: Mask) -> None:
    """Noise in the file's own slices; signal and contrast from the brain.

    Source: SNR = mean signal over standard deviation of the noise, Dietrich et al. 2007, doi:10.1002/jmri.20969 (the noise from differences
    instead of air,
        because air is often removed); CNR = grey-white difference over it, Magnotta & Friedman 2006, doi:10.1007/s10278-006-0264-x, as in MRIQC.
    """
    limits = row.limits
    noise = noise_level(image.data, foreground(image.data), slice_axis=int(np.argmax(image.grid.voxel_size_mm)))
    p1, p50, p99 = (
        (float(value) for value in np.percentile(unstripped[brain], [1, 50, 99])) if brain.any() else (0.0, 0.0, 0.0)
    )
    share = noise / (p99 - p1) if p99 > p1 else float("nan")
    if row.put(f"{name}_noise", share):
        row.flag(
            share > limits.noise_high,
            f"{name} is noisy: noise is {share:.2f} of the brain's intensity range (limit {limits.noise_high:g}).",
        )
    absolute = (
        image.data.min() >= 0
    )  # after z-scoring, zero is not the absence of signal and a ratio to it means nothing
    snr = p50 / noise if absolute and noise > 0 else float("nan")
    if row.put(f"{name}_snr", snr):
        row.flag(snr < limits.snr_low, f"{name} has a signal-to-noise ratio of {snr:.1f} (limit {limits.snr_low:g}).")


def _motion(row: _Row, name: str, image: Volume) -> None:
    ratio = ghosting(image)
    if row.put(f"{name}_ghosting", ratio):
        limit = row.limits.ghosting_high
        row.flag(
            ratio > limit,
            f"{name} repeats itself in the air beside the head: {ratio:.3f} of the head's signal (limit {limit:g}); motion or flow.",
        )


def _field_of_view(
    row: _Row, name: str, raw: Image | None, unstripped: Volume, brain: Mask, covered: float | None
) -> None:
    limit = row.limits.cut_border_share
    share = surface_cut_share(unstripped, brain)
    if not math.isfinite(share) and raw is not None and _is_stripped(raw.data):
        share = border_share(raw.data)
    if row.put(f"{name}_cut", share):
        row.flag(
            share > limit,
            f"{name} was cut: {100 * share:.1f} % of the brain's surface lies on the border of what was imaged (limit {100 * limit:g} %).",
        )
    if covered is not None and row.put(f"{name}_not_imaged", 1 - covered):
        limit = row.limits.outside_template_share
        row.flag(
            1 - covered > limit,
            f"{name} leaves out {100 * (1 - covered):.0f} % of the brain (limit {100 * limit:g} %).",
        )


def _is_stripped(image: Volume) -> bool:
    return bool((image == background_value(image)).mean() > _STRIPPED_SHARE)


def _tissue_order(row: _Row, name: str, raw: Image | None, image: Volume, brain: Mask, voxel_mm: float) -> None:
    order = measure_order(image, brain, voxel_mm)
    if order is None:
        row.values[f"{name}_white_over_grey"] = None
        return
    row.put(f"{name}_white_over_grey", order.white_over_grey)
    problem = _inverted(name, order, row.limits.inversion)
    if not problem and raw is not None and raw.data.min() >= 0 and background_value(raw.data) > np.median(image[brain]):
        problem = "the air is brighter than the brain"
    row.flag(bool(problem), f"{name} looks inverted: {problem}.")
    if name == "t1n" and isinstance(noise := row.values.get("t1n_noise"), float) and noise > 0:
        cnr = (
            abs(order.white_over_grey)
            * order.width
            / (noise * float(np.subtract(*np.percentile(image[brain], [99, 1]))))
        )
        row.put("t1n_cnr", cnr)
        limit = row.limits.cnr_low
        row.flag(
            cnr < limit,
            f"t1n hardly tells grey from white matter: contrast-to-noise ratio {cnr:.2f} (limit {limit:g}).",
        )


def _inverted(name: str, order: TissueOrder, limit: float) -> str:
    """Return what contradicts the sequence; of FLAIR nothing is said, whose tissue order varies with its timing."""
    if name in ("t1n", "t1c") and order.white_over_grey < limit:
        return f"white matter is darker than cortex by {-order.white_over_grey:.2f} of the brain's range (limit {-limit:g})"
    if name == "t2w" and order.fluid_bright < limit:
        return f"around the ventricles the dark side reaches further than the bright one ({order.fluid_bright:.2f}, limit {limit:g})"
    return ""


def _registration(
    row: _Row, images: Mapping[str, Volume], brain: Mask, voxel_mm: float, similarity: Mapping[str, float]
) -> None:
    limit = row.limits.similarity_low
    for name, value in similarity.items():
        if row.put(f"{name}_similarity", value):
            row.flag(
                value < limit,
                f"{name} shares little with what it was registered to: {value:.3f} (limit {limit:g}, 1 is nothing).",
            )
    reference = next((name for name in _REFERENCES if name in images), None)
    if reference is None:
        return
    for name, image in images.items():
        if name == reference:
            continue
        distance_mm, towards, gain = better_shift(images[reference], image, brain, voxel_mm)
        counts = gain > _GAIN_THAT_COUNTS
        row.put(f"{name}_better_shift_mm", distance_mm if counts else 0.0)
        row.flag(
            counts,
            f"{name} would lie better on {reference} if moved by {distance_mm:g} mm {towards}: registration failed.",
        )


def _sides(row: _Row, raw: Mapping[str, Image], problems: Mapping[str, str]) -> None:
    handed = {name: "right" if np.linalg.det(image.grid.affine[:3, :3]) > 0 else "left" for name, image in raw.items()}
    kinds = sorted(set(handed.values()))
    row.values["handedness"] = kinds[0] if len(kinds) == 1 else ("mixed" if kinds else None)
    row.flag(
        len(kinds) > 1,
        f"Voxel axes are right-handed in {_listed([n for n in handed if handed[n] == 'right'])} and left-handed in "
        f"{_listed([n for n in handed if handed[n] == 'left'])}: one may have been converted wrongly; check left and right at the source.",
    )
    for name, problem in problems.items():
        row.flags.append(f"{name}: {problem}; left and right cannot be trusted.")


def _listed(names: list[str]) -> str:
    return ", ".join(names)
