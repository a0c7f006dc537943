"""The graph network as a scikit-learn classifier; whatever is fitted is fitted on the rows given to `fit`."""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Integer
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from radiogen.branches.network.autoencoder import SparseAutoencoder
from radiogen.branches.network.gnn import GraphNetwork, stack_cases
from radiogen.branches.network.operators import EdgeIndex, EdgeTensor, NodeTensor
from radiogen.branches.network.rows import GraphRows
from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.config.network_model import AutoencoderSettings, GraphNetworkSettings
from radiogen.errors import InputError
from radiogen.training.devices import make_fabric
from radiogen.training.optimisers import build_optimiser, learning_rate
from radiogen.types import Labels01

_CASES_AT_ONCE = 64
_SMALLEST_SPREAD = 1e-6
Part = Literal["node_values", "edge_values"]

PARTS: tuple[Part, Part] = ("node_values", "edge_values")
"""What is encoded and scaled, each by itself."""


class GraphClassifier(ClassifierMixin, BaseEstimator):
    """Auto-encoders (where wanted), scaling and the graph network, trained with early stopping on held-out patients of the training rows.

    Args:
        settings: network and training; None: the defaults.
        autoencoder: settings of the two auto-encoders, where rows hold voxels; None: rows hold features.
        seed: of everything random.

    Source: methods of the IDH brain-network paper; see `GraphNetworkSettings` for what is ours.
    """

    def __init__(
        self,
        settings: GraphNetworkSettings | None = None,
        autoencoder: AutoencoderSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = settings
        self.autoencoder = autoencoder
        self.seed = seed

    def fit(self, X: GraphRows, y: Labels01, patient: np.ndarray | None = None) -> GraphClassifier:
        """Learn from rows.

        Args:
            X: training rows.
            y: 0/1 label per row.
            patient: patient id per row; every row is its own patient by default.

        Raises:
            InputError: labels other than 0 and 1, fewer than two patients of a class, or values that are no numbers.
        """
        group = X.case_ids if patient is None else np.asarray(patient)
        _check_labels(X, y, group)
        self.chosen_ = self.settings or GraphNetworkSettings()
        self.classes_ = np.array([0, 1])
        self.device_ = make_fabric(self.chosen_.device, 1, "float32").device
        self.encoders_ = self._fit_encoders(X)
        nodes, edges = self._encode(X, "node_values"), self._encode(X, "edge_values")
        if not (np.isfinite(nodes).all() and np.isfinite(edges).all()):
            raise InputError("The graphs hold values that are no numbers.", hint="Leave broken cases out.")
        self.scales_ = {"node_values": self._scale_of(nodes), "edge_values": self._scale_of(edges)}
        nodes, edges = self._scaled(nodes, "node_values"), self._scaled(edges, "edge_values")
        self.reference_: Float32[np.ndarray, "e g"] = edges.mean(axis=0, dtype=np.float64).astype(np.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.sizes_ = (
                nodes.shape[2] + (0 if X.node_context is None else X.node_context.shape[1]),
                edges.shape[2],
                2 * edges.shape[1] / nodes.shape[1],
            )
            self.network_ = GraphNetwork(*self.sizes_, self.chosen_).to(self.device_)
            self._train(nodes, edges, X, y, group)
        return self

    def _fit_encoders(self, X: GraphRows) -> dict[str, SparseAutoencoder]:
        if self.autoencoder is None:
            return {}
        fitted: dict[str, SparseAutoencoder] = {}
        for number, part in enumerate(PARTS):
            rows = X.drawn(part, self.autoencoder.most_rows, np.random.default_rng([self.seed, number]))
            fitted[part] = SparseAutoencoder(self.autoencoder, self.seed + number).fit(rows)
        return fitted

    def _encode(self, X: GraphRows, part: Part) -> Float32[np.ndarray, "c r f"]:
        rows = (X.case_values(part, row) for row in range(len(X)))
        if part not in self.encoders_:
            return np.stack(list(rows))
        return np.stack([self.encoders_[part].transform(values) for values in rows])

    def _scale_of(self, values: Float32[np.ndarray, "c r f"]) -> tuple[np.ndarray, np.ndarray]:
        if self.chosen_.scaling == "none":
            return np.zeros(values.shape[2], np.float32), np.ones(values.shape[2], np.float32)
        spread = values.std(axis=(0, 1), dtype=np.float64)
        mean = values.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        return mean, np.where(spread > _SMALLEST_SPREAD, spread, 1).astype(np.float32)

    def _scaled(self, values: Float32[np.ndarray, "c r f"], part: Part) -> Float32[np.ndarray, "c r f"]:
        mean, spread = self.scales_[part]
        return np.asarray((values - mean) / spread, dtype=np.float32)

    def _train(
        self,
        nodes: Float32[np.ndarray, "c nodes f"],
        edges: Float32[np.ndarray, "c e g"],
        X: GraphRows,
        y: Labels01,
        group: np.ndarray,
    ) -> None:
        settings = self.chosen_
        held_out = grouped_folds(group, y, min(settings.inner_folds, patients_of_smaller_class(group, y)), self.seed)[0]
        train = np.setdiff1d(np.arange(len(y)), held_out)
        # The natural ratio of the classes: each weighs the same in total.
        positive_weight = torch.tensor(float((y[train] == 0).sum() / (y[train] == 1).sum()), device=self.device_)
        optimiser = build_optimiser(settings.optimiser, self.network_.parameters())
        rng = np.random.default_rng([self.seed, 2])
        nodes, labels = _with_context(nodes, X.node_context), torch.from_numpy(y.astype(np.float32)).to(self.device_)
        per_epoch = -(-len(train) // settings.batch_size)
        self.history_: list[float] = []
        best, self.best_epoch_ = copy.deepcopy(self.network_.state_dict()), 0
        for epoch in range(settings.epochs):
            self.network_.train()
            order = rng.permutation(train)
            for step in range(per_epoch):
                rows = order[step * settings.batch_size : (step + 1) * settings.batch_size]
                keep = rng.random((len(rows), edges.shape[1])) >= settings.edge_drop if settings.edge_drop else None
                rate = learning_rate(
                    settings.optimiser, epoch * per_epoch + step, settings.epochs * per_epoch, self.history_
                )
                for part in optimiser.param_groups:
                    part["lr"] = rate
                logits = self.network_(*self._batch(nodes[rows], edges[rows], X.edges, keep), nodes.shape[1])
                optimiser.zero_grad()
                _weighted_bce(logits, labels[rows], positive_weight).backward()
                optimiser.step()
            logits = torch.from_numpy(self._apply(nodes[held_out], edges[held_out], X.edges, self.network_)).to(labels)
            self.history_.append(float(_weighted_bce(logits, labels[held_out], positive_weight)))
            if self.history_[-1] <= min(self.history_):
                best, self.best_epoch_ = copy.deepcopy(self.network_.state_dict()), epoch
            if epoch - self.best_epoch_ >= settings.patience:
                break
        self.network_.load_state_dict(best)
        self.network_.eval()

    def _batch(
        self,
        nodes: Float32[np.ndarray, "b nodes f"],
        edges: Float32[np.ndarray, "b e g"],
        pairs: Integer[np.ndarray, "e 2"],
        keep: Bool[np.ndarray, "b e"] | None = None,
    ) -> tuple[NodeTensor, EdgeIndex, EdgeTensor]:
        x, index, values = stack_cases(nodes, edges, pairs, keep)
        return x.to(self.device_), index.to(self.device_), values.to(self.device_)

    def _apply(
        self,
        nodes: Float32[np.ndarray, "c nodes f"],
        edges: Float32[np.ndarray, "c e g"],
        pairs: Integer[np.ndarray, "e 2"],
        function: Any,
    ) -> np.ndarray:
        """Return what a function of the network gives, some cases at a time."""
        self.network_.eval()
        found = []
        with torch.no_grad():
            for start in range(0, len(nodes), _CASES_AT_ONCE):
                part = slice(start, start + _CASES_AT_ONCE)
                found.append(function(*self._batch(nodes[part], edges[part], pairs), nodes.shape[1]).cpu().numpy())
        return np.concatenate(found)

    def tensors(self, X: GraphRows) -> tuple[NodeTensor, EdgeIndex, EdgeTensor]:
        """Return what the network sees of rows, stacked; see `stack_cases`."""
        nodes, edges = self.prepared(X)
        return self._batch(nodes, edges, X.edges)

    def prepared(self, X: GraphRows) -> tuple[Float32[np.ndarray, "c nodes q"], Float32[np.ndarray, "c e g"]]:
        """Return what the network sees of the nodes and the connections of rows: encoded, scaled, with the nodes' context.

        Raises:
            NotFittedError: it has not learned yet.
        """
        if not hasattr(self, "network_"):
            raise NotFittedError("This graph classifier has not learned yet; call fit first.")
        nodes = self._scaled(self._encode(X, "node_values"), "node_values")
        edges = self._scaled(self._encode(X, "edge_values"), "edge_values")
        return _with_context(nodes, X.node_context), edges

    def logits(
        self,
        nodes: Float32[np.ndarray, "c nodes q"],
        edges: Float32[np.ndarray, "c e g"],
        pairs: Integer[np.ndarray, "e 2"],
    ) -> Float[np.ndarray, " c"]:
        """Return the log-odds of class 1.

        Args:
            nodes: as `prepared` returns them.
            edges: as `prepared` returns them.
            pairs: nodes of every connection, from 0.
        """
        return self._apply(nodes, edges, pairs, self.network_).astype(np.float64)

    def predict_proba(self, X: GraphRows) -> Float[np.ndarray, "c 2"]:
        """Return the probabilities of class 0 and 1 per row."""
        logits = self.logits(*self.prepared(X), X.edges)
        positive = 1 / (1 + np.exp(-logits))
        return np.column_stack([1 - positive, positive])

    def predict(self, X: GraphRows) -> Labels01:
        """Return 1 where the probability is at least one half, else 0."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)

    def transform(self, X: GraphRows) -> Float32[np.ndarray, "c d"]:
        """Return the graph embedding of every row, for fusion."""
        return self._apply(*self.prepared(X), X.edges, self.network_.embed)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the columns of `transform`."""
        size = (self.settings or GraphNetworkSettings()).embedding
        return np.array([f"network_graph_{number:02d}" for number in range(1, size + 1)], dtype=object)


def _weighted_bce(logits: torch.Tensor, labels: torch.Tensor, positive_weight: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=positive_weight)


def _with_context(
    nodes: Float32[np.ndarray, "c nodes f"], context: np.ndarray | None
) -> Float32[np.ndarray, "c nodes q"]:
    if context is None:
        return nodes
    shared = np.broadcast_to(context.astype(np.float32), (len(nodes), *context.shape))
    return np.concatenate([nodes, shared], axis=2)


def _check_labels(X: GraphRows, y: Labels01, group: np.ndarray) -> None:
    if len(y) != len(X) or len(group) != len(X) or not np.isin(y, [0, 1]).all():
        raise InputError(
            f"{len(X)} graphs, {len(y)} labels ({', '.join(str(value) for value in np.unique(y)[:5])}) and {len(group)} patients came.",
            hint="Give one label, 0 or 1, and one patient per graph.",
        )
    if (fewest := patients_of_smaller_class(group, y)) < 2:
        raise InputError(
            f"A class has {fewest} patient(s); early stopping holds patients of both classes out.",
            hint="Give two or more patients of each class.",
        )
