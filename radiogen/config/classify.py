"""Settings of `radiogen classify`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from radiogen.config.base import StageSettings


class ClassifySettings(StageSettings):
    """Splits, preparation inside the fold, classifiers and their tuning.

    Example:
        >>> ClassifySettings().classifiers
        ('elastic-net', 'xgboost')
    """

    seed: int = Field(default=0, ge=0)
    """Seed of splits and classifiers; the same seed gives the same bytes, whatever `--jobs` is."""

    sites: Literal["hold-out", "ignore"] = "hold-out"
    """`hold-out`: whole sites are tested by models that never saw them, where two or more can be; `ignore`: patients are split at random."""

    folds: int = Field(default=5, ge=2)
    """Outer folds of the random split of patients."""

    repeats: int = Field(default=3, ge=1)
    """How often the random split is drawn anew; held-out sites are split once."""

    inner_folds: int = Field(default=5, ge=2)
    """Folds inside each training part that choose hyper-parameters; fewer are used where a class has fewer patients."""

    min_site_cases: int = Field(default=5, ge=2)
    """Fewest cases of a site for a test fold of its own; smaller or one-class sites are tested together."""

    max_site_folds: int = Field(default=10, ge=2)
    """Most test folds made of sites; beyond it the smallest are tested together."""

    classifiers: tuple[str, ...] = Field(default=("elastic-net", "xgboost"), min_length=1)
    """Registered classifiers that are tuned; see `radiogen info`."""

    combine: Literal["average", "best"] = "average"
    """`average`: the mean log-odds of the tuned classifiers; `best`: the one with the lowest inner log loss."""

    selection: Literal["none", "correlation", "univariate", "l1"] = "correlation"
    """Which columns reach the classifiers: all, one of each highly correlated group, the best by ANOVA F, or those an L1 model keeps."""

    max_correlation: float = Field(default=0.95, gt=0, le=1)
    """With `selection: correlation`: a column is left out when its absolute correlation with an earlier one is above this."""

    max_columns: int = Field(default=50, ge=1)
    """With `selection: univariate`: how many columns stay."""

    clip_z: float = Field(default=5.0, gt=0)
    """Robust z-scores beyond this are set to it, so that one extreme value cannot carry a model."""
