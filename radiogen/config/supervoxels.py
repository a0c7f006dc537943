"""Settings of supervoxel graphs, and of the graph network that segments on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from radiogen.config.base import StageSettings
from radiogen.config.recipes import Paper

Share = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""


class SupervoxelSettings(StageSettings):
    """How a brain is cut into supervoxels, and what is kept of each.

    Example:
        >>> SupervoxelSettings().n_segments
        15000
    """

    n_segments: int = Field(default=15_000, ge=1)
    """Supervoxels of the box around the brain; those outside the brain are dropped, so that about half of them stay. The paper's 15,000 are for
    voxels of 1 mm."""

    compactness: float = Field(default=0.5, gt=0)
    """Weight of place against intensity, in standard deviations of the intensity inside the brain, as in the paper."""

    iterations: int = Field(default=10, ge=1)
    """Rounds of SLIC; 10 is the default of scikit-image, the paper gives none."""

    quantiles: tuple[Share, ...] = Field(default=(0.1, 0.25, 0.5, 0.75, 0.9), min_length=1)
    """Which quantiles of every sequence are a node's features. The paper says five, not which."""

    scale_percentile: float = Field(default=99.5, gt=0, le=100)
    """Every sequence is divided by this percentile of its values inside the brain, as in the paper."""


class SupervoxelNetworkSettings(StageSettings):
    """The graph network that labels supervoxels, and its training; the defaults are the paper's.

    Example:
        >>> SupervoxelNetworkSettings().layers
        6
    """

    layers: int = Field(default=6, ge=1)
    """GraphSAGE layers; the last one gives the logits."""

    width: int = Field(default=256, ge=1)
    """Features per node between them."""

    learning_rate: float = Field(default=5e-4, gt=0)
    """Of AdamW, in the first epoch."""

    epoch_decay: float = Field(default=0.98, gt=0, le=1)
    """Factor of the learning rate after every epoch."""

    weight_decay: float = Field(default=1e-4, ge=0)
    """Of AdamW."""

    epochs: int = Field(default=300, ge=1)
    """Times that every graph is seen."""

    batch_size: int = Field(default=6, ge=1)
    """Graphs per step."""

    device: str = "cpu"
    """`auto` (cuda, then mps, then cpu) or a torch device."""


class SupervoxelModelSettings(StageSettings):
    """Segmentation on supervoxel graphs: the graphs, the network, the seed.

    Example:
        >>> SupervoxelModelSettings(seed=3).graph.compactness
        0.5
    """

    graph: SupervoxelSettings = SupervoxelSettings()
    """How the graphs are built."""

    network: SupervoxelNetworkSettings = SupervoxelNetworkSettings()
    """The network and its training."""

    seed: int = Field(default=0, ge=0)
    """Of weights and order."""


class ReportedDice(StageSettings):
    """Mean Dice per region that a paper reports for one system on one set of cases.

    Example:
        >>> ReportedDice(what="GNN", data="validation", et=0.738, tc=0.782, wt=0.874).wt
        0.874
    """

    what: str
    """Which system."""

    data: str
    """On which cases."""

    et: float = Field(ge=0, le=1)
    """Enhancing tumour."""

    tc: float = Field(ge=0, le=1)
    """Tumour core."""

    wt: float = Field(ge=0, le=1)
    """Whole tumour."""

    note: str = ""
    """What to know about it."""


class SupervoxelRecipe(StageSettings):
    """A published segmentation on supervoxel graphs as settings.

    Example:
        >>> recipe = SupervoxelRecipe.parse({
        ...     "name": "demo", "title": "Demo", "kind": "graph-segmentation", "method_entry": "none", "paper": {"title": "none"},
        ...     "differs": ["all"],
        ... })
        >>> recipe.settings.network.width
        256
    """

    name: str
    """Name by which it is chosen."""

    title: str
    """What it is, in one line."""

    kind: Literal["graph-segmentation"]
    """What it makes."""

    method_entry: str
    """Entry in the project's notes on published methods."""

    paper: Paper
    """Where it was published."""

    reported: tuple[ReportedDice, ...] = ()
    """What the paper reports."""

    not_given: tuple[str, ...] = ()
    """What the paper does not say, and what is taken here."""

    differs: tuple[str, ...]
    """What differs here and why."""

    settings: SupervoxelModelSettings = SupervoxelModelSettings()
    """Graphs, network and training."""
