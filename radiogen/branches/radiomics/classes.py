"""PyRadiomics' feature classes as this branch computes them: on one binned image, to the same values."""

# ruff: noqa: N802 - PyRadiomics finds features by the spelling of their methods.

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
from jaxtyping import Float
from radiomics.base import RadiomicsFeaturesBase
from radiomics.firstorder import RadiomicsFirstOrder
from radiomics.gldm import RadiomicsGLDM
from radiomics.glrlm import RadiomicsGLRLM
from radiomics.glszm import RadiomicsGLSZM
from radiomics.ngtdm import RadiomicsNGTDM

from radiogen.branches.radiomics.binned import Binned, OnBinned
from radiogen.branches.radiomics.glcm import FactoredGLCM


class BinnedFirstOrder(OnBinned, RadiomicsFirstOrder):
    """PyRadiomics' first-order class; moments are products instead of powers, and all percentiles come from one sorting."""

    def __init__(self, binned: Binned, **settings: Any) -> None:
        super().__init__(binned, **settings)
        self.pixelSpacing = binned.spacing_mm
        self.voxelArrayShift = settings.get("voxelArrayShift", 0)
        self.imageArray, self.discretizedImageArray = binned.image, binned.levels

    def _initCalculation(self, voxelCoordinates: Any = None) -> None:
        self._values = np.sort(self.imageArray[self.maskArray].astype(float))
        self.targetVoxelArray = self._values[None]
        counts = np.bincount(self.discretizedImageArray[self.maskArray])
        self.coefficients["p_i"] = (counts[counts > 0] / len(self._values))[None]
        self._percentile = dict(
            zip((10, 25, 50, 75, 90), np.percentile(self._values, (10, 25, 50, 75, 90)), strict=True)
        )
        self._mean = self._values.mean()
        self._centred = self._values - self._mean
        self._squared = self._centred**2
        self._variance = self._squared.mean()

    def getEnergyFeatureValue(self) -> Any:
        """Return the sum of squared intensities."""
        shifted = self._values + self.voxelArrayShift
        return np.array([shifted @ shifted])

    def getRootMeanSquaredFeatureValue(self) -> Any:
        """Return the root of the mean of squared intensities."""
        return np.sqrt(self.getEnergyFeatureValue() / len(self._values))

    def getMinimumFeatureValue(self) -> Any:
        """Return the smallest intensity."""
        return self._values[0]

    def getMaximumFeatureValue(self) -> Any:
        """Return the largest intensity."""
        return self._values[-1]

    def getRangeFeatureValue(self) -> Any:
        """Return the largest less the smallest intensity."""
        return self._values[-1] - self._values[0]

    def getMeanFeatureValue(self) -> Any:
        """Return the mean intensity."""
        return self._mean

    def get10PercentileFeatureValue(self) -> Any:
        """Return the 10th percentile."""
        return self._percentile[10]

    def get90PercentileFeatureValue(self) -> Any:
        """Return the 90th percentile."""
        return self._percentile[90]

    def getMedianFeatureValue(self) -> Any:
        """Return the median."""
        return self._percentile[50]

    def getInterquartileRangeFeatureValue(self) -> Any:
        """Return the 75th less the 25th percentile."""
        return self._percentile[75] - self._percentile[25]

    def getMeanAbsoluteDeviationFeatureValue(self) -> Any:
        """Return the mean distance from the mean."""
        return np.abs(self._centred).mean()

    def getRobustMeanAbsoluteDeviationFeatureValue(self) -> Any:
        """Return the mean distance from the mean among the intensities between the 10th and the 90th percentile."""
        low, high = (
            np.searchsorted(self._values, self._percentile[10]),
            np.searchsorted(self._values, self._percentile[90], side="right"),
        )
        middle = self._values[low:high]
        return np.abs(middle - middle.mean()).mean()

    def getVarianceFeatureValue(self) -> Any:
        """Return the variance."""
        return self._variance

    def getSkewnessFeatureValue(self) -> Any:
        """Return the third standardised moment; 0 where all intensities are equal."""
        return self._standardised(self._squared @ self._centred / len(self._values), 1.5)

    def getKurtosisFeatureValue(self) -> Any:
        """Return the fourth standardised moment; 0 where all intensities are equal."""
        return self._standardised(self._squared @ self._squared / len(self._values), 2.0)

    def _standardised(self, moment: float, power: float) -> Float[np.ndarray, ""]:
        return np.asarray(0.0 if self._variance == 0 else moment / self._variance**power)


class BinnedGLDM(OnBinned, RadiomicsGLDM):
    """PyRadiomics' dependence class on a binned image."""

    def __init__(self, binned: Binned, **settings: Any) -> None:
        super().__init__(binned, **settings)
        self.gldm_a = settings.get("gldm_a", 0)


class BinnedGLRLM(OnBinned, RadiomicsGLRLM):
    """PyRadiomics' run-length class on a binned image."""


class BinnedGLSZM(OnBinned, RadiomicsGLSZM):
    """PyRadiomics' size-zone class; zones are found by one labelling of connected components of equal level.

    Source: Thibault et al., Pattern Recognition and Information Processing 2009;140. PyRadiomics documentation, glszm.
    """

    def _initCalculation(self, voxelCoordinates: Any = None) -> None:
        if self.settings.get("force2D", False):  # zones in planes
            super()._initCalculation(voxelCoordinates)
            return
        zones = cc3d.connected_components(self.imageArray, connectivity=26)
        sizes = np.bincount(zones.ravel())[1:]
        level_of_zone = np.zeros(len(sizes) + 1, dtype=np.int64)
        level_of_zone[zones.ravel()] = self.imageArray.ravel()
        lengths, column = np.unique(sizes, return_inverse=True)
        present = self.coefficients["grayLevels"]
        row = np.searchsorted(present, level_of_zone[1:])
        counts = np.bincount(row * len(lengths) + column, minlength=len(present) * len(lengths))
        self.P_glszm = counts.reshape(1, len(present), len(lengths)).astype(float)
        self.coefficients.update(
            Np=np.array([float(sizes.sum())]),
            Nz=np.array([float(len(sizes))]),
            ps=self.P_glszm.sum(1),
            pg=self.P_glszm.sum(2),
            ivector=present.astype(float),
            jvector=lengths.astype(float),
        )


class BinnedNGTDM(OnBinned, RadiomicsNGTDM):
    """PyRadiomics' neighbourhood class on a binned image."""


CLASSES: dict[str, type[RadiomicsFeaturesBase]] = {
    "firstorder": BinnedFirstOrder,
    "glcm": FactoredGLCM,
    "gldm": BinnedGLDM,
    "glrlm": BinnedGLRLM,
    "glszm": BinnedGLSZM,
    "ngtdm": BinnedNGTDM,
}
"""PyRadiomics' name of a class -> the class that computes it here; the shape classes are PyRadiomics' own."""
