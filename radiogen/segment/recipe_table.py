"""The recipes there are: files that come with radiogen, and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml

from radiogen.config.base import read_yaml_mapping
from radiogen.config.recipes import Recipe
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

_ENDINGS = (".yaml", ".yml")


def list_recipes(kind: str | None = None) -> list[Recipe]:
    """Return every recipe, by name.

    Packages add theirs through the entry-point group `radiogen.recipes`: the value is a package whose folder holds YAML files named after their
    recipes.

    Args:
        kind: only recipes of this kind, such as `segmentation`.

    Raises:
        ConfigError: a recipe file is not accepted.

    Example:
        >>> "resunet" in [recipe.name for recipe in list_recipes("segmentation")]
        True
    """
    recipes = [_parse(name, recipe_text(name)) for name in sorted(_files())]
    return [recipe for recipe in recipes if kind is None or recipe.kind == kind]


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Return a recipe by name, or from a YAML file of one's own.

    Args:
        name_or_path: name of a recipe, or path of a file that ends in .yaml or .yml.

    Raises:
        ConfigError: there is no such recipe (the message names the nearest), or the file is not accepted.

    Example:
        >>> read_recipe("resunet").trainings[0].settings.loss.name
        'ce'
    """
    if _is_path(name_or_path):
        return Recipe.parse(read_yaml_mapping(Path(name_or_path)))
    return _parse(str(name_or_path), recipe_text(name_or_path))


def recipe_text(name_or_path: str | Path) -> str:
    """Return the YAML of a recipe as it stands in its file.

    Raises:
        ConfigError: there is no such recipe, or the file cannot be read.
    """
    if _is_path(name_or_path):
        read_yaml_mapping(Path(name_or_path))
        return Path(name_or_path).read_text(encoding="utf-8")
    name, known = str(name_or_path), _files()
    if name not in known:
        raise ConfigError(
            f"'{name}' is not one of the recipes: {', '.join(sorted(known))}.",
            hint=did_you_mean(name, list(known)) or "Give one of them, or a .yaml file of your own.",
        )
    return known[name].read_text(encoding="utf-8")


def _is_path(name_or_path: str | Path) -> bool:
    return isinstance(name_or_path, Path) or name_or_path.endswith(_ENDINGS)


def _parse(name: str, text: str) -> Recipe:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The recipe '{name}' is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"The recipe '{name}' holds no mapping of names to values.")
    recipe = Recipe.parse(values)
    if recipe.name != name:
        raise ConfigError(f"The recipe '{name}' calls itself '{recipe.name}'.", hint="Name the file after the recipe.")
    return recipe


def _files() -> dict[str, Traversable]:
    """Return name -> file; radiogen's own recipes win over those of other packages."""
    folders = [files(point.value) for point in entry_points(group="radiogen.recipes")]
    folders.append(files("radiogen.segment").joinpath("recipes"))
    return {
        item.name.rpartition(".")[0]: item
        for folder in folders
        for item in folder.iterdir()
        if item.name.endswith(_ENDINGS)
    }
