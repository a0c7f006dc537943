"""Which connections a graph network looks at, by name and in the brain."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Integer
from scipy.stats import rankdata, spearmanr
from sklearn.base import clone

from radiogen.branches.network.attribution import integrated_gradients, occlusion
from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.disconnection import sides
from radiogen.branches.network.geometric import importing_geometric
from radiogen.branches.network.gnn import GraphNetwork
from radiogen.branches.network.rows import GraphRows
from radiogen.branches.network.words import connection_name
from radiogen.cohort.nifti import write_image
from radiogen.config.network_model import ExplanationSettings
from radiogen.errors import InputError
from radiogen.preprocess.lobes import lobe_of
from radiogen.types import Labels01, Volume

with importing_geometric():
    from torch_geometric.explain import Explainer, GNNExplainer

_LARGEST_LOGIT = 2.0


def case_importance(
    model: GraphClassifier, X: GraphRows, settings: ExplanationSettings, seed: int = 0
) -> Float[np.ndarray, "c e"]:
    """Return how much the prediction of every case rests on each connection, 0 to 1.

    For attributions it is their size as a share of the largest one of the case; `case_attribution` has them with their sign. Connections beside a
    deciding one get a share as well: look at the checks below before a connection is named.

    Args:
        model: fitted.
        X: the cases, with the connections of the training.
        settings: which way, and its settings.
        seed: of the first masks of GNNExplainer; every case has its own.

    Raises:
        InputError: other connections than those of the training.
    """
    if settings.method == "gnnexplainer":
        return _learned_masks(model, X, settings, seed)
    size = np.abs(case_attribution(model, X, settings))
    largest = size.max(axis=1, keepdims=True)
    return np.asarray(np.divide(size, largest, out=np.zeros_like(size), where=largest > 0))


def case_attribution(model: GraphClassifier, X: GraphRows, settings: ExplanationSettings) -> Float[np.ndarray, "c e"]:
    """Return how much each connection adds to the log-odds of label 1 in every case, beyond what it adds on average.

    Args:
        model: fitted.
        X: the cases, with the connections of the training.
        settings: `integrated-gradients` or `occlusion`.

    Raises:
        InputError: the masks of GNNExplainer, which have no sign, or other connections than those of the training.
    """
    if settings.method == "gnnexplainer":
        raise InputError("The masks of GNNExplainer have no sign.", hint="Take integrated-gradients or occlusion.")
    _check_connections(model, X)
    if settings.method == "occlusion":
        return occlusion(model, X)
    return integrated_gradients(model, X, settings.path_steps)


def class_importance(
    model: GraphClassifier, X: GraphRows, y: Labels01, settings: ExplanationSettings, seed: int = 0
) -> dict[int, Float[np.ndarray, " e"]]:
    """Return the importance of each connection for the cases of each class, 0 to 1.

    For attributions: the size of their mean over the cases of the class, as a share of the largest one. What a network makes of connections that
    differ between patients, but not between classes, has no sign in common and falls out of the mean. For GNNExplainer: the mean mask.

    Args:
        model: fitted.
        X: cases, best those held out.
        y: 0/1 label per case.
        settings: which way, and how many cases of a class.
        seed: of the first masks of GNNExplainer.

    Raises:
        InputError: other connections than those of the training.
    """
    found = {}
    for label in sorted({int(value) for value in y}):
        cases = X[np.flatnonzero(y == label)[: settings.most_cases]]
        if settings.method == "gnnexplainer":
            found[label] = case_importance(model, cases, settings, seed).mean(axis=0)
        else:
            size = np.abs(case_attribution(model, cases, settings).mean(axis=0))
            found[label] = size / size.max() if size.max() > 0 else size
    return found


def _check_connections(model: GraphClassifier, X: GraphRows) -> None:
    n_learned = len(model.reference_)
    if len(X.edges) != n_learned:
        raise InputError(
            f"Graphs of {len(X.edges)} connections came; the network learned on {n_learned}.",
            hint="Explain cases on the template of the training.",
        )


class _Softened(torch.nn.Module):
    """A network whose logit is divided by a number."""

    def __init__(self, network: torch.nn.Module, divisor: float) -> None:
        super().__init__()
        self.network, self.divisor = network, divisor

    def forward(self, *values: Any, **named: Any) -> torch.Tensor:
        """Return the logit, divided."""
        return torch.as_tensor(self.network(*values, **named) / self.divisor)


def _learned_masks(
    model: GraphClassifier, X: GraphRows, settings: ExplanationSettings, seed: int
) -> Float[np.ndarray, "c e"]:
    """Return the mask over connections that GNNExplainer learns for every case, the mean of the two directions.

    The network must still say what it said, with as few connections as possible. A logit of 16 says that with almost no connection left, so the
    logit of every case is divided until it is 2 at most.

    Source: GNNExplainer, Ying et al. 2019, NeurIPS; the division is ours.
    """
    found = np.zeros((len(X), len(X.edges)))
    for number in range(len(X)):
        x, index, values = model.tensors(X[[number]])
        with torch.no_grad():
            logit = float(model.network_(x, index, values, len(x))[0])
        explainer = Explainer(
            model=_Softened(model.network_, max(1.0, abs(logit) / _LARGEST_LOGIT)).eval(),
            algorithm=GNNExplainer(epochs=settings.steps, lr=settings.learning_rate),
            explanation_type="model",
            edge_mask_type="object",
            model_config={"mode": "binary_classification", "task_level": "graph", "return_type": "raw"},
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            explanation = explainer(x, index, edge_values=values, nodes_per_case=len(x))
        found[number] = explanation.edge_mask.detach().cpu().numpy().reshape(2, -1).mean(0)
    return found


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

    Near 1: the importance shows which connections differ between patients, or the template, not what the network learned of the label, and must
    not be interpreted.

    Args:
        model: fitted on `X` and `y`.
        X: the training cases.
        y: 0/1 label per case.
        settings: which way.
        seed: of the shuffle and the first masks.

    Returns:
        Spearman's correlation over connections, -1 to 1; 0 where one of the two has no ranks.

    Source: data randomisation test of Adebayo et al. 2018, NeurIPS.
    """
    shuffled = np.random.default_rng(seed).permutation(y)
    return _agreement((model, y), (clone(model).fit(X, shuffled), shuffled), X, settings, seed)


