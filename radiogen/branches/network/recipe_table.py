"""The recipes of classifiers on brain networks: files that come with radiogen, and one's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from radiogen.config.base import read_yaml_mapping
from radiogen.config.network_recipes import GraphRecipe
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

_ENDINGS = (".yaml", ".yml")


def list_graph_recipes() -> list[GraphRecipe]:
    """Return every recipe, by name.

    Raises:
        ConfigError: a recipe file is not accepted.

    Example:
        >>> [recipe.name for recipe in list_graph_recipes()]
        ['idh-network-gnn', 'network-gnn-statistics']
    """
    return [read_graph_recipe(name) for name in graph_recipe_names()]


def graph_recipe_names() -> list[str]:
    """Return the names of the recipes that come with radiogen."""
    folder = files("radiogen.branches.network").joinpath("recipes")
    return sorted(item.name.rpartition(".")[0] for item in folder.iterdir() if item.name.endswith(_ENDINGS))


def is_graph_recipe(name_or_path: str) -> bool:
    """Return whether a recipe's name, or a file of one's own, is that of a classifier on brain networks.

    Raises:
        ConfigError: the file cannot be read.

    Example:
        >>> is_graph_recipe("idh-network-gnn"), is_graph_recipe("c3d-lc")
        (True, False)
    """
    if name_or_path.endswith(_ENDINGS):
        return read_yaml_mapping(Path(name_or_path)).get("kind") == "graph-classification"
    return name_or_path in graph_recipe_names()


def read_graph_recipe(name_or_path: str) -> GraphRecipe:
    """Return a recipe by name, or from a YAML file of one's own.

    Args:
        name_or_path: name of a recipe, or path of a file that ends in .yaml or .yml.

    Raises:
        ConfigError: there is no such recipe (the message names the nearest), or the file is not accepted.

    Example:
        >>> read_graph_recipe("idh-network-gnn").settings.autoencoder.latents
        12
    """
    return GraphRecipe.parse(yaml.safe_load(graph_recipe_text(name_or_path)))


def graph_recipe_text(name_or_path: str) -> str:
    """Return the YAML of a recipe as it stands in its file.

    Raises:
        ConfigError: there is no such recipe, or the file cannot be read.
    """
    if name_or_path.endswith(_ENDINGS):
        read_yaml_mapping(Path(name_or_path))
        return Path(name_or_path).read_text(encoding="utf-8")
    known = graph_recipe_names()
    if name_or_path not in known:
        raise ConfigError(
            f"'{name_or_path}' is not one of the recipes of classifiers on brain networks: {', '.join(known)}.",
            hint=did_you_mean(name_or_path, known) or "Give one of them, or a .yaml file of your own.",
        )
    return files("radiogen.branches.network").joinpath("recipes", f"{name_or_path}.yaml").read_text(encoding="utf-8")
