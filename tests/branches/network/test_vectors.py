from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from radiogen.branches.network.branch import template_of
from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.patient import Regions, Sampled, edge_regions, node_regions, roi_vectors
from radiogen.branches.network.rows import GraphRows
from radiogen.branches.network.saved import FILES, load_graph_classifier, save_graph_classifier
from radiogen.branches.network.template import template_digest
from radiogen.branches.network.vectors import RegionVectors, kept_values, template_voxels
from radiogen.config.network_model import AutoencoderSettings, GraphNetworkSettings
from radiogen.config.network_recipes import GraphModelSettings
from radiogen.errors import InputError
from tests.branches.network.made_up import made_up_template

TEMPLATE = made_up_template()
AUTOENCODER = AutoencoderSettings(latents=3, epochs=1, most_rows=40)
SETTINGS = GraphModelSettings(network=GraphNetworkSettings(epochs=2), autoencoder=AUTOENCODER)


def sampled(seed: int) -> Sampled:
    rng = np.random.default_rng(seed)
    size = TEMPLATE.nodes.size
    return Sampled({name: rng.normal(size=size).astype(np.float32) for name in ("t1c", "t2f")}, {})


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> GraphRows:
    """Eight cases whose voxels are kept in files."""
    folder = tmp_path_factory.mktemp("voxels")
    voxels, paths = template_voxels(TEMPLATE), []
    for seed in range(8):
        paths.append(folder / f"{seed}.npy")
        np.save(paths[-1], kept_values(sampled(seed), voxels))
    nodes, edges = (RegionVectors(paths, part(TEMPLATE), voxels) for part in (node_regions, edge_regions))
    return GraphRows(np.array([f"case-{number}" for number in range(8)]), nodes, edges, TEMPLATE.edges)


def test_gathered_vectors_are_those_of_the_whole_case(rows: GraphRows, tmp_path: Path) -> None:
    assert rows.edge_values.shape == (8, 7, 10000)
    assert np.array_equal(rows[3:].case_values("edge_values", 1), roi_vectors(sampled(4), edge_regions(TEMPLATE)))
    assert np.array_equal(rows.case_values("node_values", 2), roi_vectors(sampled(2), node_regions(TEMPLATE)))
    # A region of more than 2500 voxels is sampled in the same places.
    everything = np.arange(TEMPLATE.nodes.size)
    large = Regions(everything, np.array([0, 3900, len(everything)]))
    np.save(tmp_path / "all.npy", kept_values(sampled(0), everything))
    gathered = RegionVectors([tmp_path / "all.npy"], large, everything)
    assert np.array_equal(gathered.case(0), roi_vectors(sampled(0), large))


def test_rows_are_drawn_from_the_chosen_cases_alone(rows: GraphRows) -> None:
    drawn = rows[2:4].drawn("edge_values", 100, np.random.default_rng(0))
    both = np.concatenate([roi_vectors(sampled(case), edge_regions(TEMPLATE)) for case in (2, 3)])
    assert np.array_equal(drawn, both)
    few = rows[2:4].drawn("edge_values", 5, np.random.default_rng(0))
    assert len(few) == 5
    assert all((row == both).all(axis=1).any() for row in few)
    with pytest.raises(InputError, match="order of their template"):
        rows.permuted(np.arange(6))


def test_a_saved_classifier_says_the_same(rows: GraphRows, tmp_path: Path) -> None:
    y = np.tile([0, 1], 4)
    model = GraphClassifier(SETTINGS.network, AUTOENCODER).fit(rows, y)
    files = save_graph_classifier(tmp_path / "a", model, SETTINGS, TEMPLATE)
    save_graph_classifier(tmp_path / "b", model, SETTINGS, TEMPLATE)
    assert [path.name for path in files] == list(FILES)
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in FILES)
    again, settings = load_graph_classifier(tmp_path / "a")
    assert np.array_equal(again.predict_proba(rows), model.predict_proba(rows))
    assert np.array_equal(again.transform(rows), model.transform(rows))
    assert np.array_equal(again.reference_, model.reference_)
    assert settings.autoencoder == AUTOENCODER
    assert template_digest(template_of(settings.graphs)) == template_digest(TEMPLATE)
    assert load_file(files[1])["encoder.edge_values.encoder.weight"].shape == (3, 10000)
    files[1].write_bytes(files[1].read_bytes()[:1000])
    with pytest.raises(InputError, match="holds no classifier on brain networks"):
        load_graph_classifier(tmp_path / "a")
