"""Settings of `radiogen controls`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from radiogen.config.base import StageSettings
from radiogen.config.classify import ClassifySettings
from radiogen.config.features import RadiomicsSettings

Control = Literal["shuffled-labels", "contralateral", "blanked", "site-probe"]


class ControlsSettings(StageSettings):
    """Which negative controls, and how the models in them are fitted.

    Example:
        >>> ControlsSettings().shuffles
        20
    """

    seed: int = Field(default=0, ge=0)
    """Of shuffles, filled-in tissue, intervals and permutations."""

    controls: tuple[Control, ...] = Field(
        default=("shuffled-labels", "contralateral", "blanked", "site-probe"), min_length=1
    )
    """Which controls: `shuffled-labels` (labels at random, everything fitted again), `contralateral` (features of the healthy side, inside the
    mirrored mask), `blanked` (features inside the mask with the tumour painted over), `site-probe` (the features predict the hospital)."""

    shuffles: int = Field(default=20, ge=5)
    """How often labels are shuffled and everything is fitted again."""

    least_mirrored: float = Field(default=0.5, gt=0, le=1)
    """Share of the tumour whose mirror image must lie in healthy tissue; a case with less (a tumour on both sides) has no healthy side."""

    least_site_patients: int = Field(default=5, ge=3)
    """The site probe leaves out sites with fewer patients."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Level of the site probe's test."""

    leak_alpha: float = Field(default=0.01, gt=0, lt=0.5)
    """Level at which the mean AUC of shuffled labels counts as above one half."""

    harmless_auc: float = Field(default=0.65, gt=0.5, lt=1)
    """The site probe is passed where its interval ends below this and it is not above chance."""

    bootstrap_resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples of patients."""

    permutations: int = Field(default=1000, ge=99)
    """Permutations of sites against the probe's predictions."""

    classify: ClassifySettings = ClassifySettings()
    """Splits, preparation and classifiers, as for `radiogen classify`; its seed is `seed`."""

    radiomics: RadiomicsSettings = RadiomicsSettings()
    """Features of the image controls, where a cohort with images is given."""
