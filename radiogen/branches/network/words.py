"""Networks in words: lobes of nodes, and the table of connections that a neurologist reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32

from radiogen.branches.network.base import NetworkTemplate
from radiogen.preprocess.lobes import LOBES, lobe_of, side_of

_LONG = {
    "Sup": "superior", "Mid": "middle", "Inf": "inferior", "Ant": "anterior", "Post": "posterior", "Med": "medial", "Lat": "lateral",
    "Tri": "triangular", "Oper": "opercular", "Orb": "orbital", "Supp": "supplementary", "OFCmed": "medial orbitofrontal",
    "OFCant": "anterior orbitofrontal",
    "OFCpost": "posterior orbitofrontal", "OFClat": "lateral orbitofrontal", "SupraMarginal": "supramarginal", "ParaHippocampal": "parahippocampal",
}  # fmt: skip


def plain_name(name: str) -> str:
    """Return the name of a region in words; the short forms are those of AAL, other names keep theirs.

    Example:
        >>> plain_name("Temporal_Pole_Mid_L"), plain_name("Rectus_R"), plain_name("region-007")
        ('left temporal pole middle', 'right rectus', 'region-007')
    """
    side = {"L": "left ", "R": "right "}.get(name[-1:] if name[-2:-1] == "_" else "", "")
    parts = (name[:-2] if side else name).split("_")
    words = " ".join(_LONG.get(part, part.lower() if side else part) for part in parts)
    return f"{side}{words}"


def plain_connection(template: NetworkTemplate, edge: int) -> str:
    """Return the two ends of a connection in words; the side once where both have the same."""
    first, second = (plain_name(template.node_names[int(node)]) for node in template.edges[edge])
    side = next((word for word in ("left ", "right ") if first.startswith(word) and second.startswith(word)), "")
    return f"{first} \u2013 {second.removeprefix(side)}"


def connection_name(template: NetworkTemplate, edge: int) -> str:
    """Return `first region - second region`."""
    first, second = (template.node_names[int(node)] for node in template.edges[edge])
    return f"{first} - {second}"


def connection_table(
    template: NetworkTemplate, destroyed: Mapping[str, Float32[np.ndarray, " e"]], by: str
) -> pd.DataFrame:
    """Return the connections that a tumour touches, the most destroyed first, the stronger first among equals.

    Args:
        template: the connections.
        destroyed: tumour region -> share of every connection inside it.
        by: the region that disconnects.

    Returns:
        Columns `connection`, `words` (such as `A - B: 62 % disconnected`), `destroyed_<region>_percent`, `weight`.
    """
    share = destroyed[by]
    order = np.lexsort((np.arange(template.n_edges), -template.weights, -share))
    order = order[share[order] > 0]
    names = [connection_name(template, int(edge)) for edge in order]
    percents = {f"destroyed_{region}_percent": _percent(values[order]) for region, values in destroyed.items()}
    words = [f"{name}: {100 * float(share[edge]):.0f} % disconnected" for name, edge in zip(names, order, strict=True)]
    weights = np.round(template.weights[order], 4)
    return pd.DataFrame({"connection": names, "words": words, **percents, "weight": weights})


def nodes_of_lobes(template: NetworkTemplate) -> dict[str, Bool[np.ndarray, " n"]]:
    """Return lobe and side -> its nodes, such as `frontal_left`, for nodes whose names are those of AAL; nothing for others.

    Args:
        template: any.

    Source: names of Tzourio-Mazoyer et al., NeuroImage 2002;15:273 (AAL).
    """
    of_node = [(lobe_of(name), side_of(name)) for name in template.node_names]
    groups = {
        f"{lobe}_{word}": np.array([place == (lobe, side) for place in of_node], dtype=bool)
        for lobe in LOBES
        for word, side in (("left", -1), ("right", 1))
    }
    return {name: inside for name, inside in groups.items() if inside.any()}


def _percent(share: Float32[np.ndarray, " m"]) -> Float32[np.ndarray, " m"]:
    return np.asarray(np.round(100 * share, 1), dtype=np.float32)
