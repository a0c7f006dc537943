"""Settings of what is learned on brain networks: the auto-encoders, the graph network, its explanation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from radiogen.config.base import StageSettings
from radiogen.config.train import OptimiserSettings


class AutoencoderSettings(StageSettings):
    """One sparse auto-encoder.

    Latents, L2 weight and sigmoids are the paper's; sparsity share and weight are the defaults of MATLAB's `trainAutoencoder`, which its loss
    `msesparse` points to (our reading; the paper does not print them). Adam in mini-batches takes the place of scaled conjugate gradients.

    Example:
        >>> AutoencoderSettings().latents
        12
    """

    latents: int = Field(default=12, ge=1)
    """Hidden units."""

    l2: float = Field(default=0.001, ge=0)
    """Weight of half the sum of squared weights."""

    sparsity: float = Field(default=0.05, gt=0, lt=1)
    """Mean activation that every hidden unit is drawn to."""

    sparsity_weight: float = Field(default=1.0, ge=0)
    """Weight of the distance from it."""

    learning_rate: float = Field(default=0.003, gt=0)
    """Of Adam."""

    epochs: int = Field(default=60, ge=1)
    """Times that every row is seen."""

    batch_size: int = Field(default=256, ge=1)
    """Rows per step."""

    most_rows: int = Field(default=8000, ge=2)
    """Regions drawn from the training patients to learn from: 8000 rows of 10,000 values are 320 MB."""


class GraphNetworkSettings(StageSettings):
    """The graph network and its training.

    Three convolutions, sum read-out of the size of the node latents and two fully connected layers are the paper's; widths, dropout, edge drop,
    learning rate, epochs and batch size are ours, because the paper does not print them.

    Example:
        >>> GraphNetworkSettings(operator="gin").convolutions
        3
    """

    operator: str = "latent-convolution"
    """Registered graph operator: `latent-convolution` (one matrix per edge latent), `latent-convolution-shared` (one matrix for all), `graphconv`,
    `gat`, `gin`, `nnconv`, `graph-transformer`."""

    convolutions: int = Field(default=3, ge=1)
    """Graph convolutions."""

    width: int = Field(default=12, ge=1)
    """Features per node inside."""

    embedding: int = Field(default=12, ge=1)
    """Size of the graph embedding; the paper: that of the node latents."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of units dropped after the first fully connected layer."""

    edge_drop: float = Field(default=0.1, ge=0, lt=1)
    """Share of connections dropped per case and step, both directions together."""

    scaling: Literal["standard", "none"] = "standard"
    """`standard`: every feature has mean 0 and variance 1 over the training cases; `none`: as given, as in the paper."""

    optimiser: OptimiserSettings = OptimiserSettings(name="adam", learning_rate=0.005, weight_decay=1e-4)
    """Optimiser and decay of the learning rate."""

    epochs: int = Field(default=100, ge=1)
    """Most epochs."""

    patience: int = Field(default=20, ge=1)
    """Epochs without a smaller loss of the inner held-out patients before training stops."""

    inner_folds: int = Field(default=5, ge=2)
    """One of so many folds of the training patients is held out to decide when to stop."""

    batch_size: int = Field(default=16, ge=1)
    """Cases per step."""

    device: str = "cpu"
    """`auto` (cuda, then mps, then cpu) or a torch device."""


class ExplanationSettings(StageSettings):
    """Which connections a graph network looks at.

    Example:
        >>> ExplanationSettings().keep
        0.5
    """

    method: Literal["integrated-gradients", "occlusion", "gnnexplainer"] = "integrated-gradients"
    """`integrated-gradients`: along the line from an average network to the case; `occlusion`: one connection at a time is made average, one pass of
    the network each; `gnnexplainer`: learned masks, the paper's way. On logits as they are these masks ranked known deciding connections no better
    than chance, so the logit is softened first (tests/benchmarks/test_tract_phantoms.py compares the three)."""

    path_steps: int = Field(default=16, ge=1)
    """With `integrated-gradients`: places on the line."""

    steps: int = Field(default=100, ge=1)
    """With `gnnexplainer`: steps of every case's mask."""

    learning_rate: float = Field(default=0.01, gt=0)
    """With `gnnexplainer`: of the mask."""

    keep: float = Field(default=0.5, ge=0, le=1)
    """Connections above this share of the most important one are kept (`gnnexplainer`: with a mean mask above it); the paper shows 0.5 and 0.9."""

    most_cases: int = Field(default=50, ge=1)
    """Most cases of a class that are explained, the first ones."""
