"""Settings of the location branch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings


class LocationSettings(StageSettings):
    """Where a tumour lies and what it is made of: regions, atlas, and how a case gets to MNI152.

    Example:
        >>> LocationSettings().regions
        ('wt', 'tc', 'et')
    """

    regions: tuple[Literal["wt", "tc", "et", "ncr", "ed"], ...] = Field(default=("wt", "tc", "et"), min_length=1)
    """Regions whose place is measured; one that is empty leaves its columns blank for that case."""

    atlas: str | None = None
    """Atlas for fractions in lobes: `aal` (needs the extra `atlas`), or the path of a label map in MNI152 space; None: no such columns."""

    atlas_names: Path | None = None
    """CSV or TSV with the columns `label` (or `index`), `name` and, where names are not those of AAL, `lobe`; needed with an atlas of your own."""

    atlas_reach_mm: float = Field(default=10.0, ge=0, le=30)
    """A place without a label counts to the nearest lobe up to this distance: atlases such as AAL label grey matter only, tumours lie in white."""

    registration: Literal["where-needed", "always", "never"] = "where-needed"
    """`where-needed`: not for cases on the grid of MNI152, of SRI24 (BraTS) or with transforms of `radiogen preprocess`, which keep the size of the
    patient's brain; `always` fits every brain to the template's size; `never` leaves the place blank for cases on other grids."""

    preprocessed: Path | None = None
    """Study folder of `radiogen preprocess` whose transforms bring masks on the scans' own voxels to the template."""

    crossing_share: float = Field(default=0.05, gt=0, lt=0.5)
    """A region crosses the midline when at least this share of it lies on its smaller side."""

    least_lesion_ml: float = Field(default=0.1, ge=0)
    """Smallest connected part that counts as a lesion or an enhancing focus, ml."""

    seed: int = Field(default=0, ge=0)
    """Of the sampling in registration."""

    @model_validator(mode="after")
    def _names_belong_to_an_atlas(self) -> LocationSettings:
        own = self.atlas is not None and self.atlas != "aal"
        if own and self.atlas_names is None:
            raise ValueError("an atlas of your own needs atlas_names, a table with the columns label, name, lobe")
        if not own and self.atlas_names is not None:
            raise ValueError("atlas_names needs the path of an atlas")
        return self
