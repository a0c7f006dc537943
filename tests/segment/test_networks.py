from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks import nets
from safetensors.torch import load_file, save_file

from radiogen.errors import ConfigError
from radiogen.segment.architectures.auxiliary import WithAuxiliaryLoss
from radiogen.segment.names import NETWORKS
from radiogen.segment.networks import build_network, input_multiple
from tests.segment.small import SMALL, patch_for, small_arguments

FLAT = {
    "attentionunet": {},
    "basicunetplusplus": {},
    "dynunet": {},
    "mednext_b": {},
    "multiscale-unet": {},
    "plain-unet": {"attention": True},
    "residual-unet": {},
    "segresnet": {},
    "swinunetr": {},
    "unet": {},
    "vnet": {},
}
"""Networks that exist in two dimensions, with further arguments to try."""

SUPERVISED = ("basicunetplusplus", "dynunet", "mednext_s", "plain-unet", "unpooling-unet")


def first_map(output: Any) -> torch.Tensor:
    logits = output.logits if isinstance(output, WithAuxiliaryLoss) else output
    return logits if isinstance(logits, torch.Tensor) else logits[0]


def test_every_registered_network_is_tried_here() -> None:
    # nnU-Net's is in an extra, and has its own tests.
    assert sorted([*SMALL, "nnunet"]) == NETWORKS.names()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_networks_keep_the_shape_learn_and_take_any_number_of_sequences(name: str) -> None:
    network, patch = build_network(name, 2, 3, small_arguments(name, {})), patch_for(name)
    assert not network.training
    image = torch.randn(1, 2, *patch, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        out = network(image)
    assert tuple(out.shape) == (1, 3, *patch)
    assert bool(out.isfinite().all())
    first_map(network.train()(image)).square().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


@pytest.mark.parametrize("name", sorted(FLAT))
def test_two_dimensions(name: str) -> None:
    size = (64, 64) if name == "swinunetr" else (32, 32)
    network = build_network(name, 4, 3, {**small_arguments(name, FLAT[name]), "spatial_dims": 2})
    with torch.inference_mode():
        assert tuple(network(torch.zeros(1, 4, *size)).shape) == (1, 3, *size)


@pytest.mark.parametrize("name", SUPERVISED)
def test_deep_supervision_gives_several_maps_in_training_and_one_in_prediction(name: str) -> None:
    arguments = small_arguments(name, {"deep_supervision": True})
    if "features" in SMALL[name] and name != "basicunetplusplus":
        arguments["features"] = [4, 8, 8]
    network, patch = build_network(name, 2, 3, arguments), patch_for(name)
    image = torch.randn(2, 2, *patch, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = network.train()(image)
        maps = list(maps.unbind(1)) if isinstance(maps, torch.Tensor) else list(maps)
        single = network.eval()(image)
    assert len(maps) >= 2
    assert isinstance(single, torch.Tensor)
    assert maps[0].shape == single.shape == (2, 3, *patch)
    sides = [level.shape[-1] for level in maps]
    assert sides == sorted(sides, reverse=True)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_networks_go_through_a_safetensors_file(name: str, tmp_path: Path) -> None:
    arguments, patch = small_arguments(name, {"deep_supervision": True} if name in SUPERVISED else {}), patch_for(name)
    network, other = build_network(name, 2, 3, arguments), build_network(name, 2, 3, arguments)
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    other.load_state_dict(load_file(tmp_path / "network.safetensors"))
    image = torch.randn(1, 2, *patch, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(image), other(image))


def test_a_copy_of_dynunet_has_weights_of_its_own() -> None:
    network = build_network("dynunet", 2, 3, small_arguments("dynunet", {}))
    image = torch.randn(1, 2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    copy = deepcopy(network)
    with torch.no_grad():
        before = network(image)
        assert torch.equal(copy(image), before)
        for parameter in copy.parameters():
            parameter.zero_()
        assert not torch.equal(copy(image), before)
        assert torch.equal(network(image), before)


def test_the_finest_map_of_unet_plus_plus_is_that_of_the_deepest_decoder() -> None:
    arguments = small_arguments("basicunetplusplus", {"deep_supervision": True})
    network = build_network("basicunetplusplus", 1, 1, arguments)
    image = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(image), network.network(image)[-1])


def test_the_reconstruction_is_learned_beside_the_segmentation() -> None:
    arguments = small_arguments("segresnetvae", {})
    light = build_network("segresnetvae", 2, 3, {**arguments, "reconstruction_weight": 0.1}).train()
    heavy = build_network("segresnetvae", 2, 3, {**arguments, "reconstruction_weight": 1.0}).train()
    heavy.load_state_dict(light.state_dict())
    image = torch.randn(1, 2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    outputs = []
    for network in (light, heavy):
        torch.manual_seed(0)
        outputs.append(network(image))
    torch.testing.assert_close(outputs[1].auxiliary_loss, 10 * outputs[0].auxiliary_loss)
    assert bool(outputs[0].auxiliary_loss > 0)
    outputs[0].auxiliary_loss.backward()
    parts = dict(light.network.named_parameters())
    for name in ("vae_fc1.weight", "vae_fc2.weight", "vae_fc3.weight", "convInit.conv.weight"):
        assert float(parts[name].grad.abs().sum()) > 0, name
    with torch.inference_mode():  # prediction takes another size, and is the segmentation alone
        assert tuple(light.eval()(torch.zeros(1, 2, 8, 24, 8)).shape) == (1, 3, 8, 24, 8)
    with pytest.raises(ValueError, match="the reconstruction was built for"):
        light.train()(torch.zeros(1, 2, 8, 8, 8))


def test_a_reconstruction_loss_falls_in_training() -> None:
    network = build_network("segresnetvae", 1, 1, small_arguments("segresnetvae", {})).train()
    image = torch.randn(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    torch.manual_seed(0)
    losses = []
    for _ in range(15):
        loss = network(image).auxiliary_loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("size", ["s", "b", "m", "l"])
def test_mednext_is_monais_of_the_same_size(size: str) -> None:
    published = {"s": nets.MedNeXtS, "b": nets.MedNeXtB, "m": nets.MedNeXtM, "l": nets.MedNeXtL}[size]
    with torch.device("meta"):  # shapes alone: M and L are slow to make
        ours = build_network(f"mednext_{size}", 4, 3, {"deep_supervision": True}).state_dict()
        theirs = published(in_channels=4, out_channels=3, deep_supervision=True).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: tensor.shape for name, tensor in theirs.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "multiple"),
    [
        ("segresnet", {}, 8),
        ("dynunet", {"strides": [1, 2, 2, 2, 2, 2]}, 32),
        ("basicunetplusplus", {"spatial_dims": 2}, 16),
        ("encoder-decoder", {}, 4),
        ("swinunetr", {"feature_size": 12}, 32),
        ("unpooling-unet", {}, 32),
        ("unetr", {}, None),
    ],
)
def test_the_multiple_that_an_input_must_be(name: str, arguments: dict[str, Any], multiple: int | None) -> None:
    assert input_multiple(name, 4, arguments) == multiple


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("segresnet", {"filters": 8}),
        ("plain-unet", {"up": "sideways"}),
        ("plain-unet", {"norm": "strange"}),
        ("mednext_s", {"spatial_dims": 4}),
    ],
)
def test_an_argument_that_a_network_does_not_have_is_named(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot be built with"):
        build_network(name, 4, 3, arguments)


def test_the_registry_needs_no_torch() -> None:
    code = "import sys; from radiogen.segment.names import NETWORKS; NETWORKS.names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
