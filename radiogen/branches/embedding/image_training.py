"""Training a classifier network on images: the inner fold that stops it, its loss, and the shared training loop."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from radiogen.branches.embedding.training_items import TrainingItems, load_volumes, middle
from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.config.embedding_model import EmbeddingModelSettings
from radiogen.stats.auc import auc
from radiogen.training.loop import MEAN, TIE, Plan, fit
from radiogen.types import Labels01

_LOGGED = ("epoch", "loss", "held_out_loss", "held_out_auc")


def inner_split(patient: np.ndarray, y: Labels01, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to learn from and those held out to choose the epoch; patients stay together, classes are spread evenly.

    Args:
        patient: patient per row.
        y: label per row.
        share: share of the patients to hold out; 0: none.
        seed: of the drawing.

    Example:
        >>> learn, held = inner_split(np.arange(20).astype(object), np.arange(20) % 2, 0.2, 0)
        >>> len(learn), len(held)
        (16, 4)
    """
    if share == 0:
        return np.arange(len(y)), np.array([], dtype=np.int64)
    folds = max(2, min(round(1 / share), patients_of_smaller_class(patient, y)))
    held = grouped_folds(patient, y, folds, seed)[0]
    return np.setdiff1d(np.arange(len(y)), held), held


class Watch:
    """Scores a network on the inner fold after every epoch, so that the best epoch is kept and the training ends when nothing better comes.

    Args:
        settings: what the best epoch is chosen by: `loss`, or `auc` and of epochs with the same AUC the one with the lower loss.
        inputs: what the network is shown of the cases: files of prepared volumes, or vectors.
        y: label per case.
    """

    def __init__(self, settings: EmbeddingModelSettings, inputs: list[Path] | list[Tensor], y: Labels01) -> None:
        self._settings, self._inputs, self._y = settings, inputs, y

    @torch.inference_mode()
    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return the scores of a network on the inner fold."""
        device = next(network.parameters()).device
        was_training = network.training
        network.eval()
        logits = torch.cat(
            [network(self._input(given).to(device)[None])[:, 0].double().cpu() for given in self._inputs]
        )
        network.train(was_training)
        target = torch.from_numpy(self._y).double()
        loss = float(nn.functional.binary_cross_entropy_with_logits(logits, target))
        score = {"held_out_loss": loss, "held_out_auc": float(auc(self._y, logits.numpy()))}
        by_auc = self._settings.choose_by == "auc"
        return {MEAN: score["held_out_auc"] if by_auc else -loss, TIE: -loss, **score}

    def _input(self, given: Path | Tensor) -> Tensor:
        if isinstance(given, Path):
            return torch.from_numpy(middle(load_volumes(given), self._settings.augmentation))
        return given


def shown_of(given: Any, settings: EmbeddingModelSettings) -> Any:
    """Return what stands for a case at prediction: its file, or of several vectors its own."""
    return given[0] if settings.frozen else given


def train(
    plan: Plan,
    network: nn.Module,
    loss: nn.Module,
    items: TrainingItems,
    watch: Watch | None,
    *,
    folder: Path | None = None,
    progress: bool = False,
) -> tuple[list[dict[str, Any]], int]:
    """Train a network in place; return the log (`epoch`, `loss` and what `watch` measures) and the epoch that its weights are from.

    Args:
        plan: epochs, steps, optimiser, device.
        network: to train.
        loss: of logits and targets.
        items: of the whole training.
        watch: chooses the epoch; None: the last one is kept.
        folder: keeps the checkpoint of this very training, which a killed one goes on from; None: nothing is kept.
        progress: show a progress bar.

    Raises:
        ConfigError: optimiser or device are not accepted.
        RadiogenError: the loss is no longer a number.
    """
    with tempfile.TemporaryDirectory() as temporary:
        result = fit(plan, network, loss, items, folder or Path(temporary), measure=watch, progress=progress)
    network.load_state_dict(result.state)
    return [{name: row[name] for name in _LOGGED if name in row} for row in result.rows], result.epoch


def plan_of(settings: EmbeddingModelSettings, n: int, seed: int, *, watched: bool = True) -> Plan:
    """Return how long and how a network is trained on `n` cases; where it is watched the best epoch is kept, else the last."""
    batch = min(settings.batch_size, n)
    return Plan(
        epochs=settings.epochs, steps_per_epoch=max(1, round(n / batch)), batch_size=batch, optimiser=settings.optimiser,
        measure_every=1, keep="best" if watched else "last", patience=settings.patience if watched else 0,
        precision=settings.precision, device=settings.device, seed=seed,
    )  # fmt: skip


def loss_of(settings: EmbeddingModelSettings, y: Labels01) -> nn.Module:
    """Return the binary cross-entropy of one logit; positive cases weigh (negatives / positives) each where classes are balanced."""
    weight = (y == 0).sum() / max(1, (y == 1).sum()) if settings.class_weight == "balanced" else 1.0
    return nn.BCEWithLogitsLoss(pos_weight=torch.tensor([float(weight)]))
