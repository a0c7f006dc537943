"""Settings of the network that predicts several markers at once."""

from __future__ import annotations

from pydantic import Field

from radiogen.config.base import StageSettings


class MultiTaskSettings(StageSettings):
    """A small network: one hidden layer that all markers share, one output for each.

    Example:
        >>> MultiTaskSettings().hidden
        16
    """

    hidden: int = Field(default=16, ge=1)
    """Width of the shared layer."""

    epochs: tuple[int, ...] = Field(default=(5, 10, 20, 40, 80, 160), min_length=1)
    """Candidates for how long it learns, rising; the inner folds choose one for all markers."""

    learning_rate: float = Field(default=0.01, gt=0)
    """Of AdamW, over all training rows at once."""

    weight_decay: float = Field(default=1.0, ge=0)
    """Of AdamW."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Probability that a number of the input or of the shared layer is dropped in training."""

    members: int = Field(default=5, ge=1)
    """Networks with different seeds whose log-odds are averaged."""
