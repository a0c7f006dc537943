"""Models of one's own as embeddings: any importable function from a volume to a vector that says what it is and under which licence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float32

from radiogen.config.embedding import ADAPTER_PREFIX
from radiogen.errors import CaseError, ConfigError
from radiogen.types import Volume

_ACCEPTED = "accepted is 'adapter:module:function', such as adapter:my_model:embed"


@dataclass(frozen=True)
class Adapter:
    """Somebody's model as this house uses it.

    Args:
        name: what the model calls itself; part of the column names.
        licence: the text it states, as an SPDX name where there is one.
        dimension: length of its vectors.
        function: from a volume (i x j x k, float32, RAS) and its voxel size (i, j, k, mm) to a vector.
        version: what the function states as its attribute `version`, else empty; another one is another embedding.
    """

    name: str
    licence: str
    dimension: int
    function: Callable[[Volume, tuple[float, float, float]], np.ndarray]
    version: str = ""

    def __call__(self, volume: Volume, voxel_size_mm: tuple[float, float, float]) -> Float32[np.ndarray, " d"]:
        """Return the vector of one volume.

        Args:
            volume: i x j x k, RAS, prepared intensities.
            voxel_size_mm: size of the voxels along i, j, k, mm.

        Raises:
            CaseError: the model failed, or gave something other than `dimension` finite numbers.
        """
        try:
            found = np.asarray(self.function(volume.copy(), voxel_size_mm), dtype=np.float32)
        # A stranger's code may raise anything; the case is what fails.
        except Exception as error:
            raise CaseError(
                f"The model '{self.name}' failed: {type(error).__name__}: {_first_line(error)}",
                hint="The fault is in the adapter's function.",
            ) from error
        if found.shape != (self.dimension,) or not np.isfinite(found).all():
            raise CaseError(
                f"The model '{self.name}' gave an array of shape {found.shape} with {int((~np.isfinite(found)).sum())} numbers that are not finite; "
                f"{self.dimension} finite numbers along one axis are accepted.",
                hint="The fault is in the adapter's function.",
            )
        return found


def load_adapter(name: str) -> Adapter:
    """Return the adapter of a network name.

    Args:
        name: `adapter:module:function`; the function has the attributes `name` and `licence` (text) and
            `dimension` (length of its vectors), and may have `version` (text).

    Raises:
        ConfigError: it cannot be imported, or does not say its name, licence and dimension.

    Example:
        >>> load_adapter("adapter:math:sqrt")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        radiogen.errors.ConfigError: The adapter 'math:sqrt' lacks the attributes name (text), licence (text), dimension (a whole number above 0). ...
    """
    given = name.removeprefix(ADAPTER_PREFIX)
    module, _, attribute = given.partition(":")
    if not module or not attribute:
        raise ConfigError(f"'{name}' names no function; {_ACCEPTED}.")
    try:
        function: Any = getattr(import_module(module), attribute)
    # Importing a stranger's module may raise anything.
    except Exception as error:
        raise ConfigError(
            f"The adapter '{given}' cannot be imported: {type(error).__name__}: {_first_line(error)}",
            hint="Install the package that holds it, or put its folder on PYTHONPATH.",
        ) from error
    if not callable(function):
        raise ConfigError(f"The adapter '{given}' is a {type(function).__name__}, not a function; {_ACCEPTED}.")
    missing = [f"{key} (text)" for key in ("name", "licence") if not _text(function, key)]
    dimension = getattr(function, "dimension", None)
    if not isinstance(dimension, int) or dimension < 1:
        missing.append("dimension (a whole number above 0)")
        dimension = 0
    if missing:
        raise ConfigError(
            f"The adapter '{given}' lacks the attributes {', '.join(missing)}.",
            hint='Set them where the function is defined, such as embed.licence = "Apache-2.0".',
        )
    return Adapter(_text(function, "name"), _text(function, "licence"), dimension, function, _text(function, "version"))


def _text(function: Any, key: str) -> str:
    value = getattr(function, key, "")
    return value.strip() if isinstance(value, str) else ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")
