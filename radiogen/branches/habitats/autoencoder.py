"""Auto-encoders of voxels: feature-enhanced, ensemble, standard, and none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from radiogen.branches.habitats.voxels import Codes, Rows
from radiogen.config.habitats import AutoencoderTraining
from radiogen.errors import ConfigError

ENCODERS = ("fae", "ensemble", "standard", "none")
_ROWS_AT_ONCE = 65_536
_PAIR = 2


def _two_layers(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, hidden), nn.Tanh(), nn.Linear(hidden, n_out), nn.Tanh())


class PairwiseAutoencoder(nn.Module):
    """The feature-enhanced auto-encoder; without the decoder of all maps it is the ensemble auto-encoder.

    Every pair of maps has an encoder (2 - hidden - 2); the centre has one node per map and sees all of them; every pair has a mirrored decoder. The
    decoder of all maps takes the decoders' inner codes (dual decoding).

    Args:
        n_maps: two or more.
        hidden: nodes of a hidden layer.
        dual: whether there is a decoder of all maps.

    Source: the habitat paper's section on the feature-enhanced auto-encoder; it does not state the width of a pair's code, which is 2 here.
    """

    def __init__(self, n_maps: int, hidden: int, dual: bool) -> None:
        super().__init__()
        self.pairs = list(combinations(range(n_maps), 2))
        width = _PAIR * len(self.pairs)
        self.encoders = nn.ModuleList(_two_layers(_PAIR, hidden, _PAIR) for _ in self.pairs)
        self.centre = nn.Sequential(nn.Linear(width, n_maps), nn.Tanh())
        self.codes = nn.Sequential(nn.Linear(n_maps, width), nn.Tanh())
        self.decoders = nn.ModuleList(_two_layers(_PAIR, hidden, _PAIR) for _ in self.pairs)
        self.all_maps = _two_layers(width, hidden, n_maps) if dual else None

    def encode(self, x: Float[torch.Tensor, "n m"]) -> Float[torch.Tensor, "n z"]:
        """Return the centre's nodes."""
        parts = [encoder(x[:, list(pair)]) for encoder, pair in zip(self.encoders, self.pairs, strict=True)]
        return torch.as_tensor(self.centre(torch.cat(parts, dim=1)))

    @property
    def n_losses(self) -> int:
        """Return 2 where there is a decoder of all maps."""
        return 1 if self.all_maps is None else 2

    def loss(self, x: Float[torch.Tensor, "n m"], number: int) -> Float[torch.Tensor, ""]:
        """Return the squared error: 0 is that of the pairs, 1 that of the maps; each has a training step of its own."""
        codes = self.codes(self.encode(x))
        if number == 1 and self.all_maps is not None:
            return nn.functional.mse_loss(self.all_maps(codes), x)
        found = [
            nn.functional.mse_loss(decoder(codes[:, _PAIR * w : _PAIR * w + _PAIR]), x[:, list(pair)])
            for w, (decoder, pair) in enumerate(zip(self.decoders, self.pairs, strict=True))
        ]
        return torch.stack(found).mean()


class PlainAutoencoder(nn.Module):
    """The standard auto-encoder: three hidden layers, of which the middle one is the code.

    Args:
        n_maps: inputs and outputs.
        hidden: nodes of each hidden layer.
    """

    def __init__(self, n_maps: int, hidden: int) -> None:
        super().__init__()
        self.encoder = _two_layers(n_maps, hidden, hidden)
        self.decoder = _two_layers(hidden, hidden, n_maps)

    def encode(self, x: Float[torch.Tensor, "n m"]) -> Float[torch.Tensor, "n z"]:
        """Return the middle layer."""
        return torch.as_tensor(self.encoder(x))

    @property
    def n_losses(self) -> int:
        """Return 1."""
        return 1

    def loss(self, x: Float[torch.Tensor, "n m"], number: int) -> Float[torch.Tensor, ""]:
        """Return the squared error of the maps."""
        return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)


