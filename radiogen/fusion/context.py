"""What is known of rows besides their features, for steps of the preparation that need it; labels are never among it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Integer

from radiogen.cohort.splits import site_names

COVARIATES = ("age", "sex", "kps")
"""Cohort columns that harmonisation may keep: known before the tissue is, and not what is predicted."""


@dataclass(frozen=True)
class RowContext:
    """What is known of rows besides their features.

    Args:
        case: case id per row.
        site: site per row.
        covariates: numbers per row, columns of `COVARIATES` (sex: 1 male, 0 female); NaN where unknown.
        columns: names of the feature columns, in order.
        from_images: per feature column whether scanners can change it.
        perturbed: features of the same cases measured under perturbations, index (case, perturbation); only in training.
    """

    case: np.ndarray
    site: np.ndarray
    covariates: pd.DataFrame
    columns: np.ndarray
    from_images: Bool[np.ndarray, " p"]
    perturbed: pd.DataFrame | None = field(default=None, repr=False)

    def take(self, rows: Integer[np.ndarray, " r"]) -> RowContext:
        """Return the context of some rows; what was measured under perturbations goes along for their cases only."""
        case = self.case[rows]
        perturbed = self.perturbed
        if perturbed is not None:
            perturbed = perturbed[perturbed.index.get_level_values(0).isin(set(case))]
        return replace(
            self, case=case, site=self.site[rows], covariates=self.covariates.iloc[rows], perturbed=perturbed
        )


def row_context(cohort: pd.DataFrame, columns: list[str], from_images: list[bool]) -> RowContext:
    """Return the context of cohort rows.

    Args:
        cohort: rows with `site`, `age`, `sex`, `kps` where known; index `case`.
        columns: names of the feature columns.
        from_images: per column whether scanners can change it.
    """
    site = cohort["site"] if "site" in cohort.columns else pd.Series(None, index=cohort.index, dtype=object)
    numbers = {
        name: pd.to_numeric(cohort[name].map(_SEX) if name == "sex" else cohort[name], errors="coerce").astype(float)
        if name in cohort.columns
        else np.nan
        for name in COVARIATES
    }
    return RowContext(
        np.array([str(case) for case in cohort.index], dtype=object),
        site_names(site).to_numpy(dtype=object),
        pd.DataFrame(numbers, index=cohort.index, dtype=float),
        np.array(columns, dtype=object),
        np.array(from_images, dtype=bool),
    )


_SEX = {"M": 1.0, "F": 0.0}
