"""Masks against reference masks, region by region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.masks import region_masks, translate_labels
from radiogen.cohort.nifti import Grid, read_labels
from radiogen.config.masks import MaskEvaluationSettings
from radiogen.errors import GeometryError
from radiogen.stats.overlap import dice, hd95_mm, lesion_wise, normalised_surface_dice
from radiogen.types import REGIONS, LabelVolume

METRICS = ("dice", "hd95_mm", "nsd", "lesion_dice", "lesion_hd95_mm")
"""Columns that are averaged over cases."""


def evaluate_pair(prediction: Path, reference: Path, settings: MaskEvaluationSettings) -> list[dict[str, Any]]:
    """Return one row per region for a prediction and its reference.

    A region that the reference's label scheme cannot express (core and enhancing tumour of a whole-tumour mask) is left out, not scored as empty.

    Args:
        prediction: NIfTI label map; may be empty.
        reference: NIfTI label map on the same voxels.
        settings: label schemes and tolerances.

    Returns:
        Rows with `region, dice, hd95_mm, nsd, lesion_dice, lesion_hd95_mm, n_lesions, n_false_negative, n_false_positive, prediction_ml,
        reference_ml`.

    Raises:
        ImageError: a file cannot be used.
        GeometryError: the two do not share their voxels.
    """
    predicted, grid, _ = _read(prediction, settings.prediction_labels)
    expected, reference_grid, whole_only = _read(reference, settings.reference_labels)
    if not grid.same_space(reference_grid):
        raise GeometryError(
            "Prediction and reference do not share their voxels:",
            problems=[f"prediction: {grid.describe()}", f"reference: {reference_grid.describe()}"],
            hint="Resample one onto the other's grid first.",
        )
    ours, theirs = region_masks(predicted), region_masks(expected)
    size_mm = grid.voxel_size_mm
    voxel_ml = size_mm[0] * size_mm[1] * size_mm[2] / 1000
    rows = []
    for region in REGIONS[:1] if whole_only else REGIONS:
        a, b = ours[region], theirs[region]
        lesions = lesion_wise(a, b, size_mm, dilations=settings.dilations, smallest_mm3=settings.smallest_lesion_mm3)
        rows.append(
            {
                "region": region,
                "dice": dice(a, b),
                "hd95_mm": hd95_mm(a, b, size_mm),
                "nsd": normalised_surface_dice(a, b, size_mm, tolerance_mm=settings.tolerance_mm),
                "lesion_dice": lesions.dice,
                "lesion_hd95_mm": lesions.hd95_mm,
                "n_lesions": lesions.n_reference,
                "n_false_negative": lesions.n_false_negative,
                "n_false_positive": lesions.n_false_positive,
                "prediction_ml": float(a.sum()) * voxel_ml,
                "reference_ml": float(b.sum()) * voxel_ml,
            }
        )
    return rows


def summarise(cases: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return mean, standard deviation, median and number of cases of every metric, per region.

    Args:
        cases: rows of `evaluate_pair` with a column `case`.
    """
    summary: dict[str, dict[str, Any]] = {}
    for region in [name for name in REGIONS if name in set(cases["region"])]:
        rows = cases[cases["region"] == region]
        summary[region] = {"n": len(rows)}
        for metric in METRICS:
            values = rows[metric].astype(float)
            summary[region][metric] = {
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
                "median": float(values.median()),
            }
    return summary


def _read(path: Path, scheme: str) -> tuple[LabelVolume, Grid, bool]:
    stored, grid = read_labels(path)
    if scheme == "auto" and not stored.any():
        return stored, grid, False  # an empty map is empty in every scheme
    whole_only = scheme == "whole-tumour" or (scheme == "auto" and int(stored.max()) == 1)
    return translate_labels(stored, scheme), grid, whole_only
