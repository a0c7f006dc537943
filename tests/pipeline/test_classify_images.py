from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.names import EMBEDDING_NETWORKS
from radiogen.branches.embedding.recipe_table import list_image_recipes, read_image_recipe
from radiogen.config.classify import ClassifySettings
from radiogen.config.embedding_model import ImageRecipe
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import ConfigError
from radiogen.pipeline import classify_images
from radiogen.pipeline.classify_images import run_classify_images, with_changes
from radiogen.pipeline.predict import PredictedCases, warnings_about
from radiogen.pipeline.predict_images import run_predict_images
from radiogen.pipeline.recipe_study import RecipeOutcome
from radiogen.resources import sha256_file
from radiogen.training.loop import _Trainer
from tests.branches.embedding.planted import planted_cohort, tiny_model

RECIPES = [recipe.name for recipe in list_image_recipes()]


def tiny_recipe() -> ImageRecipe:
    values = tiny_model(epochs=10).model_dump(mode="json", exclude_unset=True)
    return ImageRecipe.parse(
        {
            "name": "tiny", "title": "Tiny", "kind": "classification", "method_entry": "none", "paper": {"title": "none"}, "differs": ["all"],
            "target": "mgmt", "reported": [{"what": "it", "data": "nothing", "auc": 0.5}], "settings": values,
        }
    )  # fmt: skip


def new_cases(folder: Path, old: pd.DataFrame) -> pd.DataFrame:
    """Return eight new cases, the first of them half noise; one that was in training; and one that cannot be prepared."""
    new = planted_cohort(folder / "new_images", 8, seed=7).rename(index=lambda case: f"new-{case}")
    new["patient"] = "new-" + new["patient"]
    strange = nib.load(new["t2f"].iloc[0])
    noise = np.random.default_rng(0).uniform(1, 1000, strange.shape).astype(np.float32)
    nib.save(
        nib.Nifti1Image(np.where(np.arange(20) < 10, noise, strange.dataobj), strange.affine), folder / "strange.nii"
    )
    new.iloc[0, new.columns.get_loc("t2f")] = str(folder / "strange.nii")
    return pd.concat([new, old.iloc[[3, -1]]]).rename_axis("case")


def check_predicted(found: PredictedCases, card: dict[str, Any]) -> None:
    assert [failure.case for failure in found.failures] == ["broken"]
    table = found.predictions.set_index("case")
    assert table.index[table["in_training"]].tolist() == ["case003"]
    assert table["out_of_distribution"].iloc[0], table
    assert table["out_of_distribution"].sum() <= 2  # a case like the others is flagged once in about 33
    assert ((table["y_prob"] > 0.5) == (table["y_true"] == 1))[1:].mean() > 0.8
    assert table["missing_features"].eq(0).all()
    told = warnings_about(found.predictions, found.bundle)
    assert len(told) == 2
    assert "1 of 9 case(s) were in the training" in told[0]
    assert card["model"] == "tiny"
    assert card["out_of_fold"]["auc"] > 0.9
    assert "case003" not in json.dumps(card)


def test_images_are_judged_like_anything_else(tmp_path: Path) -> None:
    cohort = planted_cohort(tmp_path / "cohort", 32)
    broken = pd.DataFrame(
        {**cohort.iloc[0].to_dict(), "patient": "broken", "t2f": "nowhere.nii"}, index=pd.Index(["broken"], name="case")
    )
    table = pd.concat([cohort, broken])
    quick = EvaluateSettings(bootstrap_resamples=200, permutations=199)

    def run() -> RecipeOutcome:
        return run_classify_images(
            tiny_recipe(), table, "mgmt", tmp_path / "out", ClassifySettings(), evaluate=quick, cache_folder=tmp_path / "cache",
        )  # fmt: skip

    ran = run()
    assert [failure.case for failure in ran.failures] == ["broken"]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics == ran.metrics
    assert (metrics["target"], metrics["n"], metrics["split"], metrics["recipe"]) == (
        "mgmt",
        32,
        "site-held-out",
        "tiny",
    )
    assert metrics["auc"] > 0.9
    assert {"age", "volume", "site"} <= {baseline["name"] for baseline in metrics["baselines"]}
    assert any("AUC of 0.5 on nothing; it was not measured here" in note for note in metrics["notes"])
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv", dtype={"case": str})
    assert sorted(predictions["case"]) == list(cohort.index)
    for _, rows in predictions.groupby("split"):
        assert rows["site"].nunique() == 1  # a site is tested by networks that never saw it
    training = pd.read_csv(tmp_path / "out" / "training.csv")
    assert training.groupby(["split", "network"])["kept"].sum().eq(1).all()
    assert "<html" in (tmp_path / "out" / "report.html").read_text()[:200]
    predicted = run_predict_images(
        tmp_path / "out" / "model", new_cases(tmp_path, table), tmp_path / "new", cache_folder=tmp_path / "cache"
    )
    check_predicted(predicted, json.loads((tmp_path / "out" / "model" / "card.json").read_text()))
    before = (tmp_path / "out" / "predictions.csv").stat().st_mtime_ns
    again = run()
    assert again.metrics == ran.metrics
    assert (tmp_path / "out" / "predictions.csv").stat().st_mtime_ns == before


