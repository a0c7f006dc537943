"""A sentence of the methods text together with where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PART_TITLES = {
    "cohort": "Cohort",
    "preprocess": "Preprocessing",
    "segment": "Segmentation",
    "features": "Features",
    "model": "Models",
    "evaluate": "Evaluation",
    "survival": "Survival",
    "software": "Software",
}
"""Parts of a methods text in reading order; a statement's key begins with the name of its part."""


@dataclass(frozen=True)
class Statement:
    """One or more sentences on one thing that was done.

    Args:
        key: `part.topic`, such as `model.splits`; reporting forms refer to it.
        text: plain English, past tense, without citation marks.
        sources: files it was read from, relative to the folder, each with the place in it after `#`.
        cites: keys of works.
        works: works that are not in the list of known ones, such as a recipe's paper: key -> work.
        said: it belongs to the text; otherwise it only serves the reporting forms.
    """

    key: str
    text: str
    sources: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    works: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    said: bool = True

    @property
    def part(self) -> str:
        """Return the part of the text it belongs to.

        Example:
            >>> Statement("model.splits", "").part
            'model'
        """
        return self.key.partition(".")[0]


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return words as an English list.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"])
        ('a, b and c', 'a')
    """
    return " ".join(words[-1:]) if len(words) < 2 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def by_key(statements: Iterable[Statement]) -> dict[str, list[Statement]]:
    """Return key -> statements with that key.

    Example:
        >>> list(by_key([Statement("a.b", "x"), Statement("a.b", "y")]))
        ['a.b']
    """
    found: dict[str, list[Statement]] = {}
    for statement in statements:
        found.setdefault(statement.key, []).append(statement)
    return found
