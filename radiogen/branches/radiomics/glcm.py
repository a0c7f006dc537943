"""The grey-level co-occurrence class with its slowest feature written as a matrix decomposition."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from radiomics.glcm import RadiomicsGLCM


class FactoredGLCM(RadiomicsGLCM):
    """PyRadiomics' co-occurrence class; only the maximal correlation coefficient is computed in another way, to the same value.

    PyRadiomics builds Q(i, j) = sum_k p(i, k) p(j, k) / (p_x(i) p_y(k)) one grey level at a time and takes the second largest eigenvalue. With
    A(i, k) = p(i, k) / sqrt(p_x(i) p_y(k)), Q is similar to A A^T, so the root of that eigenvalue is the second largest singular value of A: real
    by construction, and one decomposition for all directions.

    Source: Haralick et al., IEEE Trans Syst Man Cybern 1973;3:610, feature 14. PyRadiomics documentation, glcm, feature 16.
    """

    def __init__(self, image: Any, mask: Any, **settings: Any) -> None:
        super().__init__(image, mask, **settings)
        # PyRadiomics names the logger after the module of the class; its messages belong with its others.
        self.logger = logging.getLogger("radiomics.glcm")

    def getMCCFeatureValue(self) -> Any:  # noqa: N802 - PyRadiomics finds features by this spelling
        """Return the maximal correlation coefficient, averaged over directions; 1 where the region has a single grey level."""
        if self.P_glcm.shape[1] < 2:
            return 1
        # shapes: (voxels, Ng, Ng, directions); a grey level without neighbours in a direction has p = 0 and contributes nothing
        marginals = self.coefficients["px"] * self.coefficients["py"]
        scaled = np.divide(self.P_glcm, np.sqrt(marginals), out=np.zeros_like(self.P_glcm), where=marginals != 0)
        singular = np.linalg.svd(scaled.transpose(0, 3, 1, 2), compute_uv=False)
        return np.nanmean(singular[:, :, 1], axis=1)
