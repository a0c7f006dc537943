"""Made-up cases for the branch tests: four textured sequences and a nested tumour on one small grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from radiogen.cohort.table import read_cohort
from radiogen.types import SEQUENCES

SHAPE = (26, 30, 21)
AFFINE = np.array([[1.0, 0, 0, -12], [0, 1.0, 0, -9], [0, 0, 2.0, 5], [0, 0, 0, 1]])
QUICK = {
    "image_types": {"Original": {}},
    "feature_classes": {"firstorder": ["Mean", "Entropy"], "shape": ["MeshVolume"]},
}


def labels() -> np.ndarray:
    """A tumour in radiogen's labels: oedema around an enhancing rim around necrosis."""
    i, j, k = np.indices(SHAPE)
    radius = np.sqrt((i - 13) ** 2 + (j - 16) ** 2 + (2 * (k - 10)) ** 2)
    out = np.zeros(SHAPE, dtype=np.uint8)
    out[radius < 10], out[radius < 7], out[radius < 4] = 2, 3, 1
    return out


def image(seed: int) -> np.ndarray:
    """A textured image of whole positive numbers inside a brain, zero around it."""
    texture = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.2)
    out = np.rint(400 + 300 * texture / texture.std() * 0.3).clip(1).astype(np.float32)
    out[:2], out[:, :2], out[..., :1] = 0, 0, 0
    return out


def write_case(
    folder: Path, name: str, *, seed: int = 0, mask: np.ndarray | None = None, without: tuple[str, ...] = ()
) -> dict[str, object]:
    """Write a case's files and return its cohort row."""
    folder = folder / name
    folder.mkdir(parents=True)
    row: dict[str, object] = {"case": name, "age": 50 + seed, "sex": "FM"[seed % 2]}
    for number, sequence in enumerate(SEQUENCES):
        if sequence not in without:
            nib.save(nib.Nifti1Image(image(10 * seed + number).astype(np.int16), AFFINE), folder / f"{sequence}.nii.gz")
            row[sequence] = f"{name}/{sequence}.nii.gz"
    if "mask" not in without:
        nib.save(nib.Nifti1Image(labels() if mask is None else mask, AFFINE), folder / "mask.nii.gz")
        row["mask"] = f"{name}/mask.nii.gz"
    return row


def write_cohort_csv(folder: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as a cohort table and return its path."""
    path = folder / "cohort.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def cohort(folder: Path, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Return rows as the cohort table that a user would read."""
    return read_cohort(write_cohort_csv(folder, rows))
