"""One image in one region, read and cut into bins once for all of PyRadiomics' feature classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Int, Shaped
from radiomics import imageoperations
from radiomics.base import RadiomicsFeaturesBase


@dataclass(frozen=True)
class Binned:
    """An image in a region's own box, with its grey levels.

    Args:
        image: intensities, axes (k, j, i) as PyRadiomics has them.
        mask: the region.
        levels: grey levels from 1, 0 outside the region.
        present: the levels that occur, ascending.
        spacing_mm: voxel size along i, j, k.
    """

    image: Shaped[np.ndarray, "k j i"]
    mask: Bool[np.ndarray, "k j i"]
    levels: Int[np.ndarray, "k j i"]
    present: Int[np.ndarray, " levels"]
    spacing_mm: tuple[float, ...]

    def GetSpacing(self) -> tuple[float, ...]:  # noqa: N802 - PyRadiomics asks its image so
        """Return the voxel size along i, j, k, mm."""
        return self.spacing_mm


def bin_region(
    image: Shaped[np.ndarray, "k j i"],
    mask: Bool[np.ndarray, "k j i"],
    spacing_mm: tuple[float, ...],
    settings: Mapping[str, Any],
) -> Binned:
    """Return an image with its intensities in a region cut into bins, as PyRadiomics cuts them.

    Args:
        image: intensities.
        mask: the region, not empty.
        spacing_mm: voxel size along i, j, k.
        settings: PyRadiomics settings: `binWidth`, or `binCount`.

    Raises:
        ValueError: the range of intensities is too small to be cut into bins, or they are not numbers.

    Source: PyRadiomics, `imageoperations.binImage`; IBSI reference manual, arXiv:1612.07003, section 2.7.

    Example:
        >>> image = np.array([[[10.0, 30.0, 60.0]]])
        >>> bin_region(image, image > 20, (1.0, 1.0, 1.0), {"binWidth": 25}).levels
        array([[[0, 1, 2]]], dtype=int32)
    """
    values = image[mask]
    # The edges follow from the two ends alone; PyRadiomics looks for them with Python's own min and max, value by value.
    edges = imageoperations.getBinEdges(np.array([values.min(), values.max()]), **settings)
    levels = np.zeros(image.shape, dtype=np.int32)
    levels[mask] = np.digitize(values, edges)
    counts = np.bincount(levels[mask])
    return Binned(image, mask, levels, np.flatnonzero(counts).astype(np.int32), spacing_mm)


class OnBinned(RadiomicsFeaturesBase):
    """Base of the feature classes that take a `Binned` image instead of reading and binning one themselves.

    To stand before PyRadiomics' own class among the bases: it replaces only what that class does when it is made.

    Args:
        binned: the image in the region.
        settings: PyRadiomics settings.
    """

    def __init__(self, binned: Binned, **settings: Any) -> None:
        self.logger = logging.getLogger("radiomics")
        self.settings = settings
        self.label, self.voxelBased = 1, False
        self.weightingNorm = settings.get("weightingNorm")
        self.enabledFeatures: dict[str, bool] = {}
        self.featureValues: dict[str, Any] = {}
        self.featureNames = _names(cast(Any, type(self)))
        self.inputImage, self.inputMask = binned, None
        self.imageArray, self.maskArray = binned.levels, binned.mask
        self.coefficients: dict[str, Any] = {"grayLevels": binned.present, "Ng": int(binned.present[-1])}


@cache
def _names(kind: Any) -> dict[str, bool]:
    return dict(kind.getFeatureNames())
