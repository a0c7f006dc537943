"""`radiogen network compare`: two network templates, or a template and a group connectome, beside each other and beside chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.compare import (
    Agreement,
    compare_connections,
    connections_of_matrix,
    roi_overlap,
    strongest,
)
from radiogen.branches.network.connectome import ENDINGS, read_connectome
from radiogen.branches.network.template import load_template_file
from radiogen.branches.network.tracts import cover, read_tracts
from radiogen.branches.network.words import connection_name
from radiogen.config.network import NetworkCompareSettings
from radiogen.errors import InputError
from radiogen.report.agreement import agreement_figure
from radiogen.report.style import save_png
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_csv
from radiogen.run.provenance import Provenance

STAGE = "network-compare"


@dataclass(frozen=True)
class _Connections:
    """One side of the comparison; `template` is missing where it is a matrix, whose connections have no place."""

    name: str
    edges: Integer[np.ndarray, "e 2"]
    weights: Float[np.ndarray, " e"]
    template: NetworkTemplate | None = None


def run_network_compare(first: Path, second: Path, out: Path, settings: NetworkCompareSettings) -> pd.DataFrame:
    """Compare two network templates on the same regions and write what was found into a folder.

    Writes `agreement.csv` (one row with all connections, one with as many of the strongest of each as both have), `agreement.png`, the sidecar
    `agreement.json` (with the overlap of the connections' voxels) and, where an atlas of tracts is given, `tracts.csv`.

    Args:
        first: a file of `radiogen network template`.
        second: another, or a connectome: a square matrix of strengths (.csv, .tsv, .txt, .npy, .mat).
        out: the folder.
        settings: how often chance is tried, an atlas of tracts.

    Returns:
        The table of `agreement.csv`, index `connections` (`all`, `strongest`).

    Raises:
        InputError: a file cannot be used, or the regions differ.
    """
    template = load_template_file(first)
    one = _Connections(template.name, template.edges, template.weights, template)
    two = _read_second(second, template)
    n_equal = min(len(one.edges), len(two.edges))
    table, shared = _table(one, two, n_equal, settings)
    facts: dict[str, Any] = {"first": one.name, "second": two.name}
    if two.template is not None:
        facts["voxels"] = _voxel_overlap(template, two.template, settings.seed)
    outputs = [Path(out) / "agreement.csv", Path(out) / "agreement.png"]
    write_csv(outputs[0], table)
    save_png(agreement_figure((one.name, two.name), template.n_nodes, one.edges, two.edges, shared), outputs[1])
    if settings.tracts is not None:
        outputs.append(Path(out) / "tracts.csv")
        sides = [side for side in (template, two.template) if side is not None]
        write_csv(outputs[2], tract_table(sides, settings), index=False)
    inputs = {"first": sha256_file(first), "second": sha256_file(second)}
    kept = settings.model_dump(mode="json", exclude={"tracts", "tract_names"})
    if settings.tracts is not None:
        inputs["tracts"] = sha256_file(settings.tracts)
    Provenance(STAGE, kept, inputs).record(outputs, **facts)
    return table


def _read_second(path: Path, template: NetworkTemplate) -> _Connections:
    if path.suffix.lower() not in ENDINGS:
        other = load_template_file(path)
        if other.node_names != template.node_names:
            raise InputError(
                f"The two templates have different regions: {template.n_nodes} of {template.name}, {other.n_nodes} of {other.name}.",
                hint="Build both from the same atlas (--nodes).",
            )
        if not other.grid.same_space(template.grid):
            raise InputError("The two templates lie on different grids.", hint="Build both with the same voxel_mm.")
        return _Connections(other.name, other.edges, other.weights, other)
    nodes = template.provenance.get("nodes")
    facts: Mapping[str, Any] = nodes if isinstance(nodes, Mapping) else {}
    rows = np.asarray(facts.get("atlas_rows", np.arange(template.n_nodes)), dtype=np.int64)
    matrix = read_connectome(path, rows, int(facts.get("atlas_size", template.n_nodes)))
    edges, strength = connections_of_matrix(matrix)
    if not len(edges):
        raise InputError(f"{path.name} holds no connection between the template's regions.")
    return _Connections(path.stem, edges.astype(np.int64), strength)


def _table(
    one: _Connections, two: _Connections, n_equal: int, settings: NetworkCompareSettings
) -> tuple[pd.DataFrame, Float[np.ndarray, "s 2"]]:
    """Return the table, and the weights of the connections that both have."""
    rows: dict[str, Agreement] = {}
    for name, n in (("all", max(len(one.edges), len(two.edges))), ("strongest", n_equal)):
        sides = (*strongest(one.edges, one.weights, n), *strongest(two.edges, two.weights, n))
        rows[name] = compare_connections(*sides, n_null=settings.n_null, seed=settings.seed)
    theirs = {(int(a), int(b)): weight for (a, b), weight in zip(two.edges, two.weights, strict=True)}
    pairs = zip(one.edges, one.weights, strict=True)
    both = [(weight, theirs[int(a), int(b)]) for (a, b), weight in pairs if (int(a), int(b)) in theirs]
    table = pd.DataFrame({name: asdict(found) for name, found in rows.items()}).T
    counts = ["n_first", "n_second", "n_shared"]
    table = table.astype({name: int for name in counts})
    table.index.name = "connections"
    return table, np.array(both, dtype=float).reshape(-1, 2)


def _voxel_overlap(first: NetworkTemplate, second: NetworkTemplate, seed: int) -> dict[str, float]:
    found, chance = roi_overlap(first, second), roi_overlap(first, second, shuffled=True, seed=seed)
    if not len(found):
        return {}
    return {
        "second_inside_first_mean": float(found[:, 0].mean()),
        "second_inside_first_median": float(np.median(found[:, 0])),
        "dice_mean": float(found[:, 1].mean()),
        "second_inside_first_mean_other_connection": float(chance[:, 0].mean()),
        "dice_mean_other_connection": float(chance[:, 1].mean()),
    }


def tract_table(templates: list[NetworkTemplate], settings: NetworkCompareSettings) -> pd.DataFrame:
    """Return how the tracts of an atlas lie to the connections of templates.

    Args:
        templates: on one grid.
        settings: `tracts`, `tract_names`.

    Returns:
        One row per template and tract: `template`, `tract`, `tract_ml`, `covered` (share of the tract inside any connection),
        `covered_all_tracts` (the same of all tracts together), `best_dice` and `best_connection`.

    Raises:
        InputError: the atlas cannot be used.
    """
    if settings.tracts is None:
        return pd.DataFrame()
    tracts = read_tracts(settings.tracts, settings.tract_names, templates[0].grid)
    voxel_ml = float(np.prod(templates[0].grid.voxel_size_mm)) / 1000
    everywhere = np.unique(tracts.voxels)
    rows = []
    for template in templates:
        chance = float(np.isin(everywhere, template.roi_voxels).mean())
        for found in cover(template, tracts):
            best = connection_name(template, found.connection) if found.connection >= 0 else ""
            rows.append(
                {
                    "template": template.name,
                    "tract": found.name,
                    "tract_ml": found.n_voxels * voxel_ml,
                    "covered": found.covered,
                    "covered_all_tracts": chance,
                    "best_dice": found.dice,
                    "best_connection": best,
                }
            )
    return pd.DataFrame(rows)
