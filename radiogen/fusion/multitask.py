"""Several markers at once from tables in which many labels are unknown: a shared layer, one output per marker, unknown labels masked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.special import expit
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from radiogen.config.classify import ClassifySettings
from radiogen.config.multitask import MultiTaskSettings
from radiogen.errors import ConfigError
from radiogen.fusion.base import EPSILON, without_context
from radiogen.fusion.context import RowContext
from radiogen.fusion.prepare import preparation

PartialLabels = Float[np.ndarray, "n k"]
"""Rows by markers: 0, 1, or NaN where unknown."""

Probabilities = Float[np.ndarray, "n k"]
"""Probability of the positive class, rows by markers."""

LABEL_FREE = ("correlation", "correlation-clusters", "icc")
"""Selectors that look at no label, so that they can serve several markers."""


def dealt_folds(patient: np.ndarray, labels: PartialLabels, n_folds: int, seed: int) -> list[np.ndarray]:
    """Return the test rows of each fold: patients stay together, and patients with like labels (unknown is a label here) are spread evenly.

    Args:
        patient: patient per row.
        labels: 0, 1 or NaN, rows by markers.
        n_folds: folds.
        seed: of the dealing.

    Example:
        >>> folds = dealt_folds(np.array(list("abcd")), np.array([[0.0], [0.0], [1.0], [1.0]]), 2, seed=0)
        >>> [len(set(rows) & {0, 1}) for rows in folds]
        [1, 1]
    """
    names, number = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    known = np.where(np.isnan(labels), -1.0, labels)
    # A patient is positive where one of its rows is.
    of_patient = np.full((len(names), labels.shape[1]), -1.0)
    np.maximum.at(of_patient, number, known)
    chance = np.random.default_rng(seed).permutation(len(names))
    order = np.lexsort((chance, *of_patient.T[::-1]))
    fold = np.empty(len(names), dtype=np.int64)
    fold[order] = np.arange(len(names)) % n_folds
    return [np.flatnonzero(fold[number] == at) for at in range(n_folds)]


def masked_loss(odds: torch.Tensor, labels: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean over markers of the mean log loss over the rows whose label is known.

    Args:
        odds: log-odds, rows by markers.
        labels: 0 or 1; whatever stands where the label is unknown is multiplied by zero.
        known: 1 where the label is known, else 0.
    """
    each = torch.nn.functional.binary_cross_entropy_with_logits(odds, labels, reduction="none") * known
    return (each.sum(dim=0) / known.sum(dim=0).clamp(min=1.0)).mean()


class MultiTaskClassifier(BaseEstimator):
    """Preparation without labels, then small networks with a shared layer; how long they learn is chosen on inner folds of patients.

    Args:
        settings: of the preparation and the inner folds, as `ClassifySettings` dumps them; None: the defaults.
        network: of the network, as `MultiTaskSettings` dumps them; None: the defaults.
        seed: of inner folds and networks.

    Source: Caruana, Mach Learn 1997, 28:41 (a shared representation for several tasks).
    """

    def __init__(
        self, settings: dict[str, Any] | None = None, network: dict[str, Any] | None = None, seed: int = 0
    ) -> None:
        self.settings = settings
        self.network = network
        self.seed = seed

    def fit(
        self, X: pd.DataFrame, Y: PartialLabels, patient: np.ndarray, context: RowContext | None = None
    ) -> MultiTaskClassifier:
        """Choose how long to learn on inner folds, and learn from all given rows.

        Args:
            X: one row per case, NaN where missing.
            Y: 0, 1 or NaN (unknown), rows by markers.
            patient: patient per row.
            context: sites and covariates of the rows, where the preparation harmonises.

        Raises:
            ConfigError: a selector looks at labels.
        """
        chosen = ClassifySettings.model_construct(**{**ClassifySettings().model_dump(), **(self.settings or {})})
        network = MultiTaskSettings.model_validate(self.network or {})
        wrong = [name for name in chosen.selection if name not in LABEL_FREE]
        if wrong or chosen.reduce == "pls":
            raise ConfigError(
                f"{', '.join(wrong) or 'pls'} looks at one label, and there are {Y.shape[1]} markers.",
                hint=f"Accepted for several markers: {', '.join(LABEL_FREE)}, none; reduce: none, pca.",
            )
        values = X.to_numpy(dtype=float)
        context = without_context(X) if context is None else context
        self.inner_probability_ = np.full((len(network.epochs), *Y.shape), np.nan)
        folds = max(2, min(chosen.inner_folds, len(set(patient))))
        for test in dealt_folds(patient, Y, folds, self.seed):
            train = np.setdiff1d(np.arange(len(Y)), test)
            step = preparation(chosen, self.seed)
            before = step.fit_transform(values[train], _no_labels(train), context.take(train))
            after = step.transform(values[test], context.take(test))
            learned = _learn(before, Y[train], network, max(network.epochs), self.seed)
            self.inner_probability_[:, test] = [expit(_log_odds(state, after)) for state in learned]
        self.inner_losses_ = [_log_loss(found, Y) for found in self.inner_probability_]
        best = int(np.argmin(np.round(self.inner_losses_, 9)))
        self.epochs_ = network.epochs[best]
        self.inner_probability_ = self.inner_probability_[best]
        self.preparation_ = preparation(chosen, self.seed)
        prepared = self.preparation_.fit_transform(values, _no_labels(Y), context)
        self.state_ = _learn(prepared, Y, network, self.epochs_, self.seed)[network.epochs.index(self.epochs_)]
        return self

    def predict_proba(self, X: pd.DataFrame, context: RowContext | None = None) -> Probabilities:
        """Return the probability of every marker.

        Args:
            X: columns as in `fit`.
            context: of the rows.
        """
        context = without_context(X) if context is None else context
        prepared = self.preparation_.transform(X.to_numpy(dtype=float), context)
        return expit(_log_odds(self.state_, prepared))


