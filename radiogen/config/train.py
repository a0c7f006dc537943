"""Settings of `radiogen train segmentation`; a recipe is a YAML of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings
from radiogen.types import REGIONS, SEQUENCES


class NetworkSettings(StageSettings):
    """Which network, and how it starts.

    Example:
        >>> NetworkSettings(name="segresnet").arguments
        {}
    """

    name: str = "segresnet"
    """Registered network."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Constructor arguments that differ from the registered defaults."""

    start_from: str | None = None
    """Weights file to start from (a warm start); None: random weights."""

    tune: Literal["all", "last-layers"] = "all"
    """Which layers learn: all of them, or the last `last_layers` of the decoder (the rest is frozen)."""

    last_layers: int = Field(default=10, ge=1)
    """Layers with weights, counted from the output, that learn where `tune` is `last-layers`."""

    reinitialise: int = Field(default=0, ge=0)
    """Layers with weights, counted from the output, that are drawn anew before training."""


class DataSettings(StageSettings):
    """What the network sees.

    Example:
        >>> DataSettings(patch_size=(32, 32, 32)).sequences
        ('t1n', 't1c', 't2w', 't2f')
    """

    source: Literal["cohort", "domain-randomised"] = "cohort"
    """`cohort`: the cases of a cohort table with their masks; `domain-randomised`: made-up patients drawn as training goes, no file is read."""

    sequences: tuple[str, ...] = SEQUENCES
    """Input channels, in this order; a sequence that a case lacks is zero."""

    targets: Literal["regions", "labels"] = "regions"
    """`regions`: one sigmoid map per region of `regions`; `labels`: softmax over background, NCR, ED, ET (RC too with `resection_cavity`)."""

    regions: tuple[str, ...] = ("wt", "tc", "et")
    """Regions of the output maps where `targets` is `regions`."""

    resection_cavity: bool = False
    """Learn label 4 (resection cavity) as a class of its own where `targets` is `labels`."""

    spacing_mm: float = Field(default=1.0, gt=0)
    """Isotropic voxel size the cases are resampled to, mm."""

    patch_size: tuple[int, int, int] | None = (128, 128, 128)
    """Voxels of a training patch; None: the whole head in one piece."""

    foreground_share: float = Field(default=0.5, ge=0, le=1)
    """Share of patches that are centred on a tumour voxel."""

    planes: Literal["volume", "axial", "coronal", "sagittal"] = "volume"
    """`volume`: 3D; a plane: the network is 2D and sees slices of that plane."""

    sequence_dropout: float = Field(default=0.25, ge=0, le=1)
    """Probability that a case loses a random, proper subset of its sequences."""

    augmentation: Literal["none", "flips", "light", "strong"] = "light"
    """`flips`: mirror images; `light`: also gain and offset of intensities; `strong`: also rotation, scaling, noise, blur, gamma, low resolution."""


class OptimiserSettings(StageSettings):
    """How the weights move.

    Example:
        >>> OptimiserSettings(name="sgd-nesterov", learning_rate=0.01).momentum
        0.99
    """

    name: str = "adamw"
    """Registered optimiser: `adamw`, `adamw-schedulefree`, `sgd-nesterov`, `adam`."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """Largest learning rate."""

    weight_decay: float = Field(default=1e-5, ge=0)
    """Weight decay."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moments of `adam` and `adamw`."""

    momentum: float = Field(default=0.99, ge=0, lt=1)
    """Momentum of `sgd-nesterov`."""

    schedule: Literal["constant", "cosine", "polynomial", "plateau", "late"] = "cosine"
    """How the learning rate falls: not at all, half a cosine, `(1 - t)^0.9`, by a factor when the loss stops falling, or in a straight line over the
    last fifth of the steps; none with schedule-free."""

    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly at the start."""

    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    """Factor of `plateau`."""

    plateau_patience: int = Field(default=2, ge=0)
    """Epochs without a better loss before `plateau` acts."""

    average_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights that is what is saved; 0: none."""

    clip_norm: float = Field(default=0.0, ge=0)
    """Largest norm of the gradient; 0: not clipped."""


class LossSettings(StageSettings):
    """What is minimised.

    Example:
        >>> LossSettings(name="dice-focal").deep_supervision
        False
    """

    name: str = "dice-bce"
    """Registered loss."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the loss that differ from its defaults."""

    deep_supervision: bool = False
    """Add the loss of the coarser outputs, weighted 1, 1/2, 1/4 ... by resolution, where the network has such outputs."""


class TrainSettings(StageSettings):
    """One training of a segmentation network.

    Example:
        >>> TrainSettings.parse({"network": {"name": "unet"}, "epochs": 2}).network.name
        'unet'
    """

    network: NetworkSettings = NetworkSettings()
    """Network."""

    data: DataSettings = DataSettings()
    """Data and augmentation."""

    loss: LossSettings = LossSettings()
    """Loss."""

    optimiser: OptimiserSettings = OptimiserSettings()
    """Optimiser and learning-rate schedule."""

    epochs: int = Field(default=100, ge=1)
    """Epochs; a checkpoint is written after each."""

    steps_per_epoch: int | None = Field(default=None, ge=1)
    """Optimiser steps per epoch; None: every training case once."""

    batch_size: int = Field(default=1, ge=1)
    """Patches (2D: slices) per step."""

    n_folds: int = Field(default=5, ge=2)
    """Folds of the cohort; patients stay together."""

    fold: int | Literal["all"] = "all"
    """Fold that is held out to measure; `all`: train on everything and measure on nothing."""

    validate_every: int = Field(default=5, ge=1)
    """Epochs between measurements on the held-out fold."""

    keep: Literal["last", "best"] = "last"
    """Which epoch's weights become `weights.safetensors`; `best`: by mean Dice of the held-out fold, which is then no longer an unbiased figure."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic; `auto` takes bfloat16 where the device has it in hardware."""

    device: str = "auto"
    """`auto` (cuda, then mps, then cpu) or a torch device."""

    devices: int = Field(default=1, ge=1)
    """Devices that share each step (distributed data-parallel where more than one)."""

    workers: int = Field(default=0, ge=0)
    """Processes that prepare data."""

    seed: int = Field(default=0, ge=0)
    """Of everything random."""

    @model_validator(mode="after")
    def _fits_together(self) -> TrainSettings:
        unknown = [name for name in self.data.sequences if name not in SEQUENCES]
        unknown += [name for name in self.data.regions if name not in REGIONS]
        if unknown:
            raise ValueError(f"unknown sequence or region: {', '.join(unknown)}")
        if self.optimiser.name == "adamw-schedulefree" and self.optimiser.average_decay:
            raise ValueError("adamw-schedulefree averages the weights itself; average_decay must be 0")
        if self.data.source == "domain-randomised" and (
            self.data.targets != "regions" or self.data.regions != REGIONS or self.data.planes != "volume"
        ):
            raise ValueError("made-up patients come with the regions wt, tc and et in three dimensions only")
        if isinstance(self.fold, int) and not 0 <= self.fold < self.n_folds:
            raise ValueError(f"fold is {self.fold}; 0 to {self.n_folds - 1} or 'all' is accepted")
        if self.keep == "best" and self.fold == "all":
            raise ValueError("keep is 'best' but fold is 'all': nothing is held out to choose by")
        return self
