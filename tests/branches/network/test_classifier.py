from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.rows import GraphRows
from radiogen.config.network_model import AutoencoderSettings, GraphNetworkSettings
from radiogen.errors import InputError
from tests.branches.network.graphs import cohort

QUICK = GraphNetworkSettings(epochs=3)


@pytest.mark.parametrize("operator", ["latent-convolution", "latent-convolution-shared", "graph-transformer"])
def test_which_connections_changed_is_learned(operator):
    rows, y, _ = cohort(200)
    model = GraphClassifier(GraphNetworkSettings(operator=operator)).fit(rows[:120], y[:120])
    assert roc_auc_score(y[120:], model.predict_proba(rows[120:])[:, 1]) > 0.85


def test_shuffled_labels_are_at_chance():
    rows, y, _ = cohort(200)
    aucs = []
    for seed in range(4):
        shuffled = np.random.default_rng(seed).permutation(y)
        model = GraphClassifier(GraphNetworkSettings(epochs=12), seed=seed).fit(rows[:120], shuffled[:120])
        aucs.append(roc_auc_score(shuffled[120:], model.predict_proba(rows[120:])[:, 1]))
    # One AUC of 40 against 40 has a standard error of 0.065 by chance, the mean of four 0.033: three of these.
    assert abs(np.mean(aucs) - 0.5) < 0.1


def test_scikit_learns_own_splitters_and_clone():
    rows, y, _ = cohort(40)
    probabilities = cross_val_predict(
        GraphClassifier(QUICK), rows, y, cv=StratifiedKFold(2, shuffle=True, random_state=0), method="predict_proba"
    )
    assert probabilities.shape == (40, 2)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert clone(GraphClassifier(QUICK, seed=3)).seed == 3


def test_same_seed_same_bytes():
    rows, y, _ = cohort(40)
    first, again, other = (GraphClassifier(QUICK, seed=seed).fit(rows, y).predict_proba(rows) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_nothing_of_other_rows_reaches_the_fit():
    rows, y, _ = cohort(60)
    spoilt = rows.node_values.copy()
    spoilt[40:] = 1e6
    other = replace(rows, node_values=spoilt)
    first, second = (GraphClassifier(QUICK).fit(each[:40], y[:40]) for each in (rows, other))
    assert np.array_equal(first.predict_proba(rows), second.predict_proba(rows))


def voxels():
    rows, y, _ = cohort(40)
    mix = np.random.default_rng(0).random((4, 30)).astype(np.float32)
    return replace(rows, node_values=rows.node_values.repeat(10, axis=2), edge_values=rows.edge_values @ mix), y


def test_auto_encoders_are_fitted_inside_on_the_given_rows_alone(tmp_path):
    rows, y = voxels()
    settings = AutoencoderSettings(latents=3, epochs=2, most_rows=100)
    model = GraphClassifier(QUICK, settings).fit(rows[:30], y[:30])
    assert model.encoders_["node_values"].n_features_in_ == model.encoders_["edge_values"].n_features_in_ == 30
    assert model.network_.convolutions[0].own.in_features == 3 + 12
    spoilt = rows.edge_values.copy()
    spoilt[30:] = 1e6
    again = GraphClassifier(QUICK, settings).fit(replace(rows, edge_values=spoilt)[:30], y[:30])
    assert np.array_equal(model.predict_proba(rows), again.predict_proba(rows))
    # A file of voxels larger than memory serves as well as an array.
    np.save(tmp_path / "voxels.npy", rows.edge_values)
    mapped = replace(rows, edge_values=np.load(tmp_path / "voxels.npy", mmap_mode="r"))
    assert np.array_equal(
        GraphClassifier(QUICK, settings).fit(mapped[:30], y[:30]).predict_proba(rows), model.predict_proba(rows)
    )


def test_the_best_epoch_is_kept_and_training_stops():
    rows, y, _ = cohort(60)
    shuffled = np.random.default_rng(0).permutation(y)
    model = GraphClassifier(GraphNetworkSettings(patience=5)).fit(rows, shuffled)
    assert len(model.history_) == model.best_epoch_ + 6 < 100
    assert model.history_[model.best_epoch_] == min(model.history_)


def test_the_embedding_has_the_named_columns_and_gives_the_prediction():
    rows, y, _ = cohort(40)
    model = GraphClassifier(QUICK).fit(rows, y)
    embedding = model.transform(rows)
    assert embedding.shape == (40, len(model.get_feature_names_out()))
    assert model.get_feature_names_out()[0] == "network_graph_01"
    hidden = np.maximum(
        embedding @ model.network_.hidden.weight.detach().numpy().T + model.network_.hidden.bias.detach().numpy(), 0
    )
    logits = hidden @ model.network_.out.weight.detach().numpy()[0] + float(model.network_.out.bias.detach()[0])
    assert np.allclose(model.predict_proba(rows)[:, 1], 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_classes_weigh_the_same_however_many():
    rows, y, _ = cohort(120)
    few = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:12]])
    shuffled = np.random.default_rng(0).permutation(y[few])
    mean = GraphClassifier(GraphNetworkSettings(epochs=10)).fit(rows[few], shuffled).predict_proba(rows)[:, 1].mean()
    assert 0.35 < mean < 0.65  # without weights 12 / 72


def test_scans_of_a_patient_stay_together():
    rows, y, _ = cohort(40)
    patient = np.arange(40) % 4 // 2 * 2 + y  # four patients, two of each class
    model = GraphClassifier(QUICK).fit(rows, y, patient=patient)
    assert np.isfinite(model.history_).all()
    with pytest.raises(InputError, match="1 patient"):
        GraphClassifier(QUICK).fit(rows, y, patient=y)


def test_messages():
    rows, y, _ = cohort(40)
    with pytest.raises(NotFittedError):
        GraphClassifier().predict_proba(rows)
    with pytest.raises(InputError, match="0, 2"):
        GraphClassifier().fit(rows, y * 2)
    broken = rows.edge_values.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="no numbers"):
        GraphClassifier().fit(replace(rows, edge_values=broken), y)
    with pytest.raises(InputError) as error:
        GraphRows(rows.cases[:3], rows.node_values, rows.edge_values[:, :4], rows.edges, np.eye(5))
    assert len(error.value.problems) == 3