class Killed:
    """Stands for a kill: at its n-th call an epoch of a training does not come to its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.calls, self.at, self.epoch = 0, at, _Trainer._epoch
        monkeypatch.setattr(_Trainer, "_epoch", lambda trainer, *given: self.count(trainer, *given))

    def count(self, trainer: _Trainer, *given: Any) -> Any:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.epoch(trainer, *given)


def test_a_killed_study_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = planted_cohort(tmp_path / "cohort", 16)
    recipe = with_changes(tiny_recipe(), {"epochs": 3, "patience": 0, "arguments": {"widths": [4]}})
    quick = EvaluateSettings(bootstrap_resamples=100, permutations=99)
    # The page takes as long as all the trainings, and is made of what is compared here.
    monkeypatch.setattr(classify_images, "write_classification_report", lambda path, *_, **__: path.write_text("page"))

    def run(folder: str, kill_at: int) -> tuple[dict[str, str], int]:
        with monkeypatch.context() as patch:
            killed = Killed(patch, kill_at)
            with pytest.raises(KeyboardInterrupt) if kill_at else nullcontext():
                run_classify_images(
                    recipe,
                    cohort,
                    "mgmt",
                    tmp_path / folder,
                    ClassifySettings(),
                    evaluate=quick,
                    cache_folder=tmp_path / "cache",
                )
        files = (path for path in (tmp_path / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / folder)): sha256_file(path) for path in sorted(files)}, killed.calls

    whole, epochs = run("whole", 0)
    assert epochs == 9  # two folds and the model
    left, _ = run("parts", 6)  # in the last epoch of the second fold
    assert "folds/fold00/scores.csv" in left
    assert "folds/fold01/scores.csv" not in left
    assert run("parts", 3)[1] == 3  # that epoch, the model's first, and in its second
    parts, epochs = run("parts", 0)
    assert epochs == 2
    assert parts == whole
    assert not [name for name in parts if "checkpoint" in name]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_registered_parts_and_what_the_paper_reported(name: str) -> None:
    recipe = read_image_recipe(name)
    assert recipe.settings.network in EMBEDDING_NETWORKS.names()
    assert recipe.reported
    assert recipe.not_given
    assert len(recipe.differs) >= 1
    private = any("private" in item.data or "hidden" in item.data for item in recipe.reported)
    assert private or "The private AUC." in recipe.not_given
    assert ImageClassifier(recipe.settings).spec_.shape == tuple(
        recipe.settings.input.get("shape", {"c3d-lc": (112, 112, 48), "middle-slice-cnn": (224, 224, 1)}.get(name))
    )


@pytest.mark.parametrize(
    ("name", "data", "figure"),
    [  # typed from the notes on published methods: part 1, 19 and 21; part 2, A2, A3 and A4
        ("middle-slice-cnn", "public leaderboard", 0.6168),
        ("middle-slice-cnn", "private", 0.53363),
        ("efficientnet3d-early", "public", 0.60253),
        ("multiscale-efficientnet-b7", "public", 0.67124),
        ("efficientnet3d-per-modality", "hidden", 0.577),
        ("c3d-lc", "private", 0.577),
        ("c3d-lc", "public", 0.689),
        ("efficientnet3d-late-fusion", "private", 0.50),
        ("efficientnet3d-late-fusion", "public", 0.698),
    ],
)
def test_the_papers_figures_are_kept_with_their_recipe(name: str, data: str, figure: float) -> None:
    assert figure in [item.auc for item in read_image_recipe(name).reported if data in item.data]


def test_all_six_papers_are_there() -> None:
    assert {"part-1 19", "part-1 21", "part-2 A2", "part-2 A3", "part-2 A4"} == {
        recipe.method_entry for recipe in list_image_recipes()
    }
    assert len(RECIPES) == 6


def test_a_recipe_can_be_changed_and_problems_are_said() -> None:
    recipe = with_changes(read_image_recipe("c3d-lc"), {"weights": "mine.pt", "seed": None})
    assert (recipe.settings.weights, recipe.settings.copies) == ("mine.pt", 8)
    with pytest.raises(ConfigError, match="c3d-lc"):
        read_image_recipe("c3d-lv")
    with pytest.raises(ConfigError, match="epochs"):
        with_changes(recipe, {"epochs": 0})
