"""Embedding networks at rest: the same numbers in less time, for networks that are only asked and no longer trained."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from radiogen.branches.embedding.base import Backbone, Vectors, Volumes
from radiogen.segment.network import choose_device, choose_precision

_LAYOUT = torch.channels_last_3d

Cells = Float[Tensor, "1 _x _y _z _f"]
"""Feature maps of one volume with the channels last, as the fast network keeps them."""


class Embedder:
    """A backbone ready to be asked: on its device, in its arithmetic, one volume at a time, without gradients.

    A 3D EfficientNet on a CPU is rebuilt as `FastEfficientNet`; every other network runs as it is, channels last.

    Args:
        backbone: with its weights; it is put into evaluation mode.
        device: `auto`, or a torch device.
        precision: `auto` (bfloat16 where the device computes it in hardware), `float32` or `bfloat16`.

    Raises:
        ConfigError: the device is not there.
    """

    def __init__(self, backbone: Backbone, device: str = "auto", precision: str = "auto") -> None:
        self.device = choose_device(device)
        self._dtype = choose_precision(precision, self.device)
        self.arithmetic = arithmetic(self.device, self._dtype)
        self._backbone = backbone.eval()
        trunk = efficientnet_of(backbone) if self.device.type == "cpu" else None
        self._fast = None if trunk is None else FastEfficientNet(trunk, self._dtype)
        if self._fast is None:
            backbone.to(self.device)
            for module in backbone.modules():
                if isinstance(module, nn.Conv3d):  # networks on slices have 2D convolutions, which know no such layout
                    module.to(memory_format=_LAYOUT)

    @torch.inference_mode()
    def __call__(self, volumes: Volumes) -> Vectors:
        """Return one float32 vector per volume, on the CPU.

        Args:
            volumes: prepared volumes, b x channels x i x j x k.
        """
        ready = volumes.to(self.device).contiguous(memory_format=_LAYOUT)
        if self._fast is not None:
            return torch.cat([self._fast(volume[None]) for volume in ready])
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            # One by one: a vector must not depend on who else is in the batch.
            vectors = torch.cat([self._backbone(volume[None]) for volume in ready])
        return vectors.float().cpu()


def arithmetic(device: torch.device, dtype: torch.dtype) -> str:
    """Return in words what computes the numbers, as far as they depend on it.

    Example:
        >>> arithmetic(torch.device("cpu"), torch.bfloat16)
        'bfloat16 on cpu'
    """
    return f"{str(dtype).removeprefix('torch.')} on {device.type}"


def efficientnet_of(backbone: Backbone) -> nn.Module | None:
    """Return the 3D EfficientNet that is the whole of a backbone's trunk, or None where it is something else."""
    trunk: Any = getattr(backbone, "network", None)
    is_monai = type(trunk).__module__ == "monai.networks.nets.efficientnet"
    return trunk if is_monai and isinstance(trunk._conv_stem, nn.Conv3d) else None


