"""Network templates: built from tractograms or from the white matter of MNI152, kept as one small file."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int8, Integer

from radiogen import __version__
from radiogen.branches.network.atlas import Nodes, atlas_content, load_nodes
from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.connectome import read_connectome
from radiogen.branches.network.corridors import choose_pairs, find_ways
from radiogen.branches.network.space import BrainSpace, brain_space, world_of
from radiogen.branches.network.tractogram import densest_voxels, read_subjects
from radiogen.cohort.nifti import Grid
from radiogen.config.network import NetworkTemplateSettings
from radiogen.errors import InputError
from radiogen.resources import cache_folder, sha256_file
from radiogen.run.atomic import writing
from radiogen.run.provenance import content_hash
from radiogen.types import Volume

FORMAT = "radiogen network template 1"

_KEYS = ("about", "affine", "nodes", "edges", "weights", "roi_steps", "roi_start")

Advance = Callable[[int], None]


def build_template(settings: NetworkTemplateSettings, advance: Advance = lambda done: None) -> NetworkTemplate:
    """Build a network template: from tractograms where some are given, else from corridors through the white matter of MNI152.

    Args:
        settings: regions, tractograms or corridors.
        advance: told of progress: one step per tractogram, or per region.

    Raises:
        InputError: an input cannot be used, or nothing is connected.
    """
    space = brain_space(settings.voxel_mm)
    nodes = load_nodes(settings, space)
    builder = from_tractograms if settings.tractograms else from_corridors
    return builder(nodes, space, settings, advance)


def from_tractograms(
    nodes: Nodes, space: BrainSpace, settings: NetworkTemplateSettings, advance: Advance = lambda done: None
) -> NetworkTemplate:
    """Build a template from one tractogram per subject.

    The weight of a connection is log(1 + mean streamlines), divided by the largest.

    Args:
        nodes: regions on the grid of the space.
        space: the template brain.
        settings: `tractograms`, `streamlines`.
        advance: told of every file that is done.

    Raises:
        InputError: a file cannot be read, or nothing is connected.
    """
    density = read_subjects(settings.tractograms, nodes.labels, space.grid, settings.streamlines, advance)
    regions = [
        densest_voxels(density.voxels[first:last], density.values[first:last], settings.streamlines.densest_share)
        for first, last in zip(density.start[:-1], density.start[1:], strict=True)
    ]
    facts = {
        "builder": "tractograms",
        "settings": settings.streamlines.model_dump(mode="json"),
        "tractograms": [{"file": path.name, "sha256": sha256_file(path)} for path in settings.tractograms],
        "weights": "log(1 + mean streamlines), divided by the largest",
    }
    return _assemble("tracts", nodes, space, density.pairs, _log_weights(density.streamlines), regions, facts)


def from_corridors(
    nodes: Nodes, space: BrainSpace, settings: NetworkTemplateSettings, advance: Advance = lambda done: None
) -> NetworkTemplate:
    """Build a template from the cheapest ways through the white matter of the template brain.

    The weight of a connection is that of the group connectome, log(1 + strength) divided by the largest. Without one it falls with the cost of the
    way, by a factor e per median cost of the connections kept: an assumption, not a measurement.

    Args:
        nodes: regions on the grid of the space.
        space: the template brain.
        settings: `corridors`, `connectome`.
        advance: told of every region that is done.

    Raises:
        InputError: the connectome cannot be used, or nothing is connected.

    Source: connections weaken exponentially with distance, Ercsey-Ravasz et al., Neuron 2013;80:184 (there along the white matter of macaques).
    """
    chosen = settings.corridors
    connectome = None
    if settings.connectome is not None:
        connectome = read_connectome(settings.connectome, nodes.atlas_rows, nodes.atlas_size)
    white, side = split_hemispheres(space, chosen.midline_white)
    ways = find_ways(nodes.labels, white, space.grid.voxel_size_mm, chosen, advance, side)
    pairs = choose_pairs(ways.pair_cost, chosen.density, connectome)
    if not len(pairs):
        raise InputError(
            "No two regions are connected through white matter.", hint="Give an atlas with regions that border on it."
        )
    regions = [ways.corridor(int(first), int(second), chosen) for first, second in pairs]
    facts: dict[str, Any] = {"builder": "corridors", "settings": chosen.model_dump(mode="json")}
    if connectome is None or settings.connectome is None:
        cost = ways.pair_cost[tuple(pairs.T)]
        weights = np.exp((cost.min() - cost) / max(float(np.median(cost)), 1e-3))
        facts["weights"] = "exp(-cost of the cheapest way / median cost): an assumption, not a measured strength"
    else:
        weights = _log_weights(connectome[tuple(pairs.T)])
        facts["connectome"] = {"file": settings.connectome.name, "sha256": sha256_file(settings.connectome)}
        facts["weights"] = "log(1 + strength in the connectome), divided by the largest"
    return _assemble("corridors", nodes, space, pairs, weights, regions, facts)


def split_hemispheres(space: BrainSpace, least_white: float) -> tuple[Volume, Int8[np.ndarray, "i j k"]]:
    """Return the white matter with the midline closed except for commissures and brainstem, and the side of every voxel.

    On voxels of 2 mm the medial cortex of both hemispheres touches; without this, ways would lead straight through the falx.

    Args:
        space: the template brain.
        least_white: voxels at the midline with a smaller share of white matter are closed.

    Returns:
        Share of white matter, and -1 left, 1 right, 0 at x = 0.
    """
    x = world_of(space.grid)[0]
    midline = np.abs(x) <= space.grid.voxel_size_mm[0] * 1.01
    white = np.where(midline & (space.white < least_white), np.float32(0), space.white)
    return white.astype(np.float32), np.where(np.abs(x) < 1e-3, 0, np.sign(x)).astype(np.int8)


def _log_weights(strength: Float[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
    logs = np.log1p(strength)
    return np.asarray(logs / logs.max())


def _assemble(
    builder: str,
    nodes: Nodes,
    space: BrainSpace,
    pairs: Integer[np.ndarray, "e 2"],
    weights: Float[np.ndarray, " e"],
    regions: list[np.ndarray],
    facts: Mapping[str, Any],
) -> NetworkTemplate:
    start = np.concatenate([[0], np.cumsum([len(region) for region in regions])]).astype(np.int64)
    return NetworkTemplate(
        name=f"{builder}-{nodes.name}",
        grid=space.grid,
        nodes=nodes.labels,
        node_names=nodes.names,
        edges=pairs.astype(np.int64),
        weights=weights.astype(np.float64),
        roi_voxels=np.concatenate(regions).astype(np.int64),
        roi_start=start,
        provenance={**facts, "nodes": dict(nodes.provenance), "radiogen": __version__},
    )


def save_template(path: str | Path, template: NetworkTemplate) -> None:
    """Write a template as one compressed file of plain arrays (.npz); the same template gives the same bytes.

    Args:
        path: the file; its name should end in .npz.
        template: any.

    Raises:
        OutputError: the file cannot be written.
    """
    about = {
        "format": FORMAT,
        "name": template.name,
        "node_names": list(template.node_names),
        "provenance": dict(template.provenance),
    }
    text = json.dumps(about, ensure_ascii=False, sort_keys=True).encode()
    with writing(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(
            file,
            about=np.frombuffer(text, dtype=np.uint8),
            affine=template.grid.canonical_affine,
            nodes=template.nodes,
            edges=template.edges.astype(np.uint16),
            weights=template.weights.astype(np.float64),
            # Steps from voxel to voxel are small numbers, which pack to a third.
            roi_steps=np.diff(template.roi_voxels, prepend=0).astype(np.int32),
            roi_start=template.roi_start.astype(np.int64),
        )


def load_template_file(path: str | Path) -> NetworkTemplate:
    """Read a template written by `save_template`; no pickle is opened.

    Args:
        path: the file.

    Raises:
        InputError: missing, damaged, not a network template, or one that contradicts itself.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The network template {path} does not exist.", hint="Make one: radiogen network template.")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in _KEYS}
        about = json.loads(arrays["about"].tobytes().decode())
        if about["format"] != FORMAT:
            raise ValueError(f"its format is '{about['format']}', '{FORMAT}' is accepted")
        template = _restore(arrays, about)
    except (
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(
            f"{path.name} is damaged or not a network template: {' '.join(str(error).split())}.",
            hint="Make it again: radiogen network template.",
        ) from error
    if problems := template_problems(template):
        raise InputError(f"{path.name} contradicts itself:", problems=problems, hint="Make it again.")
    return template


def _restore(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> NetworkTemplate:
    nodes = arrays["nodes"].astype(np.uint16)
    i, j, k = nodes.shape
    return NetworkTemplate(
        name=str(about["name"]),
        grid=Grid((int(i), int(j), int(k)), arrays["affine"].astype(float).reshape(4, 4)),
        nodes=nodes,
        node_names=tuple(str(name) for name in about["node_names"]),
        edges=arrays["edges"].astype(np.int64).reshape(-1, 2),
        weights=arrays["weights"].astype(float).reshape(-1),
        roi_voxels=np.cumsum(arrays["roi_steps"].astype(np.int64).reshape(-1)),
        roi_start=arrays["roi_start"].astype(np.int64).reshape(-1),
        provenance=dict(about["provenance"]),
    )


def template_digest(template: NetworkTemplate) -> str:
    """Return the SHA-256 of what a template says: the same whether it was built here or read from a file.

    Args:
        template: any; names of files and versions in its provenance do not count.
    """
    arrays = (
        template.grid.canonical_affine.astype(np.float64),
        template.nodes.astype(np.uint16),
        template.edges.astype(np.int64),
        template.weights.astype(np.float64),
        template.roi_voxels.astype(np.int64),
        template.roi_start.astype(np.int64),
    )
    parts = [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
    return content_hash({"arrays": parts, "shape": list(template.nodes.shape), "nodes": list(template.node_names)})


def template_problems(template: NetworkTemplate) -> list[str]:
    """Return what contradicts the contract of `NetworkTemplate`; nothing where all is well.

    Args:
        template: any.
    """
    edges, start, n = template.edges, template.roi_start, template.n_nodes
    in_order = len(edges) == 0 or bool((np.diff(edges @ np.array([max(n, 1), 1])) > 0).all())
    checks = {
        "the number of node names is not that of the labels": int(template.nodes.max(initial=0)) == n,
        "nodes without a voxel": len(np.unique(template.nodes[template.nodes > 0])) == n,
        "connections between nodes that do not exist": edges.size == 0 or int(edges.max()) < n,
        "connections whose first node is not the smaller one": bool((edges[:, 0] < edges[:, 1]).all()),
        "connections out of order or twice": in_order,
        "not one weight per connection": len(template.weights) == len(edges),
        "weights outside (0, 1]": bool(((template.weights > 0) & (template.weights <= 1)).all()),
        "regions of connections that do not add up": len(start) == len(edges) + 1
        and int(start[0]) == 0
        and int(start[-1]) == len(template.roi_voxels)
        and bool((np.diff(start) > 0).all()),
        "voxels outside the grid": template.roi_voxels.size == 0
        or (int(template.roi_voxels.min()) >= 0 and int(template.roi_voxels.max()) < template.nodes.size),
    }
    return [problem for problem, fine in checks.items() if not fine]


def default_template(
    settings: NetworkTemplateSettings | None = None, advance: Advance = lambda done: None
) -> NetworkTemplate:
    """Return the template that is used where none is given: built once, then kept in the cache folder.

    Regions: AAL where it is installed, else 90 pieces of the template's grey matter; connections: corridors.

    Args:
        settings: another template to build and keep; None: the defaults.
        advance: told of progress while it is built.
    """
    chosen = settings or NetworkTemplateSettings()
    path = cached_template_path(chosen)
    try:
        return _load_once(str(path), sha256_file(path))
    except (OSError, InputError):  # absent or damaged: built again
        template = build_template(chosen, advance)
        save_template(path, template)
        return template


@lru_cache(maxsize=2)
def _load_once(path: str, content: str) -> NetworkTemplate:
    return load_template_file(path)


def cached_template_path(settings: NetworkTemplateSettings) -> Path:
    """Return where the template of these settings is kept; other inputs, settings or versions mean another file.

    Args:
        settings: of the template.
    """
    files = [path for path in (*settings.tractograms, settings.connectome) if path is not None and path.is_file()]
    key = content_hash(
        {
            "format": FORMAT,
            "radiogen": __version__,
            "settings": settings.model_dump(mode="json", exclude={"tractograms", "connectome", "nodes", "node_names"}),
            "atlas": atlas_content(settings),
            "files": [sha256_file(path) for path in files],
        }
    )
    return cache_folder() / "network" / f"template-{key[:16]}.npz"
