"""Graphs of patients as files: plain arrays, a table in words, and torch-geometric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Integer
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from radiogen.branches.network.base import NetworkTemplate, PatientGraph
from radiogen.branches.network.columns import destroyed_by
from radiogen.branches.network.disconnection import TUMOUR_REGIONS
from radiogen.branches.network.geometric import importing_geometric
from radiogen.branches.network.words import connection_table
from radiogen.errors import InputError
from radiogen.run.atomic import write_csv, writing

if TYPE_CHECKING:
    from torch_geometric.data import Data

FORMAT = "radiogen patient graph 1"

_ARRAYS = ("node_values", "edge_values", "destroyed_nodes", "destroyed_edges")


def write_graph(
    path: str | Path, graph: PatientGraph, template: NetworkTemplate | None = None, template_hash: str = ""
) -> None:
    """Write a graph as safetensors: `node_values`, `edge_values`, `destroyed_nodes`, `destroyed_edges` and, of a template, `edges`.

    Args:
        path: the file; its name should end in .safetensors.
        graph: of a case.
        template: gives the pairs of nodes and their names; None: they are left out.
        template_hash: of the template, as `template_digest` returns it.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays = {name: np.ascontiguousarray(getattr(graph, name)) for name in _ARRAYS}
    about: dict[str, object] = {
        "format": FORMAT,
        "case": graph.case,
        "node_columns": graph.node_columns,
        "edge_columns": graph.edge_columns,
    }
    if graph.case_to_template_mm is not None:
        about["case_to_template_mm"] = graph.case_to_template_mm.tolist()
    if template is not None:
        arrays["edges"] = np.ascontiguousarray(template.edges, dtype=np.int64)
        about |= {"template": template.name, "template_sha256": template_hash, "node_names": template.node_names}
    with writing(path) as beside:
        # One entry: the order of several would not be the same in every run.
        beside.write_bytes(save(arrays, {"about": json.dumps(about, sort_keys=True)}))


def read_graph(path: str | Path, case: str | None = None) -> PatientGraph:
    """Read a graph that `write_graph` wrote.

    Args:
        path: the file.
        case: case id to give it; None: the one in the file.

    Raises:
        InputError: missing, damaged, or not a graph of a patient.
    """
    arrays, about = _read(Path(path))
    matrix = about.get("case_to_template_mm")
    return PatientGraph(
        case=about["case"] if case is None else case,
        node_columns=tuple(about["node_columns"]),
        edge_columns=tuple(about["edge_columns"]),
        case_to_template_mm=None if matrix is None else np.array(matrix, dtype=float).reshape(4, 4),
        **{name: arrays[name] for name in _ARRAYS},
    )


def graph_data(graph: PatientGraph, edges: Integer[np.ndarray, "e 2"]) -> Data:
    """Return a graph as torch-geometric `Data`: `x`, `edge_index` and `edge_attr` with both directions of every connection.

    Args:
        graph: of a case.
        edges: pairs of nodes from 0: those of the template, or `edges` in the graph's file.

    Raises:
        MissingDependencyError: torch-geometric is not installed.

    Source: torch-geometric keeps a connection without direction as two with one.
    """
    with importing_geometric():
        import torch
        from torch_geometric.data import Data
    pairs = torch.from_numpy(np.ascontiguousarray(edges.T.astype(np.int64)))
    values = torch.from_numpy(graph.edge_values.copy())
    return Data(
        x=torch.from_numpy(graph.node_values.copy()),
        edge_index=torch.cat([pairs, pairs.flip(0)], dim=1),
        edge_attr=torch.cat([values, values]),
        case=graph.case,
    )


def load_graph_data(path: str | Path) -> Data:
    """Read a file of `radiogen features network` as torch-geometric `Data`.

    Args:
        path: the file.

    Raises:
        InputError: missing, damaged, not a graph of a patient, or one without its pairs of nodes.
        MissingDependencyError: torch-geometric is not installed.
    """
    arrays, _ = _read(Path(path))
    if "edges" not in arrays:
        raise InputError(f"{Path(path).name} holds no pairs of nodes.", hint="Use `graph_data` with a template's.")
    return graph_data(read_graph(path), arrays["edges"])


def write_connections(path: str | Path, graph: PatientGraph, template: NetworkTemplate, by: str) -> None:
    """Write the connections that the tumour touches as a table in words, the most destroyed first.

    Args:
        path: the CSV.
        graph: of a case.
        template: names of the regions.
        by: the region that disconnects.
    """
    shares = {region: destroyed_by(graph, region) for region in TUMOUR_REGIONS}
    write_csv(path, connection_table(template, shares, by), index=False)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"The graph {path} does not exist.", hint="Make it: radiogen features network.")
    try:
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["about"])
            if about["format"] != FORMAT:
                raise ValueError(f"its format is '{about['format']}', '{FORMAT}' is accepted")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if missing := [name for name in _ARRAYS if name not in arrays]:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} is damaged or not a patient's graph: {' '.join(str(error).split())}.",
            hint="Make it again: radiogen features network.",
        ) from error
    return arrays, about
