"""Training of a small fusion network on the CPU: each branch alone, then frozen, then the fusion; all rows in every step."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from radiogen.config.fusion import FusionNetworkSettings
from radiogen.fusion.layers import HEADS, BranchEmbedding

Head = nn.Module


@dataclass(frozen=True)
class BranchRows:
    """Prepared columns of one branch.

    Args:
        rows: positions of the rows that have the branch.
        values: their prepared columns.
    """

    rows: np.ndarray
    values: Float[np.ndarray, "m q"]

    @property
    def tensor(self) -> Tensor:
        """Return the values for torch."""
        return torch.from_numpy(np.ascontiguousarray(self.values, dtype=np.float32))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make torch's numbers depend on the seed alone and sum on one thread; afterwards everything is as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def train_branch(
    branch: BranchRows,
    y: np.ndarray,
    weight: np.ndarray,
    epochs: Sequence[int],
    settings: FusionNetworkSettings,
    seed: int,
) -> dict[int, BranchEmbedding]:
    """Return the branch's part after each number of epochs of learning alone.

    Args:
        branch: training rows.
        y: 0/1 label of all rows of the training side.
        weight: weight of all rows.
        epochs: when to keep it.
        settings: size and training.
        seed: of everything random.
    """
    with seeded(seed):
        part = BranchEmbedding(branch.values.shape[1], settings)
        x, labels = branch.tensor, torch.from_numpy(y[branch.rows].astype(np.float32))
        weights = torch.from_numpy(weight[branch.rows].astype(np.float32))
        prevalence = float((weights * labels).sum() / weights.sum())
        with torch.no_grad():
            part.offset.fill_(float(np.log(prevalence / (1 - prevalence))))
        loss = nn.BCEWithLogitsLoss(weight=weights)
        optimiser = torch.optim.AdamW(part.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
        kept = {}
        for epoch in range(max(epochs) + 1):
            if epoch in epochs:
                kept[epoch] = copy.deepcopy(part).eval()
            optimiser.zero_grad()
            loss(part.logits(x), labels).backward()
            optimiser.step()
    return kept


def branch_logits(part: BranchEmbedding, branch: BranchRows) -> np.ndarray:
    """Return the log-odds that a branch alone gives its rows."""
    with torch.no_grad():
        return part.logits(branch.tensor).numpy().astype(float)


def stacked(parts: Sequence[BranchEmbedding], branches: Sequence[BranchRows], n: int) -> tuple[Tensor, Tensor]:
    """Return the vectors of all branches, zero where a row lacks one, and which rows have which.

    Args:
        parts: frozen part of each branch.
        branches: rows of each branch.
        n: rows in all.
    """
    features = torch.zeros(n, len(parts), *parts[0].shape)
    present = torch.zeros(n, len(parts), dtype=torch.bool)
    for number, (part, branch) in enumerate(zip(parts, branches, strict=True)):
        rows = torch.from_numpy(branch.rows)
        features[rows, number] = part(branch.tensor)
        present[rows, number] = True
    return features, present


def train_fusion(
    kind: str,
    features: Tensor,
    present: Tensor,
    y: np.ndarray,
    weight: np.ndarray,
    epochs: Sequence[int],
    settings: FusionNetworkSettings,
    seed: int,
) -> dict[int, Head]:
    """Return the fusion's part after each number of epochs, on frozen branches.

    Args:
        kind: name of the head.
        features: as `stacked` returns them, without their gradients; rows without any branch take no part.
        present: which rows have which branch.
        y: 0/1 label per row.
        weight: weight per row.
        epochs: when to keep it.
        settings: size and training.
        seed: of everything random.
    """
    with seeded(seed):
        head: Head = HEADS[kind](settings, features.shape[1])
        known = present.any(1)
        features, present = features[known].detach(), present[known]
        labels = torch.from_numpy(y.astype(np.float32))[known]
        loss = nn.BCEWithLogitsLoss(weight=torch.from_numpy(weight.astype(np.float32))[known])
        optimiser = torch.optim.AdamW(head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
        kept = {}
        for epoch in range(max(epochs) + 1):
            if epoch in epochs:
                kept[epoch] = copy.deepcopy(head).eval()
            optimiser.zero_grad()
            loss(head(features, _hidden(present, settings.branch_dropout))[0], labels).backward()
            optimiser.step()
    return kept


def _hidden(present: Bool[Tensor, "n b"], share: float) -> Bool[Tensor, "n b"]:
    """Return which branches a row shows in this step; one that would show none shows all it has.

    Source: Neverova et al., IEEE Trans Pattern Anal Mach Intell 2016, 38:1692 (ModDrop).
    """
    shown = present & (torch.rand(present.shape) >= share)
    return torch.where(shown.any(1, keepdim=True), shown, present)
