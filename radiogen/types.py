"""Shape-annotated array aliases and the field's enumerations.

The aliases cost users nothing; the test run turns them into run-time checks (see `addopts` in pyproject.toml).
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer, UInt8

Volume = Float32[np.ndarray, "i j k"]
"""One image in canonical (RAS) orientation, arbitrary intensity unit."""

LabelVolume = UInt8[np.ndarray, "i j k"]
"""One label map in canonical orientation, in radiogen's labels (`NCR ED ET RC` below)."""

Mask = Bool[np.ndarray, "i j k"]
"""One binary region in canonical orientation."""

Affine = Float[np.ndarray, "4 4"]
"""Voxel index to world coordinate, millimetres, RAS+."""

Labels01 = Integer[np.ndarray, " n"]
"""Binary outcome per case: 1 is the positive class."""

Scores = Float[np.ndarray, " n"]
"""Score or probability per case: higher means more positive."""


class Sequence(StrEnum):
    """The four structural MRI sequences, by their BraTS 2023 names."""

    T1N = "t1n"
    T1C = "t1c"
    T2W = "t2w"
    T2F = "t2f"


class Region(StrEnum):
    """Nested tumour regions: whole tumour, tumour core, enhancing tumour."""

    WT = "wt"
    TC = "tc"
    ET = "et"


class Target(StrEnum):
    """What `radiogen classify` predicts."""

    IDH = "idh"
    MGMT = "mgmt"
    CODELETION = "codeletion"
    GRADE = "grade"


SEQUENCES: tuple[str, ...] = tuple(s.value for s in Sequence)
REGIONS: tuple[str, ...] = tuple(r.value for r in Region)

NCR, ED, ET, RC = 1, 2, 3, 4
"""Labels of every mask radiogen writes: necrotic core, oedema or infiltration, enhancing tumour, resection cavity."""
