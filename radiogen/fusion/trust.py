"""Which types a model's file may hold: ours, scikit-learn's, and those of packages that bring a classifier through an entry point."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from radiogen.errors import InputError


def plugin_packages() -> set[str]:
    """Return the packages that bring classifiers: who installed them has chosen to run their code."""
    return {point.value.partition(":")[0].split(".")[0] for point in entry_points(group="radiogen.classifiers")}


def trusted_in(source: Path | bytes, known: Iterable[str]) -> list[str]:
    """Return the types that may be loaded from a skops file.

    Args:
        source: file, or its content.
        known: types that are trusted anyway.
    """
    found = skops.io.get_untrusted_types(**({"data": source} if isinstance(source, bytes) else {"file": source}))
    packages = plugin_packages()
    return [*known, *(name for name in found if name.split(".")[0] in packages)]


def dumped(model: Any, known: Iterable[str]) -> bytes:
    """Return a model as a skops file, if it can be loaded again.

    Args:
        model: fitted.
        known: types that are trusted.

    Raises:
        InputError: it holds a type that no bundle may hold, or that cannot be written.
    """
    known = list(known)
    try:
        data = bytes(skops.io.dumps(model))
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted_in(data, known)))
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise InputError(f"The model cannot be saved: {error}", hint="Use another classifier.") from error
    if foreign:
        raise InputError(
            f"The model was not saved: it holds {', '.join(foreign)}, which no bundle may hold.",
            hint="Let the classifier's package name it in its entry points of the group radiogen.classifiers.",
        )
    return data


def read_trusted(path: Path, trusted: Sequence[str]) -> Any:
    """Return what a skops file holds; nothing of it is run before its types are looked at.

    Args:
        path: the file.
        trusted: names of types that may be in it beside those that `trusted_in` knows.

    Raises:
        InputError: it holds other types, or cannot be read.
    """
    try:
        return skops.io.load(path, trusted=trusted_in(path, trusted))
    except (UntrustedTypesFoundException, TypeError) as error:
        raise InputError(
            f"{path} holds types that are not trusted: {error}",
            hint="Nothing of it was run. Use a model made by radiogen.",
        ) from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a model: {error}") from error
