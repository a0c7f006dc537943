"""Works that a methods text cites, as numbered references and as BibTeX, and how to cite radiogen itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from radiogen import __version__
from radiogen.errors import ConfigError

RADIOGEN = "radiogen"
"""Key of radiogen's own entry."""

_FIELDS = (("venue", "journal"), ("volume", "volume"), ("pages", "pages"), ("doi", "doi"), ("note", "note"))
_VENUE_FIELD = {"inproceedings": "booktitle", "incollection": "booktitle", "misc": "howpublished"}
_NOT_GIVEN, _NO_DOI = "not given", "no DOI"


def citation(key: str) -> dict[str, Any]:
    """Return what is known of a work: `kind, authors, title, venue, year` and, where they exist, `volume, pages, doi, note`.

    Args:
        key: as the methods text cites it.

    Raises:
        ConfigError: no work has this key.

    Example:
        >>> citation("delong1988")["doi"]
        '10.2307/2531595'
    """
    works = _works()
    if key not in works:
        raise ConfigError(f"No work is known as '{key}'.", hint=f"Known: {', '.join(sorted(works))}.")
    return dict(works[key])


def known_works() -> list[str]:
    """Return the keys of all works, sorted."""
    return sorted(_works())


def recipe_work(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the paper of a recipe as a work that can be cited.

    Args:
        recipe: a recipe's settings with `paper`: `title, authors, year, venue, doi, arxiv`.

    Example:
        >>> recipe_work({"paper": {"title": "A network", "year": 2021, "doi": "not given"}})["year"]
        2021
    """
    paper = recipe.get("paper") or {}
    given = {name: value for name, value in paper.items() if value not in (None, "", _NOT_GIVEN)}
    work = {"kind": "misc", "authors": given.get("authors", ""), "title": given.get("title", recipe.get("title", ""))}
    work |= {name: given[name] for name in ("venue", "year", "doi") if name in given}
    if "arxiv" in given:
        work["note"] = f"arXiv {given['arxiv']}"
    return work


def reference(work: Mapping[str, Any]) -> str:
    """Return a work as one plain line of a list of references.

    Args:
        work: as `citation` returns it.

    Example:
        >>> reference(citation("delong1988"))[-47:]
        'Biometrics 1988;44:837-845. doi:10.2307/2531595'
    """
    where = f"{work.get('venue', '')} {work.get('year', '')}".strip()
    if work.get("volume"):
        where += f";{work['volume']}" + (f":{work['pages']}" if work.get("pages") else "")
    end = f"doi:{work['doi']}" if work.get("doi") else str(work.get("note") or "").replace(_NO_DOI, "")
    parts = [_authors(_plain(str(work.get("authors") or ""))), str(work["title"]), where, end]
    return ". ".join(_plain(part.rstrip(".")) for part in parts if part).replace("?.", "?")


def bibtex(works: Mapping[str, Mapping[str, Any]]) -> str:
    """Return works as a BibTeX file, in the order given.

    Args:
        works: key -> work.

    Example:
        >>> print(bibtex({"delong1988": citation("delong1988")}).splitlines()[0])
        @article{delong1988,
    """
    return "\n".join(_entry(key, work) for key, work in works.items())


def how_to_cite() -> tuple[str, str]:
    """Return how radiogen is cited: one line of text, and a BibTeX entry.

    Example:
        >>> how_to_cite()[1].splitlines()[0]
        '@software{radiogen,'
    """
    work = citation(RADIOGEN)
    return reference(work), bibtex({RADIOGEN: work})


def numbered(keys: Iterable[str]) -> dict[str, int]:
    """Return key -> number in the order of first mention, from 1.

    Example:
        >>> numbered(["b", "a", "b"])
        {'b': 1, 'a': 2}
    """
    return {key: number for number, key in enumerate(dict.fromkeys(keys), start=1)}


@cache
def _works() -> dict[str, dict[str, Any]]:
    text = files("radiogen.report").joinpath("checklists/citations.yaml").read_text(encoding="utf-8")
    own = {
        "kind": "software", "authors": "{The radiogen developers}", "year": "", "venue": "",
        "title": "radiogen: glioma radiogenomics from MRI to a verdict against trivial baselines",
        "note": f"Version {__version__}, Apache License 2.0",
    }  # fmt: skip
    return {**yaml.safe_load(text), RADIOGEN: own}


def _entry(key: str, work: Mapping[str, Any]) -> str:
    kind = str(work.get("kind", "misc"))
    authors = str(work.get("authors") or "").replace(" et al.", " and others")
    fields = {"author": authors, "title": f"{{{work['title']}}}", "year": work.get("year")}
    for name, field in _FIELDS:
        fields[_VENUE_FIELD.get(kind, field) if name == "venue" else field] = work.get(name)
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value not in (None, "")]
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])


def _plain(text: str) -> str:
    """Return BibTeX text as plain text: accents as letters, `--` as a hyphen, no braces."""
    accents = {"{\\`e}": "è", "{\\'e}": "é", "{\\'a}": "á", "{\\~n}": "ñ", '{\\"u}': "ü"}
    for written, letter in accents.items():
        text = text.replace(written, letter)
    return text.replace("{", "").replace("}", "").replace("--", "-")


def _authors(text: str) -> str:
    """Return `Family, A. B. and others` as `Family AB, et al`."""
    names = []
    for name in text.replace(" and others", " and et al").split(" and "):
        family, _, initials = name.partition(", ")
        names.append(f"{family} {re.sub(r'[^A-Za-z]', '', initials).replace('Jr', ' Jr')}".strip())
    return ", ".join(names)
