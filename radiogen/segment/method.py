"""The contract of a segmentation method: one case in, labels and what to know about them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from radiogen.cohort.case import CaseImages
from radiogen.types import LabelVolume


@dataclass(frozen=True)
class MethodResult:
    """What a method found in one case.

    Args:
        labels: radiogen's labels (1 NCR, 2 ED, 3 ET, 4 RC) on the case's canonical voxels.
        sequences_used: the sequences that decided something.
        notes: what could not be determined and why, in plain sentences.
        unknown_regions: regions that are empty because they could not be determined; their volume is unknown, not zero.
    """

    labels: LabelVolume
    sequences_used: list[str]
    notes: list[str] = field(default_factory=list)
    unknown_regions: list[str] = field(default_factory=list)


@runtime_checkable
class SegmentationMethod(Protocol):
    """Anything that is made from `SegmentSettings` and turns a case into labels."""

    @property
    def description(self) -> dict[str, str]:
        """Return what the sidecar says of the method: `method`, and where they apply `device`, `weights_sha256`."""
        ...

    def __call__(self, case: CaseImages) -> MethodResult:
        """Return the labels of one case."""
        ...
