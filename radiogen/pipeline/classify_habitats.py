"""Habitats as a branch of the fused classifier: the division is learned anew in every training side, so that no voxel of a test row is learned from.

The number of habitats and the quantile filter are given, not searched: a search per fold would take hours. Labels and survival play no part in the
division. Inside a training side the rows that tuning holds out were divided by a model that saw their voxels (never their labels), as with any
component analysis that stands before the tuning.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.branches.habitats.branch import read_voxels
from radiogen.branches.habitats.features import feature_names
from radiogen.branches.habitats.learn import TrainingData, learn_encoder, with_centres
from radiogen.branches.habitats.model import HabitatModel, save_model
from radiogen.branches.habitats.voxels import CaseVoxels, usable_maps
from radiogen.config.classify import ClassifySettings
from radiogen.config.evaluate import EvaluateSettings
from radiogen.config.habitats import HabitatSettings
from radiogen.errors import InputError
from radiogen.fusion.inner_scores import HABITATS, training_key
from radiogen.fusion.join import fusion_table
from radiogen.pipeline.classify import run_classify
from radiogen.pipeline.classify_images import study_splits
from radiogen.pipeline.stacking import check_stackable
from radiogen.run.executor import run_cases
from radiogen.run.quarantine import Failure

log = logging.getLogger(__name__)

_GAMMA = 0.05


def fold_settings(k: int, seed: int) -> HabitatSettings:
    """Return the settings with which every training side is divided.

    Args:
        k: habitats.
        seed: of the classifier.

    Example:
        >>> fold_settings(4, 0).clusters
        (4, 4)
    """
    return HabitatSettings(clusters=(k, k), quantile=(_GAMMA, _GAMMA), alpha=1.0, seed=seed)


def run_classify_habitats(
    features: Mapping[str, pd.DataFrame],
    cohort: pd.DataFrame,
    target: str,
    out: Path,
    settings: ClassifySettings,
    habitats: HabitatSettings,
    *,
    folder: Path,
    evaluate: EvaluateSettings | None = None,
    feature_settings: Mapping[str, Any] | None = None,
    jobs: int = 1,
    progress: bool = False,
    splits: Path | None = None,
) -> tuple[dict[str, Any], list[Failure]]:
    """Write what `run_classify` writes, with habitat features as one more branch; also `model/habitats/`, learned from every case.

    Args:
        features: branch name -> table indexed by case.
        cohort: with images and masks, as `read_cohort` returns it.
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        out: folder for the outputs.
        settings: splits, preparation, classifiers.
        habitats: as `fold_settings` returns them.
        folder: what relative paths of maps beyond the four sequences are relative to.
        evaluate: how the predictions are judged.
        feature_settings: branch -> settings with which its features were made.
        jobs: cases and folds worked on at the same time; the result does not depend on it.
        progress: show progress bars.
        splits: folds from a file instead of drawn ones.

    Returns:
        The metrics, and the cases whose voxels could not be read.

    Raises:
        ConfigError: permutations are asked for, or a table is called `habitats`.
        InputError: no case has usable voxels, one class only, or fewer cases than folds.
    """
    check_stackable(settings, HABITATS, features)
    # A random split beside the sites would have to be divided as often again.
    settings = settings.model_copy(update={"random_split": False})
    voxels, failures = _voxels(cohort, habitats, folder, jobs=jobs, progress=progress)
    columns = feature_names(habitats.clusters[0])
    there = pd.DataFrame(0.5, index=pd.Index(list(voxels), dtype=object, name="case"), columns=columns)
    table = fusion_table({**features, HABITATS: there}, cohort, target)
    kept = {case: voxels[case] for case in table.features.index if case in voxels}
    patient_of = {case: str(table.cohort.loc[case, "patient"]) for case in kept}
    data = TrainingData(kept, patient_of, tuple(usable_maps(cohort.loc[list(kept)], habitats.maps)), None)
    sides = {"": list(kept)}
    for split in study_splits(table, settings, splits)[0]:
        train = table.features.index[split.train]
        sides[training_key(train)] = [case for case in train if case in kept]
    named = {f"training side {number}": cases for number, cases in enumerate(sides.values())}
    work = partial(_learned, data=data, settings=habitats)
    found, failed = run_cases(work, named, stage="divide tumours per fold", jobs=jobs, progress=progress)
    if failed:
        raise InputError(f"{failed[0].case}: {failed[0].cause}", hint=failed[0].fix)
    tables = {key: found[name][1] for key, name in zip(sides, named, strict=True)}
    everybody = tables.pop("")
    metrics = run_classify(
        {**features, HABITATS: everybody}, cohort, target, out, settings, evaluate=evaluate or EvaluateSettings(seed=settings.seed),
        feature_settings={**(feature_settings or {}), HABITATS: habitats.model_dump(mode="json")}, scores=tables,
        notes=[_note(habitats, data)], splits=splits, jobs=jobs, progress=progress,
    )  # fmt: skip
    save_model(Path(out) / "model" / HABITATS, found["training side 0"][0])
    return metrics, failures


def fold_model(data: TrainingData, train: Collection[str], settings: HabitatSettings) -> HabitatModel:
    """Return the division that a training side gives; nothing of the other cases is looked at.

    Args:
        data: all cases.
        train: those of the training side.
        settings: of the division.
    """
    side = data.part(train)
    if len(side.cases) < 1:
        raise InputError(
            "A training side has no case whose voxels can be read.", hint="See failed.csv for the reasons."
        )
    return with_centres(learn_encoder(side, settings, settings.quantile[0]), side, settings, settings.clusters[0])


def _learned(
    name: str, train: list[str], *, data: TrainingData, settings: HabitatSettings
) -> tuple[HabitatModel, pd.DataFrame]:
    """Return the model of a training side, and the features of every case by it."""
    model = fold_model(data, train, settings)
    rows = {case: model.features(voxels) for case, voxels in data.cases.items()}
    return model, pd.DataFrame.from_dict(rows, orient="index", columns=model.columns).rename_axis("case")


def _voxels(
    cohort: pd.DataFrame, habitats: HabitatSettings, folder: Path, *, jobs: int, progress: bool
) -> tuple[dict[str, CaseVoxels], list[Failure]]:
    masked = cohort[cohort["mask"].notna()] if "mask" in cohort else cohort.iloc[:0]
    if masked.empty:
        raise InputError("No case has a mask, which habitats are found in.", hint="Make masks with radiogen segment.")
    maps = tuple(usable_maps(masked, habitats.maps))
    work = partial(read_voxels, maps=maps, region=habitats.region, folder=folder)
    rows = {str(case): row for case, row in masked.iterrows()}
    return run_cases(work, rows, stage=HABITATS, jobs=jobs, progress=progress)


def _note(habitats: HabitatSettings, data: TrainingData) -> str:
    voxels = int(np.sum([len(case.values) for case in data.cases.values()]))
    return (
        f"habitats: {habitats.clusters[0]} habitats (given, not searched) of the maps {', '.join(data.maps)}, learned anew from the voxels of every "
        f"training side, {voxels} voxels in all. Whether that many stand in this cohort is what `radiogen habitats fit` tests."
    )
