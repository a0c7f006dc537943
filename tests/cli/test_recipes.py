from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from radiogen.branches.embedding.recipe_table import image_recipe_names
from radiogen.branches.network.recipe_table import graph_recipe_names
from radiogen.branches.network.supervoxel_recipe_table import supervoxel_recipe_names
from radiogen.cli import recipes
from radiogen.config.recipes import Recipe
from radiogen.segment.recipe_table import list_recipes, read_recipe


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    recipes.register(app)
    result = CliRunner().invoke(app, ["recipes", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_list_shows_every_recipe() -> None:
    code, output = run("list")
    assert code == 0
    segmentation = [recipe.name for recipe in list_recipes()]
    others = [*image_recipe_names(), *graph_recipe_names(), *supervoxel_recipe_names()]
    assert [line.split(":")[0] for line in output.splitlines()] == [*segmentation, *others]
    code, shown = run("list", "--kind", "segmentation")
    assert code == 0
    assert [line.split(":")[0] for line in shown.splitlines()] == segmentation


def test_an_unknown_kind_is_bad_usage() -> None:
    code, output = run("list", "--kind", "cooking")
    assert code == 2
    assert "Kinds: classification, graph-classification, graph-segmentation, segmentation" in output


def test_show_has_paper_figures_differences_and_settings() -> None:
    code, output = run("show", "mednext-africa")
    assert code == 0
    for text in (
        "part-2 A5",
        "arXiv 2411.15872",
        "Reported by the paper, not measured here",
        "WT 0.933, TC 0.873, ET 0.883",
        "HD95 (mm) WT 8.77",
        "the last 10 learn and are drawn anew",
        "Training base-africa (on BraTS-Africa only; starts from base-joint)",
        "reinitialise: 10",
        "wt: 0.5",
        "Research use only.",
    ):
        assert text in output, text


@pytest.mark.parametrize("name", [recipe.name for recipe in list_recipes()])
def test_every_recipe_is_shown_whole(name: str) -> None:
    code, output = run("show", name)
    assert code == 0
    recipe = read_recipe(name)
    assert all(sentence in output for sentence in recipe.differs)
    assert all(f"Training {training.name} " in output for training in recipe.trainings)


def test_the_file_can_be_copied_changed_and_shown(tmp_path: Path) -> None:
    code, output = run("show", "resunet", "--yaml")
    assert code == 0
    assert Recipe.parse(yaml.safe_load(output)) == read_recipe("resunet")
    mine = tmp_path / "mine.yaml"
    mine.write_text(output.replace("epochs: 200", "epochs: 3"))
    code, output = run("show", str(mine))
    assert code == 0
    assert "epochs: 3" in output


def test_a_typo_names_the_nearest() -> None:
    code, output = run("show", "swin-unet")
    assert code == 2
    assert "Did you mean 'swin-unetr'?" in output


def test_a_recipe_without_figures_says_so(tmp_path: Path) -> None:
    values = yaml.safe_load(run("show", "resunet", "--yaml")[1])
    del values["reported"]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    assert "not measured here:\n  nothing\n" in run("show", str(path))[1]


def test_recipes_need_no_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; import typer; from radiogen.cli import recipes; app = typer.Typer(); recipes.register(app);"
        "CliRunner().invoke(app, ['recipes', 'list']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("command", ["list", "show"])
def test_help_has_an_example(command: str) -> None:
    code, output = run(command, "--help")
    assert code == 0
    assert f"radiogen recipes {command}" in output


def test_show_of_a_classifier_has_the_aucs_of_the_paper_and_what_it_does_not_say(tmp_path: Path) -> None:
    code, output = run("show", "c3d-lc")
    assert code == 0
    for words in ("private test: AUC 0.577", "(0.589 to 0.781)", "What the paper does not say:", "locally-connected"):
        assert words in output
    mine = tmp_path / "mine.yaml"
    mine.write_text(run("show", "c3d-lc", "--yaml")[1])
    assert run("show", str(mine)) == (0, output)


def test_show_of_a_segmentation_on_supervoxels_has_its_dice_and_its_command(tmp_path: Path) -> None:
    code, output = run("show", "supervoxel-graphsage")
    assert code == 0
    for words in (
        "validation: Dice ET 0.738, TC 0.782, WT 0.874.",
        "train network --recipe supervoxel-graphsage",
        "15000",
    ):
        assert words in output
    mine = tmp_path / "mine.yaml"
    mine.write_text(run("show", "supervoxel-graphsage", "--yaml")[1])
    assert run("show", str(mine)) == (0, output)
