"""Settings of `radiogen features embedding`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from radiogen.config.base import StageSettings

SEGMENTATION_ENCODER = "segmentation-encoder"
"""Network name of the segmentation network's own encoder, pooled inside the tumour's regions."""

ADAPTER_PREFIX = "adapter:"
"""What the name of somebody else's model starts with: `adapter:module:function`."""


class EmbeddingSettings(StageSettings):
    """Which network turns a case into numbers, and what it is shown.

    Example:
        >>> EmbeddingSettings(network="efficientnet3d-b0", mode="early-fusion").sequences
        ('t1n', 't1c', 't2w', 't2f')
    """

    network: str = SEGMENTATION_ENCODER
    """A registered embedding network (`radiogen info` lists them); `segmentation-encoder`: the segmentation network's own feature maps, pooled inside
    the tumour's regions; `adapter:module:function`: a model of one's own."""

    weights: str | None = None
    """Installed weights by name, or a file. None: of `segmentation-encoder` the weights that come with radiogen, of any other network random numbers
    from `seed`, which the sidecar says."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Constructor arguments of the network that differ from its defaults."""

    seed: int = Field(default=0, ge=0)
    """Of random weights."""

    sequences: tuple[Literal["t1n", "t1c", "t2w", "t2f"], ...] = Field(
        default=("t1n", "t1c", "t2w", "t2f"), min_length=1
    )
    """Sequences to embed; one that a case lacks leaves its columns blank, and all columns with `early-fusion`. `segmentation-encoder` takes what its
    weights were trained on."""

    mode: Literal["per-sequence", "early-fusion"] = "per-sequence"
    """`per-sequence`: one vector for each sequence; `early-fusion`: one network sees all sequences as channels."""

    centre: Literal["tumour", "brain", "volume"] | None = None
    """What the network's input is centred on; None: as the network was made for."""

    voxel_size_mm: tuple[float, float, float] | None = None
    """Voxels of the network's input, mm; None: as the network was made for."""

    shape: tuple[int, int, int] | None = None
    """Size of the network's input, voxels; None: as the network was made for."""

    intensity: str | None = None
    """How intensities are prepared, a name in `radiogen.branches.embedding.inputs.INTENSITIES`; None: as the network was made for."""

    regions: tuple[Literal["wt", "tc", "et"], ...] = Field(default=("wt", "tc", "et"), min_length=1)
    """Regions that `segmentation-encoder` pools inside; one that is empty leaves its columns blank."""

    device: str = "auto"
    """`auto` (cuda, then mps, then cpu) or a torch device."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic; `auto` takes bfloat16 where the device computes it in hardware. The two differ in the third digit."""

    @field_validator("voxel_size_mm", "shape")
    @classmethod
    def _positive(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and min(values) <= 0:
            raise ValueError("every number must be above 0")
        return values

    @field_validator("sequences", "regions")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("every name once")
        return names

    @model_validator(mode="after")
    def _fits_the_network(self) -> EmbeddingSettings:
        fixed = {
            SEGMENTATION_ENCODER: {"arguments", "seed", "mode", "centre", "voxel_size_mm", "shape", "intensity"},
            ADAPTER_PREFIX: {"weights", "arguments", "seed", "mode"},
        }
        kind = ADAPTER_PREFIX if self.network.startswith(ADAPTER_PREFIX) else self.network
        useless = sorted(
            name
            for name in fixed.get(kind, {"regions"}) & self.model_fields_set
            if getattr(self, name) not in (None, {})
        )
        if useless:
            raise ValueError(f"'{self.network}' does not take {', '.join(useless)}")
        return self
