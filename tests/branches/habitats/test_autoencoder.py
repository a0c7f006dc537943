"""The auto-encoders learn, are seeded, and keep the shape that the paper states."""

from __future__ import annotations

import numpy as np
import pytest

from radiogen.branches.habitats.autoencoder import ENCODERS, VoxelEncoder
from radiogen.config.habitats import AutoencoderTraining
from radiogen.errors import ConfigError

QUICK = AutoencoderTraining(epochs=25, batch_size=128)


def rows() -> np.ndarray:
    """Voxels of four maps that two numbers make."""
    hidden = np.random.default_rng(0).uniform(-0.7, 0.7, (1200, 2))
    return np.tanh(hidden @ np.array([[1.0, 0.5, -1.0, 0.2], [0.3, -1.0, 0.4, 1.0]])).astype(np.float32)


@pytest.mark.parametrize("kind", ENCODERS)
def test_it_learns_what_the_maps_share_and_the_same_seed_gives_the_same_bytes(kind: str) -> None:
    data = rows()
    one = VoxelEncoder(kind, 4, QUICK).learn(data, seed=1)
    assert one.error(data) < 0.2 * float(data.var())
    codes = one.encode(data)
    assert codes.shape == (1200, {"standard": 10}.get(kind, 4))
    again = VoxelEncoder(kind, 4, QUICK).learn(data, seed=1)
    assert codes.tobytes() == again.encode(data).tobytes()
    loaded = VoxelEncoder(kind, 4, QUICK).load(one.weights())
    assert codes.tobytes() == loaded.encode(data).tobytes()


def test_six_pairs_of_four_maps_and_a_decoder_of_all_maps_only_where_it_is_feature_enhanced() -> None:
    names = {kind: set(VoxelEncoder(kind, 4, QUICK).weights()) for kind in ("fae", "ensemble")}
    assert {name.split(".")[1] for name in names["ensemble"] if name.startswith("encoders.")} == set("012345")
    assert {name.split(".")[0] for name in names["fae"] - names["ensemble"]} == {"all_maps"}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs two or more maps"):
        VoxelEncoder("fae", 1, QUICK)
    with pytest.raises(ConfigError, match="accepted: fae, ensemble, standard, none"):
        VoxelEncoder("deep", 3, QUICK)
    with pytest.raises(ConfigError, match="do not fit"):
        VoxelEncoder("fae", 3, QUICK).load(VoxelEncoder("fae", 4, QUICK).weights())
