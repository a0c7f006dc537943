import nibabel as nib
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from radiogen.branches.network.base import NetworkTemplate
from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.explain import (
    case_attribution,
    case_importance,
    class_importance,
    connection_table,
    edge_map,
    importance_table,
    random_weights_check,
    shuffled_label_check,
    write_importance_map,
)
from radiogen.cohort.nifti import Grid
from radiogen.config.network_model import ExplanationSettings, GraphNetworkSettings
from radiogen.errors import InputError
from tests.branches.network.graphs import cohort
from tests.branches.network.made_up import made_up_template

GRADIENTS, OCCLUSION = ExplanationSettings(), ExplanationSettings(method="occlusion")
MASKS = ExplanationSettings(method="gnnexplainer", steps=5, most_cases=2)


@pytest.fixture(scope="module")
def learned():
    """A network that learned which connections decide, the cases it learned on and 40 that it did not see."""
    rows, y, sets = cohort(240)
    return GraphClassifier(GraphNetworkSettings(epochs=60)).fit(rows[:200], y[:200]), rows, y, sets


def test_the_deciding_connections_are_found_in_held_out_cases(learned):
    model, rows, y, sets = learned
    held_out, labels = rows[200:], y[200:]
    assert roc_auc_score(labels, model.predict_proba(held_out)[:, 1]) > 0.95
    decides = np.isin(np.arange(30), sets)
    found = class_importance(model, held_out, labels, GRADIENTS)
    assert all(roc_auc_score(decides, found[label]) > 0.8 for label in (0, 1))
    # In every case by itself: those that are changed in it, against all others.
    changed = held_out.edge_values[held_out.rows][:, :, 1] > 1.1
    importance = case_importance(model, held_out, GRADIENTS)
    assert importance.max(axis=1).tolist() == [1.0] * 40
    assert np.mean([roc_auc_score(*pair) for pair in zip(changed, importance, strict=True)]) > 0.8


def test_attributions_add_up_and_agree_with_one_connection_at_a_time(learned):
    model, rows, *_ = learned
    cases = rows[200:204]
    gradients = case_attribution(model, cases, ExplanationSettings(path_steps=200))
    nodes, edges = model.prepared(cases)
    average = np.repeat(model.reference_[None], 4, axis=0)
    apart = model.logits(nodes, edges, cases.edges) - model.logits(nodes, average, cases.edges)
    assert np.allclose(gradients.sum(axis=1), apart, atol=0.02 * np.abs(apart).max())
    assert np.corrcoef(gradients.ravel(), case_attribution(model, cases, OCCLUSION).ravel())[0, 1] > 0.8


def test_importance_goes_where_the_network_was_not_trained(learned):
    model, rows, y, _ = learned
    assert random_weights_check(model, rows[200:], y[200:], GRADIENTS) < 0.8
    assert (
        -1
        <= shuffled_label_check(
            GraphClassifier(GraphNetworkSettings(epochs=3)).fit(rows[:40], y[:40]), rows[:40], y[:40], GRADIENTS
        )
        < 0.8
    )


def test_masks_are_shares_and_repeat(learned):
    model, rows, y, _ = learned
    first = case_importance(model, rows[:2], MASKS)
    assert first.shape == (2, len(rows.edges))
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, case_importance(model, rows[:2], MASKS))
    assert set(class_importance(model, rows[:4], y[:4], MASKS)) == {0, 1}
    with pytest.raises(InputError, match="no sign"):
        case_attribution(model, rows[:2], MASKS)


def test_other_connections_are_refused(learned):
    model, rows, *_ = learned
    fewer = type(rows)(rows.cases, rows.node_values, rows.edge_values[:, :20], rows.edges[:20], rows.node_context)
    with pytest.raises(InputError, match="20 connections came; the network learned on 30"):
        case_importance(model, fewer[:2], GRADIENTS)


def test_the_table_names_what_is_above_the_threshold_strongest_first():
    table = connection_table(["a", "b", "c"], np.array([[0, 1], [0, 2], [1, 2]]), np.array([0.6, 0.5, 0.9]), 0.5)
    assert table.to_numpy().tolist() == [["b", "c", 0.9], ["a", "b", 0.6]]


def test_the_table_in_words(tmp_path):
    template = made_up_template()
    importance = np.array([0.9, 0.2, 0.0, 0.3, 0.8, 0.0, 0.0])
    table = importance_table(template, importance, 0.5)
    assert table.to_dict("records") == [
        {
            "connection": "Frontal_Sup_L - Frontal_Sup_R", "from": "Frontal_Sup_L", "to": "Frontal_Sup_R", "side": "between", "lobes": "frontal",
            "volume_ml": 0.96, "importance": 0.9,
        },
        {
            "connection": "Temporal_Mid_L - Occipital_Mid_L", "from": "Temporal_Mid_L", "to": "Occipital_Mid_L", "side": "left",
            "lobes": "occipital - temporal", "volume_ml": 0.512, "importance": 0.8,
        },
    ]  # fmt: skip
    assert len(importance_table(template, importance)) == 4
    write_importance_map(tmp_path / "map.nii.gz", template, importance, 0.5)
    written = nib.load(tmp_path / "map.nii.gz")
    assert np.allclose(written.affine, template.grid.affine)
    values = written.get_fdata().ravel()
    # Both lines are kept, the weaker ones are not; there is no voxel that is part of both.
    assert np.isclose(values[template.edge_voxels(0)].max(), 0.9)
    assert np.count_nonzero(values) == len(template.edge_voxels(0)) + len(template.edge_voxels(4))


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
