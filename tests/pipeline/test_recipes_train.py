"""Every recipe trains on phantoms, stage after stage, and its networks predict."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.recipes import Recipe, RecipeTraining
from radiogen.config.segment import SegmentSettings
from radiogen.pipeline.train import run_train_segmentation
from radiogen.segment.cohort import segment_cohort
from radiogen.segment.recipe_table import list_recipes, read_recipe
from tests.segment.small import small_training

EVERYTHING = {"thresholds": dict.fromkeys(("wt", "tc", "et"), 1e-9)}
"""Two steps teach nothing: a mask from the usual thresholds may be empty, which is an error of its own."""


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("phantoms")
    cohort = read_cohort(write_phantom_cohort(folder, 2, seed=1, settings=PhantomSettings(spacing_mm=6.0)))
    cohort["mask"] = [str(folder / "truth" / f"{case}.nii.gz") for case in cohort.index]
    return cohort


def stages(recipe: Recipe) -> list[RecipeTraining]:
    """The trainings of a recipe without those that differ from another only in seed, epochs or plane."""
    seen, kept = set(), []
    needed = {training.start_from for training in recipe.trainings}
    for training in recipe.trainings:
        small = small_training(training.settings)
        small = small.model_copy(update={"seed": 0, "data": small.data.model_copy(update={"planes": "volume"})})
        key = (small.model_dump_json(), training.start_from)
        if key not in seen or training.name in needed:
            seen.add(key)
            kept.append(training)
    return kept


@pytest.mark.parametrize("name", [recipe.name for recipe in list_recipes()])
def test_a_recipe_trains_and_predicts(name: str, phantoms: pd.DataFrame, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    for training in stages(recipe):
        settings = small_training(training.settings)
        if training.start_from is not None:
            start = {"start_from": str(tmp_path / training.start_from / "weights.safetensors")}
            settings = settings.model_copy(update={"network": settings.network.model_copy(update=start)})
        outcome = run_train_segmentation(phantoms, tmp_path / training.name, settings)
        log = pd.read_csv(tmp_path / training.name / "log.csv")
        assert len(log) == 1
        assert bool(np.isfinite(log["loss"]).all())
        if training.name not in recipe.inference.networks:
            continue
        case = phantoms.iloc[:1].drop(columns="mask")
        study = tmp_path / f"study-{training.name}"
        result = segment_cohort(
            case, study, SegmentSettings.parse({"weights": str(outcome.weights), "postprocess": EVERYTHING})
        )
        assert not result.failures, result.failures
        mask = nib.load(study / "masks" / f"{case.index[0]}.nii.gz")
        assert mask.shape == nib.load(case["t1c"].iloc[0]).shape
        assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2, 3, 4}
        assert json.loads((study / "masks" / f"{case.index[0]}.json").read_text())["method"].startswith("network")
