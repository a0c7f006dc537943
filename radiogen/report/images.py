"""Pictures of cases: three planes, every sequence, the mask's outline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from radiogen.report.style import new_figure
from radiogen.types import LabelVolume, Volume


def case_picture(
    images: Mapping[str, Volume],
    labels: LabelVolume | None,
    voxel_size_mm: tuple[float, float, float],
    title: str = "",
) -> Figure:
    """Draw one case: rows are planes, columns are sequences, outlines are tumour regions."""
    raise NotImplementedError


def contact_sheet(
    cases: Mapping[str, tuple[Mapping[str, Volume], LabelVolume | None, tuple[float, float, float]]],
    *,
    title: str = "",
) -> Figure:
    """Draw many cases: one row each, one column per sequence."""
    raise NotImplementedError
