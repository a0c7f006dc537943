"""Made-up tumours at known places of MNI152, written as cases."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from radiogen.cohort.nifti import Grid
from radiogen.cohort.table import read_cohort
from radiogen.preprocess.template import load_template

ORIGIN = (-98.0, -134.0, -72.0)
SHAPE = (197, 233, 189)
AFFINE = np.array([[1.0, 0, 0, ORIGIN[0]], [0, 1, 0, ORIGIN[1]], [0, 0, 1, ORIGIN[2]], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)


def sphere(centre_mm: tuple[float, float, float], radius_mm: float, *, rings: bool = True) -> np.ndarray:
    """A ball on the template's grid: oedema, inside it an enhancing rim (70 % of the radius), inside that necrosis (40 %)."""
    low = [round(c - o - radius_mm) - 1 for c, o in zip(centre_mm, ORIGIN, strict=True)]
    size = round(2 * radius_mm) + 4
    offsets = np.indices((size, size, size)) + np.array(low).reshape(3, 1, 1, 1)
    distance = np.linalg.norm(offsets + np.subtract(ORIGIN, centre_mm).reshape(3, 1, 1, 1), axis=0)
    ball = np.where(distance <= radius_mm, 2, 0)
    if rings:
        ball[distance <= 0.7 * radius_mm] = 3
        ball[distance <= 0.4 * radius_mm] = 1
    out = np.zeros(SHAPE, dtype=np.uint8)
    out[tuple(slice(start, start + size) for start in low)] = ball
    return out


def write_mask(path: Path, labels: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write labels as NIfTI and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), affine), path)
    return path


def cohort(folder: Path, masks: dict[str, np.ndarray], affine: np.ndarray = AFFINE, **columns: str) -> pd.DataFrame:
    """Return a cohort of masks; further columns are the same for all cases."""
    rows = []
    for case, labels in masks.items():
        write_mask(folder / case / "mask.nii.gz", labels, affine)
        rows.append({"case": case, "mask": f"{case}/mask.nii.gz", **columns})
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return read_cohort(folder / "cohort.csv")


def moved_template(shift_mm: tuple[float, float, float], voxel_mm: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the template's T1 on coarse voxels with its world shifted, and the affine: a patient that must be registered."""
    step = round(voxel_mm)
    affine = AFFINE @ np.diag([step, step, step, 1.0])
    affine[:3, 3] += shift_mm
    return load_template().image.data[::step, ::step, ::step] * np.float32(1000), affine
