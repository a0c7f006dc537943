from __future__ import annotations

from typing import Any

import pytest
import torch

from radiogen.errors import ConfigError
from radiogen.segment.names import NETWORKS
from radiogen.segment.networks import build_network

SMALL: dict[str, dict[str, Any]] = {
    "attentionunet": {"channels": (4, 8, 16), "strides": (2, 2)},
    "basicunetplusplus": {"features": (8, 8, 8, 8, 8, 8)},
    "dynunet": {"filters": [4, 8, 8], "strides": [1, 2, 2]},
    "mednext_b": {},
    "mednext_l": {},
    "mednext_m": {},
    "mednext_s": {},
    "segresnet": {"init_filters": 8},
    "segresnetvae": {"init_filters": 8, "input_image_size": (32, 32, 32)},
    "swinunetr": {"feature_size": 12},
    "unet": {"channels": (4, 8, 16), "strides": (2, 2)},
    "unetr": {"img_size": (32, 32, 32), "hidden_size": 48, "mlp_dim": 96, "num_heads": 4, "feature_size": 4},
    "vnet": {},
}


def test_every_registered_network_is_tried_here() -> None:
    assert sorted(SMALL) == NETWORKS.names()


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"mednext_m", "mednext_l"}))
def test_networks_keep_the_shape_and_take_any_number_of_sequences(name: str) -> None:
    side = 64 if name == "swinunetr" else 32
    network = build_network(name, 2, 3, SMALL[name])
    with torch.inference_mode():
        out = network(torch.zeros(1, 2, side, side, side))
    assert tuple(out.shape) == (1, 3, side, side, side)
    assert not network.training


def test_the_four_sizes_of_mednext_grow() -> None:
    with torch.device("meta"):  # M and L are slow to run on a CPU; their size tells them apart
        networks = [build_network(f"mednext_{size}", 4, 3) for size in "sbml"]
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert counts == sorted(counts)
    assert 5e6 < counts[0] < 6e6
    assert 5.5e7 < counts[3] < 6.5e7


def test_an_argument_that_a_network_does_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match="cannot be built with"):
        build_network("segresnet", 4, 3, {"filters": 8})


def test_the_registry_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys; from radiogen.segment.names import NETWORKS; NETWORKS.names(); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
