"""The graphs of a cohort on one template, as something scikit-learn can take rows of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Integer

from radiogen.branches.network.vectors import RegionVectors
from radiogen.errors import InputError


@dataclass(frozen=True)
class GraphRows:
    """One graph per case, all with the same nodes and connections.

    Taking rows copies no values: the arrays may be memory maps larger than memory, or be gathered when they are asked for.

    Args:
        cases: case id of every stored graph.
        node_values: features, or the voxels of every node where an auto-encoder is fitted.
        edge_values: the same for every connection.
        edges: pairs of nodes from 0.
        node_context: what is known of every node whoever the patient is, such as its position, or the unit matrix to let every node be itself.
        rows: which stored graphs these are; None: all.

    Example:
        >>> rows = GraphRows(np.array(["a", "b", "c"]), np.zeros((3, 4, 2), "f"), np.zeros((3, 1, 5), "f"), np.array([[0, 1]]))
        >>> len(rows), rows[[2, 0]].case_ids.tolist(), rows[1:].shape
        (3, ['c', 'a'], (2,))
    """

    cases: np.ndarray
    node_values: Float[np.ndarray, "cases nodes f"] | RegionVectors
    edge_values: Float[np.ndarray, "edge_cases connections g"] | RegionVectors
    edges: Integer[np.ndarray, "e 2"]
    node_context: Float[np.ndarray, "context_nodes p"] | None = None
    rows: Integer[np.ndarray, " r"] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(self.cases)))
            self._check()

    def _check(self) -> None:
        (n_cases, n_nodes), n_edge_cases = self.node_values.shape[:2], self.edge_values.shape[0]
        context = n_nodes if self.node_context is None else len(self.node_context)
        problems = []
        if not len(self.cases) == n_cases == n_edge_cases:
            problems.append(f"{len(self.cases)} case ids, nodes of {n_cases} cases, edges of {n_edge_cases} cases")
        if len(self.edges) != self.edge_values.shape[1]:
            problems.append(f"{len(self.edges)} connections, values of {self.edge_values.shape[1]}")
        if len(self.edges) and not (self.edges.min() >= 0 and self.edges.max() < n_nodes):
            problems.append(
                f"connections between nodes {self.edges.min()} to {self.edges.max()}; there are {n_nodes} nodes"
            )
        if context != n_nodes:
            problems.append(f"context of {context} nodes; there are {n_nodes}")
        if problems:
            raise InputError("The graphs do not fit together:", problems=problems)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: object) -> GraphRows:
        """Return some of the rows: a slice, whole numbers or a mask."""
        # scikit-learn asks as it asks arrays: (rows, ...).
        index = chosen[0] if isinstance(chosen, tuple) else chosen
        if not isinstance(index, slice):
            index = np.atleast_1d(np.asarray(index))
        return replace(self, rows=self.rows[index])

    @property
    def shape(self) -> tuple[int]:
        """Return the number of rows, as scikit-learn asks for it."""
        return (len(self.rows),)

    @property
    def case_ids(self) -> np.ndarray:
        """Return the case id of every row."""
        return np.asarray(self.cases[self.rows])

    def case_values(self, part: Literal["node_values", "edge_values"], row: int) -> Float32[np.ndarray, "r v"]:
        """Return the values of all nodes or connections of one row.

        Args:
            part: which.
            row: which, from 0.
        """
        values, number = getattr(self, part), int(self.rows[row])
        return values.case(number) if isinstance(values, RegionVectors) else np.asarray(values[number], np.float32)

    def drawn(
        self, part: Literal["node_values", "edge_values"], n: int, rng: np.random.Generator
    ) -> Float32[np.ndarray, "k v"]:
        """Return the values of some nodes or connections, each at most once, drawn from all rows alike.

        Args:
            part: which.
            n: how many at most.
            rng: draws.
        """
        values = getattr(self, part)
        n_regions = values.shape[1]
        chosen = np.sort(rng.choice(len(self) * n_regions, min(n, len(self) * n_regions), replace=False))
        cases, regions = self.rows[chosen // n_regions], chosen % n_regions
        if isinstance(values, RegionVectors):
            return values.rows(cases, regions)
        return np.asarray(values[cases, regions], dtype=np.float32)

    def permuted(self, order: Integer[np.ndarray, " n"]) -> GraphRows:
        """Return the same graphs with the nodes in another order.

        Args:
            order: old number of every new node.

        Raises:
            InputError: the nodes' voxels are gathered from files.
        """
        if isinstance(self.node_values, RegionVectors):
            raise InputError("Nodes whose voxels are gathered from files have the order of their template.")
        new_number = np.argsort(order)
        context = None if self.node_context is None else self.node_context[order]
        return replace(self, node_values=self.node_values[:, order], edges=new_number[self.edges], node_context=context)
