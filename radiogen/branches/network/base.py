"""What the parts of this branch hand to each other: a network template in MNI152 space, and one graph per patient on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, Integer, UInt16

from radiogen.cohort.nifti import Grid
from radiogen.types import Affine


@dataclass(frozen=True)
class NetworkTemplate:
    """Regions and the white matter between them, in the voxels of a template brain.

    Args:
        name: short name, such as `corridors-aal90`.
        grid: canonical grid of the template brain, MNI152 (world coordinates in mm).
        nodes: label map on that grid, 0 outside, node n (counted from 0) has label n + 1.
        node_names: one name per node.
        edges: pairs of nodes counted from 0, the first smaller than the second, sorted, each once.
        weights: strength of each connection in the group that the template was made from, in (0, 1].
        roi_voxels: flat voxel indices (C order on the grid) of the connections' regions, one connection after another, each sorted.
        roi_start: where each connection's voxels begin in `roi_voxels`; one more entry than there are connections.
        provenance: JSON-able facts: builder, settings, hashes of its inputs.
    """

    name: str
    grid: Grid
    nodes: UInt16[np.ndarray, "i j k"]
    node_names: tuple[str, ...]
    edges: Integer[np.ndarray, "e 2"]
    weights: Float[np.ndarray, " e"]
    roi_voxels: Integer[np.ndarray, " v"]
    roi_start: Integer[np.ndarray, " s"]
    provenance: Mapping[str, object] = field(default_factory=dict)

    @property
    def n_nodes(self) -> int:
        """Return the number of nodes."""
        return len(self.node_names)

    @property
    def n_edges(self) -> int:
        """Return the number of connections."""
        return len(self.edges)

    def edge_voxels(self, edge: int) -> Integer[np.ndarray, " n"]:
        """Return the flat voxel indices of one connection's region."""
        return self.roi_voxels[self.roi_start[edge] : self.roi_start[edge + 1]]


@dataclass(frozen=True)
class PatientGraph:
    """One patient on a network template.

    Args:
        case: case id.
        node_values: features per node.
        edge_values: features per connection, in the template's order.
        node_columns: name of each node feature.
        edge_columns: name of each connection feature.
        destroyed_nodes: share of each node inside the whole tumour, 0 to 1.
        destroyed_edges: share of each connection's region inside the whole tumour, 0 to 1.
        case_to_template_mm: world of the case -> world of the template, mm, without deformation; None where it was not kept.
    """

    case: str
    node_values: Float32[np.ndarray, "n f"]
    edge_values: Float32[np.ndarray, "e g"]
    node_columns: tuple[str, ...]
    edge_columns: tuple[str, ...]
    destroyed_nodes: Float32[np.ndarray, " n"]
    destroyed_edges: Float32[np.ndarray, " e"]
    case_to_template_mm: Affine | None = None
