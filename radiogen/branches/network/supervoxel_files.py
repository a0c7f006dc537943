"""Supervoxel graphs as files: the same kind as those of brain networks, and a table with a row per supervoxel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from radiogen.branches.network.graph_files import FORMAT
from radiogen.branches.network.supervoxels import SupervoxelGraph, as_patient_graph
from radiogen.errors import InputError
from radiogen.run.atomic import write_csv, writing

KIND = "supervoxels"

_OWN = ("centres_mm", "volumes_ml", "volumes_ml_of_labels")
_SHARED = ("node_values", "edge_values", "destroyed_nodes", "destroyed_edges")


def write_supervoxel_graph(path: str | Path, graph: SupervoxelGraph) -> None:
    """Write a graph as safetensors; `read_graph` and `load_graph_data` of the other kind read it too.

    On top of theirs it holds `centres_mm` and `volumes_ml` and, where the case has a mask, `volumes_ml_of_labels`.

    Args:
        path: the file; its name should end in .safetensors.
        graph: of a case.

    Raises:
        OutputError: the file cannot be written.
    """
    shared = as_patient_graph(graph)
    own = {name: getattr(graph, name) for name in _OWN if getattr(graph, name) is not None}
    arrays = {**{name: getattr(shared, name) for name in _SHARED}, **own, "edges": graph.edges.astype(np.int64)}
    about = {
        "format": FORMAT,
        "kind": KIND,
        "case": graph.case,
        "node_columns": graph.node_columns,
        "edge_columns": shared.edge_columns,
    }
    with writing(path) as beside:
        packed = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        beside.write_bytes(save(packed, {"about": json.dumps(about, sort_keys=True)}))


def read_supervoxel_graph(path: str | Path) -> SupervoxelGraph:
    """Read a graph that `write_supervoxel_graph` wrote.

    Args:
        path: the file.

    Raises:
        InputError: missing, damaged, or no graph of supervoxels.
    """
    path = Path(path)
    try:
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["about"])
            if (about["format"], about.get("kind")) != (FORMAT, KIND):
                raise ValueError("its kind is another")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        return SupervoxelGraph(
            case=about["case"],
            node_values=arrays["node_values"],
            node_columns=tuple(about["node_columns"]),
            edges=arrays["edges"],
            **{name: arrays[name] for name in _OWN if name in arrays},
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} is missing, damaged or no graph of supervoxels: {' '.join(str(error).split())}.",
            hint="Make it again by write_supervoxel_graph.",
        ) from error


def write_supervoxel_table(path: str | Path, graph: SupervoxelGraph) -> None:
    """Write one row per supervoxel: its number in the map, middle, volume, neighbours, label and features.

    Args:
        path: the CSV.
        graph: of a case.

    Raises:
        OutputError: the file cannot be written.
    """
    table = pd.DataFrame({"supervoxel": np.arange(1, graph.n_nodes + 1)})
    for column, name in enumerate(("x_mm", "y_mm", "z_mm")):
        table[name] = graph.centres_mm[:, column].round(2)
    table["volume_ml"] = graph.volumes_ml.round(4)
    table["neighbours"] = np.bincount(graph.edges.ravel(), minlength=graph.n_nodes)
    if graph.labels is not None:
        table["label"] = graph.labels
    values = pd.DataFrame(graph.node_values.round(5), columns=list(graph.node_columns))
    write_csv(path, pd.concat([table, values], axis=1), index=False)
