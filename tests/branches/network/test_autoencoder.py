import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from radiogen.branches.network.autoencoder import SparseAutoencoder, SparseLayers, sparse_loss
from radiogen.config.network_model import AutoencoderSettings
from radiogen.errors import InputError


def rows(n=300, values=40, rank=3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((n, rank)) @ rng.random((rank, values))).astype(np.float32)


def test_the_papers_shapes():
    layers = SparseLayers(10_000, AutoencoderSettings().latents)
    assert layers.encoder.weight.shape == (12, 10_000)
    assert layers.decoder.weight.shape == (10_000, 12)
    hidden = layers.encode(torch.rand(3, 10_000))
    assert hidden.shape == (3, 12)
    assert layers.decode(hidden).shape == (3, 10_000)


def test_loss_by_hand():
    layers = SparseLayers(2, 1)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.zero_()
        layers.encoder.weight[0, 0] = 2.0
        layers.decoder.weight[1, 0] = 4.0
    settings = AutoencoderSettings(latents=1, l2=0.1, sparsity=0.25, sparsity_weight=3.0)
    x = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    hidden = np.array([sigmoid(0.0), sigmoid(2.0)])
    out = np.stack([[0.5, 0.5], sigmoid(4 * hidden)], axis=1)
    error = ((out - x) ** 2).sum() / 2
    active = hidden.mean()
    apart = 0.25 * np.log(0.25 / active) + 0.75 * np.log(0.75 / (1 - active))
    expected = error + 0.1 * 0.5 * (4 + 16) + 3 * apart
    assert float(sparse_loss(layers, torch.from_numpy(x), settings).detach()) == pytest.approx(expected, rel=1e-5)


def test_low_rank_rows_are_reconstructed():
    X = rows()
    settings = AutoencoderSettings(latents=6, l2=1e-5, sparsity_weight=0.0, epochs=300, learning_rate=0.02)
    model = SparseAutoencoder(settings).fit(X[:200])
    unseen = X[200:]
    left = ((model.reconstruct(unseen) - unseen) ** 2).mean() / unseen.var(axis=0).mean()
    assert left < 0.1
    assert model.losses_[-1] < model.losses_[0] / 5


def test_sparsity_pulls_the_mean_activation_down():
    X = rows()
    loose = SparseAutoencoder(AutoencoderSettings(latents=4, sparsity_weight=0.0)).fit(X).transform(X).mean()
    strict = SparseAutoencoder(AutoencoderSettings(latents=4, sparsity_weight=50.0)).fit(X).transform(X).mean()
    assert abs(strict - 0.05) < 0.03 < abs(loose - 0.05)


def test_same_seed_same_bytes_and_another_seed_others():
    X, settings = rows(), AutoencoderSettings(latents=4, epochs=3)
    first, again, other = (SparseAutoencoder(settings, seed).fit(X).transform(X) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_ranges_come_from_training_and_constant_inputs_do_no_harm():
    X = rows()
    X[:, 5] = 7.0
    model = SparseAutoencoder(AutoencoderSettings(latents=2, epochs=2)).fit(X)
    far = X[:1] + 1000
    assert np.array_equal(model.lowest_, X.min(axis=0))
    # Beyond the training range every value is cut off at its end.
    assert np.array_equal(model.transform(far), model.transform(far * 2))
    assert np.isfinite(model.transform(far)).all()


def test_the_order_of_rows_does_not_matter_when_applied():
    X = rows()
    model = SparseAutoencoder(AutoencoderSettings(latents=2, epochs=2)).fit(X)
    assert np.allclose(model.transform(X)[::-1], model.transform(X[::-1].copy()), atol=1e-6)
    assert model.transform(X[:0]).shape == (0, 2)


def test_messages():
    X = rows()
    with pytest.raises(NotFittedError):
        SparseAutoencoder().transform(X)
    with pytest.raises(InputError, match="1 row"):
        SparseAutoencoder().fit(X[:1])
    X[0, 0] = np.nan
    with pytest.raises(InputError, match="1 value"):
        SparseAutoencoder().fit(X)
    model = SparseAutoencoder(AutoencoderSettings(latents=2, epochs=1)).fit(rows())
    with pytest.raises(InputError, match="39 values"):
        model.transform(rows()[:, :39])
