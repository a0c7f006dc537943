"""Segmentation on supervoxel graphs: GraphSAGE over the nodes, painted back onto the voxels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from radiogen.branches.network.geometric import importing_geometric
from radiogen.branches.network.supervoxels import SupervoxelGraph, painted, supervoxel_graph, supervoxel_map
from radiogen.cohort.case import CaseImages
from radiogen.config.supervoxels import SupervoxelModelSettings, SupervoxelNetworkSettings
from radiogen.errors import InputError, RadiogenError
from radiogen.run.atomic import write_json, writing
from radiogen.training.devices import make_fabric
from radiogen.types import RC, LabelVolume

with importing_geometric():
    from torch_geometric.nn import SAGEConv

MODEL = "supervoxel-model.json"
NETWORK = "supervoxel-network.safetensors"

_SMALLEST_SPREAD = 1e-6


class SupervoxelNetwork(nn.Module):
    """GraphSAGE with max-pooled neighbours: node features in, one logit per label out.

    Every layer is `h' = relu(W [h, max over neighbours of relu(W_pool h)])`; the last one has no relu.

    Args:
        n_features: per node.
        settings: layers and width.

    Source: Hamilton et al. 2017, NeurIPS (GraphSAGE, pooling); sizes of the joint graph and image network of BraTS 2021.
    """

    def __init__(self, n_features: int, settings: SupervoxelNetworkSettings) -> None:
        super().__init__()
        sizes = [n_features] + [settings.width] * (settings.layers - 1) + [RC]
        self.layers = nn.ModuleList([SAGEConv(a, b, aggr="max", project=True) for a, b in pairwise(sizes)])

    def forward(
        self, x: Float[torch.Tensor, "n f"], edge_index: Integer[torch.Tensor, "2 m"]
    ) -> Float[torch.Tensor, "n 4"]:
        """Return the logits of no tumour, NCR, ED and ET per node.

        Args:
            x: node features.
            edge_index: from and to, both directions of every edge.
        """
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else torch.relu(x), edge_index)
        return x


class SupervoxelSegmenter:
    """Learns the labels of supervoxels; scaling and weights of labels are those of the graphs given to `fit`.

    Args:
        settings: of the network and its training; None: the paper's.

    Source: the joint graph and image network of BraTS 2021, its graph half: cross-entropy weighted by the inverse of each label's share of nodes,
        AdamW, a learning rate that falls by 2 % per epoch.
    """

    def __init__(self, settings: SupervoxelModelSettings | None = None) -> None:
        self.settings = settings or SupervoxelModelSettings()

    def fit(self, graphs: Sequence[SupervoxelGraph]) -> SupervoxelSegmenter:
        """Learn from graphs; the same graphs and seed give the same weights.

        Args:
            graphs: with labels.

        Raises:
            InputError: no graph, graphs without labels, or graphs of different features; all such cases are named.
        """
        _check(graphs)
        self.node_columns_ = graphs[0].node_columns
        values = np.concatenate([graph.node_values for graph in graphs]).astype(np.float64)
        known = np.isfinite(values)
        counts = np.maximum(known.sum(0), 1)
        mean = np.where(known, values, 0).sum(0) / counts
        spread = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(0) / counts)
        self.mean_ = mean.astype(np.float32)
        self.spread_ = np.where(spread > _SMALLEST_SPREAD, spread, 1).astype(np.float32)
        labels = np.concatenate([graph.labels for graph in graphs if graph.labels is not None])
        nodes = np.bincount(labels, minlength=RC)
        # A label that no node has is never asked for; its weight is then of no account.
        weights = torch.tensor(len(labels) / (RC * np.maximum(nodes, 1)), dtype=torch.float32)
        self._start()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self.network_ = SupervoxelNetwork(len(self.mean_), self.settings.network).to(self.device_)
            self._train(graphs, weights.to(self.device_))
        self.network_.eval()
        return self

    def predict_proba(self, graph: SupervoxelGraph) -> Float32[np.ndarray, "n 4"]:
        """Return the probability of no tumour, NCR, ED and ET per supervoxel.

        Args:
            graph: of a case; its labels are not looked at.

        Raises:
            InputError: its features are others than those learned from.
        """
        if graph.node_columns != self.node_columns_:
            raise InputError(
                f"Case {graph.case} has the features {', '.join(graph.node_columns[:5])} ...; learned were {', '.join(self.node_columns_[:5])} ...",
                hint="Build its graph with the settings of the model.",
            )
        with torch.inference_mode():
            logits = self.network_(*self._stacked([graph]))
            return np.asarray(torch.softmax(logits, dim=1).cpu().numpy(), dtype=np.float32)

    def predict(self, graph: SupervoxelGraph) -> Integer[np.ndarray, " n"]:
        """Return the likeliest label per supervoxel; `painted` brings it onto the voxels.

        Args:
            graph: of a case.

        Raises:
            InputError: its features are others than those learned from.
        """
        return np.argmax(self.predict_proba(graph), axis=1)

    def _start(self) -> None:
        self.device_ = make_fabric(self.settings.network.device, 1, "float32").device
        self.history_: list[float] = []

    def _train(self, graphs: Sequence[SupervoxelGraph], weights: torch.Tensor) -> None:
        chosen = self.settings.network
        loss_of = nn.CrossEntropyLoss(weights)
        optimiser = torch.optim.AdamW(
            self.network_.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay
        )
        falls = torch.optim.lr_scheduler.ExponentialLR(optimiser, chosen.epoch_decay)
        rng = np.random.default_rng(self.settings.seed)
        for _ in range(chosen.epochs):
            order, total = rng.permutation(len(graphs)), 0.0
            for start in range(0, len(order), chosen.batch_size):
                batch = [graphs[index] for index in order[start : start + chosen.batch_size]]
                targets = np.concatenate([graph.labels for graph in batch if graph.labels is not None])
                optimiser.zero_grad()
                loss = loss_of(self.network_(*self._stacked(batch)), torch.tensor(targets, device=self.device_))
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(batch)
            falls.step()
            self.history_.append(total / len(graphs))
        if not np.isfinite(self.history_[-1]):
            raise RadiogenError("The loss is no longer a number.", hint="Lower the learning rate.")

    def _stacked(self, graphs: Sequence[SupervoxelGraph]) -> tuple[torch.Tensor, torch.Tensor]:
        # What a case lacks becomes the mean of the training nodes.
        values = np.concatenate([graph.node_values for graph in graphs])
        scaled = np.nan_to_num((values - self.mean_) / self.spread_, nan=0.0)
        first = np.cumsum([0] + [graph.n_nodes for graph in graphs[:-1]])
        pairs = np.concatenate([graph.edges + offset for graph, offset in zip(graphs, first, strict=True)])
        one_way = torch.tensor(pairs.T.astype(np.int64), device=self.device_)
        return torch.tensor(scaled, device=self.device_), torch.cat([one_way, one_way.flip(0)], dim=1)


def segment_by_supervoxels(model: SupervoxelSegmenter, case: CaseImages) -> LabelVolume:
    """Return the mask that a trained model gives a case: its supervoxels are made, labelled and painted.

    Args:
        model: trained; its settings say how supervoxels are made.
        case: its sequences, brain-extracted, of about the voxel size that was learned on.

    Raises:
        CaseError: the images are empty.
    """
    supervoxels = supervoxel_map(case, model.settings.graph)
    return painted(model.predict(supervoxel_graph(case, supervoxels, settings=model.settings.graph)), supervoxels)


def save_supervoxel_model(folder: str | Path, model: SupervoxelSegmenter) -> list[Path]:
    """Write a trained model; no name of a case is written, and the same model gives the same bytes.

    Args:
        folder: gets `supervoxel-model.json` and `supervoxel-network.safetensors`.
        model: trained.

    Returns:
        The files.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    network = model.settings.network.model_copy(update={"device": "cpu"})
    tensors = {f"network.{name}": tensor for name, tensor in model.network_.state_dict().items()}
    tensors |= {"mean": torch.tensor(model.mean_), "spread": torch.tensor(model.spread_)}
    with writing(folder / NETWORK) as beside:
        beside.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    facts = {
        "settings": model.settings.model_copy(update={"network": network}).model_dump(mode="json"),
        "node_columns": list(model.node_columns_),
        "history": model.history_,
    }
    write_json(folder / MODEL, facts)
    return [folder / MODEL, folder / NETWORK]


