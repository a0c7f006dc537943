"""Which connections a graph network looks at, by name and in the brain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Integer
from scipy.stats import rankdata, spearmanr
from sklearn.base import clone

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.geometric import importing_geometric
from radiogen.branches.network.rows import GraphRows
from radiogen.config.network_model import ExplanationSettings
from radiogen.errors import InputError
from radiogen.types import Labels01, Volume

with importing_geometric():
    from torch_geometric.explain import Explainer, GNNExplainer


def case_importance(
    model: GraphClassifier, X: GraphRows, settings: ExplanationSettings, seed: int = 0
) -> Float[np.ndarray, "c e"]:
    """Return how much the prediction of every case rests on each connection, 0 to 1.

    A mask over connections is learned per case: the network must still say what it said, with as few connections as possible. The mask of a
    connection is the mean of its two directions. On made-up cohorts whose deciding connections are known these masks did not single them out:
    do not interpret them without `shuffled_label_check` and a check of your own.

    Args:
        model: fitted.
        X: the cases.
        settings: steps and learning rate of the masks.
        seed: of the first masks; every case has its own.

    Source: GNNExplainer, Ying et al. 2019, NeurIPS.
    """
    explainer = Explainer(
        model=model.network_,
        algorithm=GNNExplainer(epochs=settings.steps, lr=settings.learning_rate),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "binary_classification", "task_level": "graph", "return_type": "raw"},
    )
    found = np.zeros((len(X), len(X.edges)))
    for number in range(len(X)):
        x, index, values = model.tensors(X[[number]])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            explanation = explainer(x, index, edge_values=values, nodes_per_case=len(x))
        found[number] = explanation.edge_mask.detach().cpu().numpy().reshape(2, -1).mean(0)
    return found


def class_importance(
    model: GraphClassifier, X: GraphRows, y: Labels01, settings: ExplanationSettings, seed: int = 0
) -> dict[int, Float[np.ndarray, " e"]]:
    """Return the mean importance of each connection over the cases of each class.

    Args:
        model: fitted.
        X: cases, best those held out.
        y: 0/1 label per case.
        settings: of the masks, and how many cases of a class.
        seed: of the first masks; every case has its own.
    """
    return {
        label: case_importance(model, X[np.flatnonzero(y == label)[: settings.most_cases]], settings, seed).mean(axis=0)
        for label in sorted({int(value) for value in y})
    }


def connection_table(
    node_names: Sequence[str],
    edges: Integer[np.ndarray, "e 2"],
    importance: Float[np.ndarray, " e"],
    keep: float,
) -> pd.DataFrame:
    """Return the connections above a threshold by name, the most important first.

    Args:
        node_names: of the template.
        edges: pairs of nodes from 0.
        importance: per connection, 0 to 1.
        keep: only connections with a larger one.

    Example:
        >>> connection_table(["a", "b", "c"], np.array([[0, 1], [1, 2]]), np.array([0.9, 0.2]), 0.5).to_dict("records")
        [{'from': 'a', 'to': 'b', 'importance': 0.9}]
    """
    names = np.asarray(node_names, dtype=object)
    table = pd.DataFrame({"from": names[edges[:, 0]], "to": names[edges[:, 1]], "importance": importance})
    kept = table[table["importance"] > keep].sort_values("importance", ascending=False, kind="stable")
    return kept.reset_index(drop=True)


def shuffled_label_check(
    model: GraphClassifier, X: GraphRows, y: Labels01, settings: ExplanationSettings, seed: int = 0
) -> float:
    """Return the rank correlation of the importance of a network with that of one trained on shuffled labels.

    Near 1: the masks show the network's build or the template, not what it learned of the label, and must not be interpreted.

    Args:
        model: fitted on `X` and `y`.
        X: the training cases.
        y: 0/1 label per case.
        settings: of the masks.
        seed: of the shuffle and the first masks.

    Returns:
        Spearman's correlation over connections, -1 to 1; 0 where one of the two has no ranks.

    Source: data randomisation test of Adebayo et al. 2018, NeurIPS.
    """
    shuffled = np.random.default_rng(seed).permutation(y)
    other = clone(model).fit(X, shuffled)
    cases = X[: settings.most_cases]
    # Masks that start alike end alike, whatever the networks: each network has its own first masks.
    pairs = ((model, seed), (other, seed + 1))
    one, two = (case_importance(each, cases, settings, first).mean(axis=0) for each, first in pairs)
    if min(np.ptp(rankdata(one)), np.ptp(rankdata(two))) == 0:
        return 0.0
    return float(spearmanr(one, two).statistic)


def edge_map(template: NetworkTemplate, importance: Float[np.ndarray, " e"], how: str = "max") -> Volume:
    """Return the importance of connections in the voxels of their regions, on the template's grid.

    Args:
        template: regions of the connections.
        importance: per connection of the template; connections left out have 0.
        how: `max` or `sum` where regions overlap.

    Raises:
        InputError: another number of connections, or another word.
    """
    if how not in ("max", "sum") or len(importance) != template.n_edges:
        raise InputError(
            f"Importance of {len(importance)} connections, joined by '{how}', came; the template has {template.n_edges}, "
            "and 'max' and 'sum' are accepted."
        )
    volume: Float32[np.ndarray, " v"] = np.zeros(template.nodes.size, dtype=np.float32)
    per_voxel = np.repeat(importance, np.diff(template.roi_start)).astype(np.float32)
    join = np.maximum if how == "max" else np.add
    join.at(volume, template.roi_voxels, per_voxel)
    return volume.reshape(template.nodes.shape)
