"""Settings of `radiogen run`: those of every stage, and which stages run."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from radiogen.config.base import StageSettings
from radiogen.config.classify import ClassifySettings
from radiogen.config.embedding import EmbeddingSettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.features import ClinicalSettings, RadiomicsSettings
from radiogen.config.location import LocationSettings
from radiogen.config.network import NetworkSettings
from radiogen.config.preprocess import PreprocessSettings
from radiogen.config.segment import SegmentSettings
from radiogen.config.survival import SurvivalSettings


class StudySettings(StageSettings):
    """Settings of a whole study.

    Example:
        >>> StudySettings.parse({"targets": ["idh"], "classify": {"seed": 3}}).classify.seed
        3
    """

    preprocess: bool = False
    """Bring raw scans onto one grid first; False: the images are co-registered already."""

    preprocessing: PreprocessSettings = PreprocessSettings()
    """How raw scans become cases, where `preprocess` is set."""

    segment: SegmentSettings = SegmentSettings()
    """Masks: method or weights, and what to do with masks that the cohort brings."""

    clinical: ClinicalSettings = ClinicalSettings()
    """The clinical branch."""

    location: LocationSettings = LocationSettings()
    """The location branch."""

    embedding: EmbeddingSettings = EmbeddingSettings()
    """The embedding branch."""

    network: NetworkSettings = NetworkSettings()
    """The network branch."""

    radiomics: RadiomicsSettings = RadiomicsSettings()
    """The radiomics branch."""

    classify: ClassifySettings = ClassifySettings()
    """Splits, selection, classifiers."""

    evaluate: EvaluateSettings = EvaluateSettings()
    """Intervals, tests, strata and the verdict's rule."""

    survival: SurvivalSettings = SurvivalSettings()
    """Survival statistics; `group_by` is set for each report by `survival_groups`."""

    branches: tuple[str, ...] = ("clinical", "radiomics")
    """Branches that are fused."""

    other_branches: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of branches of other packages, by the branch's name."""

    targets: tuple[str, ...] | None = None
    """Targets to classify (idh, mgmt, codeletion, grade); by default every one with `min_per_class` known cases of each class."""

    min_per_class: int = Field(default=10, ge=2)
    """Fewest cases of the smaller class for a target to be classified without being asked for."""

    case_pages: bool = True
    """Make a page with a slice viewer for every case."""

    survival_groups: tuple[str, ...] | None = None
    """Columns to compare survival by; by default idh and mgmt, where they and survival are known."""
