"""C3D: the published layers and counts, how slices become clips, and both published layouts of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from radiogen.branches.embedding.base import InputSpec
from radiogen.branches.embedding.c3d import C3D, load_c3d, pack
from radiogen.branches.embedding.inputs import prepare_input
from radiogen.errors import ConfigError, InputError

SMALL = {"shape": [32, 32, 48]}


@pytest.fixture(scope="module")
def network() -> C3D:
    torch.manual_seed(1)
    return C3D(input_spec=SMALL).eval()


@pytest.fixture(scope="module")
def caffe(network: C3D) -> dict[str, Tensor]:
    """The layout converted from Caffe, with other numbers than the network has; dense layers of few outputs, which are not used."""
    torch.manual_seed(2)
    state = {name: torch.randn_like(tensor) / 50 for name, tensor in network.convolutions.state_dict().items()}
    return {**state, "fc6.weight": torch.zeros(2, 8192), "fc6.bias": torch.zeros(2)}


def as_mmaction(state: dict[str, Tensor], before: str = "") -> dict[str, Tensor]:
    """The names of mmaction2: conv1a.conv.weight; two of them are called otherwise than Caffe's."""
    names = {"conv1": "conv1a", "conv2": "conv2a"}
    found = {}
    for name, tensor in state.items():
        layer, end = name.split(".")
        inside = "conv." if layer.startswith("conv") else ""
        found[f"{before}{names.get(layer, layer)}.{inside}{end}"] = tensor
    return found


def test_the_published_layers_give_the_published_vector() -> None:
    with torch.device("meta"):
        network = C3D()
        assert network(torch.zeros(2, 1, 112, 112, 48)).shape == (2, 8192)
        assert network.feature_maps(torch.zeros(1, 1, 112, 112, 48)).shape == (1, 512, 7, 7, 2)
        grey = C3D(packing="grey")
        assert grey(torch.zeros(1, 1, 112, 112, 16)).shape == (1, 8192)
    # 27 weights per pair of channels and one bias per output, over the eight layers.
    pairs = 3 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512 * 3
    count = sum(weight.numel() for weight in network.parameters())
    assert count == 27 * pairs + 64 + 128 + 2 * 256 + 4 * 512 == 27_655_936
    assert not any(weight.requires_grad for weight in network.parameters())
    assert network.spec == InputSpec("brain", (1.0, 1.0, 3.0), (112, 112, 48), "video255")


def test_features_are_those_of_the_layers_written_out(network: C3D) -> None:
    volume = torch.rand(1, 1, 112, 112, 48) * 255
    pool, relu = nn.functional.max_pool3d, torch.relu
    c = network.convolutions
    # Rows from front to back, columns from the right to the left, three slices per frame.
    maps = volume[0, 0].flip((0, 1)).permute(2, 1, 0).reshape(16, 3, 112, 112).transpose(0, 1)[None]
    with torch.inference_mode():
        found = network(volume)
        maps = pool(relu(c["conv1"](maps)), (1, 2, 2), (1, 2, 2))
        maps = pool(relu(c["conv2"](maps)), 2, 2)
        maps = pool(relu(c["conv3b"](relu(c["conv3a"](maps)))), 2, 2)
        maps = pool(relu(c["conv4b"](relu(c["conv4a"](maps)))), 2, 2)
        maps = pool(relu(c["conv5b"](relu(c["conv5a"](maps)))), 2, 2, padding=(0, 1, 1))
    assert maps.shape == (1, 512, 1, 4, 4)
    torch.testing.assert_close(found, maps.reshape(1, 8192))


def test_both_packings_hold_every_slice_once() -> None:
    volume = torch.arange(48.0).expand(1, 1, 2, 2, 48).contiguous()
    consecutive, blocks = (pack(volume, name)[0, :, :, 0, 0] for name in ("rgb16-consecutive", "rgb16-blocks"))
    assert consecutive.shape == blocks.shape == (3, 16)
    assert consecutive[:, 0].tolist() == [0, 1, 2]
    assert blocks[:, 0].tolist() == [0, 16, 32]
    assert sorted(consecutive.flatten().tolist()) == sorted(blocks.flatten().tolist()) == list(range(48))


