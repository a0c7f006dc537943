import numpy as np
import pytest

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.explain import case_importance, connection_table, edge_map, shuffled_label_check
from radiogen.cohort.nifti import Grid
from radiogen.config.network_model import ExplanationSettings, GraphNetworkSettings
from radiogen.errors import InputError
from tests.branches.network.graphs import cohort


def test_masks_are_shares_and_repeat():
    rows, y, _ = cohort(40)
    model = GraphClassifier(GraphNetworkSettings(epochs=3)).fit(rows, y)
    settings = ExplanationSettings(steps=5, most_cases=2)
    first = case_importance(model, rows[:2], settings)
    assert first.shape == (2, len(rows.edges))
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, case_importance(model, rows[:2], settings))
    assert -1 <= shuffled_label_check(model, rows, y, settings) <= 1


def test_the_table_names_what_is_above_the_threshold_strongest_first():
    table = connection_table(["a", "b", "c"], np.array([[0, 1], [0, 2], [1, 2]]), np.array([0.6, 0.5, 0.9]), 0.5)
    assert table.to_numpy().tolist() == [["b", "c", 0.9], ["a", "b", 0.6]]


def test_importance_lies_in_the_voxels_of_the_connections():
    nodes = np.zeros((2, 2, 2), np.uint16)
    edges, weights = np.array([[0, 1], [0, 2]]), np.ones(2)
    voxels, start = np.array([1, 2, 2, 7]), np.array([0, 2, 4])
    template = NetworkTemplate("t", Grid((2, 2, 2), np.eye(4)), nodes, ("a", "b", "c"), edges, weights, voxels, start)
    importance = np.array([0.25, 0.5])
    assert edge_map(template, importance).ravel().tolist() == [0, 0.25, 0.5, 0, 0, 0, 0, 0.5]
    assert edge_map(template, importance, "sum").ravel().tolist() == [0, 0.25, 0.75, 0, 0, 0, 0, 0.5]
    with pytest.raises(InputError, match="3 connections"):
        edge_map(template, np.ones(3))
