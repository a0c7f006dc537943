from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from radiogen.cohort.table import read_cohort
from radiogen.config.segment import SegmentSettings
from radiogen.errors import ConfigError
from radiogen.pipeline.train import run_train_segmentation
from radiogen.pipeline.train_recipe import plan_trainings, run_train_recipe, write_segment_settings
from radiogen.segment.recipe_table import list_recipes
from radiogen.segment.weights import load_network
from radiogen.training.losses import build_loss
from tests.segment.training_data import phantom_cohort, tiny

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_cohort(phantom_cohort(tmp_path_factory.mktemp("cohort"), 3))


def test_the_folder_holds_what_was_promised(cohort: pd.DataFrame, tmp_path: Path) -> None:
    run_train_segmentation(cohort, tmp_path, tiny(fold=1, n_folds=3))
    held_out = next((tmp_path / "samples").iterdir())
    assert held_out.stem in set(cohort.index)
    for picture in (held_out, tmp_path / "curves.png"):
        assert picture.read_bytes().startswith(PNG)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "cache", "checkpoints", "curves.png", "log.csv", "samples", "settings.json", "weights.json", "weights.safetensors",
    ]  # fmt: skip
    log = pd.read_csv(tmp_path / "log.csv")
    assert log.columns.tolist() == ["epoch", "step", "learning_rate", "loss", "wt", "tc", "et", "mean", "seconds"]
    assert log["wt"].between(0, 1).all()


def test_pictures_do_not_change_the_weights(cohort: pd.DataFrame, tmp_path: Path) -> None:
    cards = [run_train_segmentation(cohort, tmp_path / str(every), tiny(validate_every=every)).card for every in (1, 2)]
    assert cards[0].sha256 == cards[1].sha256


def recipe(folder: Path, **changes: object) -> str:
    settings = tiny().model_dump(mode="json", exclude_unset=True)
    values = {
        "name": "mine", "title": "Mine", "kind": "segmentation", "method_entry": "none", "paper": {"title": "A paper", "year": 2020},
        "differs": ["all"], "settings": settings, "trainings": [{"name": "first"}, {"name": "second", "start_from": "first"}],
        "inference": {"networks": ["second"]}, **changes,
    }  # fmt: skip
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_the_trainings_of_a_recipe_follow_each_other(cohort: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trainings = plan_trainings(recipe(tmp_path), out, {"epochs": 1})
    outcomes = run_train_recipe(trainings, cohort, out, name="mine")
    assert [outcome.card.name for outcome in outcomes] == ["mine-first", "mine-second"]
    assert [outcome.card.source for outcome in outcomes] == ["A paper, 2020"] * 2
    assert outcomes[1].card.training_data.endswith("started from weights.safetensors.")
    assert load_network(out / "second" / "weights.safetensors")[1].network == "unet"


def test_one_training_per_fold(tmp_path: Path) -> None:
    file = recipe(tmp_path, trainings=[{"name": "only", "every_fold": True}], inference={"networks": ["only"]})
    planned = plan_trainings(file, tmp_path, {"n_folds": 3})
    assert [(item.folder, item.settings.fold) for item in planned] == [("fold-0", 0), ("fold-1", 1), ("fold-2", 2)]
    assert [item.folder for item in plan_trainings(file, tmp_path, {"fold": 1})] == [""]


def test_one_training_can_be_chosen(tmp_path: Path) -> None:
    planned = plan_trainings(recipe(tmp_path), tmp_path, {}, only="second")
    assert [item.folder for item in planned] == ["second"]
    assert planned[0].settings.network.start_from == str(tmp_path / "first" / "weights.safetensors")
    with pytest.raises(ConfigError, match="Did you mean 'second'"):
        plan_trainings(recipe(tmp_path), tmp_path, {}, only="secnd")


def test_a_file_of_settings_is_a_recipe_too(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("epochs: 3\nnetwork: {name: unet}\n")
    (planned,) = plan_trainings(str(path), tmp_path, {"network": {"name": "segresnet"}})
    assert (planned.folder, planned.settings.epochs, planned.settings.network.name) == ("", 3, "segresnet")
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        plan_trainings(str(path), tmp_path, {"epoch": 3})


@pytest.mark.parametrize("name", [found.name for found in list_recipes("segmentation")])
def test_every_recipe_can_be_planned_and_has_a_loss(name: str, tmp_path: Path) -> None:
    for planned in plan_trainings(name, tmp_path, {"seed": 1}):
        loss, softmax = planned.settings.loss, planned.settings.data.targets == "labels"
        build_loss(loss.name, softmax=softmax, arguments=loss.arguments, deep_supervision=loss.deep_supervision)
        assert planned.settings.seed == 1
        assert planned.source


def test_prediction_settings_follow_the_recipe(tmp_path: Path) -> None:
    file = recipe(
        tmp_path,
        inference={
            "networks": ["first", "second"], "ensemble": {"method": "weighted", "weights": {"first": 0.4, "second": 0.6}},
            "tta": True, "thresholds": {"et": 0.7}, "least_et_voxels": 200, "small_et_becomes": "ncr",
        },
    )  # fmt: skip
    trainings = plan_trainings(file, tmp_path, {})
    assert [planned.ensemble_weight for planned in trainings] == [0.4, 0.6]
    settings = SegmentSettings.read(write_segment_settings(file, trainings, tmp_path))
    assert [Path(name).parent.name for name in settings.weights] == ["first", "second"]
    assert (settings.ensemble, settings.tta) == ("mean", True)
    assert settings.postprocess is not None
    assert settings.postprocess.thresholds == {"et": 0.7}
    assert settings.postprocess.small_et.least_ml == 0.2
    assert write_segment_settings(file, trainings[:1], tmp_path / "part") is None
