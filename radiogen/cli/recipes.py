"""`radiogen recipes`: published methods that can be trained by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radiogen.cli.common import reports_errors

if TYPE_CHECKING:
    from radiogen.config.base import StageSettings
    from radiogen.config.embedding_model import ImageRecipe
    from radiogen.config.network_recipes import GraphRecipe
    from radiogen.config.recipes import Recipe, Reported
    from radiogen.config.supervoxels import SupervoxelRecipe

_REGIONS = ("wt", "tc", "et", "ncr", "ed", "rc")


def register(app: typer.Typer) -> None:
    """Add the command group to the program."""
    group = typer.Typer(help="Published methods as settings: list them, show one.", no_args_is_help=True)
    group.command("list", epilog="Example: radiogen recipes list --kind segmentation")(reports_errors(list_them))
    group.command("show", epilog="Example: radiogen recipes show mednext-africa --yaml > mine.yaml")(
        reports_errors(show)
    )
    app.add_typer(group, name="recipes")


def list_them(
    kind: Annotated[str | None, typer.Option("--kind", help="Only recipes of this kind, such as segmentation.")] = None,
) -> None:
    """List the recipes: name, and what it is."""
    from radiogen.branches.embedding.recipe_table import list_image_recipes
    from radiogen.branches.network.recipe_table import list_graph_recipes
    from radiogen.branches.network.supervoxel_recipe_table import list_supervoxel_recipes
    from radiogen.errors import ConfigError
    from radiogen.segment.recipe_table import list_recipes

    recipes: list[Recipe | ImageRecipe | GraphRecipe | SupervoxelRecipe] = [
        *list_recipes(),
        *list_image_recipes(),
        *list_graph_recipes(),
        *list_supervoxel_recipes(),
    ]
    kinds = sorted({recipe.kind for recipe in recipes})
    if kind is not None and kind not in kinds:
        raise ConfigError(f"There are no recipes of the kind '{kind}'.", hint=f"Kinds: {', '.join(kinds)}.")
    for recipe in recipes:
        if kind in {None, recipe.kind}:
            typer.echo(f"{recipe.name}: {recipe.title} [{recipe.kind}, {recipe.method_entry}]")


def show(
    name: Annotated[str, typer.Argument(help="Name of a recipe, or a .yaml file of your own.")],
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the recipe's file, to copy and change.")] = False,
) -> None:
    """Show a recipe: its paper, what it reported, what differs here, and its settings."""
    from radiogen.branches.embedding.recipe_table import image_recipe_names, image_recipe_text, read_image_recipe
    from radiogen.branches.network.recipe_table import graph_recipe_text, is_graph_recipe, read_graph_recipe
    from radiogen.branches.network.supervoxel_recipe_table import (
        is_supervoxel_recipe,
        read_supervoxel_recipe,
        supervoxel_recipe_text,
    )
    from radiogen.segment.recipe_table import read_recipe, recipe_text

    if is_graph_recipe(name):
        text, lines = graph_recipe_text(name), _graph_lines(read_graph_recipe(name))
    elif is_supervoxel_recipe(name):
        text, lines = supervoxel_recipe_text(name), _supervoxel_lines(read_supervoxel_recipe(name))
    elif name in image_recipe_names() or _kind_of(name) == "classification":
        text, lines = image_recipe_text(name), _image_lines(read_image_recipe(name))
    else:
        text, lines = recipe_text(name), _lines(read_recipe(name))
    typer.echo(text.rstrip("\n") if as_yaml else "\n".join(lines))


def _kind_of(name: str) -> str:
    """Return the kind that a recipe of one's own says it is; nothing for a recipe's name."""
    from radiogen.config.base import read_yaml_mapping

    return str(read_yaml_mapping(Path(name)).get("kind", "")) if name.endswith((".yaml", ".yml")) else ""


def _image_lines(recipe: ImageRecipe) -> list[str]:
    reported = [
        f"  {item.what}, {item.data}: AUC {item.auc:g}"
        + (f" ({item.interval[0]:g} to {item.interval[1]:g})" if item.interval else "")
        + (f". {item.note}" if item.note else ".")
        for item in recipe.reported
    ]
    return _classifier_lines(recipe, reported)


def _graph_lines(recipe: GraphRecipe) -> list[str]:
    reported = [
        f"  {item.what}, {item.data}: accuracy {item.accuracy:g}, sensitivity {item.sensitivity:g}, specificity {item.specificity:g}. {item.note}"
        for item in recipe.reported
    ]
    return _classifier_lines(recipe, [line.rstrip() for line in reported])


def _classifier_lines(recipe: ImageRecipe | GraphRecipe, reported: list[str]) -> list[str]:
    run = f"radiogen classify --target {recipe.target} --recipe {recipe.name} cohort.csv -o OUT"
    return _one_model_lines(recipe, f" for {recipe.target}", reported, run)


def _supervoxel_lines(recipe: SupervoxelRecipe) -> list[str]:
    reported = [
        f"  {item.what}, {item.data}: Dice ET {item.et:g}, TC {item.tc:g}, WT {item.wt:g}. {item.note}".rstrip()
        for item in recipe.reported
    ]
    return _one_model_lines(recipe, "", reported, f"radiogen train network --recipe {recipe.name} cohort.csv -o OUT")


def _one_model_lines(
    recipe: ImageRecipe | GraphRecipe | SupervoxelRecipe, of: str, reported: list[str], run: str
) -> list[str]:
    paper = recipe.paper
    return [
        f"{recipe.name}: {recipe.title}",
        "",
        f"Paper ({recipe.method_entry}): {paper.title}",
        f"  authors {paper.authors}; year {paper.year or 'not given'}; {paper.venue}; doi {paper.doi}; arXiv {paper.arxiv}",
        "",
        f"Reported by the paper{of}, not measured here:",
        *(reported or ["  nothing"]),
        "",
        "What the paper does not say:",
        *(f"  - {sentence}" for sentence in recipe.not_given),
        "",
        "What differs here:",
        *(f"  - {sentence}" for sentence in recipe.differs),
        "",
        f"Run: {run}",
        "Settings; what is not listed is the default:",
        *_indented(_yaml(recipe.settings)),
        "",
        "Research use only.",
    ]


def _lines(recipe: Recipe) -> list[str]:
    paper = recipe.paper
    lines = [
        f"{recipe.name}: {recipe.title}",
        "",
        f"Paper ({recipe.method_entry}): {paper.title}",
        f"  authors {paper.authors}; year {paper.year or 'not given'}; {paper.venue}; doi {paper.doi}; arXiv {paper.arxiv}",
        "",
        "Reported by the paper, not measured here:",
        *(f"  {_reported(item)}" for item in recipe.reported or ()),
        *([] if recipe.reported else ["  nothing"]),
        "",
        "What differs here:",
        *(f"  - {sentence}" for sentence in recipe.differs),
        "",
    ]
    for training in recipe.trainings:
        facts = [f"on {training.cohort}"]
        facts += [f"starts from {training.start_from}"] if training.start_from else []
        facts += [f"cropped around {training.crop_around}"] if training.crop_around else []
        facts += [f"folds of {training.folds}"] if training.folds != "patients" else []
        facts += ["one network per fold"] if training.every_fold else []
        lines.append(f"Training {training.name} ({'; '.join(facts)}); what is not listed is the default:")
        lines += _indented(_yaml(training.settings))
    lines.append("Prediction:")
    lines += _indented(_yaml(recipe.inference))
    return [*lines, "", "Research use only."]


def _yaml(settings: StageSettings) -> str:
    import yaml

    return yaml.safe_dump(
        settings.model_dump(mode="json", exclude_unset=True), sort_keys=False, default_flow_style=None, width=150
    )


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _reported(item: Reported) -> str:
    values = item.model_dump()
    dice = [f"{name.upper()} {values[f'dice_{name}']:g}" for name in _REGIONS if values[f"dice_{name}"] is not None]
    far = [
        f"{name.upper()} {values[f'hd95_{name}_mm']:g}"
        for name in _REGIONS[:3]
        if values[f"hd95_{name}_mm"] is not None
    ]
    parts = [f"Dice {', '.join(dice)}"] if dice else []
    parts += [f"HD95 (mm) {', '.join(far)}"] if far else []
    return f"{item.what}, {item.data}: {'; '.join(parts)}.{' ' + item.note if item.note else ''}"
