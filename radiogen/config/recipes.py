"""A recipe: a published method as settings, with its paper, its figures and what differs here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from radiogen.config.base import StageSettings
from radiogen.config.train import TrainSettings

NOT_GIVEN = "not given"

_NAMED_PARTS = ("network", "loss", "optimiser")


class Paper(StageSettings):
    """Where a method was published.

    Example:
        >>> Paper(title="A network", year=2021).authors
        'not given'
    """

    title: str
    """Title; where the source we read does not print it, a description that says so."""

    authors: str = NOT_GIVEN
    """Authors."""

    year: int | None = None
    """Year."""

    venue: str = NOT_GIVEN
    """Journal, proceedings or challenge."""

    doi: str = NOT_GIVEN
    """DOI."""

    arxiv: str = NOT_GIVEN
    """arXiv number."""


class Reported(StageSettings):
    """Figures that a paper reports for one system on one set of cases; blank where it gives none.

    Example:
        >>> Reported(what="ensemble", data="BraTS 2021 test", dice_wt=0.93).dice_et is None
        True
    """

    what: str
    """Which system."""

    data: str
    """On which cases."""

    dice_wt: float | None = Field(default=None, ge=0, le=1)
    """Dice of the whole tumour."""

    dice_tc: float | None = Field(default=None, ge=0, le=1)
    """Dice of the tumour core."""

    dice_et: float | None = Field(default=None, ge=0, le=1)
    """Dice of the enhancing tumour."""

    dice_ncr: float | None = Field(default=None, ge=0, le=1)
    """Dice of the necrotic or non-enhancing core."""

    dice_ed: float | None = Field(default=None, ge=0, le=1)
    """Dice of the oedema."""

    dice_rc: float | None = Field(default=None, ge=0, le=1)
    """Dice of the resection cavity."""

    hd95_wt_mm: float | None = Field(default=None, ge=0)
    """95th percentile of the surface distance of the whole tumour, mm."""

    hd95_tc_mm: float | None = Field(default=None, ge=0)
    """95th percentile of the surface distance of the tumour core, mm."""

    hd95_et_mm: float | None = Field(default=None, ge=0)
    """95th percentile of the surface distance of the enhancing tumour, mm."""

    note: str = ""
    """What to know about these figures."""


class RecipeTraining(StageSettings):
    """One training of a recipe.

    Example:
        >>> RecipeTraining.parse({"name": "first", "settings": {"epochs": 2}}).settings.epochs
        2
    """

    name: str
    """Name inside the recipe; its output folder."""

    cohort: str = "the cohort"
    """In words, what it trains on; which files those are is the user's to say."""

    start_from: str | None = None
    """Earlier training of the recipe whose weights it starts from; None: random weights."""

    crop_around: str | None = None
    """Earlier training whose whole tumour the input is cropped around, in prediction; None: the input is not cropped."""

    folds: Literal["patients", "radiomic-clusters"] = "patients"
    """How the folds are drawn: patients at random, or in equal shares from clusters of their tumours' radiomics."""

    every_fold: bool = False
    """One network per fold; their mean predicts."""

    settings: TrainSettings = TrainSettings()
    """Settings of the training; those of the recipe hold where nothing is said. A part with another `name` takes nothing from the recipe's."""


class RecipeEnsemble(StageSettings):
    """How the networks of a recipe are combined.

    Example:
        >>> RecipeEnsemble(method="weighted", weights={"a": 0.4, "b": 0.6}).method
        'weighted'
    """

    method: Literal["mean", "weighted", "majority", "staple", "per-region", "planes"] = "mean"
    """`mean` and `weighted` average probabilities; `majority` and `staple` join masks; `per-region` takes each region from one network; `planes` is
    the vote of 2D networks."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Training -> weight, for `weighted`."""

    regions: dict[str, str] = Field(default_factory=dict)
    """Region -> training, for `per-region`."""


