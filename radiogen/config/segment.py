"""Settings of `radiogen segment`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from radiogen.config.base import StageSettings


class SegmentSettings(StageSettings):
    """How masks are made.

    Example:
        >>> SegmentSettings().method
        'flair-threshold'
    """

    method: str = "flair-threshold"
    """Registered method; with `weights` given it is `network`."""

    weights: str | None = None
    """A safetensors file with its card beside it; its network replaces the training-free method."""

    given_masks: Literal["use", "ignore"] = "use"
    """`use`: a case's own mask is translated and kept; `ignore`: a mask is made for every case."""

    tta: bool = False
    """Average the network's output over the eight mirror images (test-time augmentation); eight times the work."""

    device: str = "auto"
    """`auto` (cuda, then mps, then cpu) or a torch device such as `cuda:1`."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; `auto` takes bfloat16 where the device has it in hardware."""

    window: Literal["auto", "whole", "sliding"] = "auto"
    """`whole`: the whole head in one pass; `sliding`: overlapping windows; `auto`: whole unless it is larger than `window_voxels`."""

    window_size: tuple[int, int, int] = (128, 128, 128)
    """Window of the sliding mode, voxels of the network's grid."""

    window_overlap: float = Field(default=0.5, ge=0, lt=1)
    """Share of a window that its neighbour covers again."""

    window_voxels: int = Field(default=12_000_000, ge=1)
    """Largest crop that `auto` passes through the network whole, voxels."""

    smallest_ml: float = Field(default=0.05, ge=0)
    """Connected components of the whole tumour below this volume are removed, ml."""
