"""A crop normalised as the volume that it was cut from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from radiogen.segment.grid_norm import GridGroupNorm, empty_corner, with_grid_norm
from radiogen.segment.networks import build_network


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_statistics_of_the_whole_volume_follow_from_the_crop(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = nn.GroupNorm(2, 4).to(dtype)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5, generator=generator)
        norm.bias.uniform_(-1, 1, generator=generator)
    background = torch.tensor([0.3, -0.2, 1.0, 0.0]).reshape(1, 4, 1, 1, 1)
    volume = background.expand(1, 4, 40, 40, 40).clone()
    volume[..., 12:24, 12:24, 12:24] += torch.randn(1, 4, 12, 12, 12, generator=generator)
    volume = volume.to(dtype)
    wide = GridGroupNorm(norm)
    with torch.inference_mode(), wide.part_of((40, 40, 40), (24, 24, 24), (0, 0, 0)):
        crop = wide(volume[..., :24, :24, :24].contiguous())
    expected = norm(volume)[..., :24, :24, :24]
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    assert torch.allclose(crop.float(), expected.float(), atol=tolerance)
    plain = norm(volume[..., :24, :24, :24].contiguous())
    assert float((plain - expected).detach().abs().max()) > 2 * tolerance


def test_without_a_crop_nothing_changes() -> None:
    network = build_network("segresnet", 2, 1, {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]})
    image = torch.randn(1, 2, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = network(image)
        assert len(with_grid_norm(network)) > 3
        assert torch.equal(network(image), before)


def test_a_crop_gives_nearly_the_outputs_of_the_volume() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("segresnet", 1, 1, {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]})
    volume = torch.zeros(1, 1, 96, 96, 96)
    volume[..., 32:56, 32:56, 32:56] = torch.randn(24, 24, 24, generator=torch.Generator().manual_seed(2))
    crop = volume[..., 16:72, 16:72, 16:72].contiguous()
    inner = (..., slice(8, 48), slice(8, 48), slice(8, 48))
    with torch.inference_mode():
        expected = network(volume)[..., 16:72, 16:72, 16:72][inner]
        plain = network(crop)[inner]
        norms = with_grid_norm(network)
        for norm in norms:
            norm._share, norm._crop, norm._corner = (56 / 96) ** 3, (56, 56, 56), (0, 0, 0)
        wide = network(crop)[inner]
    assert float((wide - expected).abs().mean()) < 0.2 * float((plain - expected).abs().mean())


def test_an_empty_corner_is_found_and_a_full_image_has_none() -> None:
    batch = torch.zeros(1, 2, 40, 40, 40)
    batch[..., :24, :, :] = 1
    assert empty_corner(batch) == (1, 0, 0)
    assert empty_corner(torch.ones(1, 2, 40, 40, 40)) is None
