"""GraphSAGE on supervoxels: layers as in the paper, planted truth, the same seed, files."""

import dataclasses

import numpy as np
import pytest
import torch

from radiogen.branches.network.supervoxel_model import (
    SupervoxelNetwork,
    SupervoxelSegmenter,
    load_supervoxel_model,
    save_supervoxel_model,
)
from radiogen.branches.network.supervoxels import SupervoxelGraph, touching_pairs
from radiogen.config.supervoxels import SupervoxelModelSettings, SupervoxelNetworkSettings
from radiogen.errors import InputError

SMALL = SupervoxelModelSettings(
    network=SupervoxelNetworkSettings(layers=2, width=16, learning_rate=0.01, epochs=40, batch_size=2)
)


def planted(seed, side=6):
    """A block of nodes where bright nodes are tumour only beside a very bright one: no threshold on a node can tell."""
    rng = np.random.default_rng(seed)
    bright = rng.random(side**3) < 0.4
    beacon = rng.random(side**3) < 0.08
    edges = touching_pairs(np.arange(1, side**3 + 1).reshape(side, side, side))
    beside = np.zeros(side**3, dtype=bool)
    for one, other in (edges.T, edges.T[::-1]):
        beside[one[beacon[other]]] = True
    values = np.stack([100 + 20 * bright + rng.normal(size=side**3), 5.0 * beacon], axis=1)
    labels = np.where(bright & beside, 2, 0)
    return SupervoxelGraph(
        f"case-{seed}",
        values.astype(np.float32),
        ("t2f_q50", "t1c_q50"),
        edges,
        np.zeros((side**3, 3)),
        np.ones(side**3),
        np.eye(4)[labels],
    )


@pytest.fixture(scope="module")
def learned():
    return SupervoxelSegmenter(SMALL).fit([planted(seed) for seed in range(6)])


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_defaults_are_the_papers():
    network = SupervoxelNetwork(20, SupervoxelNetworkSettings())
    assert [(layer.in_channels, layer.out_channels) for layer in network.layers] == [
        (20, 256),
        *[(256, 256)] * 4,
        (256, 4),
    ]
    chosen = SupervoxelNetworkSettings()
    assert (chosen.learning_rate, chosen.weight_decay, chosen.epoch_decay) == (5e-4, 1e-4, 0.98)
    assert (chosen.epochs, chosen.batch_size) == (300, 6)


def test_a_layer_is_the_formula_of_graphsage():
    torch.manual_seed(0)
    network = SupervoxelNetwork(3, SupervoxelNetworkSettings(layers=1))
    layer = network.layers[0]
    x, index = torch.randn(4, 3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    sent = torch.relu(layer.lin(x))
    pooled = torch.stack([sent[1], torch.maximum(sent[0], sent[2]), sent[1], torch.zeros(3)])
    expected = layer.lin_l(pooled) + layer.lin_r(x)
    torch.testing.assert_close(network(x, index), expected)


def test_what_only_neighbours_tell_is_learned_and_held_out_cases_are_labelled(learned):
    held_out = [planted(seed) for seed in range(50, 54)]
    network = np.mean([dice(learned.predict(graph) > 0, graph.labels > 0) for graph in held_out])
    by_threshold = np.mean([dice(graph.node_values[:, 0] > 110, graph.labels > 0) for graph in held_out])
    assert by_threshold < 0.65
    assert network > 0.9


def test_numbering_of_nodes_and_labels_of_the_case_change_nothing(learned):
    graph = planted(60)
    order = np.random.default_rng(0).permutation(graph.n_nodes)
    place = np.argsort(order)
    moved = dataclasses.replace(
        graph,
        node_values=graph.node_values[order],
        edges=np.sort(place[graph.edges], axis=1),
        volumes_ml_of_labels=None,
    )
    np.testing.assert_allclose(learned.predict_proba(moved), learned.predict_proba(graph)[order], atol=1e-5)
    np.testing.assert_allclose(learned.predict_proba(graph).sum(1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_a_file_gives_the_same_model(learned, tmp_path):
    quick = SMALL.model_copy(update={"network": SMALL.network.model_copy(update={"epochs": 2})})
    graphs = [planted(seed) for seed in range(3)]
    for number, name in enumerate("ab"):
        torch.manual_seed(number)
        save_supervoxel_model(tmp_path / name, SupervoxelSegmenter(quick).fit(graphs))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    save_supervoxel_model(tmp_path / "c", learned)
    back = load_supervoxel_model(tmp_path / "c")
    assert np.array_equal(back.predict_proba(planted(70)), learned.predict_proba(planted(70)))
    assert "case-" not in (tmp_path / "c" / "supervoxel-model.json").read_text()
    (tmp_path / "c" / "supervoxel-network.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="holds no model on supervoxels that can be read"):
        load_supervoxel_model(tmp_path / "c")


def test_a_missing_sequence_stands_at_the_mean_of_the_training_nodes(learned):
    graph = planted(61)
    without, at_mean = graph.node_values.copy(), graph.node_values.copy()
    without[:, 1], at_mean[:, 1] = np.nan, learned.mean_[1]
    found = [learned.predict_proba(dataclasses.replace(graph, node_values=values)) for values in (without, at_mean)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_scaling_is_that_of_the_training_graphs(learned):
    values = np.concatenate([planted(seed).node_values for seed in range(6)])
    np.testing.assert_allclose(learned.mean_, values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(learned.spread_, values.std(0), rtol=1e-4)


def test_graphs_that_cannot_be_learned_from_are_all_named(learned):
    good, blind = planted(0), dataclasses.replace(planted(1), volumes_ml_of_labels=None)
    other = dataclasses.replace(planted(2), node_columns=("t2f_q50", "t1c_q90"))
    with pytest.raises(InputError, match=r"(?s)case-1: it has no mask.*case-2: its features differ"):
        SupervoxelSegmenter(SMALL).fit([good, blind, other])
    with pytest.raises(InputError, match="no graph to learn from"):
        SupervoxelSegmenter(SMALL).fit([])
    with pytest.raises(InputError, match="Case case-2 has the features"):
        learned.predict(other)
