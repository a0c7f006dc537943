"""Made-up cohorts with branches of known worth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radiogen.cohort.splits import Split
from radiogen.config.classify import ClassifySettings
from radiogen.config.fusion import FusionNetworkSettings
from radiogen.fusion.join import FusionTable, fusion_table

FUSIONS = ("early", "mean", "weighted", "stacking", "cross-attention", "locally-connected", "gated-attention")

QUICK = ClassifySettings(
    classifiers=("elastic-net",), folds=3, repeats=1, inner_folds=2,
    network=FusionNetworkSettings(branch_epochs=(0, 20), fusion_epochs=(0, 20), members=1),
)  # fmt: skip


def two_branches(
    n: int = 400, strength: tuple[float, float] = (1.2, 1.2), lacking: float = 0.0, seed: int = 0, columns: int = 6
) -> tuple[FusionTable, Split]:
    """Return a table whose branches `clinical` and `radiomics` each carry a signal of their own, and a split in half.

    Args:
        n: cases.
        strength: distance between the classes in each branch, in standard deviations; 0: noise.
        lacking: share of the cases that lack a branch, half of them one, half of them the other.
        seed: of everything.
        columns: of each branch.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    cases = np.array([f"case-{number:03d}" for number in range(n)])
    without = rng.permutation(n)[: int(lacking * n)]
    features = {}
    for number, branch in enumerate(("clinical", "radiomics")):
        values = rng.normal(size=(n, columns))
        values[:, 0] += strength[number] * y
        there = np.setdiff1d(np.arange(n), without[number::2])
        names = [f"{branch}_{at}" for at in range(columns)]
        features[branch] = pd.DataFrame(values, index=cases, columns=names).iloc[there]
    cohort = pd.DataFrame({"patient": cases, "site": "A", "idh": y.astype(float)}, index=pd.Index(cases, name="case"))
    half = np.arange(n)
    return fusion_table(features, cohort, "idh"), Split(0, "half", half[: n // 2], half[n // 2 :])
