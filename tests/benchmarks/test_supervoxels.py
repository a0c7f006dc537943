"""Segmentation on supervoxels of phantoms from several scanners, beside a threshold on the nodes' FLAIR; some two minutes."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.branches.network.supervoxel_model import SupervoxelSegmenter
from radiogen.branches.network.supervoxels import SupervoxelGraph, painted_dice, supervoxel_graph, supervoxel_map
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.cohort.phantom_contrast import SCANNERS
from radiogen.cohort.phantoms import make_phantom
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.supervoxels import SupervoxelModelSettings, SupervoxelNetworkSettings, SupervoxelSettings

pytestmark = pytest.mark.benchmark

SPACING_MM, N_TRAIN, N_TEST = 4.0, 20, 10
SETTINGS = SupervoxelModelSettings(
    graph=SupervoxelSettings(n_segments=5000),
    network=SupervoxelNetworkSettings(layers=2, width=32, epochs=40, learning_rate=0.005),
)


def graph_of(seed: int) -> SupervoxelGraph:
    scanner = SCANNERS[seed % len(SCANNERS)]
    phantom = make_phantom(PhantomSettings(spacing_mm=SPACING_MM), seed=seed, idh=seed % 2, mgmt=0, scanner=scanner)
    grid = Grid(phantom.labels.shape, np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0]))
    case = CaseImages(f"phantom-{seed}", phantom.images, grid)
    return supervoxel_graph(case, supervoxel_map(case, SETTINGS.graph), phantom.labels, SETTINGS.graph)


def mean_dice(graphs: list[SupervoxelGraph], label_nodes) -> float:
    return float(np.mean([painted_dice(graph, label_nodes(graph))["wt"] for graph in graphs]))


def test_the_graph_network_is_above_a_threshold_on_the_nodes_and_below_what_is_reachable() -> None:
    graphs = [graph_of(seed) for seed in range(N_TRAIN + N_TEST)]
    training, held_out = graphs[:N_TRAIN], graphs[N_TRAIN:]
    flair = training[0].node_columns.index("t2f_q50")
    at = {
        level: lambda graph, level=level: 2 * (graph.node_values[:, flair] > level).astype(np.int64)
        for level in np.linspace(0.2, 1.1, 46)
    }
    chosen = max(at, key=lambda level: mean_dice(training, at[level]))
    model = SupervoxelSegmenter(SETTINGS).fit(training)
    found = {
        "network": mean_dice(held_out, model.predict),
        "threshold of the training phantoms": mean_dice(held_out, at[chosen]),
        "best threshold of the held-out phantoms": max(mean_dice(held_out, each) for each in at.values()),
        "reachable": mean_dice(held_out, lambda graph: graph.labels),
    }
    assert found["network"] > found["threshold of the training phantoms"] + 0.02, found
    assert found["network"] > found["best threshold of the held-out phantoms"], found
    assert found["network"] < found["reachable"], found
