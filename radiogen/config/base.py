"""The base of every stage's settings, and reading them from YAML."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from radiogen.errors import ConfigError


class StageSettings(BaseModel):
    """Frozen settings of one stage; unknown keys are refused.

    Example:
        >>> class Demo(StageSettings):
        ...     seed: int = 0
        >>> Demo.parse({"sed": 1})
        Traceback (most recent call last):
        ...
        radiogen.errors.ConfigError: Settings for Demo are not accepted:
          - unknown key 'sed'; did you mean 'seed'?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from a mapping.

        Raises:
            ConfigError: lists every unknown key and every bad value at once.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(
                f"Settings for {cls.__name__} are not accepted:", problems=_problems(cls, error)
            ) from error

    @classmethod
    def read(cls, path: str | Path | None, **overrides: Any) -> Self:
        """Return settings from a YAML file (or the defaults), with `overrides` that are not None on top.

        Raises:
            ConfigError: the file is missing, is not a mapping, or holds unknown keys or bad values.
        """
        values = {} if path is None else read_yaml_mapping(Path(path))
        return cls.parse({**values, **{key: value for key, value in overrides.items() if value is not None}})


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping of names to values.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first_line = str(error).splitlines()[0]
        raise ConfigError(f"The settings file {path} cannot be read: {first_line}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"The settings file {path} holds a {type(values).__name__}; a mapping of names to values is accepted."
        )
    return values


def _problems(model: type[BaseModel], error: ValidationError) -> list[str]:
    problems = []
    for detail in error.errors():
        name = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(detail["loc"][-1]), _known_keys(model, detail["loc"][:-1]), n=1)
            problems.append(f"unknown key '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        else:
            problems.append(f"'{name}' is {detail['input']!r}: {detail['msg']}")
    return problems


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return list(model.model_fields)
