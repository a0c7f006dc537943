"""ComBat fitted on training rows only: differences between sites taken out of image features, those of patients kept."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Integer

from radiogen.errors import InputError
from radiogen.fusion.context import RowContext
from radiogen.fusion.steps import Classes, FoldStep, Prepared, Rows

_SMALL = "small sites"
_ROUNDS, _CONVERGED = 200, 1e-6


class Combat(FoldStep):
    """Shift and scale the image features of every training site to a common distribution, shrunk by empirical Bayes.

    What covariates explain is kept: patients of one site may be older. A label is never a covariate, for it is not known of a new patient.

    For a site that was not in training nothing can be estimated without looking at its own patients, so there are three honest answers: `refuse`;
    `identity`, the row stays as it is, though the training rows were moved; `reference-batch`, all training sites are moved to the distribution of
    one of them (the largest), so that a row that stays as it is is at least on a scale that a real scanner has. With whole sites held out every
    tested site is new: harmonisation can then only help by giving the training rows one scale.

    Sites and covariates come in the context; without one nothing is moved. `y` is not looked at.

    Args:
        covariates: names in `radiogen.fusion.context.COVARIATES`; missing values are filled with the training mean.
        unseen_site: what happens to rows of a site that was not in training.
        least_cases: sites with fewer training cases are treated as one.

    Raises:
        InputError: in `transform`, a site was not in training and the policy is `refuse`.

    Source: Johnson, Li, Rabinovic, Biostatistics 2007;8:118 (ComBat, parametric empirical Bayes); Fortin et al., NeuroImage 2018;167:104 (imaging,
    covariates); reference batch: Zhang et al., BMC Bioinformatics 2018;19:262 (M-ComBat, modified).
    """

    allows_missing = True

    def __init__(
        self,
        covariates: tuple[str, ...] = ("age", "sex"),
        unseen_site: Literal["refuse", "identity", "reference-batch"] = "identity",
        least_cases: int = 3,
    ) -> None:
        self.covariates = covariates
        self.unseen_site = unseen_site
        self.least_cases = least_cases

    def _learn(self, X: Rows, y: Classes, context: RowContext | None) -> None:
        if context is None:
            self.sites_: list[str] = []
            self.batches_: list[str] = []
            return
        self.columns_ = np.flatnonzero(context.from_images)
        names, counts = np.unique(context.site.astype(str), return_counts=True)
        self.sites_ = [str(name) for name in names]
        small = {str(name) for name, count in zip(names, counts, strict=True) if count < self.least_cases}
        batch = np.array([_SMALL if str(site) in small else str(site) for site in context.site], dtype=object)
        sizes = {name: int((batch == name).sum()) for name in sorted(set(batch))}
        # Small sites that are too few even together are estimated no more than a new site is: their rows stay as they are.
        self.batches_ = [name for name, size in sizes.items() if name != _SMALL or size >= self.least_cases]
        self.batch_of_ = {site: _SMALL if site in small else site for site in self.sites_}
        if len(self.batches_) < 2 or not len(self.columns_):
            self.batches_ = []
            return
        # The small sites together are no scanner, so they cannot be the reference.
        largest = max((name for name in self.batches_ if name != _SMALL), key=lambda name: sizes[name], default="")
        self.reference_ = self.batches_.index(largest) if largest and self.unseen_site == "reference-batch" else -1
        # Without a covariate at all (nobody's age is known) there is nothing to keep.
        means = context.covariates[list(self.covariates)].mean()
        self.used_ = [
            name for name in self.covariates if np.isfinite(means[name]) and context.covariates[name].nunique() > 1
        ]
        self.covariate_means_ = means[self.used_].to_numpy(dtype=float)
        rows = np.flatnonzero(np.isin(batch, self.batches_))
        index = np.array([self.batches_.index(name) for name in batch[rows]])
        self._estimate(X[np.ix_(rows, self.columns_)].astype(float), index, self._design(context)[rows])

    def _design(self, context: RowContext) -> Float[np.ndarray, "n c"]:
        values = context.covariates[self.used_].to_numpy(dtype=float)
        return np.where(np.isnan(values), self.covariate_means_, values) - self.covariate_means_

    def _estimate(self, Y: Rows, batch: Integer[np.ndarray, " n"], covariates: Float[np.ndarray, "n c"]) -> None:
        known = np.isfinite(Y)
        n_batches, p = len(self.batches_), Y.shape[1]
        self.beta_, self.grand_, self.sd_ = np.zeros((covariates.shape[1], p)), np.zeros(p), np.ones(p)
        self.usable_ = np.zeros(p, dtype=bool)
        estimated = np.zeros((n_batches, p), dtype=bool)
        patterns, group = np.unique(known, axis=1, return_inverse=True)
        for number in range(patterns.shape[1]):  # columns that the same cases lack are solved together
            rows, columns = patterns[:, number], np.flatnonzero(group.ravel() == number)
            counts = np.bincount(batch[rows], minlength=n_batches)
            there = np.flatnonzero(counts >= 2)  # a site without values of these columns keeps what it has
            if len(there) < 2 or (self.reference_ >= 0 and self.reference_ not in there):
                continue
            rows = rows & np.isin(batch, there)
            self._standardise(Y[np.ix_(rows, columns)], batch[rows], covariates[rows], there, columns)
            estimated[np.ix_(there, columns)] = True
        standardised = self._standardised(Y, covariates)
        self.gamma_, self.delta_ = np.zeros((n_batches, p)), np.ones((n_batches, p))
        for number in range(n_batches):
            usable = np.flatnonzero(self.usable_ & estimated[number])
            if number != self.reference_ and len(usable):
                gamma, delta = _shrunk(standardised[batch == number][:, usable])
                self.gamma_[number, usable], self.delta_[number, usable] = gamma, delta

    def _standardise(
        self,
        Y: Rows,
        batch: Integer[np.ndarray, " n"],
        covariates: Float[np.ndarray, "n c"],
        there: Integer[np.ndarray, " b"],
        columns: Integer[np.ndarray, " q"],
    ) -> None:
        design = np.hstack([(batch[:, None] == there).astype(float), covariates])
        coefficients = np.linalg.lstsq(design, Y, rcond=None)[0]
        residual = Y - design @ coefficients
        if self.reference_ >= 0:
            grand = coefficients[int(np.flatnonzero(there == self.reference_)[0])]
            variance = (residual[batch == self.reference_] ** 2).mean(axis=0)
        else:
            grand = design[:, : len(there)].mean(axis=0) @ coefficients[: len(there)]
            variance = (residual**2).mean(axis=0)
        by_batch = np.array([Y[batch == number].var(axis=0) for number in there])
        # A column that is constant at a site cannot be scaled there.
        good = (variance > 0) & (by_batch.min(axis=0) > 1e-12 * variance)
        self.beta_[:, columns], self.grand_[columns] = coefficients[len(there) :], grand
        self.sd_[columns] = np.where(good, np.sqrt(variance), 1.0)
        self.usable_[columns] = good

    def _standardised(self, Y: Rows, covariates: Float[np.ndarray, "n c"]) -> Rows:
        return (Y - self.grand_ - covariates @ self.beta_) / self.sd_

    def _apply(self, X: Rows, context: RowContext | None) -> Prepared:
        if context is None:
            return X
        new = sorted({str(site) for site in context.site} - set(self.sites_))
        if new and self.unseen_site == "refuse":
            raise InputError(
                f"{len(new)} site(s) were not in training, so they cannot be harmonised: {', '.join(new[:5])}.",
                hint="Set unseen_site to identity or reference-batch, and read what that means.",
            )
        if not self.batches_:
            return X
        moved = X.astype(float)
        Y, covariates = moved[:, self.columns_], self._design(context)
        standardised = self._standardised(Y, covariates)
        for number, name in enumerate(self.batches_):
            rows = np.array([self.batch_of_.get(str(site)) == name for site in context.site])
            if not rows.any():
                continue
            fitted = (standardised[rows] - self.gamma_[number]) / np.sqrt(self.delta_[number])
            back = fitted * self.sd_ + self.grand_ + covariates[rows] @ self.beta_
            Y[rows] = np.where(self.usable_, back, Y[rows])
        moved[:, self.columns_] = Y
        return moved


def _shrunk(Z: Float[np.ndarray, "n q"]) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """Return one site's shift and squared scale per column, drawn towards their mean over columns.

    Source: Johnson et al. 2007, section 3.2: normal prior of the shifts, inverse gamma prior of the variances, posterior means in turn.
    """
    n = np.isfinite(Z).sum(axis=0)
    shift, spread = np.nanmean(Z, axis=0), np.nanvar(Z, axis=0, ddof=1)
    if Z.shape[1] < 2 or spread.var(ddof=1) == 0 or shift.var(ddof=1) == 0:
        return shift, spread  # nothing to borrow from other columns
    mean_shift, variance_shift = shift.mean(), shift.var(ddof=1)
    mean_spread, variance_spread = spread.mean(), spread.var(ddof=1)
    shape = (2 * variance_spread + mean_spread**2) / variance_spread
    rate = (mean_spread * variance_spread + mean_spread**3) / variance_spread
    gamma, delta = shift.copy(), spread.copy()
    for _ in range(_ROUNDS):
        new_gamma = (variance_shift * n * shift + delta * mean_shift) / (variance_shift * n + delta)
        squares = np.nansum((Z - new_gamma) ** 2, axis=0)
        new_delta = (rate + 0.5 * squares) / (n / 2 + shape - 1)
        change = max(
            float((np.abs(new_gamma - gamma) / np.maximum(np.abs(gamma), 1e-12)).max()),
            float((np.abs(new_delta - delta) / delta).max()),
        )
        gamma, delta = new_gamma, new_delta
        if change < _CONVERGED:
            break
    return gamma, delta
