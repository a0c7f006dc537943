"""Settings of `radiogen segment`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from radiogen.config.base import StageSettings
from radiogen.config.postprocess import PostprocessSettings


class SegmentSettings(StageSettings):
    """How masks are made.

    Example:
        >>> SegmentSettings(weights="mine.safetensors").weights
        ('mine.safetensors',)
    """

    method: str = "flair-threshold"
    """Registered method; `auto`: the network that comes with radiogen where there is one, else `flair-threshold`; with `weights` it is `network`."""

    weights: tuple[str, ...] = ()
    """Networks that replace the training-free method: names of installed weights or safetensors files with their cards; several make an ensemble."""

    ensemble: Literal["mean", "majority", "staple"] = "mean"
    """How several networks become one: `mean` of their probabilities, weighted by their cards; `majority` vote or `staple` of their masks."""

    given_masks: Literal["use", "ignore"] = "use"
    """`use`: a case's own mask is translated and kept; `ignore`: a mask is made for every case."""

    tta: bool = False
    """Average the network's output over the eight mirror images (test-time augmentation); eight times the work."""

    uncertainty: Literal["none", "flips", "mc-dropout", "ensemble"] = "none"
    """Where several answers per case come from: mirror images, dropout left on, or the networks of an ensemble; the mask is that of their mean."""

    passes: int = Field(default=8, ge=2)
    """Answers per case of `flips` (at most 8) and `mc-dropout`."""

    seed: int = Field(default=0, ge=0)
    """Of the dropout of `mc-dropout`; every case starts from it."""

    uncertainty_map: bool = False
    """Write the predictive entropy as `uncertainty/<case>.nii.gz`."""

    least_quality: float = Field(default=0.6, ge=0, le=1)
    """A case whose whole tumour is expected to reach a lower Dice is flagged; only where the weights' card brings a validated calibration."""

    least_agreement: float = Field(default=0.7, ge=0, le=1)
    """A case without a quality whose answers agree less on the whole tumour (mean pairwise Dice) is flagged."""

    postprocess: PostprocessSettings | None = None
    """Thresholds and filters on a network's probabilities; thresholds it does not name are the card's. None: the card's thresholds only."""

    save_probabilities: bool = False
    """Write the network's region probabilities as `probabilities/<case>.safetensors` (float16, canonical axes)."""

    save_samples: bool = False
    """Write the mask of every answer that `uncertainty` asks for as `samples/<case>/<k>.nii.gz`, made as the mask of their mean is."""

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

    @property
    def n_answers(self) -> int:
        """Return how many answers per case are compared; 0 where no uncertainty is asked for."""
        if self.uncertainty == "none":
            return 0
        if self.uncertainty == "ensemble":
            return len(self.weights)
        return min(self.passes, 8) if self.uncertainty == "flips" else self.passes

    @field_validator("weights", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return () if value is None else (value,) if isinstance(value, str) else value
