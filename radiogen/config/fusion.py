"""Settings of the networks that fuse branches."""

from __future__ import annotations

from pydantic import Field

from radiogen.config.base import StageSettings


class FusionNetworkSettings(StageSettings):
    """A small network over branches: each branch's columns become a few vectors, the network fuses those.

    Example:
        >>> FusionNetworkSettings().width
        8
    """

    positions: int = Field(default=4, ge=1)
    """Vectors per branch: what CA-Net calls positions of a feature map."""

    width: int = Field(default=8, ge=1)
    """Numbers per vector."""

    hidden: int = Field(default=16, ge=1)
    """Hidden width of the attention."""

    branch_epochs: tuple[int, ...] = Field(default=(0, 5, 10, 20, 40, 80), min_length=1)
    """Candidates for how long each branch learns alone, before its part is frozen; the inner folds choose."""

    fusion_epochs: tuple[int, ...] = Field(default=(0, 10, 20, 40, 80, 160), min_length=1)
    """Candidates for how long the fusion learns after that; the inner folds choose. At 0 the fusion joins the branches' own log-odds."""

    learning_rate: float = Field(default=0.03, gt=0)
    """Of AdamW, over all training rows at once."""

    weight_decay: float = Field(default=0.1, ge=0)
    """Of AdamW."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Probability that a branch's number is dropped in training."""

    branch_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Probability that a branch of a training row that has others is hidden, so that the network learns to do without."""

    members: int = Field(default=3, ge=1)
    """Networks with different seeds whose log-odds are averaged."""
