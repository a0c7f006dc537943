"""The classifier on top of one vector per sequence: every value is weighed over the sequences by weights of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from radiogen.errors import ConfigError

BIASES = ("per-neuron", "scalar")
"""Whether each fused value has a bias of its own or all share one; the paper prints it without an index."""

StackedVectors = Float[Tensor, "b s d"]
"""One vector per item and sequence."""

Logits = Float[Tensor, "b _outputs"]
"""One row of logits per item."""


class LocallyConnectedHead(nn.Module):
    """Locally connected fusion and three dense layers: g_i = sum over sequences j of f_ij w_ij + b_i, then 256, 128 and the outputs.

    Dropout, then ReLU, after the fusion and after the two hidden layers. The paper applies both after every dense layer; after the last one that
    would keep all probabilities at 0.5 or above, so the logits are left as they are.

    Args:
        n_sequences: sequences.
        dimension: length of a sequence's vector.
        bias: `per-neuron` or `scalar`.
        hidden: widths of the hidden layers.
        dropout: probability that a value is dropped in training.
        outputs: logits; 1 for a yes or no.

    Raises:
        ConfigError: an argument is not accepted.

    Source: Lang et al., A video data based transfer learning approach for classification of MGMT status in brain tumor MR images, BrainLes 2021.

    Example:
        >>> head = LocallyConnectedHead(4, 8192)
        >>> sum(weight.numel() for weight in head.parameters())
        2171393
        >>> head(torch.zeros(2, 4, 8192)).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        n_sequences: int,
        dimension: int,
        bias: str = "per-neuron",
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.5,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        problems = [
            f"{name} is {value}, it has to be at least 1"
            for name, value in (("n_sequences", n_sequences), ("dimension", dimension), ("outputs", outputs))
            if value < 1
        ]
        problems += [f"a hidden layer has {width} values, it needs at least 1" for width in hidden if width < 1]
        if bias not in BIASES:
            problems.append(f"bias is '{bias}', not one of {', '.join(BIASES)}")
        if not 0 <= dropout < 1:
            problems.append(f"dropout is {dropout}, it has to be at least 0 and below 1")
        if problems:
            raise ConfigError("The locally connected classifier cannot be built:", problems=problems)
        self.weight = nn.Parameter(torch.empty(n_sequences, dimension))
        self.bias = nn.Parameter(torch.zeros(dimension if bias == "per-neuron" else 1))
        # As torch starts dense layers: each fused value has as many inputs as there are sequences.
        nn.init.uniform_(self.weight, -1 / math.sqrt(n_sequences), 1 / math.sqrt(n_sequences))
        layers: list[nn.Module] = [nn.Dropout(dropout), nn.ReLU()]
        for before, after in pairwise((dimension, *hidden)):
            layers += [nn.Linear(before, after), nn.Dropout(dropout), nn.ReLU()]
        self.dense = nn.Sequential(*layers, nn.Linear((dimension, *hidden)[-1], outputs))

    def fused(self, vectors: StackedVectors, present: Bool[Tensor, "b s"] | None = None) -> Float[Tensor, "b d"]:
        """Return g, before dropout and ReLU.

        Args:
            vectors: one per sequence; whatever stands for a missing one is not looked at, NaN neither.
            present: which sequences each item has; None: all of them.
        """
        if present is not None:
            vectors = torch.where(present[..., None], vectors, 0.0)
        return torch.einsum("bsd,sd->bd", vectors, self.weight) + self.bias

    def forward(self, vectors: StackedVectors, present: Bool[Tensor, "b s"] | None = None) -> Logits:
        """Return logits; a missing sequence is a vector of zeros."""
        found: Tensor = self.dense(self.fused(vectors, present))
        return found


def stack_sequences(vectors: Mapping[str, Float[Tensor, "b d"]]) -> tuple[StackedVectors, Bool[Tensor, "b s"]]:
    """Return the vectors of all sequences side by side with zeros for missing ones, and which are present.

    Args:
        vectors: sequence -> one vector per item, NaN throughout where the item lacks the sequence.

    Example:
        >>> stacked, present = stack_sequences({"t1c": torch.ones(1, 2), "t2f": torch.full((1, 2), torch.nan)})
        >>> stacked.tolist(), present.tolist()
        ([[[1.0, 1.0], [0.0, 0.0]]], [[True, False]])
    """
    stacked = torch.stack(list(vectors.values()), dim=1)
    present = ~stacked.isnan().all(dim=2)
    return torch.where(present[..., None], stacked, 0.0), present
