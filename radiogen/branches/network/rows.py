"""The graphs of a cohort on one template, as something scikit-learn can take rows of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Integer

from radiogen.errors import InputError


@dataclass(frozen=True)
class GraphRows:
    """One graph per case, all with the same nodes and connections.

    Taking rows copies no values: the arrays may be memory maps larger than memory.

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
    node_values: Float[np.ndarray, "cases nodes f"]
    edge_values: Float[np.ndarray, "edge_cases connections g"]
    edges: Integer[np.ndarray, "e 2"]
    node_context: Float[np.ndarray, "context_nodes p"] | None = None
    rows: Integer[np.ndarray, " r"] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(self.cases)))
            self._check()

    def _check(self) -> None:
        n_cases, n_nodes = self.node_values.shape[:2]
        context = n_nodes if self.node_context is None else len(self.node_context)
        problems = []
        if not len(self.cases) == n_cases == len(self.edge_values):
            problems.append(
                f"{len(self.cases)} case ids, nodes of {n_cases} cases, edges of {len(self.edge_values)} cases"
            )
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

    def permuted(self, order: Integer[np.ndarray, " n"]) -> GraphRows:
        """Return the same graphs with the nodes in another order.

        Args:
            order: old number of every new node.
        """
        new_number = np.argsort(order)
        context = None if self.node_context is None else self.node_context[order]
        return replace(self, node_values=self.node_values[:, order], edges=new_number[self.edges], node_context=context)
