"""Everything that can be chosen by name, in one list, without importing what is behind the names."""

from __future__ import annotations

from radiogen.branches.names import BRANCHES
from radiogen.cohort.layouts import LAYOUTS
from radiogen.fusion.names import CLASSIFIERS, FUSIONS
from radiogen.registry import Registry
from radiogen.segment.names import NETWORKS, SEGMENTATION_METHODS


def registries() -> list[Registry]:
    """Return every registry, in the order of the data."""
    return [LAYOUTS, SEGMENTATION_METHODS, NETWORKS, BRANCHES, FUSIONS, CLASSIFIERS]
