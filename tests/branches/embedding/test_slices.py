"""2D networks on slices: the published small one, torchvision's over several slices, and which way up slices are shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import models

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.inputs import prepare_input
from radiogen.branches.embedding.slices import SliceCNN, SlicesNetwork, as_pictures, from_pictures, load_imagenet
from radiogen.errors import ConfigError, InputError


def test_slices_are_shown_with_the_nose_up_and_the_patients_right_on_the_left() -> None:
    volume = torch.zeros(1, 1, 6, 8, 2)
    volume[0, 0, 5, 7, 1] = 1  # right, front, top in RAS
    picture = as_pictures(volume)[1, 0]
    assert picture.shape == (8, 6)
    assert picture.nonzero().tolist() == [[0, 0]]
    assert torch.equal(from_pictures(as_pictures(volume), 1), volume)


def test_the_small_network_has_the_published_layers() -> None:
    network = SliceCNN()
    assert network.fc1.in_features == 44_944
    counts = (3 * 25 + 1) * 6, (6 * 25 + 1) * 16, 44_945 * 120, 121 * 84
    assert sum(weight.numel() for weight in network.parameters()) == sum(counts)
    assert network.spec == InputSpec("brain", (1.0, 1.0, 1.0), (224, 224, 1), "minmax255")
    assert network.feature_maps(torch.zeros(1, 1, 224, 224, 1)).shape == (1, 16, 106, 106, 1)


def test_the_small_network_computes_what_its_layers_say() -> None:
    torch.manual_seed(0)
    network = SliceCNN().eval()
    volume = torch.rand(1, 1, 224, 224, 1) * 255
    picture = (volume[0, 0, :, :, 0].flip((0, 1)).T / 255 - 0.5) / 0.5
    pool, relu = torch.nn.functional.max_pool2d, torch.relu
    with torch.inference_mode():
        maps = pool(relu(network.conv1(picture.expand(1, 3, -1, -1))), 2)
        maps = pool(relu(network.conv2(maps)), 2)
        expected = relu(network.fc2(relu(network.fc1(maps.flatten(1)))))
        torch.testing.assert_close(network(volume), expected)
        # Several slices: their mean; another size: still 84 values.
        torch.testing.assert_close(network(volume.expand(-1, -1, -1, -1, 2)), expected)
        assert network(volume[:, :, :64, :64]).shape == (1, 84)


@pytest.mark.parametrize(("policy", "centre", "k"), [("median", "brain", 5.5), ("largest-tumour", "tumour", 8.0)])
def test_the_policy_chooses_the_slice(policy: str, centre: str, k: float) -> None:
    spec = SliceCNN(policy=policy).spec
    assert spec.centre == centre
    # Each slice shows its number; the tumour is largest in slice 8, the brain's middle lies between 5 and 6.
    image = np.broadcast_to(np.arange(1, 13, dtype=np.float32), (20, 20, 12)).copy()
    labels = np.zeros(image.shape, np.uint8)
    labels[8:10, 8:10, 2:10] = 2
    labels[5:12, 5:12, 8] = 1
    raw = InputSpec(spec.centre, spec.voxel_size_mm, (4, 4, 1), "raw")
    found = prepare_input(image, (1.0, 1.0, 1.0), labels, raw)
    assert float(found.mean()) == pytest.approx(k + 1)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_imagenet_weights_give_torchvisions_features_of_each_slice(name: str) -> None:
    torch.manual_seed(0)
    published = getattr(models, name)(weights=None).eval()
    networks = [SlicesNetwork(name, pooling=pooling).eval() for pooling in ("mean", "max")]
    for network in networks:
        load_imagenet(published.state_dict(), network)
    setattr(published, "fc" if name == "resnet18" else "classifier", torch.nn.Identity())
    volume = torch.rand(1, 1, 64, 64, 3) * 255
    mean, sd = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pictures = volume[0, 0].flip((0, 1)).permute(2, 1, 0)[:, None].expand(-1, 3, -1, -1) / 255
    pictures = (pictures - mean[:, None, None]) / sd[:, None, None]
    with torch.inference_mode():
        expected = published(pictures)
        torch.testing.assert_close(networks[0](volume)[0], expected.mean(0), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(networks[1](volume)[0], expected.amax(0), rtol=1e-3, atol=1e-5)
        assert networks[0].feature_maps(volume).shape == (1, networks[0].dimension, 2, 2, 3)


def test_four_sequences_as_channels_see_grey_as_colours_would() -> None:
    torch.manual_seed(0)
    state = models.resnet18(weights=None).state_dict()
    four = SlicesNetwork("resnet18", channels=4).eval()
    load_imagenet(state, four)
    kernels = four.network.get_parameter("conv1.weight")
    assert kernels.shape == (64, 4, 7, 7)
    torch.testing.assert_close(kernels.sum(1), state["conv1.weight"].sum(1))


def test_what_is_not_accepted_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        SliceCNN(channels=2, policy="middle")
    assert len(raised.value.problems) == 2
    with pytest.raises(ConfigError) as raised:
        SlicesNetwork("resnet19", pooling="sum")
    assert len(raised.value.problems) == 2
    with pytest.raises(InputError, match="resnet18"):
        load_imagenet(models.resnet34(weights=None).state_dict(), SlicesNetwork("resnet18"))