State = list[np.ndarray]
"""Weights and biases of the shared layer and of the outputs, members first."""


def _no_labels(rows: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), dtype=np.int64)


def _log_loss(probability: Probabilities, labels: PartialLabels) -> float:
    p = np.clip(probability, EPSILON, 1 - EPSILON)
    loss = -np.where(labels == 1, np.log(p), np.log1p(-p))
    return float(np.nanmean(np.nanmean(np.where(np.isnan(labels), np.nan, loss), axis=0)))


def _learn(
    X: Float[np.ndarray, "n q"], Y: PartialLabels, network: MultiTaskSettings, epochs: int, seed: int
) -> list[State]:
    """Return the weights after each candidate number of epochs up to `epochs`; the members learn side by side."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.from_numpy(X.astype(np.float32))
    known = torch.from_numpy((~np.isnan(Y)).astype(np.float32))
    labels = torch.from_numpy(np.nan_to_num(Y, nan=0.0).astype(np.float32))
    weights = _start(network, X.shape[1], Y.shape[1], draw)
    optimiser = torch.optim.AdamW(
        [
            {"params": weights[::2], "weight_decay": network.weight_decay},
            {"params": weights[1::2], "weight_decay": 0.0},
        ],
        lr=network.learning_rate,
    )
    keep = 1 - network.dropout
    found = []
    # More threads would only wait for one another here, and add in another order.
    with threadpool_limits(1):
        for epoch in range(1, epochs + 1):
            optimiser.zero_grad()
            seen = rows * (torch.rand(rows.shape, generator=draw) < keep) / keep
            shared = torch.tanh(seen @ weights[0] + weights[1])
            shared = shared * (torch.rand(shared.shape, generator=draw) < keep) / keep
            odds = shared @ weights[2] + weights[3]
            loss = torch.stack([masked_loss(member, labels, known) for member in odds]).sum()
            torch.autograd.backward(loss)
            optimiser.step()
            if epoch in network.epochs:
                found.append([weight.detach().numpy().copy() for weight in weights])
    return found


def _start(network: MultiTaskSettings, columns: int, markers: int, draw: torch.Generator) -> list[torch.Tensor]:
    members, hidden = network.members, network.hidden
    weights = [
        torch.randn((members, columns, hidden), generator=draw) / columns**0.5,
        torch.zeros((members, 1, hidden)),
        torch.randn((members, hidden, markers), generator=draw) / hidden**0.5,
        torch.zeros((members, 1, markers)),
    ]
    return [weight.requires_grad_() for weight in weights]


def _log_odds(state: State, X: Float[np.ndarray, "n q"]) -> Float[np.ndarray, "n k"]:
    shared, bias, outputs, start = (weight.astype(float) for weight in state)
    return (np.tanh(X @ shared + bias) @ outputs + start).mean(axis=0)
