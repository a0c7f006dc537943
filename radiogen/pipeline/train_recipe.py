"""A recipe's trainings, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from radiogen.config.base import read_yaml_mapping
from radiogen.config.postprocess import PostprocessSettings, SmallEnhancement
from radiogen.config.recipes import NOT_GIVEN, Paper, Recipe, RecipeTraining, over
from radiogen.config.train import TrainSettings
from radiogen.errors import ConfigError
from radiogen.pipeline.train import run_train_segmentation
from radiogen.registry import did_you_mean
from radiogen.run.atomic import writing
from radiogen.segment.recipe_table import read_recipe
from radiogen.segment.train_folds import FOLD
from radiogen.segment.train_segmentation import UNKNOWN_LICENCE, WEIGHTS, Labelling, TrainOutcome

log = logging.getLogger(__name__)

_ENSEMBLES = {
    "mean": "mean",
    "weighted": "mean",  # by the weights in the cards
    "per-region": "mean",  # each region over the networks that have it
    "majority": "majority",
    "planes": "majority",
    "staple": "staple",
}


@dataclass(frozen=True)
class PlannedTraining:
    """One training of a recipe, and where it goes.

    Args:
        folder: below the output folder; empty for a training alone.
        settings: with everything laid over.
        source: the paper.
        training: its name in the recipe.
        ensemble_weight: its weight where the recipe takes a weighted mean.
    """

    folder: str
    settings: TrainSettings
    source: str = ""
    training: str = ""
    ensemble_weight: float = 1.0


def plan_trainings(
    recipe: str | None, out: Path, changes: Mapping[str, Any], only: str | None = None
) -> list[PlannedTraining]:
    """Return what a recipe asks to train, in order.

    Args:
        recipe: name of a recipe; a YAML file of a recipe, or of nothing but the settings of one training; None: the defaults.
        out: output folder; trainings that start from earlier ones find them there.
        changes: settings laid over those of every training.
        only: the one training wanted; all of them by default.

    Raises:
        ConfigError: the recipe, a setting or the training is not accepted.

    Example:
        >>> [planned.folder for planned in plan_trainings("multiplane-unetpp", Path("out"), {"epochs": 1})]
        ['axial', 'sagittal', 'coronal']
    """
    if recipe is None or _is_plain(recipe):
        values = read_yaml_mapping(Path(recipe)) if recipe else {}
        if only is not None:
            raise ConfigError(f"There is only one training, which has no name; '{only}' was asked for.")
        return [PlannedTraining("", TrainSettings.parse(over(values, changes)))]
    found = read_recipe(recipe)
    names = [training.name for training in found.trainings]
    if only is not None and only not in names:
        raise ConfigError(
            f"'{only}' is not a training of {found.name}: {', '.join(names)}.", hint=did_you_mean(only, names)
        )
    return [
        planned
        for training in found.trainings
        if only in (None, training.name)
        for planned in _planned(found, training, Path(out), changes)
    ]


def run_train_recipe(
    trainings: list[PlannedTraining],
    cohort: pd.DataFrame | None,
    out: Path,
    *,
    name: str,
    licence: str = UNKNOWN_LICENCE,
    jobs: int = 1,
    progress: bool = False,
) -> list[TrainOutcome]:
    """Run trainings one after the other; each goes on, or is passed over, where an earlier start left it.

    Args:
        trainings: as `plan_trainings` returns them.
        cohort: as `read_cohort` returns it, with masks; None with made-up patients.
        out: output folder; each training has its own below it where there are several.
        name: of the weights, in front of the training's own.
        licence: of the weights.
        jobs: cases prepared at the same time.
        progress: show progress bars.

    Raises:
        ConfigError: settings do not fit together, or a folder belongs to another training.
        InputError: the cohort cannot be used.
    """
    outcomes = []
    for planned in trainings:
        label = Labelling(
            "-".join([name, *Path(planned.folder).parts]), licence, planned.source, planned.ensemble_weight
        )
        if planned.folder:
            log.info("train: %s", planned.folder)
        outcomes.append(
            run_train_segmentation(
                cohort, Path(out) / planned.folder, planned.settings, labelling=label, jobs=jobs, progress=progress
            )
        )
    return outcomes


def write_segment_settings(recipe: str | None, trainings: list[PlannedTraining], out: Path) -> Path | None:
    """Write `segment.yaml`, with which `radiogen segment --config` predicts as the recipe does.

    None without a recipe, or where one of its networks was not trained.

    Args:
        recipe: as for `plan_trainings`.
        trainings: what was trained.
        out: output folder.
    """
    if recipe is None or _is_plain(recipe):
        return None
    found = read_recipe(recipe)
    inference = found.inference
    if not set(inference.networks) <= {planned.training for planned in trainings}:
        return None
    if any(training.crop_around for training in found.trainings):
        log.warning("%s: the crop round the first network's tumour is not made in prediction.", found.name)
    rules = PostprocessSettings(
        thresholds=inference.thresholds,
        small_et=SmallEnhancement(least_ml=inference.least_et_voxels / 1000, becomes=inference.small_et_becomes),
    )
    values = {
        "weights": [str((out / p.folder / WEIGHTS).resolve()) for p in trainings if p.training in inference.networks],
        "ensemble": _ENSEMBLES[inference.ensemble.method],
        "tta": inference.tta,
        "window_overlap": inference.window_overlap,
        "postprocess": rules.model_dump(mode="json", exclude_defaults=True) or None,
    }
    with writing(out / "segment.yaml") as beside:
        beside.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}), encoding="utf-8")
    return out / "segment.yaml"


def _is_plain(recipe: str) -> bool:
    """Return whether a file holds nothing but the settings of one training."""
    return recipe.endswith((".yaml", ".yml")) and "trainings" not in read_yaml_mapping(Path(recipe))


def _planned(recipe: Recipe, training: RecipeTraining, out: Path, changes: Mapping[str, Any]) -> list[PlannedTraining]:
    if training.folds != "patients":
        log.warning("%s: folds from %s are taken from the cohort's column '%s'.", training.name, training.folds, FOLD)
    values = over(training.settings.model_dump(mode="json", exclude_unset=True), changes)
    folds: list[int | None] = [None]
    if training.every_fold and "fold" not in changes:
        folds = list(range(TrainSettings.parse(values).n_folds))
    planned = []
    for fold in folds:
        own = dict(values) if fold is None else {**values, "fold": fold}
        if training.start_from is not None:
            start = out / _folder(recipe, recipe.training(training.start_from), fold) / WEIGHTS
            own = over(own, {"network": {"start_from": str(start)}})
        planned.append(
            PlannedTraining(
                _folder(recipe, training, fold),
                TrainSettings.parse(own),
                _citation(recipe.paper),
                training.name,
                recipe.inference.ensemble.weights.get(training.name, 1.0),
            )
        )
    return planned


def _folder(recipe: Recipe, training: RecipeTraining, fold: int | None) -> str:
    name = training.name if len(recipe.trainings) > 1 else ""
    return f"{name}/fold-{fold}".lstrip("/") if training.every_fold and fold is not None else name


def _citation(paper: Paper) -> str:
    address = next((text for text in (paper.doi, paper.arxiv and f"arXiv {paper.arxiv}") if NOT_GIVEN not in text), "")
    return ", ".join(part for part in (paper.title, str(paper.year or ""), address) if part)
