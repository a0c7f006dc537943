"""MedicalNet's ResNets: published layout, shortcuts, dilation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import resnet10, resnet18
from torch import nn

from radiogen.branches.embedding.medicalnet import MedicalResNet, load_medicalnet
from radiogen.errors import ConfigError, InputError


@pytest.mark.parametrize(("depth", "shortcut"), [(10, "B"), (18, "A")])
def test_published_weights_give_what_monais_network_gives(tmp_path: Path, depth: int, shortcut: str) -> None:
    torch.manual_seed(0)
    make = {10: resnet10, 18: resnet18}[depth]
    # MONAI's arguments for MedicalNet's weights: `get_medicalnet_pretrained_resnet_args` and `feed_forward=False`.
    theirs = make(
        spatial_dims=3,
        n_input_channels=1,
        conv1_t_stride=2,
        feed_forward=False,
        shortcut_type=shortcut,
        bias_downsample=False,
    ).eval()
    for part in theirs.modules():
        if isinstance(part, nn.BatchNorm3d):
            part.running_mean.normal_(0.0, 0.1)
            part.running_var.uniform_(0.5, 2.0)
    # The file's layout: under `state_dict`, names as DataParallel leaves them.
    file = tmp_path / f"resnet_{depth}_23dataset.pth"
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}}, file)
    ours = MedicalResNet(depth).eval()
    load_medicalnet(torch.load(file, weights_only=True)["state_dict"], ours)
    volumes = torch.randn(2, 1, 40, 33, 40)
    with torch.no_grad():
        torch.testing.assert_close(ours(volumes), theirs(volumes).flatten(1), rtol=1e-5, atol=1e-5)


def test_the_segmentation_head_is_left_out_and_channels_are_adapted() -> None:
    source = MedicalResNet(10)
    state = {f"module.{name}": tensor for name, tensor in source.network.state_dict().items()}
    state["module.conv_seg.0.weight"] = torch.zeros(512, 32, 2, 2, 2)
    target = MedicalResNet(10, channels=4)
    load_medicalnet(state, target)
    volumes = torch.randn(1, 1, 36, 36, 36)
    with torch.no_grad():
        expected = source.eval()(volumes)
        torch.testing.assert_close(target.eval()(volumes.expand(-1, 4, -1, -1, -1)), expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_passes_shortcut_a() -> None:
    # MONAI's own shortcut cuts it off. With the block's convolutions at zero only the shortcut is left.
    network = MedicalResNet(18)
    block = network.network.layer2[0]
    nn.init.zeros_(block.bn2.weight)
    maps = torch.rand(2, 64, 6, 6, 6, requires_grad=True)
    block(maps).sum().backward()
    assert maps.grad is not None
    assert torch.equal(maps.grad[:, :, ::2, ::2, ::2], torch.ones(2, 64, 3, 3, 3))


@pytest.mark.parametrize("depth", [10, 18, 50])
def test_dilated_keeps_an_eighth_of_the_resolution_and_the_same_weights(depth: int) -> None:
    with torch.device("meta"):
        plain, dilated = MedicalResNet(depth).eval(), MedicalResNet(depth, dilated=True).eval()
        volumes = torch.zeros(1, 1, 64, 64, 64)
        assert plain.feature_maps(volumes).shape[2:] == (2, 2, 2)
        assert dilated.feature_maps(volumes).shape[2:] == (8, 8, 8)
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (plain, dilated)]
    assert shapes[0] == shapes[1]
    found = [
        {part.dilation for part in stage.modules() if isinstance(part, nn.Conv3d) and part.kernel_size == (3, 3, 3)}
        for stage in (dilated.network.layer2, dilated.network.layer3, dilated.network.layer4)
    ]
    assert found == [{(1, 1, 1)}, {(2, 2, 2)}, {(4, 4, 4)}]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="depth 101 is not known"):
        MedicalResNet(101)
    with pytest.raises(InputError, match="ResNet-18"):
        load_medicalnet(MedicalResNet(10).network.state_dict(), MedicalResNet(18))
