"""A sparse auto-encoder: the voxels of a region to a dozen latents."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from torch import nn

from radiogen.config.network_model import AutoencoderSettings
from radiogen.errors import InputError

_ROWS_AT_ONCE = 2048
_TINY = 1e-6


class SparseLayers(nn.Module):
    """Two fully connected layers, each with a logistic sigmoid.

    Args:
        n_values: inputs and outputs.
        latents: hidden units.

    Source: trainAutoencoder of MATLAB, which the loss name of the IDH brain-network paper points to.
    """

    def __init__(self, n_values: int, latents: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(n_values, latents)
        self.decoder = nn.Linear(latents, n_values)

    def encode(self, x: Float[torch.Tensor, "n v"]) -> Float[torch.Tensor, "n z"]:
        """Return the hidden units, 0 to 1."""
        return torch.sigmoid(self.encoder(x))

    def decode(self, hidden: Float[torch.Tensor, "n z"]) -> Float[torch.Tensor, "n v"]:
        """Return the values that hidden units stand for, 0 to 1."""
        return torch.sigmoid(self.decoder(hidden))


def sparse_loss(
    layers: SparseLayers, x: Float[torch.Tensor, "n v"], settings: AutoencoderSettings
) -> Float[torch.Tensor, ""]:
    """Return the squared error, the weights' size and the distance of mean activations from sparsity, added up.

    `1/n sum_n sum_k (x - x')^2 + l2 * 1/2 sum w^2 + weight * sum_i KL(rho || mean activation of unit i)`; biases are not held small.

    Args:
        layers: the auto-encoder.
        x: rows, 0 to 1.
        settings: weights of the parts.

    Source: msesparse of MATLAB's trainAutoencoder; Olshausen and Field 1997, Vision Research 37:3311.
    """
    hidden = layers.encode(x)
    error = ((layers.decode(hidden) - x) ** 2).sum(1).mean()
    size = 0.5 * ((layers.encoder.weight**2).sum() + (layers.decoder.weight**2).sum())
    rho, active = settings.sparsity, hidden.mean(0).clamp(_TINY, 1 - _TINY)
    apart = (rho * torch.log(rho / active) + (1 - rho) * torch.log((1 - rho) / (1 - active))).sum()
    return torch.as_tensor(error + settings.l2 * size + settings.sparsity_weight * apart)


class SparseAutoencoder(TransformerMixin, BaseEstimator):
    """A sparse auto-encoder as a scikit-learn transformer: rows of voxels to rows of latents.

    Every input is brought to 0..1 by the range it has in the rows learned from; other rows are cut off at these ends.

    Args:
        settings: sizes, loss, training; None: the paper's.
        seed: of the first weights and of the order of rows.

    Example:
        >>> rows = np.random.default_rng(0).random((50, 8), dtype=np.float32)
        >>> model = SparseAutoencoder(AutoencoderSettings(latents=3, epochs=2)).fit(rows)
        >>> model.transform(rows).shape
        (50, 3)
    """

    def __init__(self, settings: AutoencoderSettings | None = None, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed

    def fit(self, X: Float32[np.ndarray, "n v"], y: object = None) -> SparseAutoencoder:
        """Learn from rows of training patients.

        Args:
            X: one row per region and patient.
            y: not looked at.

        Raises:
            InputError: fewer than two rows, or values that are no numbers.
        """
        settings = self.settings or AutoencoderSettings()
        if len(X) < 2 or not np.isfinite(X).all():
            raise InputError(
                f"An auto-encoder learns from two or more rows of finite numbers; {len(X)} row(s) came, "
                f"{int((~np.isfinite(X)).sum())} value(s) not finite.",
                hint="Leave broken cases out.",
            )
        self.n_features_in_ = X.shape[1]
        self.lowest_ = X.min(axis=0)
        self.range_ = np.where(X.max(axis=0) > self.lowest_, X.max(axis=0) - self.lowest_, 1).astype(np.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.layers_ = SparseLayers(X.shape[1], settings.latents)
            self.losses_ = self._learn(X, settings)
        return self

    def _learn(self, X: Float32[np.ndarray, "n v"], settings: AutoencoderSettings) -> list[float]:
        optimiser = torch.optim.Adam(self.layers_.parameters(), lr=settings.learning_rate)
        losses = []
        for _ in range(settings.epochs):
            order, total = torch.randperm(len(X)).numpy(), 0.0
            for start in range(0, len(X), settings.batch_size):
                batch = torch.tensor(self._scaled(X[order[start : start + settings.batch_size]]))
                loss = sparse_loss(self.layers_, batch, settings)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(batch)
            losses.append(total / len(X))
        return losses

    def _scaled(self, X: Float32[np.ndarray, "n v"]) -> Float32[np.ndarray, "n v"]:
        return np.asarray(np.clip((X - self.lowest_) / self.range_, 0, 1), dtype=np.float32)

    def transform(self, X: Float32[np.ndarray, "n v"]) -> Float32[np.ndarray, "n z"]:
        """Return the latents of rows, 0 to 1.

        Raises:
            NotFittedError: it has not learned yet.
            InputError: rows of another length.
        """
        self._check(X)
        with torch.no_grad():
            parts = [
                self.layers_.encode(torch.tensor(self._scaled(X[start : start + _ROWS_AT_ONCE]))).numpy()
                for start in range(0, len(X), _ROWS_AT_ONCE)
            ]
        latents = self.layers_.encoder.out_features
        return np.concatenate(parts) if parts else np.zeros((0, latents), np.float32)

    def reconstruct(self, X: Float32[np.ndarray, "n v"]) -> Float32[np.ndarray, "n v"]:
        """Return what the latents keep of rows, in the rows' own unit."""
        latents = torch.from_numpy(self.transform(X))
        with torch.no_grad():
            values: np.ndarray = self.layers_.decode(latents).numpy()
        return values * self.range_ + self.lowest_

    def _check(self, X: np.ndarray) -> None:
        if not hasattr(self, "layers_"):
            raise NotFittedError("This auto-encoder has not learned yet; call fit first.")
        if X.shape[1] != self.n_features_in_:
            raise InputError(
                f"Rows of {X.shape[1]} values came; this auto-encoder learned on {self.n_features_in_}.",
                hint="Take the same number of voxels and sequences as in training.",
            )