class VoxelEncoder:
    """Learns what voxels are, and says where each one lies; the same seed gives the same bytes.

    Args:
        kind: one of `ENCODERS`.
        n_maps: columns of the voxels.
        training: sizes and steps.

    Raises:
        ConfigError: the kind is unknown, or needs pairs and there is one map.

    Example:
        >>> rows = np.random.default_rng(0).uniform(-1, 1, (64, 3)).astype(np.float32)
        >>> VoxelEncoder("fae", 3, AutoencoderTraining(epochs=1)).learn(rows, seed=0).encode(rows).shape
        (64, 3)
    """

    def __init__(self, kind: str, n_maps: int, training: AutoencoderTraining) -> None:
        if kind not in ENCODERS:
            raise ConfigError(f"'{kind}' is not an encoder; accepted: {', '.join(ENCODERS)}.")
        if kind in ("fae", "ensemble") and n_maps < _PAIR:
            raise ConfigError(f"Encoder '{kind}' needs two or more maps; there is one.", hint="Take 'standard'.")
        self.kind, self.n_maps, self.training = kind, n_maps, training
        self.network = self._built(0)

    def _built(self, seed: int) -> PairwiseAutoencoder | PlainAutoencoder | None:
        if self.kind == "none":
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.kind == "standard":
                return PlainAutoencoder(self.n_maps, self.training.hidden)
            return PairwiseAutoencoder(self.n_maps, self.training.hidden, dual=self.kind == "fae")

    def learn(self, rows: Rows, seed: int) -> VoxelEncoder:
        """Learn from voxels of training patients.

        Args:
            rows: in -1..1.
            seed: of the first weights and of the order.
        """
        self.network = self._built(seed)
        if self.network is None:
            return self
        order = torch.Generator().manual_seed(seed)
        data = torch.from_numpy(np.ascontiguousarray(rows))
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self.training.learning_rate)
        # One thread: the order of sums, and so the last bits, must not depend on the machine's load.
        with _one_torch_thread():
            for _ in range(self.training.epochs):
                for batch in torch.randperm(len(data), generator=order).split(self.training.batch_size):
                    self._step(optimiser, data[batch])
        return self

    def _step(self, optimiser: torch.optim.Optimizer, batch: Float[torch.Tensor, "n m"]) -> None:
        network = self.network
        if network is None:
            return
        for number in range(network.n_losses):  # alternating
            optimiser.zero_grad()
            network.loss(batch, number).backward()
            optimiser.step()

    def encode(self, rows: Rows) -> Codes:
        """Return the code of every voxel; memory does not grow with their number beyond the result."""
        network = self.network
        if network is None:
            return rows
        with torch.no_grad(), _one_torch_thread():
            parts = [
                network.encode(torch.from_numpy(np.ascontiguousarray(rows[start : start + _ROWS_AT_ONCE]))).numpy()
                for start in range(0, len(rows), _ROWS_AT_ONCE)
            ]
        return np.concatenate(parts)

    def error(self, rows: Rows) -> float:
        """Return the mean squared error of the maps (of the pairs, without a decoder of all maps)."""
        if self.network is None:
            return 0.0
        with torch.no_grad():
            return float(self.network.loss(torch.from_numpy(np.ascontiguousarray(rows)), self.network.n_losses - 1))

    def weights(self) -> dict[str, np.ndarray]:
        """Return name -> weights, for safetensors."""
        if self.network is None:
            return {}
        return {name: value.detach().numpy().copy() for name, value in self.network.state_dict().items()}

    def load(self, weights: Mapping[str, np.ndarray]) -> VoxelEncoder:
        """Take weights over.

        Raises:
            ConfigError: they are those of another encoder.
        """
        if self.network is not None:
            try:
                self.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
            except RuntimeError as error:
                raise ConfigError(f"The weights do not fit encoder '{self.kind}' of {self.n_maps} maps.") from error
        return self


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