def test_a_mirrored_volume_is_a_mirrored_clip() -> None:
    volume = torch.rand(1, 1, 4, 5, 6)
    assert torch.equal(pack(volume.flip(2), "grey"), pack(volume, "grey").flip(4))
    assert torch.equal(pack(volume.flip(3), "grey"), pack(volume, "grey").flip(3))


@pytest.mark.parametrize("packing", ["rgb16-consecutive", "rgb16-blocks"])
def test_maps_light_up_where_the_volume_does(packing: str) -> None:
    network = C3D(packing=packing, input_spec=SMALL).eval()
    with torch.no_grad():
        convolution: Any
        for convolution in network.convolutions.values():
            convolution.weight.fill_(0.0)
            convolution.weight[:, :, 1, 1, 1] = 1.0
            convolution.bias.zero_()
    volume = torch.zeros(1, 1, 32, 32, 48)
    volume[0, 0, 20:30, 2:6, 2:6] = 1e-9
    maps = network.feature_maps(volume)[0, 0]
    where = (maps == maps.max()).nonzero().tolist()
    assert [1, 0, 0] in where
    assert all(i == 1 and j == 0 for i, j, _ in where)


def test_both_published_layouts_give_the_same_features(network: C3D, caffe: dict[str, Tensor]) -> None:
    volume = torch.rand(1, 1, 32, 32, 48)
    with torch.inference_mode():
        before = network(volume)
        found = []
        for state in (
            caffe,
            as_mmaction(caffe),
            as_mmaction(caffe, "backbone."),
            as_mmaction(caffe, "module.backbone."),
        ):
            load_c3d(state, network)
            found.append(network(volume))
    assert not torch.equal(found[0], before)
    assert all(torch.equal(each, found[0]) for each in found)


def test_every_tensor_that_does_not_fit_is_named(network: C3D, caffe: dict[str, Tensor]) -> None:
    broken = as_mmaction(caffe)
    del broken["conv1a.conv.weight"], broken["conv5b.conv.bias"]
    broken["conv6a.conv.weight"] = torch.zeros(1)
    broken["conv3a.conv.bias"] = torch.zeros(3)
    with pytest.raises(InputError) as raised:
        load_c3d(broken, network)
    assert raised.value.problems == [
        "missing: conv1.weight",
        "missing: conv5b.bias",
        "not known: conv6a.weight",
        "conv3a.bias is (3,), it has to be (256,)",
    ]


def test_arguments_that_are_not_accepted_are_named_together() -> None:
    with pytest.raises(ConfigError) as raised, torch.device("meta"):
        C3D(channels=4, packing="rgb", mean="imagenet")
    assert len(raised.value.problems) == 3
    with pytest.raises(ConfigError, match="multiple of 3"), torch.device("meta"):
        C3D(input_spec={"shape": [112, 112, 16]})


def test_the_mean_of_the_films_is_taken_off(network: C3D) -> None:
    shifted = C3D(mean="sports1m", packing="grey", input_spec={"shape": [32, 32, 16]})
    shifted.convolutions.load_state_dict(network.convolutions.state_dict())
    plain = C3D(packing="grey", input_spec={"shape": [32, 32, 16]})
    plain.convolutions.load_state_dict(network.convolutions.state_dict())
    clip = torch.rand(1, 1, 32, 32, 16)
    with torch.inference_mode():
        expected = plain.convolutions["conv1"](
            pack(clip, "grey") - torch.tensor([104.0, 117.0, 128.0]).reshape(1, 3, 1, 1, 1)
        )
        seen: list[Tensor] = []
        shifted.convolutions["conv1"].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        shifted(clip)
    torch.testing.assert_close(seen[0], expected)


def test_what_it_is_shown_has_the_range_of_a_film() -> None:
    image = np.zeros((60, 60, 40), np.float32)
    image[10:50, 12:48, 5:35] = np.random.default_rng(0).normal(300, 60, (40, 36, 30)).clip(2)
    with torch.device("meta"):
        spec = C3D().spec
    found = prepare_input(image, (2.0, 2.0, 3.0), None, spec)
    inside = found[found != 0]
    assert found.shape == (112, 112, 48)
    assert 85 < inside.mean() < 255
