"""The recipes of published classifiers on images: files that come with radiogen, and one's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from radiogen.config.base import read_yaml_mapping
from radiogen.config.embedding_model import ImageRecipe
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

_ENDINGS = (".yaml", ".yml")


def list_image_recipes() -> list[ImageRecipe]:
    """Return every recipe, by name.

    Raises:
        ConfigError: a recipe file is not accepted.

    Example:
        >>> "c3d-lc" in [recipe.name for recipe in list_image_recipes()]
        True
    """
    return [read_image_recipe(name) for name in image_recipe_names()]


def image_recipe_names() -> list[str]:
    """Return the names of the recipes that come with radiogen."""
    folder = files("radiogen.branches.embedding").joinpath("recipes")
    return sorted(item.name.rpartition(".")[0] for item in folder.iterdir() if item.name.endswith(_ENDINGS))


def read_image_recipe(name_or_path: str | Path) -> ImageRecipe:
    """Return a recipe by name, or from a YAML file of one's own.

    Args:
        name_or_path: name of a recipe, or path of a file that ends in .yaml or .yml.

    Raises:
        ConfigError: there is no such recipe (the message names the nearest), or the file is not accepted.

    Example:
        >>> read_image_recipe("c3d-lc").settings.fusion
        'locally-connected'
    """
    if _is_path(name_or_path):
        return ImageRecipe.parse(read_yaml_mapping(Path(name_or_path)))
    recipe = ImageRecipe.parse(yaml.safe_load(image_recipe_text(name_or_path)))
    if recipe.name != str(name_or_path):
        raise ConfigError(
            f"The recipe '{name_or_path}' calls itself '{recipe.name}'.", hint="Name the file after the recipe."
        )
    return recipe


def image_recipe_text(name_or_path: str | Path) -> str:
    """Return the YAML of a recipe as it stands in its file.

    Raises:
        ConfigError: there is no such recipe, or the file cannot be read.
    """
    if _is_path(name_or_path):
        read_yaml_mapping(Path(name_or_path))
        return Path(name_or_path).read_text(encoding="utf-8")
    name, known = str(name_or_path), image_recipe_names()
    if name not in known:
        raise ConfigError(
            f"'{name}' is not one of the recipes of classifiers on images: {', '.join(known)}.",
            hint=did_you_mean(name, known) or "Give one of them, or a .yaml file of your own.",
        )
    return files("radiogen.branches.embedding").joinpath("recipes", f"{name}.yaml").read_text(encoding="utf-8")


def _is_path(name_or_path: str | Path) -> bool:
    return isinstance(name_or_path, Path) or name_or_path.endswith(_ENDINGS)
