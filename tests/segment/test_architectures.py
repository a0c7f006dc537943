from __future__ import annotations

import pytest
import torch
from torch import nn

from radiogen.segment.architectures.blocks import ConvolutionalAttention, layers, normalisation
from radiogen.segment.architectures.dilated_attention_unet import DilatedAttentionUNet
from radiogen.segment.architectures.encoder_decoder import EncoderDecoder
from radiogen.segment.architectures.multiscale_unet import MultiscaleUNet
from radiogen.segment.architectures.plain_unet import PlainUNet
from radiogen.segment.architectures.residual_unet import ResidualUNet
from radiogen.segment.architectures.translation_unet import TranslationUNet
from radiogen.segment.architectures.unpooling_unet import UnpoolingUNet


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_unpooling_unet_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        assert size_of(UnpoolingUNet(4, 3)) == 27_663_648  # methods part 2, B8


def test_unpooling_puts_values_back_where_they_were_largest() -> None:
    network = UnpoolingUNet(1, 1, features=(2, 2))
    image = torch.zeros(1, 1, 2, 2, 2)
    image[0, 0, 1, 0, 1] = 5.0
    pooled, places = network.pool(image)
    assert torch.equal(network.unpool(pooled, places), image)


def test_encoder_decoder_is_as_printed_and_nothing_leads_past_its_bottleneck() -> None:
    network = EncoderDecoder(4, 5)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)]
    widths = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    assert widths == [(4, 32), (32, 64), (64, 128), (128, 128), (128, 64), (64, 64), (64, 5)]  # methods part 2, C1
    # With the pooled maps forced to be constant, the output cannot depend on the image.
    tiny = EncoderDecoder(1, 2, width=2)
    tiny[9].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    assert isinstance(tiny[9], nn.MaxPool3d)
    assert torch.equal(tiny(torch.randn(1, 1, 8, 8, 8)), tiny(torch.randn(1, 1, 8, 8, 8)))


def test_residual_unet_normalises_before_it_convolves() -> None:
    network = ResidualUNet(4, 1, features=(8, 16))
    kinds = [type(layer).__name__ for layer in network.first.first]
    assert kinds == ["GroupNorm", "Conv3d", "ReLU"]
    assert not list(network.first.third.children())  # the third convolution stands alone


def test_translation_unet_joins_its_bottleneck_blocks() -> None:
    network = TranslationUNet(4, 4, features=(4, 4, 8, 8))
    inputs = [
        next(layer for layer in block if isinstance(layer, nn.Conv3d)).in_channels for block in network.bottleneck
    ]
    assert inputs == [8, 16, 16]
    assert all(layer.kernel_size == (4, 4, 4) for layer in network.modules() if isinstance(layer, nn.Conv3d))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_attention_only_weakens(spatial_dims: int) -> None:
    attention = ConvolutionalAttention(8, spatial_dims)
    x = torch.rand(2, 8, *[6] * spatial_dims)
    out = attention(x)
    assert out.shape == x.shape
    assert bool((out <= x).all())
    assert bool((out >= 0).all())


def test_attention_by_product_is_not_that_by_sum() -> None:
    added, multiplied = ConvolutionalAttention(8), ConvolutionalAttention(8, combine="multiply")
    multiplied.load_state_dict(added.state_dict())
    x = torch.rand(1, 8, 4, 4, 4)
    assert not torch.allclose(added(x), multiplied(x))
    with pytest.raises(ValueError, match="add or multiply"):
        ConvolutionalAttention(8, combine="average")


def test_the_order_of_layers_is_that_of_the_letters() -> None:
    kinds = [type(layer).__name__ for layer in layers("ncad", 4, 6, norm="batch", act="leakyrelu", dropout=0.1)]
    assert kinds == ["BatchNorm3d", "Conv3d", "LeakyReLU", "Dropout3d"]
    before, after = layers("nc", 4, 6, norm="batch"), layers("cn", 4, 6, norm="batch")
    assert (before[0].num_features, after[1].num_features) == (4, 6)


@pytest.mark.parametrize(("channels", "groups"), [(4, 4), (12, 6), (16, 8), (7, 7), (11, 1)])
def test_groups_divide_the_channels(channels: int, groups: int) -> None:
    layer = normalisation("group", 3, channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


def test_plain_unet_without_attention_has_bare_skips_and_dilates_only_the_bottom() -> None:
    network = PlainUNet(4, 3, features=(4, 8, 8), bottleneck_dilation=2)
    assert all(isinstance(skip, nn.Identity) for skip in network.skips)
    dilations = [layer.dilation for stage in network.down for layer in stage.modules() if isinstance(layer, nn.Conv3d)]
    assert dilations == [(1, 1, 1)] * 2 + [(2, 2, 2)] * 2


def test_dilated_blocks_have_as_many_convolutions_as_their_level() -> None:
    network = DilatedAttentionUNet(4, 3, features=(4, 4, 8))
    for block, level in ((network.first[0], 1), (network.first[1], 2), (network.second, 3), (network.third[0], 4)):
        dilations = [conv[-1].dilation[0] for conv in block.convolutions]
        assert dilations == [2**n for n in range(level)]
    assert [type(layer).__name__ for layer in network.second.convolutions[0]] == ["GroupNorm", "ReLU", "Conv3d"]


def test_multiscale_blocks_bring_three_scales_to_the_wanted_width() -> None:
    block = MultiscaleUNet(4, 4, spatial_dims=2, features=(4, 8)).down[0]
    assert [scale[0].in_channels for scale in block.scales] == [4, 8, 8]
    assert (block.narrow.in_channels, block.narrow.out_channels) == (24, 8)