def load_supervoxel_model(folder: str | Path) -> SupervoxelSegmenter:
    """Return a trained model that was saved, on the CPU.

    Args:
        folder: as `save_supervoxel_model` wrote it.

    Raises:
        InputError: a file is missing or is not what it should be.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        tensors = load_file(folder / NETWORK)
        model = SupervoxelSegmenter(SupervoxelModelSettings.parse(facts["settings"]))
        model.mean_, model.spread_ = tensors.pop("mean").numpy(), tensors.pop("spread").numpy()
        model.node_columns_ = tuple(facts["node_columns"])
        model._start()
        model.history_ = [float(loss) for loss in facts["history"]]
        model.network_ = SupervoxelNetwork(len(model.mean_), model.settings.network)
        model.network_.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, RadiogenError) as error:
        raise InputError(
            f"{folder} holds no model on supervoxels that can be read: {str(error).splitlines()[0]}",
            hint="Copy the whole folder again.",
        ) from error
    model.network_.eval()
    return model


def _check(graphs: Sequence[SupervoxelGraph]) -> None:
    if not graphs:
        raise InputError("There is no graph to learn from.", hint="Give at least one with labels.")
    problems = [f"{graph.case}: it has no mask" for graph in graphs if graph.labels is None]
    problems += [
        f"{graph.case}: its features differ from those of {graphs[0].case}"
        for graph in graphs
        if graph.node_columns != graphs[0].node_columns
    ]
    if problems:
        raise InputError("Graphs that cannot be learned from:", problems=problems, hint="Build them with one setting.")
