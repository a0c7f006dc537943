from __future__ import annotations

import sys
from copy import deepcopy

import pytest
import torch
from safetensors.torch import load, save

from radiogen.errors import ConfigError, MissingDependencyError
from radiogen.segment.nnunet_network import NNUNet, read_axes, training_axes

SMALL = {
    "n_stages": 3, "features_per_stage": [4, 6, 8], "conv_op": "Conv3d", "kernel_sizes": 3, "strides": [1, 2, 2], "n_conv_per_stage": 1,
    "n_conv_per_stage_decoder": 1, "norm_op": "InstanceNorm3d", "norm_op_kwargs": {"affine": True}, "nonlin": "LeakyReLU",
}  # fmt: skip


def test_axes_are_those_of_the_training_files_read_backwards() -> None:
    assert training_axes("LPS", [0, 1, 2]) == "SPL"
    assert training_axes("RAS", [2, 0, 1]) == "RSA"
    assert read_axes("RAS") == ([0, 1, 2], [])
    for wrong in ("LRS", "LP", "LPX"):
        with pytest.raises(ConfigError):
            read_axes(wrong)


def test_unknown_architectures_and_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match="architecture"):
        NNUNet(1, 1, architecture="os.system")
    with pytest.raises(ConfigError, match="system"):
        NNUNet(1, 1, arguments={"conv_op": "os.system"})


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures.architectures.unet", None)
    with pytest.raises(MissingDependencyError, match=r"radiogen\[nnunet\]"):
        NNUNet(1, 1)


@pytest.mark.parametrize("axes", ["RAS", "SPL", "AIR"])
def test_axes_are_turned_and_turned_back_and_no_tensor_is_saved_twice(axes: str) -> None:
    pytest.importorskip("dynamic_network_architectures.architectures.unet", reason="pip install 'radiogen[nnunet]'")
    network, straight = NNUNet(2, 3, arguments=SMALL, axes=axes).eval(), NNUNet(2, 3, arguments=SMALL).eval()
    straight.load_state_dict(load(save(network.state_dict())))
    image = torch.randn(1, 2, 8, 12, 16, generator=torch.Generator().manual_seed(0))
    letters = {"R": (0, False), "S": (2, False), "P": (1, True), "L": (0, True), "A": (1, False), "I": (2, True)}
    turned = image.permute(0, 1, *(2 + letters[letter][0] for letter in axes))
    mirrored = [2 + at for at, letter in enumerate(axes) if letters[letter][1]]
    with torch.inference_mode():
        found = network(image).permute(0, 1, *(2 + letters[letter][0] for letter in axes)).flip(mirrored)
        assert torch.allclose(found, straight(turned.flip(mirrored)), atol=1e-6)
        assert torch.equal(deepcopy(network)(image), network(image))
