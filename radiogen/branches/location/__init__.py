"""The location branch: where a tumour lies in the brain, and what it is made of."""

from __future__ import annotations

from radiogen.branches.location.branch import LocationBranch

__all__ = ["LocationBranch"]