class RecipeInference(StageSettings):
    """How a recipe predicts.

    Example:
        >>> RecipeInference(networks=("a",)).ensemble.method
        'mean'
    """

    networks: tuple[str, ...]
    """Trainings whose networks predict."""

    ensemble: RecipeEnsemble = RecipeEnsemble()
    """How they are combined."""

    tta: bool = False
    """Average over mirror images."""

    window_overlap: float = Field(default=0.5, ge=0, lt=1)
    """Share of a window that its neighbour covers again."""

    thresholds: dict[str, float] = Field(default_factory=dict)
    """Region -> probability above which a voxel belongs to it; 0.5 where absent."""

    least_et_voxels: int = Field(default=0, ge=0)
    """Enhancing tumour of fewer voxels (of 1 mm) is not believed."""

    small_et_becomes: Literal["ncr", "background"] = "ncr"
    """What such voxels become."""


class Recipe(StageSettings):
    """A published method as settings.

    Example:
        >>> recipe = Recipe.parse({
        ...     "name": "demo", "title": "Demo", "kind": "segmentation", "method_entry": "none", "paper": {"title": "none"}, "differs": ["all"],
        ...     "settings": {"epochs": 3, "network": {"name": "unet", "arguments": {"num_res_units": 0}}},
        ...     "trainings": [{"name": "a"}, {"name": "b", "start_from": "a", "settings": {"network": {"name": "segresnet"}}}],
        ...     "inference": {"networks": ["b"]},
        ... })
        >>> recipe.training("b").settings.network.arguments, recipe.training("b").settings.epochs
        ({}, 3)
    """

    name: str
    """Name by which it is chosen."""

    title: str
    """What it is, in one line."""

    kind: Literal["segmentation"]
    """Which command runs it: `radiogen train <kind>`."""

    method_entry: str
    """Entry in the project's notes on published methods."""

    paper: Paper
    """Where it was published."""

    reported: tuple[Reported, ...] = ()
    """What the paper reports."""

    differs: tuple[str, ...]
    """What differs here and why; every value that the paper does not give is named as our choice."""

    trainings: tuple[RecipeTraining, ...] = Field(min_length=1)
    """Trainings in their order."""

    inference: RecipeInference
    """How the trained networks predict."""

    @model_validator(mode="before")
    @classmethod
    def _shared_settings(cls, values: Any) -> Any:
        """Lay each training's settings over those that the recipe gives for all of them under `settings`."""
        if not isinstance(values, Mapping) or not isinstance(values.get("trainings"), list | tuple):
            return values
        shared = values.get("settings") or {}
        trainings = [
            {**training, "settings": over(shared, training.get("settings") or {})}
            if isinstance(training, Mapping) and isinstance(training.get("settings") or {}, Mapping)
            else training
            for training in values["trainings"]
        ]
        return {**{key: value for key, value in values.items() if key != "settings"}, "trainings": trainings}

    @model_validator(mode="after")
    def _names_fit(self) -> Recipe:
        names = [training.name for training in self.trainings]
        problems = [f"two trainings are called '{name}'" for name in sorted({n for n in names if names.count(n) > 1})]
        for position, training in enumerate(self.trainings):
            for key, other in (("start_from", training.start_from), ("crop_around", training.crop_around)):
                if other is not None and other not in names[:position]:
                    problems.append(f"{key} of '{training.name}' is '{other}', which is no earlier training")
        ensemble = self.inference.ensemble
        used = [*self.inference.networks, *ensemble.weights, *ensemble.regions.values()]
        problems += [f"inference names '{name}', which is no training" for name in used if name not in names]
        if ensemble.method == "weighted" and set(ensemble.weights) != set(self.inference.networks):
            problems.append("the weighted mean needs one weight for each of its networks")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def training(self, name: str) -> RecipeTraining:
        """Return the training called `name`.

        Raises:
            KeyError: there is none.
        """
        return {training.name: training for training in self.trainings}[name]


def over(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings laid over shared ones, part by part; a network, loss or optimiser with another name takes nothing from the shared one.

    Example:
        >>> over({"loss": {"name": "ce", "arguments": {"a": 1}}, "data": {"x": 1, "y": 1}}, {"loss": {"name": "dice"}, "data": {"y": 2}})
        {'loss': {'name': 'dice'}, 'data': {'x': 1, 'y': 2}}
    """
    merged = dict(shared)
    for key, value in own.items():
        below = shared.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and not _replaces(key, below, value):
            merged[key] = over(below, value)
        else:
            merged[key] = value
    return merged


def _replaces(key: str, shared: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    return key in _NAMED_PARTS and own.get("name", shared.get("name")) != shared.get("name")