def random_weights_check(
    model: GraphClassifier, X: GraphRows, y: Labels01, settings: ExplanationSettings, seed: int = 0
) -> float:
    """Return the rank correlation of the importance of a network with that of the same network with random weights.

    Near 1: the importance does not depend on what was learned, and must not be interpreted.

    Args:
        model: fitted.
        X: cases.
        y: 0/1 label per case.
        settings: which way.
        seed: of the random weights and the first masks.

    Returns:
        Spearman's correlation over connections, -1 to 1; 0 where one of the two has no ranks.

    Source: model parameter randomisation test of Adebayo et al. 2018, NeurIPS.
    """
    other = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        other.network_ = GraphNetwork(*model.sizes_, model.chosen_).to(model.device_).eval()
    return _agreement((model, y), (other, y), X, settings, seed)


def _agreement(
    first: tuple[GraphClassifier, Labels01],
    second: tuple[GraphClassifier, Labels01],
    X: GraphRows,
    settings: ExplanationSettings,
    seed: int,
) -> float:
    """Return the rank correlation of two networks' importance, the larger of the two classes' for each connection."""
    # Masks that start alike end alike, whatever the networks: each network has its own first masks.
    one, two = (
        np.max(list(class_importance(model, X, y, settings, seed + number).values()), axis=0)
        for number, (model, y) in enumerate((first, second))
    )
    if min(np.ptp(rankdata(one)), np.ptp(rankdata(two))) == 0:
        return 0.0
    return float(spearmanr(one, two).statistic)


def importance_table(template: NetworkTemplate, importance: Float[np.ndarray, " e"], keep: float = 0.0) -> pd.DataFrame:
    """Return the connections above a threshold in words, the most important first.

    Args:
        template: names of the regions, regions of the connections.
        importance: per connection of the template, 0 to 1.
        keep: only connections with a larger one.

    Returns:
        Columns `connection` (such as `A - B`), `from`, `to`, `side` (`left`, `right`, or `between` the halves, by where the regions lie),
        `lobes` (of both ends, blank for names that are not AAL's), `volume_ml` of the connection's region, `importance`.
    """
    side = sides(template)[template.edges]
    words = np.where(side[:, 0] != side[:, 1], "between", np.where(side[:, 0] < 0, "left", "right"))
    lobes = np.array([lobe_of(name) or "" for name in template.node_names], dtype=object)[template.edges]
    voxel_ml = float(np.prod(template.grid.voxel_size_mm)) / 1000
    table = pd.DataFrame(
        {
            "connection": [connection_name(template, edge) for edge in range(template.n_edges)],
            "from": [template.node_names[int(node)] for node in template.edges[:, 0]],
            "to": [template.node_names[int(node)] for node in template.edges[:, 1]],
            "side": words,
            "lobes": [" - ".join(filter(None, sorted(set(pair)))) for pair in lobes.tolist()],
            "volume_ml": np.round(np.diff(template.roi_start) * voxel_ml, 3),
            "importance": importance,
        }
    )
    kept = table[table["importance"] > keep].sort_values("importance", ascending=False, kind="stable")
    return kept.reset_index(drop=True)


def write_importance_map(
    path: str | Path, template: NetworkTemplate, importance: Float[np.ndarray, " e"], keep: float, how: str = "sum"
) -> None:
    """Write the importance of the connections that are kept as a NIfTI image in MNI152 space.

    Args:
        path: the file.
        template: regions of the connections.
        importance: per connection of the template.
        keep: connections with no larger importance count as 0.
        how: `sum` (the density of important tracts) or `max` where regions overlap.

    Raises:
        InputError: another number of connections, or another word.
        OutputError: the file cannot be written.
    """
    write_image(path, edge_map(template, np.where(importance > keep, importance, 0.0), how), template.grid)


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
