"""The contract of a segmentation method: one case in, labels and what to know about them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from radiogen.cohort.case import CaseImages
from radiogen.types import LabelVolume, Volume


@dataclass(frozen=True)
class MethodResult:
    """What a method found in one case.

    Args:
        labels: radiogen's labels (1 NCR, 2 ED, 3 ET, 4 RC) on the case's canonical voxels.
        sequences_used: the sequences that decided something.
        notes: what could not be determined and why, in plain sentences.
        unknown_regions: regions that are empty because they could not be determined; their volume is unknown, not zero.
        probabilities: region -> probability on the canonical voxels, only where they were asked for.
        entropy: predictive entropy on the canonical voxels, bits, only where it was asked for.
        samples: labels of every single answer on the canonical voxels, only where they were asked for.
        confidence: facts for the sidecar about how sure the method is: `uncertainty`, `confidence`, `quality`, `quality_note`.
        flag_reason: why a reader should look at this case before using its mask; empty: nothing known speaks against it.
    """

    labels: LabelVolume
    sequences_used: list[str]
    notes: list[str] = field(default_factory=list)
    unknown_regions: list[str] = field(default_factory=list)
    probabilities: Mapping[str, Volume] = field(default_factory=dict)
    entropy: Volume | None = None
    samples: Sequence[LabelVolume] = ()
    confidence: Mapping[str, Any] = field(default_factory=dict)
    flag_reason: str = ""


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
