"""Settings of the cohort stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from radiogen.config.base import StageSettings


class CohortSettings(StageSettings):
    """How folders are searched and what is checked before anything is computed."""

    layout: str = "auto"
    """Name of the files' layout (`radiogen info` lists them), or `auto`: every layout is tried, file by file."""

    check: Literal["headers", "full"] = "headers"
    """`headers`: every file's header, and that the sequences of a case share their voxels. `full`: every voxel of every file is read as well."""

    keep_unregistered: bool = False
    """Keep cases whose sequences do not share their voxels, for a registration step; otherwise they are left out with the reason."""

    pictures: int = Field(default=60, ge=0)
    """Most cases shown on the contact sheet; these are read in full whatever `check` says. 0 makes none."""
