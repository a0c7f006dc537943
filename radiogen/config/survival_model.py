"""Settings of survival models on features: what is fitted, how it is tested, and at which horizons it is judged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from radiogen.config.base import StageSettings

RiskModel = Literal["cox-elastic-net", "boosted-cox", "cox-forest", "log-rank-forest"]


class SurvivalModelSettings(StageSettings):
    """A risk model, nested cross-validation and the horizons at which it is judged.

    Example:
        >>> SurvivalModelSettings().model
        'cox-elastic-net'
    """

    model: RiskModel = "cox-elastic-net"
    """`cox-elastic-net`: penalised Cox regression; `boosted-cox`: gradient-boosted trees on the partial likelihood; `cox-forest`: bagged trees
    on it; `log-rank-forest`: a random forest whose trees split by log-rank scores."""

    seed: int = Field(default=0, ge=0)
    """Seed of splits, inner folds and trees."""

    sites: Literal["hold-out", "ignore"] = "hold-out"
    """`hold-out`: whole sites are tested by models that never saw them, where two or more can be; `ignore`: patients are split at random."""

    folds: int = Field(default=5, ge=2)
    """Outer folds of the random split of patients."""

    repeats: int = Field(default=3, ge=1)
    """How often the random split is drawn anew."""

    inner_folds: int = Field(default=5, ge=2)
    """Folds inside each training side: they choose the penalty, and say how far the risks can be believed."""

    horizons_months: tuple[float, ...] = (12.0, 24.0, 36.0)
    """Months at which survival is predicted; those beyond the follow-up, or with too few patients at risk, are left out and said."""

    least_at_risk: int = Field(default=10, ge=2)
    """A horizon counts where as many patients live beyond it, and as many died before."""

    least_deaths: int = Field(default=50, ge=10)
    """`radiogen run` adds this model where as many patients died; with fewer its C index says hardly anything (an interval of about 0.16)."""

    selection: tuple[Literal["correlation", "correlation-clusters"], ...] = ("correlation",)
    """Which columns reach the model, without looking at the outcome; empty: all of them."""

    max_correlation: float = Field(default=0.95, gt=0, le=1)
    """With `selection`: columns correlated beyond this are left out."""

    clinical: tuple[str, ...] = ("age", "kps", "eor", "idh", "mgmt")
    """What is known without the image; the image must add to it."""

    cut: Literal["median", "best"] = "median"
    """How risk becomes two groups: the median of the training side's inner out-of-fold risks, or the cut that separates these best."""

    n_bootstrap: int = Field(default=1000, ge=100)
    """Resamples of patients behind the intervals."""

    @field_validator("horizons_months")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or any(value <= 0 for value in values) or list(values) != sorted(set(values)):
            raise ValueError("give rising months above zero, such as 12,24,36")
        return values
