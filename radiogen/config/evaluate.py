"""Settings of the honest evaluation: resampling, the race against baselines, strata and the verdict's thresholds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from radiogen.config.base import StageSettings


class EvaluateSettings(StageSettings):
    """How a predictions table is judged.

    Example:
        >>> EvaluateSettings().useful_auc
        0.75
    """

    seed: int = 0
    """Seed of bootstrap, permutations and the folds of fitted baselines."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Coverage of every interval."""

    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    """A permutation p at or above this is not above chance."""

    bootstrap_resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples of patients; fewer, but at least 500, for tables of more than 5,000 rows."""

    permutations: int = Field(default=2000, ge=99)
    """Permutations of the outcome for the p-value against chance; fewer, but at least 500, for tables of more than 5,000 rows."""

    interval: Literal["percentile", "bca"] = "percentile"
    """Bootstrap interval: `percentile` (expanded percentile) or `bca` (bias-corrected and accelerated)."""

    min_per_class: int = Field(default=10, ge=2)
    """With fewer cases than this in either class the verdict is `undetermined`."""

    useful_auc: float = Field(default=0.75, gt=0.5, le=1.0)
    """A model that is not above chance is `no-better-than-chance` where its interval ends below this (a useful AUC is excluded), and
    `undetermined` otherwise: a small study that shows nothing does not prove that nothing is there."""

    within_share: float = Field(default=0.8, gt=0.0, le=1.0)
    """The verdict compares cases inside test splits only where at least this share of the cases is in a split that holds both classes, and each
    class has `min_per_class` of them."""

    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability at and above which a case is called positive, where the table does not name a threshold chosen in the fold."""

    risk_categories: tuple[float, ...] = ()
    """Limits of the risk categories of the reclassification table; by default one, the threshold."""

    calibration_bins: int = Field(default=10, ge=2)
    """Equal-count bins of the expected calibration error."""

    crossfit_folds: int = Field(default=10, ge=2)
    """Folds of fitted baselines where the predictions table names no folds of its own."""

    crossfit_repeats: int = Field(default=5, ge=1)
    """Repeats of those folds; probabilities are averaged over them."""

    site_max_levels: int = Field(default=5, ge=2)
    """A site column with at most this many sites, each with `site_min_cases`, is scored by each site's own share of positives."""

    site_min_cases: int = Field(default=10, ge=1)
    """See `site_max_levels`."""

    strata: tuple[str, ...] = ()
    """Columns to look inside of, besides grade, IDH, site, age (cut at its median) and sex."""

    stratum_max_values: int = Field(default=6, ge=2)
    """A numeric stratum column with more values than this is cut at its median."""

    stratum_min_per_class: int = Field(default=5, ge=2)
    """A stratum with fewer cases than this in either class is reported without an interval, as too few."""
