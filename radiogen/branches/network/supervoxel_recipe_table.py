"""The recipes of segmentation on supervoxel graphs: files that come with radiogen, and one's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from radiogen.config.base import read_yaml_mapping
from radiogen.config.supervoxels import SupervoxelRecipe
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

KIND = "graph-segmentation"
_ENDINGS = (".yaml", ".yml")


def supervoxel_recipe_names() -> list[str]:
    """Return the names of the recipes that come with radiogen.

    Example:
        >>> supervoxel_recipe_names()
        ['supervoxel-graphsage']
    """
    folder = files("radiogen.branches.network").joinpath("supervoxel_recipes")
    return sorted(item.name.rpartition(".")[0] for item in folder.iterdir() if item.name.endswith(_ENDINGS))


def list_supervoxel_recipes() -> list[SupervoxelRecipe]:
    """Return every recipe, by name.

    Raises:
        ConfigError: a recipe file is not accepted.
    """
    return [read_supervoxel_recipe(name) for name in supervoxel_recipe_names()]


def is_supervoxel_recipe(name_or_path: str) -> bool:
    """Return whether a recipe's name, or a file of one's own, is that of a segmentation on supervoxels.

    Raises:
        ConfigError: the file cannot be read.

    Example:
        >>> is_supervoxel_recipe("supervoxel-graphsage"), is_supervoxel_recipe("resunet")
        (True, False)
    """
    if name_or_path.endswith(_ENDINGS):
        return read_yaml_mapping(Path(name_or_path)).get("kind") == KIND
    return name_or_path in supervoxel_recipe_names()


def read_supervoxel_recipe(name_or_path: str) -> SupervoxelRecipe:
    """Return a recipe by name, or from a YAML file of one's own.

    Args:
        name_or_path: name of a recipe, or path of a file that ends in .yaml or .yml.

    Raises:
        ConfigError: there is no such recipe (the message names the nearest), or the file is not accepted.

    Example:
        >>> read_supervoxel_recipe("supervoxel-graphsage").settings.graph.n_segments
        15000
    """
    return SupervoxelRecipe.parse(yaml.safe_load(supervoxel_recipe_text(name_or_path)))


def supervoxel_recipe_text(name_or_path: str) -> str:
    """Return the YAML of a recipe as it stands in its file.

    Raises:
        ConfigError: there is no such recipe, or the file cannot be read.
    """
    if name_or_path.endswith(_ENDINGS):
        read_yaml_mapping(Path(name_or_path))
        return Path(name_or_path).read_text(encoding="utf-8")
    known = supervoxel_recipe_names()
    if name_or_path not in known:
        raise ConfigError(
            f"'{name_or_path}' is not one of the recipes of segmentation on supervoxels: {', '.join(known)}.",
            hint=did_you_mean(name_or_path, known) or "Give one of them, or a .yaml file of your own.",
        )
    return (
        files("radiogen.branches.network")
        .joinpath("supervoxel_recipes", f"{name_or_path}.yaml")
        .read_text(encoding="utf-8")
    )
