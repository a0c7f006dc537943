"""Voxels of made-up tumours whose habitats are known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radiogen.branches.habitats.learn import TrainingData
from radiogen.branches.habitats.voxels import CaseVoxels
from radiogen.cohort.nifti import Grid

CORNERS = np.array([[0, 0, 0], [3, 0, 1], [0, 3, 3], [3, 3, -2], [-3, 1, 3]], dtype=np.float32)
"""Where up to five habitats lie in three maps."""

SIDE = 12


def tumour(
    case: str, k: int, rng: np.random.Generator, noise: float = 0.5, last: float = 6.0
) -> tuple[CaseVoxels, np.ndarray]:
    """Return a cube of k habitats in slabs of different width (k = 1: one cloud without parts), and which voxel is in which.

    `last` weighs the last part's width.
    """
    shares = rng.dirichlet(np.append(np.full(k - 1, 6.0), last))
    edges = np.searchsorted(np.cumsum(shares)[:-1], np.arange(SIDE) / SIDE, side="right")
    truth = np.broadcast_to(edges[:, None, None], (SIDE, SIDE, SIDE))
    inside = np.ones((SIDE,) * 3, dtype=bool)
    scanner = rng.normal(0, 0.2, 3)
    values = (CORNERS[truth[inside]] + scanner + rng.normal(0, noise if k > 1 else 1.5, (SIDE**3, 3))).astype(
        np.float32
    )
    return CaseVoxels(case, values, inside, (0, 0, 0), Grid((SIDE,) * 3, np.eye(4))), truth[inside]


def training(
    k: int, n_patients: int = 10, seed: int = 0, survival: bool = False
) -> tuple[TrainingData, dict[str, np.ndarray]]:
    """Return training data with k planted habitats and the truth of every case; with survival, the last habitat's size shortens it."""
    rng = np.random.default_rng(seed)
    cases, truth = {}, {}
    for number in range(n_patients):
        name = f"case{number}"
        cases[name], truth[name] = tumour(name, k, rng, last=(2.0, 20.0)[number % 2] if survival else 6.0)
    share = pd.Series({name: float((labels == k - 1).mean()) for name, labels in truth.items()})
    follow_up = (
        pd.DataFrame({"days": 2000 * np.exp(-6 * share), "died": True}).rename_axis("case") if survival else None
    )
    return TrainingData(cases, {name: name for name in cases}, ("t1n", "t1c", "t2f"), follow_up), truth
