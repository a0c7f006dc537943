"""Layouts that single data sets have to themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from radiogen.cohort.layouts import Candidate, NamedLayout, stem


@dataclass(frozen=True)
class FolderLayout:
    """A layout whose file names say only the sequence: the two folders above them say patient and examination.

    Args:
        patient: pattern of the upper folder's name.
        examination: pattern of the lower folder's name.
        roles: file name without extension, lower case -> role; other files of such folders are left to the other layouts.
    """

    patient: re.Pattern[str]
    examination: re.Pattern[str]
    roles: Mapping[str, str]

    def match(self, path: Path) -> Candidate | str | None:
        """Return the candidate, or None when the name is not of this layout.

        Example:
            >>> LUMIERE.match(Path("Imaging/Patient-001/week-000-1/CT1.nii.gz")).case
            'Patient-001_week-000-1'
        """
        upper, lower = path.parent.parent.name, path.parent.name
        if not (self.patient.fullmatch(upper) and self.examination.fullmatch(lower)):
            return None
        role = self.roles.get(stem(path).lower())
        return None if role is None else Candidate(f"{upper}_{lower}", role, path, patient=upper)


LUMIERE = FolderLayout(
    re.compile(r"Patient-\d{3}"),
    re.compile(r"week-\d{3}(?:-\d+)?"),
    {"t1": "t1n", "ct1": "t1c", "t2": "t2w", "flair": "t2f"},
)
RHUH_GBM = NamedLayout(
    re.compile(r"(?i)(?P<case>RHUH-\d{4}_[012])_(?P<role>.+)"),
    {"t1": ("t1n", 0), "t1ce": ("t1c", 0), "t2": ("t2w", 0), "flair": ("t2f", 0), "segmentations": ("mask", 0)},
    "",
)
