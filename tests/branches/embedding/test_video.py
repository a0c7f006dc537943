"""torchvision's video networks: which axis is time, what the weights expect, and their layout."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import video

from radiogen.branches.embedding.video import VideoNetwork, load_torchvision
from radiogen.errors import ConfigError, InputError

# torchvision's `Weights.transforms()`: mean and standard deviation of images scaled to 0..1.
WEIGHTS = {
    "r3d_18": video.R3D_18_Weights.KINETICS400_V1,
    "mc3_18": video.MC3_18_Weights.KINETICS400_V1,
    "r2plus1d_18": video.R2Plus1D_18_Weights.KINETICS400_V1,
    "swin3d_t": video.Swin3D_T_Weights.KINETICS400_V1,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_grey_volume_is_seen_as_torchvision_sees_a_grey_film(name: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(video, name)(weights=None).eval()
    ours = VideoNetwork(name).eval()
    load_torchvision(theirs.state_dict(), ours)
    setattr(theirs, "head" if name == "swin3d_t" else "fc", nn.Identity())
    statistics = WEIGHTS[name].transforms()
    volume = torch.rand(1, 1, 32, 40, 6) * 255
    film = volume[0, 0].permute(2, 0, 1)[None].expand(3, -1, -1, -1) / 255
    mean, sd = (torch.tensor(values).reshape(3, 1, 1, 1) for values in (statistics.mean, statistics.std))
    with torch.no_grad():
        torch.testing.assert_close(ours(volume), theirs(((film - mean) / sd)[None]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_published_transforms_see_what_colours_says(name: str) -> None:
    statistics = WEIGHTS[name].transforms()
    colours = VideoNetwork(name).colours
    torch.testing.assert_close(colours.mean.flatten(), torch.tensor(statistics.mean))
    torch.testing.assert_close(colours.sd.flatten(), torch.tensor(statistics.std))


@pytest.mark.parametrize("name", WEIGHTS)
def test_parameters_are_the_published_ones_but_the_classifiers(name: str) -> None:
    with torch.device("meta"):
        network = VideoNetwork(name, channels=3)
    classifier = 400 * (network.dimension + 1)
    count = sum(weight.numel() for weight in network.parameters())
    assert count + classifier == WEIGHTS[name].meta["num_params"]


def test_time_is_the_third_axis_of_the_maps() -> None:
    with torch.device("meta"):
        maps = VideoNetwork("r3d_18").eval().feature_maps(torch.zeros(1, 1, 112, 112, 16))
        # Kinetics' own clip: 16 frames of 112 x 112 end as 2 x 7 x 7 (arXiv:1711.11248, table 1: conv5_x).
        assert maps.shape == (1, 512, 7, 7, 2)
        assert VideoNetwork("mc3_18").eval().feature_maps(torch.zeros(1, 1, 112, 96, 16)).shape == (1, 512, 7, 6, 16)
        assert VideoNetwork("swin3d_t").eval().feature_maps(torch.zeros(1, 1, 128, 96, 16)).shape == (1, 768, 4, 3, 8)


@pytest.mark.parametrize("name", ["r2plus1d_18", "swin3d_t"])
def test_four_equal_sequences_give_nearly_what_one_gives(name: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(video, name)(weights=None)
    one, four = VideoNetwork(name).eval(), VideoNetwork(name, channels=4).eval()
    load_torchvision(theirs.state_dict(), one)
    load_torchvision(theirs.state_dict(), four)
    # The same standardisation for red, green and blue, so that only the kernels are compared.
    for network in (one, four):
        network.colours.mean.fill_(0.4)
        network.colours.sd.fill_(0.2)
    volume = torch.rand(1, 1, 32, 32, 4) * 255
    # What is beyond the volume is 0, in one as in four channels.
    with torch.no_grad():
        torch.testing.assert_close(four(volume.expand(-1, 4, -1, -1, -1)), one(volume), rtol=1e-3, atol=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="'s3d' is not one of the video networks"):
        VideoNetwork("s3d")
    state = video.mc3_18(weights=None).state_dict()
    with pytest.raises(InputError, match="do not fit torchvision's r3d_18"):
        load_torchvision(state, VideoNetwork("r3d_18"))
