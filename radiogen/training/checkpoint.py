"""Checkpoints: all that training needs to go on to the same bytes, in one file that is replaced whole."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from radiogen.errors import InputError
from radiogen.run.atomic import writing

State = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Where a training stands after an epoch.

    Random numbers are not in it: every step draws from a seed of its own.

    Args:
        epoch: finished epochs.
        rows: one per finished epoch: what the log shows.
        network: its state.
        optimiser: its state.
        average: state of the moving average; empty where there is none.
        best: the state that measured best so far, where it is kept.
        best_score: what it scored.
        best_tie: what decided where another epoch scored the same.
        best_epoch: after how many epochs.
    """

    epoch: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    network: State = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    average: State = field(default_factory=dict)
    best: State = field(default_factory=dict)
    best_score: float = float("-inf")
    best_tie: float = float("-inf")
    best_epoch: int = 0


def checkpoint_path(folder: str | Path) -> Path:
    """Return where the checkpoint of a training stands."""
    return Path(folder) / "checkpoints" / "last.pt"


def save_checkpoint(folder: str | Path, progress: Progress) -> None:
    """Write the checkpoint atomically: a kill at any moment leaves the old one or the new one."""
    with writing(checkpoint_path(folder)) as beside:
        torch.save(vars(progress), beside)


def load_checkpoint(folder: str | Path) -> Progress | None:
    """Return the checkpoint of a training, on the CPU, or None where there is none.

    Only tensors and plain values are read: a file from a stranger cannot run code.

    Raises:
        InputError: it cannot be read.
    """
    path = checkpoint_path(folder)
    if not path.is_file():
        return None
    try:
        return Progress(**torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, TypeError, EOFError) as error:
        raise InputError(
            f"The checkpoint {path} cannot be read: {str(error).splitlines()[0]}",
            hint="Delete it to start anew, or choose another output folder.",
        ) from error
