"""Settings of `radiogen app`."""

from __future__ import annotations

from pydantic import Field

from radiogen.config.base import StageSettings

ENVIRONMENT = "RADIOGEN_APP"
"""Environment variable that carries the settings, as JSON, from the command to the page."""

MEGABYTE = 1024 * 1024


class AppSettings(StageSettings):
    """What the app accepts and what it starts with.

    Example:
        >>> AppSettings(max_upload_mb=100).max_unpacked_mb
        4096
    """

    model: str = ""
    """Folder of a model that `radiogen classify` wrote; empty: none until the user names one."""

    max_upload_mb: int = Field(default=512, ge=1)
    """Largest size of all files of one case together, as they are uploaded, MB."""

    max_unpacked_mb: int = Field(default=4096, ge=1)
    """Largest size of all files of one case together after unpacking, MB."""

    max_files: int = Field(default=5000, ge=1)
    """Most files of one case after unpacking; a DICOM file holds one slice or more."""

    max_million_voxels: int = Field(default=150, ge=1)
    """Largest image, million voxels: it is held in memory several times."""
