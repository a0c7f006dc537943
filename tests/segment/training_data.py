"""Phantoms with their masks, and settings that train a tiny network on them in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort, write_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.recipes import over
from radiogen.config.train import TrainSettings

SPACING_MM = 6.0
TINY_UNET = {"channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 1}


def phantom_cohort(folder: Path, n_cases: int) -> Path:
    """Write phantoms at 6 mm whose true masks stand in the table, and return the table's path."""
    made = write_phantom_cohort(
        folder, n_cases, seed=1, settings=PhantomSettings(spacing_mm=SPACING_MM), jobs=1, progress=False
    )
    table = read_cohort(made)
    table["mask"] = [str(folder / "truth" / f"{case}.nii.gz") for case in table.index]
    write_cohort(table, folder / "masked.csv")
    return folder / "masked.csv"


def tiny(**changes: Any) -> TrainSettings:
    """Return settings of a short training, with changes laid over."""
    values = {
        "network": {"name": "unet", "arguments": TINY_UNET},
        "data": {"spacing_mm": SPACING_MM, "patch_size": None, "augmentation": "flips", "sequence_dropout": 0.0},
        "optimiser": {"learning_rate": 0.01},
        "epochs": 2,
        "steps_per_epoch": 2,
        "device": "cpu",
        "precision": "float32",
        "validate_every": 1,
    }
    return TrainSettings.parse(over(values, changes))


def shapes_table(cases: dict[str, str]) -> pd.DataFrame:
    """Return a table of cases and their patients."""
    return pd.DataFrame({"patient": list(cases.values())}, index=pd.Index(list(cases), name="case", dtype=object))
