"""On patients whose label depends only on which tracts the tumour crosses, the graph network finds it and radiomics does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.explain import case_attribution
from radiogen.branches.network.patient import patient_graph
from radiogen.branches.network.rows import GraphRows
from radiogen.branches.radiomics.extract import extract_case
from radiogen.branches.radiomics.plan import make_plan
from radiogen.config.features import RadiomicsSettings
from radiogen.config.network import NetworkSettings
from radiogen.config.network_model import ExplanationSettings, GraphNetworkSettings
from tests.branches.network.tract_phantoms import deciding, phantoms, tract_template

TEMPLATE = tract_template()
LEARNED = 90
PLAN = make_plan(
    RadiomicsSettings(
        image_types={"Original": {}},
        feature_classes={"shape": [], "firstorder": []},
        sequences=("t1c",),
        regions=("wt",),
    )
)


@pytest.fixture(scope="module")
def made():
    """Graphs, radiomics and labels of 140 phantoms, and a network that learned on the first 90."""
    images, masks, y = phantoms(TEMPLATE, 140, 0)
    graphs = [patient_graph(*case, TEMPLATE, NetworkSettings(), np.eye(4)) for case in zip(images, masks, strict=True)]
    rows = GraphRows(
        np.array([graph.case for graph in graphs]),
        np.stack([graph.node_values for graph in graphs]),
        np.stack([graph.edge_values for graph in graphs]),
        TEMPLATE.edges,
        np.eye(TEMPLATE.n_nodes),
    )
    radiomics = pd.DataFrame([extract_case(*case, PLAN).values for case in zip(images, masks, strict=True)])
    destroyed = np.stack([graph.destroyed_edges for graph in graphs])
    return rows, radiomics, y, destroyed, GraphClassifier().fit(rows[:LEARNED], y[:LEARNED])


def test_the_network_learns_what_radiomics_cannot(made):
    rows, radiomics, y, _, model = made
    assert roc_auc_score(y[LEARNED:], model.predict_proba(rows[LEARNED:])[:, 1]) > 0.85
    other = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(radiomics[:LEARNED], y[:LEARNED])
    assert radiomics.notna().all().all()
    # 25 against 25 have a standard error of 0.08 by chance.
    assert roc_auc_score(y[LEARNED:], other.predict_proba(radiomics[LEARNED:])[:, 1]) < 0.7


def test_shuffled_labels_are_at_chance(made):
    rows, _, y, _, _ = made
    aucs = []
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(y)
        model = GraphClassifier(GraphNetworkSettings(epochs=10), seed=seed).fit(rows[:LEARNED], shuffled[:LEARNED])
        aucs.append(roc_auc_score(shuffled[LEARNED:], model.predict_proba(rows[LEARNED:])[:, 1]))
    assert abs(np.mean(aucs) - 0.5) < 0.15  # three standard errors of the mean of three


def test_the_order_of_regions_changes_nothing(made):
    rows, _, _, _, model = made
    order = np.random.default_rng(0).permutation(TEMPLATE.n_nodes)
    assert np.abs(model.predict_proba(rows.permuted(order)) - model.predict_proba(rows)).max() < 1e-5


def test_the_crossed_tracts_are_what_the_explanation_finds(made):
    rows, _, y, destroyed, model = made
    cases = LEARNED + np.flatnonzero(y[LEARNED:] == 1)
    found = case_attribution(model, rows[cases], ExplanationSettings())
    crossed = (destroyed[cases] > 0.1) & deciding(TEMPLATE)
    assert np.mean([roc_auc_score(*pair) for pair in zip(crossed, found, strict=True)]) > 0.8
