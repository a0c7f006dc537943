"""Label schemes of tumour masks, translated at the door into radiogen's own labels (1 NCR, 2 ED, 3 ET, 4 RC)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from radiogen.cohort.nifti import Grid, read_labels
from radiogen.errors import ImageError
from radiogen.registry import did_you_mean
from radiogen.types import ED, ET, NCR, RC, LabelVolume, Mask

SCHEMES: dict[str, dict[int, int]] = {
    "brats2023": {1: NCR, 2: ED, 3: ET, 4: RC},
    "brats2021": {1: NCR, 2: ED, 4: ET},
    "brats2013": {1: NCR, 2: ED, 3: NCR, 4: ET},
    "deepbratumia": {1: NCR, 2: ET, 3: ED},
    "whole-tumour": {1: ED},
}
"""Scheme -> {label in the file: radiogen label}.

`brats2023`: BraTS 2023 and later (4 = resection cavity from 2024 on). `brats2021`: BraTS 2017-2021 and UCSF-PDGM. `brats2013`: BraTS 2012-2013, where
3 is non-enhancing core. `deepbratumia`: that program's masks; nothing tells them from `brats2023`, so they must be named. `whole-tumour`: one binary
label for the whole abnormality; core and enhancement are unknown and stay empty.
"""


def detect_scheme(labels: LabelVolume) -> str:
    """Return the scheme that the labels present in a map belong to.

    Raises:
        ImageError: the map is empty, holds unknown labels, or holds both 3 and 4, which BraTS 2013 and BraTS 2024 mean differently.
    """
    present = set(np.unique(labels).tolist()) - {0}
    if not present:
        raise ImageError(
            "The mask is empty: no voxel has a label.",
            hint="Leave the mask blank in the cohort table to have one made.",
        )
    if present == {1}:
        return "whole-tumour"
    if {3, 4} <= present <= {1, 2, 3, 4}:
        raise ImageError(
            "The mask holds labels 3 and 4, which BraTS 2013 and BraTS 2024 mean differently.",
            hint="Say which: brats2013 or brats2023.",
        )
    if present <= {1, 2, 4}:
        return "brats2021"
    if present <= {1, 2, 3}:
        return "brats2023"
    raise ImageError(
        f"The mask holds labels {sorted(present)}; 1 to 4 are accepted.",
        hint="Give a glioma mask in a BraTS label scheme.",
    )


def translate_labels(labels: LabelVolume, scheme: str = "auto") -> LabelVolume:
    """Return labels in radiogen's own scheme.

    Args:
        labels: as stored in a file.
        scheme: a name of `SCHEMES`, or `auto` to detect it.

    Raises:
        ImageError: the scheme is unknown, or the map holds labels that it does not have.
    """
    name = detect_scheme(labels) if scheme == "auto" else scheme
    if name not in SCHEMES:
        raise ImageError(f"'{name}' is not a label scheme: {', '.join(SCHEMES)}.", hint=did_you_mean(name, SCHEMES))
    unknown = sorted(set(np.unique(labels).tolist()) - {0, *SCHEMES[name]})
    if unknown:
        raise ImageError(
            f"The mask holds label(s) {unknown}, which the scheme {name} does not have.", hint="Name another scheme."
        )
    table = np.zeros(256, dtype=np.uint8)
    for stored, own in SCHEMES[name].items():
        table[stored] = own
    return table[labels]


def read_mask(path: str | Path, scheme: str = "auto") -> tuple[LabelVolume, Grid]:
    """Read a tumour mask in radiogen's labels, canonical, with the file's own grid.

    Raises:
        ImageError: the file or its labels cannot be used.
    """
    labels, grid = read_labels(path)
    try:
        return translate_labels(labels, scheme), grid
    except ImageError as error:
        raise ImageError(f"{Path(path).name}: {error.message}", hint=error.hint) from error


def region_masks(labels: LabelVolume) -> Mapping[str, Mask]:
    """Return the nested BraTS regions of a map in radiogen's labels: whole tumour (1, 2, 3), tumour core (1, 3), enhancing tumour (3).

    A resection cavity (4) belongs to none of them.

    Source: BraTS 2023 evaluation regions.

    Example:
        >>> labels = np.array([[[0, 1, 2, 3, 4]]], dtype=np.uint8)
        >>> {name: int(mask.sum()) for name, mask in region_masks(labels).items()}
        {'wt': 3, 'tc': 2, 'et': 1}
    """
    return {"wt": (labels >= NCR) & (labels <= ET), "tc": (labels == NCR) | (labels == ET), "et": labels == ET}


def region_volumes_ml(labels: LabelVolume, grid: Grid) -> dict[str, float]:
    """Return the volume of each region, millilitres, under the keys `wt_ml tc_ml et_ml`."""
    voxel_ml = float(np.prod(grid.voxel_size_mm)) / 1000.0
    return {f"{name}_ml": float(mask.sum()) * voxel_ml for name, mask in region_masks(labels).items()}