class FastEfficientNet:
    """MONAI's 3D EfficientNet without its classifier, rebuilt for inference on a CPU.

    What is saved, in the order of what it brings: batch normalisation is folded into the convolution before it; maps stay channels-last, so that
    a 1 x 1 x 1 convolution is one matrix product; padding is done by the convolution, and where it is uneven (stride 2), on the few channels
    before they are expanded; squeeze-and-excitation scales the weights of the projection instead of the map; means are matrix products;
    arithmetic is bfloat16 where the CPU has it, with sums in float32. In float32 the result differs from MONAI's by rounding alone.

    Args:
        network: MONAI's `EfficientNet` with `spatial_dims=3`; it is copied from, not changed.
        dtype: arithmetic of the maps.

    Source: Tan & Le, ICML 2019, arXiv:1905.11946 (the network); Jacob et al., CVPR 2018, arXiv:1712.05877, section 3.2 (folding).
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        parts: Any = network
        self.dtype = dtype
        self._pads = _pads(parts._conv_stem_padding)
        self.stem, self.stem_bias = _ready(*_folded(parts._conv_stem, parts._bn0), dtype)
        self._stride = int(parts._conv_stem.stride[0])
        self.blocks = [_FastBlock(block, dtype) for stack in parts._blocks for block in stack]
        weight, bias = _folded(parts._conv_head, parts._bn1)
        self.head, self.head_bias = _ready(weight.flatten(1), bias, dtype)

    @torch.inference_mode()
    def maps(self, volume: Float[Tensor, "1 c i j k"]) -> Cells:
        """Return the last feature maps of one volume, channels last."""
        x = functional.pad(volume.to(self.dtype), self._pads).contiguous(memory_format=_LAYOUT)
        x = functional.conv3d(x, self.stem, self.stem_bias, stride=self._stride)
        cells = functional.silu(x, inplace=True).permute(0, 2, 3, 4, 1).contiguous()
        for block in self.blocks:
            cells = block(cells)
        return functional.silu(functional.linear(cells, self.head, self.head_bias), inplace=True)

    def __call__(self, volume: Float[Tensor, "1 c i j k"]) -> Float[Tensor, "1 d"]:
        """Return the mean of the last feature maps, float32."""
        return self.maps(volume).float().mean(dim=(1, 2, 3))


class _FastBlock:
    """One inverted residual block with squeeze-and-excitation."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self.expands = block.expand_ratio != 1
        if self.expands:
            weight, bias = _folded(block._expand_conv, block._bn0)
            self.expand, self.expand_bias = _ready(weight.flatten(1), bias, dtype)
        depthwise, bias = _folded(block._depthwise_conv, block._bn1)
        self.depthwise, self.depthwise_bias = _ready(depthwise, bias, dtype)
        self.stride, pads = int(block._depthwise_conv.stride[0]), _pads(block._depthwise_conv_padding)
        self.before, self.more = (
            pads[4::-2],
            [after - before for before, after in zip(pads[::2], pads[1::2], strict=True)],
        )
        self.squeeze, self.squeeze_bias = _flat(block._se_reduce)
        self.excite, self.excite_bias = _flat(block._se_expand)
        # Kept in float32 until the gate is known.
        project, bias = _folded(block._project_conv, block._bn2)
        self.project, self.project_bias = project.flatten(1), bias.to(dtype)
        self.skips = block.id_skip and block.stride == 1 and block.in_channels == block.out_channels

    def __call__(self, cells: Cells) -> Cells:
        """Return the block's maps."""
        x = self._expanded(cells).permute(0, 4, 1, 2, 3)
        x = functional.conv3d(
            x, self.depthwise, self.depthwise_bias, stride=self.stride, padding=self.before, groups=x.shape[1]
        )
        x = functional.silu(x, inplace=True).permute(0, 2, 3, 4, 1).contiguous()
        gate = functional.silu(functional.linear(_mean(x), self.squeeze, self.squeeze_bias))
        gate = torch.sigmoid(functional.linear(gate, self.excite, self.excite_bias))
        projected = functional.linear(x, (self.project * gate).to(x.dtype), self.project_bias)
        return projected.add_(cells) if self.skips else projected

    def _expanded(self, cells: Cells) -> Cells:
        """Return the maps with more channels, and with what the uneven padding has on the far side of each axis."""
        uneven = any(self.more)
        if uneven:
            # Axes in the order of `functional.pad`: channels, then the last axis first.
            cells = functional.pad(cells, [0, 0, *(amount for more in self.more for amount in (0, more))])
        if not self.expands:
            return cells
        x = functional.silu(functional.linear(cells, self.expand, self.expand_bias), inplace=True)
        if uneven:
            # Padding is 0 behind the activation, too.
            for axis, more in zip((3, 2, 1), self.more, strict=True):
                x.narrow(axis, x.shape[axis] - more, more).zero_()
        return x


def _mean(cells: Cells) -> Float[Tensor, "1 _f"]:
    """Return the mean of every channel: a product with ones, which is several times as fast as a reduction in bfloat16."""
    rows = cells.flatten(0, 3)
    total = rows.new_ones(1, len(rows)) @ rows
    return total.float() / len(rows)


def _folded(convolution: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution that does what convolution and batch normalisation did."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale.reshape(-1, 1, 1, 1, 1)
    return weight.detach(), (norm.bias - norm.running_mean * scale).detach()


def _ready(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    weight = weight.to(dtype)
    return (weight.contiguous(memory_format=_LAYOUT) if weight.ndim == 5 else weight.contiguous()), bias.to(dtype)


def _flat(convolution: Any) -> tuple[Tensor, Tensor]:
    return convolution.weight.detach().flatten(1).clone(), convolution.bias.detach().clone()


def _pads(padding: nn.Module) -> list[int]:
    """Return voxels before and after each axis, the last axis first, of MONAI's padding before a convolution."""
    given = getattr(padding, "padding", (0,) * 6)
    return [int(amount) for amount in given]
