"""Settings of `radiogen folds`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings


class FoldsSettings(StageSettings):
    """How cases are clustered by their tumours and dealt to folds.

    Source: first place of BraTS-Africa 2024 (title inferred): 14 shape and 93 intensity features of the whole tumour per sequence, principal
    components that hold 99 % of the variance, k-means with k by the silhouette, equal samples of every cluster in each fold. The scaling before the
    principal components, the range of k and the seed are not given: these are ours.

    Example:
        >>> FoldsSettings(n_folds=3).variance
        0.99
    """

    n_folds: int = Field(default=5, ge=2)
    """Folds."""

    sequences: tuple[Literal["t1n", "t1c", "t2w", "t2f"], ...] = Field(
        default=("t1n", "t1c", "t2w", "t2f"), min_length=1
    )
    """Sequences whose radiomics are used; what a case lacks is the median of the others."""

    variance: float = Field(default=0.99, gt=0, lt=1)
    """Share of the variance that the principal components hold."""

    least_clusters: int = Field(default=2, ge=2)
    """Smallest number of clusters that is tried."""

    most_clusters: int = Field(default=10, ge=2)
    """Largest number of clusters that is tried."""

    clusters: int | None = Field(default=None, ge=1)
    """This many clusters instead of choosing by the silhouette."""

    least_cluster_patients: int | None = Field(default=None, ge=1)
    """A number of clusters is not chosen where its smallest cluster has fewer patients, because that cannot be spread over the folds; None: the
    number of folds."""

    seed: int = Field(default=0, ge=0)
    """Of the clustering and the dealing."""

    @model_validator(mode="after")
    def _range_is_one(self) -> FoldsSettings:
        if self.least_clusters > self.most_clusters:
            raise ValueError(f"least_clusters ({self.least_clusters}) is above most_clusters ({self.most_clusters})")
        return self

    @property
    def smallest_cluster(self) -> int:
        """Return how many patients the smallest cluster must have."""
        return self.n_folds if self.least_cluster_patients is None else self.least_cluster_patients
