"""Settings of `radiogen tune`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings
from radiogen.config.folds import FoldsSettings
from radiogen.config.postprocess import PostprocessSettings

Part = Literal["thresholds", "components", "et-ratio", "small-et", "et-decision"]

PARTS: tuple[Part, ...] = ("thresholds", "components", "et-ratio", "small-et", "et-decision")
"""What can be tuned, in the order of the grid search."""


class TuneSettings(StageSettings):
    """How postprocessing is tuned.

    Every grid is also the range of the TPE search, from its smallest to its largest value.

    Source: TPE with 1,000 trials per fold and the median over folds, nnSegNet, BraTS 2021; grid search of the smallest component and then of
    the ET/WT ratio per cluster of radiomics, first place of BraTS-Africa 2024. Neither gives its ranges: these are ours.

    Example:
        >>> TuneSettings(method="grid").tune
        ('thresholds', 'components', 'small-et')
    """

    method: Literal["tpe", "grid"] = "tpe"
    """`tpe`: Optuna's tree-structured Parzen estimator over all values at once; `grid`: one value after the other, each over its grid."""

    metric: Literal["dice", "lesion-dice"] = "dice"
    """What is made large: mean over the regions of the mean over the cases of the Dice, or of the lesion-wise Dice of BraTS 2023."""

    tune: tuple[Part, ...] = Field(default=("thresholds", "components", "small-et"), min_length=1)
    """What is tuned; the rest stays as in `start`."""

    trials: int = Field(default=200, ge=1)
    """Trials of `tpe` per fold."""

    n_folds: int = Field(default=5, ge=2)
    """Folds of the cases, where the cohort table has no column `fold`."""

    per_cluster: bool = False
    """Tune once more for every cluster of tumours (k-means of the radiomics of the predicted whole tumour)."""

    clustering: FoldsSettings = FoldsSettings()
    """How tumours are clustered; its folds are not used."""

    least_cluster_cases: int = Field(default=10, ge=2)
    """A cluster with fewer cases in the training folds keeps the common rules."""

    start: PostprocessSettings = PostprocessSettings()
    """What tuning starts from and is compared with."""

    threshold_grid: tuple[float, ...] = Field(default=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), min_length=1)
    """Thresholds of a region."""

    component_ml_grid: tuple[float, ...] = Field(default=(0.0, 0.05, 0.1, 0.2, 0.5, 1.0), min_length=1)
    """Smallest component of a region, ml."""

    et_ratio_grid: tuple[float, ...] = Field(default=(0.0, 0.005, 0.01, 0.02, 0.05, 0.1), min_length=1)
    """Least volume of the enhancing over that of the whole tumour."""

    small_et_ml_grid: tuple[float, ...] = Field(default=(0.0, 0.1, 0.2, 0.4, 0.6, 1.0), min_length=1)
    """Least volume of the enhancing tumour, ml."""

    decision_et_ml_grid: tuple[float, ...] = Field(default=(0.0, 0.1, 0.2, 0.5, 1.0), min_length=1)
    """Enhancing volume below which the decision rule looks at the necrosis, ml."""

    decision_ncr_ml_grid: tuple[float, ...] = Field(default=(5.0, 10.0, 15.0, 20.0, 30.0), min_length=1)
    """Necrotic volume above which little enhancement is not believed, ml."""

    seed: int = Field(default=0, ge=0)
    """Of the folds, the search and the clusters."""

    @model_validator(mode="after")
    def _grids_hold_what_they_may(self) -> TuneSettings:
        if min(self.threshold_grid) < 0.05 or max(self.threshold_grid) > 0.95:
            raise ValueError("thresholds to be tried lie between 0.05 and 0.95")
        sizes = (self.component_ml_grid, self.et_ratio_grid, self.small_et_ml_grid, self.decision_et_ml_grid)
        if min(min(grid) for grid in (*sizes, self.decision_ncr_ml_grid)) < 0 or max(self.et_ratio_grid) > 1:
            raise ValueError("volumes to be tried are 0 or more, ratios lie between 0 and 1")
        low = [name for name, value in self.start.thresholds.items() if value < 0.05]
        if low or any(min(rules.thresholds.values(), default=1) < 0.05 for rules in self.start.clusters.values()):
            raise ValueError("thresholds to start from are at least 0.05")
        return self
