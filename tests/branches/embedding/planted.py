"""Tiny made-up patients whose label can be seen in one sequence: a bright ring around the tumour, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from radiogen.config.embedding_model import EmbeddingModelSettings

SIDE = 20


def planted_cohort(folder: Path, n: int, *, seed: int = 0, sequences: tuple[str, ...] = ("t2f",)) -> pd.DataFrame:
    """Write `n` cases with masks; in every second one the tumour has a bright ring in t2f. Two sites, one case per patient."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = {}
    for number in range(n):
        label = number % 2
        centre = rng.uniform(8, 11, 3)
        distance = np.sqrt(((np.indices((SIDE,) * 3) - centre[:, None, None, None]) ** 2).sum(axis=0))
        brain = np.sqrt(((np.indices((SIDE,) * 3) - 9.5) ** 2).sum(axis=0)) < 9.5
        row: dict[str, Any] = {"patient": f"p{number:03d}", "site": f"site{(number // 2) % 2}", "mgmt": float(label)}
        for name in sequences:
            image = rng.normal(100, 8, (SIDE,) * 3) + 40 * (distance < 3)
            if name == "t2f":
                image += label * 80 * ((distance >= 3) & (distance < 5))
            row[name] = str(_save(folder / f"{number}_{name}.nii", np.where(brain, image, 0).astype(np.float32)))
        row["mask"] = str(_save(folder / f"{number}_mask.nii", np.where(distance < 4, 3, 0).astype(np.uint8)))
        row |= {name: None for name in ("t1n", "t1c", "t2w", "t2f") if name not in sequences}
        row |= {"age": float(rng.integers(30, 80)), "sex": "F" if rng.random() < 0.5 else "M"}
        rows[f"case{number:03d}"] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.Index(table.index.astype(object), name="case")
    return table


def tiny_model(**changes: Any) -> EmbeddingModelSettings:
    """Return settings of a small network that learns in seconds, with changes laid over."""
    values: dict[str, Any] = {
        "network": "cnn3d",
        "arguments": {"widths": [8, 16]},
        "input": {"centre": "brain", "voxel_size_mm": [1.0, 1.0, 1.0], "shape": [16, 16, 16]},
        "sequences": ["t2f"],
        "fusion": "single",
        "epochs": 12,
        "batch_size": 8,
        "dropout": 0.0,
        "optimiser": {"name": "adam", "learning_rate": 0.01, "weight_decay": 0.0, "schedule": "constant"},
        "device": "cpu",
        "precision": "float32",
    }
    return EmbeddingModelSettings.parse({**values, **changes})


def _save(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path
