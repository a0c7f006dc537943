"""Settings of the made-up patients: how fine, how many sites, and how much of IDH their images show."""

from __future__ import annotations

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings

MOST_SITES = 5
"""How many different scanners the phantoms know."""


class PhantomSettings(StageSettings):
    """How made-up glioma patients look; the defaults are those of `radiogen demo`.

    Example:
        >>> PhantomSettings().spacing_mm
        2.0
    """

    spacing_mm: float = Field(2.0, ge=1.0, le=6.0)
    """Voxel edge, mm. 2 is quick (about 97 x 115 x 97 voxels), 1 is the resolution of BraTS, 4 is enough for unit tests."""

    n_sites: int = Field(3, ge=1, le=MOST_SITES)
    """How many sites (scanners that differ a little in contrast, noise, sharpness and stored orientation) a cohort comes from."""

    idh_effect: float = Field(5.0, ge=0.0, le=10.0)
    """How far apart mutated and wild-type tumours lie on the hidden phenotype scale, in its standard deviations; 0 plants no signal at all."""

    noise: float = Field(1.0, ge=0.0, le=5.0)
    """Multiplier of every scanner's noise; 1 is a good clinical scan."""

    bias_field: float = Field(0.06, ge=0.0, le=0.5)
    """Standard deviation of the slow intensity drift across the head, as a fraction of the signal."""

    anatomy_variation: float = Field(1.0, ge=0.0, le=2.0)
    """Multiplier of the random deformation that makes each brain its own; 0 gives the template's anatomy."""

    multifocal_fraction: float = Field(0.15, ge=0.0, le=1.0)
    """Share of wild-type-looking tumours that have a second focus."""

    smallest_tumour_ml: float = Field(18.0, gt=1.0, le=200.0)
    """Lower end of the whole-tumour volumes, ml."""

    largest_tumour_ml: float = Field(140.0, gt=1.0, le=200.0)
    """Upper end of the whole-tumour volumes, ml."""

    skull: bool = False
    """Keep skull and scalp around the brain; by default images are brain-extracted (zero outside the brain)."""

    @model_validator(mode="after")
    def _volumes_are_ordered(self) -> PhantomSettings:
        if self.smallest_tumour_ml > self.largest_tumour_ml:
            raise ValueError("smallest_tumour_ml is larger than largest_tumour_ml")
        return self
