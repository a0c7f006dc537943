"""Settings of classifiers that learn from images directly, and the recipes of published ones."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from radiogen.config.base import StageSettings
from radiogen.config.recipes import Paper
from radiogen.config.train import OptimiserSettings

Fusion = Literal["single", "score-mean", "early", "late", "locally-connected"]

SequenceName = Literal["t1n", "t1c", "t2w", "t2f"]


class AugmentationSettings(StageSettings):
    """How training volumes are changed at random; nothing is, by default.

    Example:
        >>> AugmentationSettings(flips="ij").flips
        'ij'
    """

    flips: str = ""
    """Axes along which every second volume is mirrored: `i` left and right, `j` front and back, `k` top and bottom."""

    right_angles: bool = False
    """Turn by 0, 90, 180 or 270 degrees about the axis from foot to head; by 0 or 180 where there are not as many voxels along i as along j."""

    crop_margin: tuple[int, int, int] = (0, 0, 0)
    """Voxels along i, j, k by which volumes are prepared larger than the network's input: training takes a part at a random place, prediction the
    middle."""

    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    """Largest angle of a rotation about every axis; not for single slices."""

    scaling: float = Field(default=0.0, ge=0, lt=1)
    """Largest change of size: factors from 1 - scaling to 1 + scaling, one for all axes."""

    shearing: float = Field(default=0.0, ge=0, lt=1)
    """Largest slant: voxels sideways for each voxel along another axis."""

    elastic_voxels: float = Field(default=0.0, ge=0)
    """Standard deviation of a smooth random displacement, voxels; not for single slices."""

    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Largest change of every sequence: factors from 1 - brightness to 1 + brightness, and as many standard deviations up or down."""

    noise_sd: float = Field(default=0.0, ge=0)
    """Standard deviation of Gaussian noise, in the intensities of the prepared volume."""

    @field_validator("crop_margin")
    @classmethod
    def _not_negative(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(value) < 0:
            raise ValueError("every number must be 0 or more")
        return value

    @field_validator("flips")
    @classmethod
    def _axes(cls, value: str) -> str:
        if set(value) - set("ijk") or len(set(value)) != len(value):
            raise ValueError("flips names axes: i, j and k, each once at most, such as 'ij'")
        return value


class EmbeddingModelSettings(StageSettings):
    """A classifier on images: which networks, how sequences are combined, how it is trained.

    Example:
        >>> EmbeddingModelSettings(network="cnn3d", sequences=("t2f",), fusion="single").epochs
        30
    """

    network: str = "efficientnet3d-b0"
    """A registered embedding network."""

    weights: str | None = None
    """Installed weights by name, or a file; None: random weights from `seed`."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Constructor arguments of the network that differ from its defaults."""

    input: dict[str, Any] = Field(default_factory=dict)
    """Fields of the network's input to change: `centre`, `voxel_size_mm`, `shape`, `intensity`."""

    correct: tuple[Literal["n4", "clahe"], ...] = ()
    """What is done to the images before: `n4` takes out the bias field, `clahe` equalises the prepared volume's contrast locally."""

    sequences: tuple[SequenceName, ...] = Field(default=("t1n", "t1c", "t2w", "t2f"), min_length=1)
    """Sequences to look at; a missing one is zeros."""

    fusion: Fusion = "late"
    """`single`: one sequence; `score-mean`: one network per sequence, trained by itself, and the mean of their probabilities (those of missing
    sequences are left out); `early`: one network with a channel per sequence; `late`: one network per sequence, vectors side by side before one head;
    `locally-connected`: one network for all sequences, and the locally connected head over their vectors."""

    score_weights: tuple[float, ...] | None = None
    """With `score-mean`: weight of every sequence; None: all the same."""

    frozen: bool = False
    """The networks are not trained: their vectors are computed once, and only the head learns."""

    copies: int = Field(default=0, ge=0)
    """With `frozen`: augmented copies of every training case beside the case itself, whose vectors are computed once as well."""

    standardise: bool = False
    """With `frozen`: vectors are standardised by mean and standard deviation over the training cases."""

    hidden: tuple[int, ...] = ()
    """Widths of the head's hidden layers; (256, 128) for the published locally connected head."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout before every layer of the head (`locally-connected`: after, as published)."""

    class_weight: Literal["none", "balanced"] = "none"
    """`balanced`: positive cases weigh as much as negative ones altogether, counted on the training cases."""

    optimiser: OptimiserSettings = OptimiserSettings(
        name="adam", learning_rate=1e-3, weight_decay=0.0, schedule="constant"
    )
    """How the weights move; the loss is the binary cross-entropy of one logit."""

    epochs: int = Field(default=30, ge=1)
    """Passes over the training cases, at most."""

    batch_size: int = Field(default=8, ge=2)
    """Cases of a step; fewer where there are not as many."""

    norm_momentum: float | None = Field(default=None, gt=0, le=1)
    """Share of a new batch in the running statistics of batch normalisation; None: as the network was made (EfficientNets: 0.01, too slow for
    trainings of a few hundred steps)."""

    validation_share: float = Field(default=0.2, ge=0, le=0.5)
    """Share of the training patients that choose the epoch; 0: none, and the last epoch's weights are kept."""

    patience: int = Field(default=10, ge=0)
    """Training stops when this many epochs brought nothing better; 0: never."""

    choose_by: Literal["loss", "auc"] = "loss"
    """What the best epoch is chosen by, on the inner fold."""

    augmentation: AugmentationSettings = AugmentationSettings()
    """How training volumes are changed."""

    test_flips: str = ""
    """Axes (`i`, `j`, `k`) along which a case is mirrored at prediction; the probabilities of the case and of each mirror image are averaged."""

    seed: int = Field(default=0, ge=0)
    """Of weights, order, augmentation and the inner fold."""

    device: str = "auto"
    """`auto` (cuda, then mps, then cpu) or a torch device."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the training; `auto` takes bfloat16 where the device computes it in hardware. Probabilities are computed in float32."""

    @field_validator("test_flips")
    @classmethod
    def _axes(cls, value: str) -> str:
        return AugmentationSettings(flips=value).flips

    @model_validator(mode="after")
    def _agrees(self) -> EmbeddingModelSettings:
        problems = []
        if len(set(self.sequences)) != len(self.sequences):
            problems.append("sequences names one twice")
        if self.fusion == "single" and len(self.sequences) != 1:
            problems.append(f"fusion 'single' looks at one sequence, and {len(self.sequences)} are given")
        if self.score_weights is not None and (
            self.fusion != "score-mean"
            or len(self.score_weights) != len(self.sequences)
            or min(self.score_weights) <= 0
        ):
            problems.append("score_weights are for fusion 'score-mean', one above 0 for each sequence")
        if not self.frozen and (self.copies or self.standardise):
            problems.append("copies and standardise are for frozen networks")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class ReportedAuc(StageSettings):
    """An AUC that a paper reports for one system on one set of cases.

    Example:
        >>> ReportedAuc(what="C3D-LC", data="private test", auc=0.577).auc
        0.577
    """

    what: str
    """Which system."""

    data: str
    """On which cases."""

    auc: float = Field(ge=0, le=1)
    """Area under the ROC curve."""

    interval: tuple[float, float] | None = None
    """Interval that the paper gives; `note` says of which kind."""

    note: str = ""
    """What to know about it."""


class ImageRecipe(StageSettings):
    """A published classifier on images as settings.

    Example:
        >>> recipe = ImageRecipe.parse({
        ...     "name": "demo", "title": "Demo", "kind": "classification", "method_entry": "none", "paper": {"title": "none"}, "differs": ["all"],
        ...     "target": "mgmt", "settings": {"network": "cnn3d"},
        ... })
        >>> recipe.settings.network
        'cnn3d'
    """

    name: str
    """Name by which it is chosen."""

    title: str
    """What it is, in one line."""

    kind: Literal["classification"]
    """Which command runs it: `radiogen classify --recipe`."""

    method_entry: str
    """Entry in the project's notes on published methods."""

    paper: Paper
    """Where it was published."""

    target: Literal["idh", "mgmt", "codeletion", "grade"]
    """What the paper predicts; another target may be asked for."""

    reported: tuple[ReportedAuc, ...] = ()
    """What the paper reports."""

    not_given: tuple[str, ...] = ()
    """What the paper does not say, and what is taken here."""

    differs: tuple[str, ...]
    """What differs here and why."""

    settings: EmbeddingModelSettings
    """The classifier."""
