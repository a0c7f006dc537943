from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.branches.embedding.names import EMBEDDING_NETWORKS
from radiogen.branches.embedding.recipe_table import list_image_recipes, read_image_recipe
from radiogen.config.classify import ClassifySettings
from radiogen.config.embedding_model import ImageRecipe
from radiogen.config.evaluate import EvaluateSettings
from radiogen.errors import ConfigError
from radiogen.pipeline.classify_images import ImagesOutcome, run_classify_images, with_changes
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


def test_images_are_judged_like_anything_else(tmp_path: Path) -> None:
    cohort = planted_cohort(tmp_path / "cohort", 32)
    broken = pd.DataFrame(
        {**cohort.iloc[0].to_dict(), "patient": "broken", "t2f": "nowhere.nii"}, index=pd.Index(["broken"], name="case")
    )
    table = pd.concat([cohort, broken])
    quick = EvaluateSettings(bootstrap_resamples=200, permutations=199)

    def run() -> ImagesOutcome:
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
    before = (tmp_path / "out" / "predictions.csv").stat().st_mtime_ns
    again = run()
    assert again.metrics == ran.metrics
    assert (tmp_path / "out" / "predictions.csv").stat().st_mtime_ns == before


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
