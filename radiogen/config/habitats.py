"""Settings of tumour habitats."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings


class AutoencoderTraining(StageSettings):
    """How the auto-encoder of voxels learns; the paper states the layers and Adam, not these numbers.

    Example:
        >>> AutoencoderTraining().hidden
        10
    """

    hidden: int = Field(default=10, ge=2)
    """Nodes of every hidden layer."""

    epochs: int = Field(default=12, ge=1)
    """How often every sampled voxel is seen."""

    batch_size: int = Field(default=1024, ge=16)
    """Voxels per step."""

    learning_rate: float = Field(default=5e-3, gt=0)
    """Of Adam."""

    most_voxels: int = Field(default=100_000, ge=100)
    """Voxels learned from; more are sampled down, the same number of every patient where there are enough."""


class HabitatSettings(StageSettings):
    """How habitats are found; the defaults are the paper's where it states them.

    Source: the feature-enhanced auto-encoder with Bayesian optimisation for robust and survival-relevant habitats; see the README's methods.

    Example:
        >>> HabitatSettings(clusters=(3, 4)).alpha
        0.5
    """

    maps: tuple[str, ...] = ("t1n", "t1c", "t2w", "t2f")
    """Columns of the cohort that name the maps of a case; of the four sequences only those that every case has are used."""

    region: Literal["wt", "tc", "et"] = "wt"
    """Part of the mask that is divided."""

    encoder: Literal["fae", "ensemble", "standard", "none"] = "none"
    """`fae`: the paper's feature-enhanced auto-encoder; the same without the decoder of all maps; a plain auto-encoder; or the maps themselves.

    The paper's is not the default: on 60 made-up cohorts (`reports/benchmarks.md`) no encoder was more stable than another beyond chance, and the
    maps alone, which take a quarter of the time, found the planted parts at least as well.
    """

    autoencoder: AutoencoderTraining = AutoencoderTraining()
    """How it learns."""

    clusters: tuple[int, int] = (3, 7)
    """Fewest and most habitats that are tried."""

    quantile: tuple[float, float] = (0.0, 0.3)
    """Least and largest gamma that are tried: the share of voxels that every map's quantile filter cuts off, half of it at either end."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of stability against significance; 1: stability alone."""

    tau: float = Field(default=0.05, gt=0, lt=1)
    """p value at which the significance loss is zero."""

    bo_init: int = Field(default=10, ge=2)
    """Random points that the optimisation starts from."""

    bo_steps: int = Field(default=20, ge=0)
    """Steps after them; each evaluates the point of largest expected improvement and the optimum of the surrogate."""

    stability_splits: int = Field(default=10, ge=1)
    """Repeated splits of the training patients behind the stability loss."""

    stability_share: float = Field(default=0.7, gt=0, lt=1)
    """Share of the patients on the first side of such a split."""

    sample_voxels: int = Field(default=20_000, ge=200)
    """Voxels that are clustered, the same number of every patient where there are enough."""

    n_references: int = Field(default=19, ge=1)
    """Structureless data sets that a number of habitats must beat, all of them; 19 give a chance of one in twenty to be fooled."""

    n_refits: int = Field(default=5, ge=0)
    """Other seeds with which the model is fitted again to see how much it depends on them."""

    compare_encoders: bool = False
    """Whether every encoder is measured beside the one that is used: the same quantile filter and number of habitats, 20 repeats."""

    test_share: float = Field(default=0.3, ge=0, lt=1)
    """Share of patients that the optimisation never sees; their p value is the one that counts. Used where survival is known."""

    min_events: int = Field(default=5, ge=1)
    """Deaths among training patients below which survival is not looked at."""

    seed: int = 0
    """Seed of everything random."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 2 <= self.clusters[0] <= self.clusters[1] <= 12:
            raise ValueError("clusters: two whole numbers from 2 to 12, the smaller first")
        if not 0 <= self.quantile[0] <= self.quantile[1] <= 0.9:
            raise ValueError("quantile: two numbers from 0 to 0.9, the smaller first")
        if not self.maps or len(set(self.maps)) < len(self.maps):
            raise ValueError("maps: at least one, each once")
        return self
