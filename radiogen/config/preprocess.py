"""Settings of `radiogen preprocess`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from radiogen.config.base import StageSettings
from radiogen.config.preprocess_quality import QualityThresholds
from radiogen.types import SEQUENCES


class PreprocessSettings(StageSettings):
    """How raw scans become cases on one grid.

    Example:
        >>> PreprocessSettings(transform="affine").spacing_mm
        1.0
    """

    template: str = "mni152"
    """The space of the output: `mni152` (comes with radiogen's dependencies), or the path of a skull-stripped T1 such as the SRI24 atlas."""

    transform: Literal["rigid", "affine"] = "rigid"
    """`rigid` keeps every volume and shape as it was in the patient; `affine` also fits the size of the brain to the template's."""

    spacing_mm: float = Field(default=1.0, gt=0.3, le=4)
    """Voxel edge of the output, mm."""

    reference_order: tuple[str, ...] = ("t1c", "t1n", "t2f", "t2w")
    """The first of these that a case has is registered to the template; the others are registered to it."""

    brain: str = "template"
    """How the brain is found where the skull is on: a name of the registry of brain extractors; images without a skull are left as they are."""

    keep_skull: bool = False
    """Write the images with what is around the brain; the brain mask is written in any case."""

    deface: bool = False
    """With `keep_skull`: take the face away (Quickshear)."""

    bias: Literal["none", "registration", "output"] = "registration"
    """N4 bias field correction: of what is compared in registration only, or of the output as well."""

    intensity: str = "none"
    """What is done to intensities in the output: a name of the registry of intensity methods; segmentation and radiomics normalise by themselves."""

    interpolation: Literal["linear", "bspline"] = "linear"
    """How images are resampled, once, from their own voxels to the output's."""

    quality: QualityThresholds = QualityThresholds()
    """When a case is flagged."""

    seed: int = Field(default=0, ge=0)
    """Of the sampling in registration."""

    @field_validator("reference_order")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if sorted(names) != sorted(SEQUENCES):
            raise ValueError(f"name each of {', '.join(SEQUENCES)} once")
        return names
