"""The schema of data_manifests/: what a public data set is, and how radiogen reads it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from radiogen.config.base import StageSettings

Column = Literal["idh", "mgmt", "codeletion_1p19q", "grade", "os_days", "os_event", "age", "sex", "kps", "eor"]
"""A cohort column that a data set's own table can fill."""

About = Literal["images", "labels", "masks", "survival", "patients"]
"""What a trap is about; those about labels or masks are shown only where there are any."""


class LabelColumn(StageSettings):
    """One column of a data set's own label table.

    Example:
        >>> LabelColumn(header="Survival time (weeks)", unit="weeks").values
        {}
    """

    header: str
    """Name of the column in the table."""

    values: dict[str, str] = Field(default_factory=dict)
    """Value as written -> value as a cohort table has it; an empty string stands for unknown. What is not listed is read as in any table."""

    unit: Literal["days", "weeks", "months", "years"] | None = None
    """Unit of a time."""


class LabelTable(StageSettings):
    """The label table that comes with a data set.

    Example:
        >>> LabelTable(file="labels.csv", id="ID").columns
        {}
    """

    file: str
    """Name of the file as published."""

    id: str
    """Header of the column with the ids."""

    columns: dict[Column, LabelColumn] = Field(default_factory=dict)
    """Cohort column -> where it stands."""


class Trap(StageSettings):
    """Something that has misled users of a data set.

    Example:
        >>> Trap(text="Ids have three digits in the table and four in the folders.", about="labels").about
        'labels'
    """

    text: str
    """What it is, in one or two sentences."""

    about: About
    """What it concerns."""


class KnownOverlap(StageSettings):
    """Patients that are in another data set as well.

    Example:
        >>> KnownOverlap(dataset="brats-2021", patients=298, source="the metadata table").patients
        298
    """

    dataset: str
    """Name of the other manifest."""

    patients: int | None = Field(default=None, ge=0)
    """How many; blank where they are not counted."""

    crosswalk: str = ""
    """Which table says who; blank where none is public."""

    source: str
    """Who says so."""


class DatasetManifest(StageSettings):
    """One public data set.

    Example:
        >>> DatasetManifest(
        ...     name="x", title="A set", doi="not given", licence="CC BY 4.0", access="open", how_to_get="Download it.", form="nifti",
        ...     modalities=["t1c"], preprocessing="none", masks="none", sources=["its page"],
        ... ).layout
        'auto'
    """

    name: str
    """Name by which it is chosen: the file's name without its ending."""

    title: str
    """Title as published."""

    doi: str
    """DOI of the data, or `not given`."""

    licence: str
    """Licence as published."""

    access: Literal["open", "registration", "restricted", "mixed"]
    """`open`: anybody can download it. `registration`: an account and a click. `restricted`: a signed agreement or an approval. `mixed`: parts
    differ."""

    how_to_get: str
    """What to do to get it."""

    n_patients: int | None = Field(default=None, gt=0)
    """Patients."""

    n_scans: int | None = Field(default=None, gt=0)
    """Scans (examinations) of them."""

    form: Literal["nifti", "dicom", "both", "slices"]
    """What the images come as; `slices` are picture files, which have to be converted first."""

    modalities: tuple[str, ...] = Field(min_length=1)
    """Sequences, by radiogen's names where it has one."""

    layout: str = "auto"
    """Layout of the files, a name that `radiogen info` lists."""

    files: tuple[str, ...] = ()
    """File names as published."""

    preprocessing: str
    """What was done to the images before they were published: skull, space, voxel size."""

    skull_stripped: bool | None = None
    """Whether the skull is off; blank where that differs or is not known."""

    masks: str
    """What the tumour masks are and who made them."""

    mask_labels: str | None = None
    """Label scheme of the masks, a name of `radiogen.cohort.masks.SCHEMES`, or blank: detected."""

    masks_readable: bool = True
    """False where the masks' labels are in none of those schemes: they are left out, because they would be misread."""

    table: LabelTable | None = None
    """Its own label table."""

    labels: tuple[Column, ...] = ()
    """Cohort columns that are known for at least some patients."""

    site: str | None = None
    """The one centre it comes from; blank where ids or the table tell the centre."""

    patient_pattern: str | None = None
    """Regular expression with a group `patient` that takes the patient from a case id; blank where radiogen knows the ids."""

    traps: tuple[Trap, ...] = ()
    """What has misled users."""

    overlaps: tuple[KnownOverlap, ...] = ()
    """Other data sets with the same patients."""

    citation: tuple[str, ...] = ()
    """What to cite."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Where the facts of this file come from."""

    unconfirmed: tuple[str, ...] = ()
    """What stands above and could not be confirmed at the publisher's own page."""

    @field_validator("patient_pattern")
    @classmethod
    def _has_the_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if "patient" not in groups:
            raise ValueError("the pattern has no group 'patient'")
        return pattern
