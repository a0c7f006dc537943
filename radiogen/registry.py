"""Name -> 'module:object' tables: what can be chosen by name, without importing it.

A registry never imports what it lists until `load` is called, so the command line can print choices without torch.
Other packages add entries through entry points in the group `radiogen.<kind>`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from radiogen.errors import ConfigError


class Registry:
    """Names of one kind of part and where each is implemented.

    Args:
        kind: plural noun used in messages and as the entry-point group `radiogen.<kind>`.
        entries: name -> `module:object`.

    Example:
        >>> shapes = Registry("shapes", {"counter": "collections:Counter"})
        >>> shapes.load("counter")("aab")["a"]
        2
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def _all(self) -> dict[str, str]:
        plugins = {point.name: point.value for point in entry_points(group=f"radiogen.{self.kind}")}
        return {**plugins, **self._entries}

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        return sorted(self._all())

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def load(self, name: str) -> Any:
        """Import and return the object called `name`.

        Raises:
            ConfigError: the name is unknown; the message names the nearest one.
        """
        entries = self._all()
        if name not in entries:
            raise ConfigError(
                f"'{name}' is not one of the {self.kind}: {', '.join(sorted(entries))}.",
                hint=did_you_mean(name, entries),
            )
        module, _, attribute = entries[name].partition(":")
        return getattr(import_module(module), attribute)


def did_you_mean(name: str, accepted: Iterator[str] | Mapping[str, Any] | list[str]) -> str:
    """Return 'Did you mean ...?' for the accepted name nearest to `name`, or an empty string."""
    near = difflib.get_close_matches(name, list(accepted), n=1)
    return f"Did you mean '{near[0]}'?" if near else ""
