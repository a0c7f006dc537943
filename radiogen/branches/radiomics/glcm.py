"""The grey-level co-occurrence class with its arithmetic on marginals instead of whole matrices."""

# ruff: noqa: N802 - PyRadiomics finds features by the spelling of their methods.

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from radiomics.glcm import RadiomicsGLCM

from radiogen.branches.radiomics.binned import Binned, OnBinned


class FactoredGLCM(OnBinned, RadiomicsGLCM):
    """PyRadiomics' co-occurrence class: the same matrices and values, with less work.

    Whatever depends on i + j alone (the cluster features) or on i - j alone (contrast) is summed over those distributions, whatever depends on i
    alone over the marginal; the rest is written as products of matrices, one direction after the other.

    Source: Haralick et al., IEEE Trans Syst Man Cybern 1973;3:610. PyRadiomics documentation, glcm.
    """

    def __init__(self, binned: Binned, **settings: Any) -> None:
        super().__init__(binned, **settings)
        self.symmetricalGLCM = settings.get("symmetricalGLCM", True)

    def _calculateCoefficients(self) -> None:
        # p: (directions, i, j)
        self._p = np.ascontiguousarray(self.P_glcm[0].transpose(2, 0, 1))
        levels = self._levels = self.coefficients["grayLevels"].astype(float)
        highest = self.coefficients["Ng"]
        self._px, self._py = self._p.sum(2), self._p.sum(1)
        self._ux, self._uy = self._px @ levels, self._py @ levels
        whole = self.coefficients["grayLevels"].astype(np.intp)
        added = (whole[:, None] + whole[None, :]).ravel()
        apart = np.abs(whole[:, None] - whole[None, :]).ravel()
        self._sums = np.arange(2, 2 * highest + 1, dtype=float)
        self._p_sum = np.stack([np.bincount(added, one.ravel(), 2 * highest + 1)[2:] for one in self._p])
        self._p_difference = np.stack([np.bincount(apart, one.ravel(), highest) for one in self._p])
        self._eps = float(np.spacing(1))
        self._entropies()
        # What PyRadiomics' own methods read: a first axis of one matrix, directions last.
        self.coefficients.update(
            eps=self._eps,
            kValuesSum=self._sums,
            kValuesDiff=np.arange(0, highest, dtype=float),
            pxAddy=self._p_sum.T[None],
            pxSuby=self._p_difference.T[None],
            px=self._px.T[None, :, None, :],
            py=self._py.T[None, None, :, :],
            ux=self._ux[None, None, None, :],
            uy=self._uy[None, None, None, :],
            HXY=self._hxy[None],
        )

    def _entropies(self) -> None:
        # One pass over each direction's matrix: HXY, HXY1, HXY2 and the matrix whose second singular value is the MCC.
        self._hxy, self._hxy1, self._hxy2 = (np.empty(len(self._p)) for _ in range(3))
        self._scaled = np.empty_like(self._p)
        for direction, p in enumerate(self._p):
            independent = np.outer(self._px[direction], self._py[direction])
            steadied = independent + self._eps
            np.divide(p, np.sqrt(steadied), out=self._scaled[direction])
            logarithm = np.log2(steadied)
            self._hxy1[direction] = -np.vdot(p, logarithm)
            self._hxy2[direction] = -np.vdot(independent, logarithm)
            occurring = p[p != 0]
            self._hxy[direction] = -np.vdot(occurring, np.log2(occurring + self._eps))

    def _of_sums(self, power: int) -> Float[np.ndarray, " n"]:
        centred = self._sums[None, :] - (self._ux + self._uy)[:, None]
        return _averaged((self._p_sum * centred**power).sum(1))

    def getClusterProminenceFeatureValue(self) -> Any:
        """Return the fourth moment of i + j, averaged over directions."""
        return self._of_sums(4)

    def getClusterShadeFeatureValue(self) -> Any:
        """Return the third moment of i + j, averaged over directions."""
        return self._of_sums(3)

    def getClusterTendencyFeatureValue(self) -> Any:
        """Return the second moment of i + j, averaged over directions."""
        return self._of_sums(2)

    def getContrastFeatureValue(self) -> Any:
        """Return the mean of (i - j) squared, averaged over directions."""
        return _averaged(self._p_difference @ self.coefficients["kValuesDiff"] ** 2)

    def getAutocorrelationFeatureValue(self) -> Any:
        """Return the mean of i times j, averaged over directions."""
        return _averaged((self._p @ self._levels) @ self._levels)

    def getCorrelationFeatureValue(self) -> Any:
        """Return the linear correlation of i and j, averaged over directions; 1 where there is a single grey level."""
        i, j = self._levels - self._ux[:, None], self._levels - self._uy[:, None]
        deviations = np.sqrt((self._px * i**2).sum(1)) * np.sqrt((self._py * j**2).sum(1))
        covariance = ((self._p @ j[:, :, None])[:, :, 0] * i).sum(1)
        return _averaged(np.where(deviations == 0, 1.0, covariance / (deviations + self._eps)))

    def getSumSquaresFeatureValue(self) -> Any:
        """Return the variance of i, averaged over directions."""
        return _averaged((self._px * (self._levels - self._ux[:, None]) ** 2).sum(1))

    def getJointEnergyFeatureValue(self) -> Any:
        """Return the sum of squared probabilities, averaged over directions."""
        return _averaged(np.einsum("dij,dij->d", self._p, self._p))

    def getMaximumProbabilityFeatureValue(self) -> Any:
        """Return the probability of the most frequent pair, averaged over directions."""
        return _averaged(self._p.max((1, 2)))

    def getImc1FeatureValue(self) -> Any:
        """Return the first informational measure of correlation, averaged over directions."""
        entropies = [-(p * np.log2(p + self._eps)).sum(1) for p in (self._px, self._py)]
        divisor = np.fmax(*entropies)
        difference = self._hxy - self._hxy1
        return _averaged(np.divide(difference, divisor, out=np.zeros_like(difference), where=divisor != 0))

    def getImc2FeatureValue(self) -> Any:
        """Return the second informational measure of correlation, averaged over directions."""
        imc2 = np.sqrt(1 - np.exp(-2 * (self._hxy2 - self._hxy)))
        return _averaged(np.where(self._hxy2 == self._hxy, 0.0, imc2))

    def getMCCFeatureValue(self) -> Any:
        """Return the maximal correlation coefficient, averaged over directions; 1 where the region has a single grey level.

        PyRadiomics builds Q(i, j) = sum_k p(i, k) p(j, k) / (p_x(i) p_y(k)) one grey level at a time and takes the root of the second largest
        eigenvalue. With A(i, k) = p(i, k) / sqrt(p_x(i) p_y(k)), Q is similar to A A^T, so that root is the second largest singular value of A: real
        by construction. Where p is symmetrical, A is, and its singular values are the magnitudes of its eigenvalues.

        Source: Haralick et al. 1973, feature 14. PyRadiomics documentation, glcm, feature 16.
        """
        if self._p.shape[1] < 2:
            return 1
        if self.symmetricalGLCM:
            singular = np.sort(np.abs(np.linalg.eigvalsh(self._scaled)), axis=1)[:, -2]
        else:
            singular = np.linalg.svd(self._scaled, compute_uv=False)[:, 1]
        return _averaged(singular)


def _averaged(by_direction: Float[np.ndarray, " directions"]) -> Float[np.ndarray, " n"]:
    return np.nanmean(by_direction, keepdims=True)
