"""Settings of `radiogen lint`."""

from __future__ import annotations

from pydantic import Field

from radiogen.config.base import StageSettings


class LintSettings(StageSettings):
    """Limits of the leak linter.

    Example:
        >>> LintSettings().too_good_auc
        0.97
    """

    seed: int = Field(default=0, ge=0)
    """Seed of the made-up data that a pipeline is tried on."""

    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    """Level at which a relation with the label counts as more than noise, corrected for the number of columns looked at (Bonferroni)."""

    too_good_auc: float = Field(default=0.97, gt=0.5, le=1)
    """A single feature with an AUC (or 1 minus it) from here on, and beyond noise, is suspicious."""

    least_per_class: int = Field(default=8, ge=3)
    """With fewer cases of either class nothing is said about relations with the label."""

    nearly_equal: float = Field(default=1e-4, gt=0)
    """Rows whose distance is below this share of the median distance to the nearest other row, and whose correlation is 1 but for this, count as
    nearly identical."""

    noise_cases: int = Field(default=60, ge=20)
    """Cases of the made-up noise that a pipeline is tried on."""

    noise_features: int = Field(default=2000, ge=2)
    """Columns of that noise."""

    noise_draws: int = Field(default=5, ge=2)
    """How often the noise is drawn."""

    outer_folds: int = Field(default=5, ge=2)
    """Folds in which an estimator is tried on noise."""
