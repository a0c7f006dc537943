"""Settings of what is done with region probabilities until they are a mask."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings
from radiogen.types import REGIONS

Becomes = Literal["outer", "ncr", "next-class", "background"]
"""What enhancing voxels become that are not believed: what the outer regions say of them, necrotic core, the most probable other class, nothing."""

Conflict = Literal["tc", "et", "tc+et", "wt+et"]
"""Regions that hold a voxel although a region around them does not."""

Label = Literal["background", "ncr", "ed", "et"]

KNOWN = (*REGIONS, "rc")
"""Regions that have thresholds and component rules; `rc` is the resection cavity."""


class ComponentRule(StageSettings):
    """Which connected components (26-neighbourhood) of a region are kept.

    Example:
        >>> ComponentRule(smallest_ml=0.1).most is None
        True
    """

    smallest_ml: float = Field(default=0.0, ge=0)
    """Components below this volume are removed, ml."""

    smallest_voxels: int = Field(default=0, ge=0)
    """Components of fewer voxels of the image are removed."""

    least_mean_probability: float = Field(default=0.0, ge=0, le=1)
    """Components whose mean probability of the region is lower are removed."""

    most: int | None = Field(default=None, ge=1)
    """Only this many are kept, the largest; None: all."""


class SmallEnhancement(StageSettings):
    """When enhancing tumour is too little to be believed.

    Source: 600 voxels set empty, 500 to 750 and 200 voxels relabelled as necrosis, all of 1 mm (0.6, 0.5 to 0.75 and 0.2 ml), in three systems of
    the BraTS 2021 challenge.

    Example:
        >>> SmallEnhancement(least_ml=0.2).becomes
        'ncr'
    """

    least_ml: float = Field(default=0.0, ge=0)
    """Enhancing tumour below this volume in all is not believed, ml."""

    least_voxels: int = Field(default=0, ge=0)
    """The same in voxels of the image."""

    becomes: Becomes = "ncr"
    """What its voxels become."""


class EnhancementRatio(StageSettings):
    """When enhancing tumour is too little for the size of the tumour.

    Source: stratified fine-tuning of nnU-Net and MedNeXt, first place of BraTS-Africa 2024 (title inferred): below a ratio that is tuned per cluster,
    enhancing becomes necrotic.

    Example:
        >>> EnhancementRatio(least=0.01).becomes
        'ncr'
    """

    least: float = Field(default=0.0, ge=0, le=1)
    """Least volume of the enhancing over that of the whole tumour."""

    becomes: Becomes = "ncr"
    """What its voxels become."""


class EnhancementDecision(StageSettings):
    """A decision tree of depth two: little enhancement beside a large necrosis is not believed.

    Source: nnSegNet, BraTS 2021: ET at most 129.5 and NCR above 16,954 voxels of 1 mm (0.1295 and 16.954 ml), then the next most probable class.

    Example:
        >>> EnhancementDecision(et_at_most_ml=0.1295, ncr_above_ml=16.954).becomes
        'next-class'
    """

    et_at_most_ml: float = Field(default=0.0, ge=0)
    """Enhancing tumour of at most this volume, ml; 0: the rule is off."""

    ncr_above_ml: float = Field(default=0.0, ge=0)
    """... beside necrotic core above this volume, ml."""

    becomes: Becomes = "next-class"
    """What its voxels become."""


class PostprocessRules(StageSettings):
    """From probabilities to a mask; the defaults are thresholds of 0.5 and nothing else.

    Example:
        >>> PostprocessRules(thresholds={"et": 0.7, "tc": 0.7}).threshold("wt")
        0.5
    """

    thresholds: dict[str, float] = Field(default_factory=dict)
    """Region -> probability above which a voxel belongs to it; 0.5 where absent."""

    nested: Literal["inner-wins", "outer-wins"] = "inner-wins"
    """Where regions contradict each other: `inner-wins` writes WT, TC and ET one over the other, so enhancing tumour outside the core is enhancing
    tumour; `outer-wins` cuts the core to the whole tumour, and the enhancing tumour to the core."""

    conflicts: dict[Conflict, Label] = Field(default_factory=dict)
    """Exceptions from `nested`: label of a voxel that only these regions hold."""

    components: dict[str, ComponentRule] = Field(default_factory=dict)
    """Region -> which of its components are kept; all where absent."""

    et_ratio: EnhancementRatio = EnhancementRatio()
    """Too little enhancement for the size of the tumour."""

    small_et: SmallEnhancement = SmallEnhancement()
    """Too little enhancement."""

    et_decision: EnhancementDecision = EnhancementDecision()
    """Little enhancement beside a large necrosis."""

    @model_validator(mode="after")
    def _regions_are_known(self) -> PostprocessRules:
        unknown = sorted({*self.thresholds, *self.components} - set(KNOWN))
        if unknown:
            raise ValueError(f"unknown region: {', '.join(unknown)}; accepted: {', '.join(KNOWN)}")
        wrong = [f"{name} {value:g}" for name, value in self.thresholds.items() if not 0 <= value < 1]
        if wrong:
            raise ValueError(f"a threshold is 0 or more and below 1; not: {', '.join(wrong)}")
        return self

    def threshold(self, region: str) -> float:
        """Return the threshold of a region."""
        return self.thresholds.get(region, 0.5)


class PostprocessSettings(PostprocessRules):
    """The rules, and where a cluster of tumours has its own.

    Example:
        >>> settings = PostprocessSettings(thresholds={"wt": 0.4}, clusters={2: PostprocessRules(thresholds={"et": 0.7})})
        >>> settings.for_cluster(2).thresholds, settings.for_cluster(0).thresholds
        ({'wt': 0.4, 'et': 0.7}, {'wt': 0.4})
    """

    clusters: dict[int, PostprocessRules] = Field(default_factory=dict)
    """Cluster (`radiogen folds`, radiomics of the whole tumour) -> what differs for its cases."""

    def for_cluster(self, cluster: int | None) -> PostprocessRules:
        """Return the rules for a case of a cluster; thresholds, conflicts and components that the cluster does not name are the common ones.

        Args:
            cluster: None, or a cluster without rules of its own: the common rules.
        """
        own = self.clusters.get(cluster) if cluster is not None else None
        if own is None:
            return self
        changes = {}
        for name in own.model_fields_set:
            value = getattr(own, name)
            changes[name] = {**getattr(self, name), **value} if isinstance(value, dict) else value
        return self.model_copy(update={**changes, "clusters": {}})
