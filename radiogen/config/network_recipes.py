"""Settings of classifiers that learn from brain networks, and the recipes of published ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from radiogen.config.base import StageSettings
from radiogen.config.network import NetworkSettings
from radiogen.config.network_model import AutoencoderSettings, ExplanationSettings, GraphNetworkSettings
from radiogen.config.recipes import Paper


class GraphModelSettings(StageSettings):
    """A graph network over cohort rows: the template, what its nodes and connections carry, the network, its explanation.

    Example:
        >>> GraphModelSettings(values="statistics").network.convolutions
        3
    """

    values: Literal["voxels", "statistics", "destroyed"] = "voxels"
    """`voxels`: 2500 voxels of the four sequences of every region, encoded by auto-encoders that are fitted in the fold; `statistics`: mean, spread,
    10th and 90th percentile of every sequence, and the shares that tumour regions fill; `destroyed`: those shares alone."""

    node_identity: bool = False
    """Tell every node which region it is; without it, as in the paper, regions are told apart by their values alone."""

    graphs: NetworkSettings = NetworkSettings()
    """The template, and how a case gets onto it."""

    network: GraphNetworkSettings = GraphNetworkSettings()
    """The graph network and its training."""

    autoencoder: AutoencoderSettings = AutoencoderSettings()
    """The two auto-encoders, of nodes and of connections, with `voxels`."""

    explanation: ExplanationSettings = ExplanationSettings()
    """How the connections are found that the network looks at."""

    seed: int = Field(default=0, ge=0)
    """Of weights, order, drawn rows and the inner fold."""


class ReportedAccuracy(StageSettings):
    """Accuracy, sensitivity and specificity that a paper reports for one system on one set of cases.

    Example:
        >>> ReportedAccuracy(what="GNN", data="test", accuracy=0.866, sensitivity=0.877, specificity=0.863).accuracy
        0.866
    """

    what: str
    """Which system."""

    data: str
    """On which cases."""

    accuracy: float = Field(ge=0, le=1)
    """Share of calls that are right."""

    sensitivity: float = Field(ge=0, le=1)
    """Share of positive cases that are called positive."""

    specificity: float = Field(ge=0, le=1)
    """Share of negative cases that are called negative."""

    note: str = ""
    """What to know about it."""


class GraphRecipe(StageSettings):
    """A published classifier on brain networks as settings.

    Example:
        >>> recipe = GraphRecipe.parse({
        ...     "name": "demo", "title": "Demo", "kind": "graph-classification", "method_entry": "none", "paper": {"title": "none"},
        ...     "differs": ["all"], "target": "idh", "settings": {"values": "statistics"},
        ... })
        >>> recipe.settings.values
        'statistics'
    """

    name: str
    """Name by which it is chosen."""

    title: str
    """What it is, in one line."""

    kind: Literal["graph-classification"]
    """Which command runs it: `radiogen classify --recipe`."""

    method_entry: str
    """Entry in the project's notes on published methods."""

    paper: Paper
    """Where it was published."""

    target: Literal["idh", "mgmt", "codeletion", "grade"]
    """What the paper predicts; another target may be asked for."""

    reported: tuple[ReportedAccuracy, ...] = ()
    """What the paper reports."""

    not_given: tuple[str, ...] = ()
    """What the paper does not say, and what is taken here."""

    differs: tuple[str, ...]
    """What differs here and why."""

    settings: GraphModelSettings
    """The classifier."""
