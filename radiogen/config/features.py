"""Settings of `radiogen features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from radiogen.config.base import StageSettings

RegionName = Annotated[str, StringConstraints(pattern=r"^(wt|tc|et|ncr|ed|ring[1-9]\d?mm)$")]
"""A region that features are measured in."""


class ClinicalSettings(StageSettings):
    """Columns of the clinical branch: age and sex always.

    Example:
        >>> ClinicalSettings().volumes
        True
    """

    volumes: bool = True
    """Add the volumes of whole tumour, tumour core and enhancing tumour, ml: the size baseline that texture must beat."""

    kps: bool = False
    """Add the Karnofsky performance status (0-100). Off by default: it is often recorded after the diagnosis is known."""


class RadiomicsSettings(StageSettings):
    """What PyRadiomics computes, on which sequences and regions.

    `image_types`, `feature_classes` and `setting` are PyRadiomics' own parameter sections `imageType`, `featureClass` and `setting`, checked by its
    own schema. The defaults suit MRI, whose intensities have no unit: z-scores for first-order features; for texture a fixed number of bins, which no
    linear change of the intensity scale can alter.

    Source: Carre et al., Sci Rep 2020, doi:10.1038/s41598-020-69298-z (normalisation and discretisation of brain MRI for radiomics). IBSI reference
    manual, arXiv:1612.07003, section 2.7 (a fixed number of bins for intensities of arbitrary unit).

    Example:
        >>> RadiomicsSettings().setting
        {'binCount': 32}
    """

    params: Path | None = None
    """A PyRadiomics parameter file (YAML or JSON), used unchanged instead of the four settings marked (*)."""

    image_types: dict[str, dict[str, Any] | None] = Field(
        default={"Original": {}, "LoG": {"sigma": [1.0, 2.0, 3.0]}, "Wavelet": {}}, min_length=1
    )
    """(*) Image types and their own settings; LoG sigma in mm."""

    feature_classes: dict[str, list[str] | None] = Field(
        default={name: [] for name in ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")}, min_length=1
    )
    """(*) Feature classes, each with the features wanted; an empty list means all that are not deprecated."""

    setting: dict[str, Any] = Field(default={"binCount": 32})
    """(*) Settings for all image types. `binWidth` instead of `binCount` cuts intensities into bins of a fixed width; the data dictionary beside the
    table says which it was, and that fixed widths depart from the standard."""

    normalisation: Literal["zscore", "none"] = "zscore"
    """(*) `zscore`: subtract the mean and divide by the standard deviation of the non-zero voxels of each sequence. With a parameter file: `none`,
    because the file says itself whether to `normalize`."""

    sequences: tuple[Literal["t1n", "t1c", "t2w", "t2f"], ...] = Field(
        default=("t1n", "t1c", "t2w", "t2f"), min_length=1
    )
    """Sequences to use; one that a case lacks leaves its columns blank for that case."""

    regions: tuple[RegionName, ...] = Field(default=("wt", "tc", "et"), min_length=1)
    """Regions to use: `wt tc et` (whole tumour, tumour core, enhancing tumour), `ncr ed` (necrotic or non-enhancing core, oedema), `ring5mm` (brain
    within 5 mm around the whole tumour; any whole number of mm). One that is empty leaves its columns blank for that case."""

    @model_validator(mode="after")
    def _params_stand_alone(self) -> RadiomicsSettings:
        given = {"image_types", "feature_classes", "setting", "normalisation"} & self.model_fields_set
        if self.params is not None and given:
            raise ValueError(f"a parameter file excludes {', '.join(sorted(given))}; write them into the file")
        return self
