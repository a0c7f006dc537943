"""Reporting forms (CLEAR, METRICS, TRIPOD+AI) filled in from what was really run: answered with its artefact, not applicable, or left blank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import Field

from radiogen.config.base import StageSettings
from radiogen.report.statement import Statement, by_key

FORMS = ("clear", "metrics", "tripod-ai")
"""Names of the forms."""

ANSWERED, NOT_MET, NOT_APPLICABLE, BLANK = "answered", "not met", "not applicable", "blank"
STATUSES = (ANSWERED, NOT_MET, NOT_APPLICABLE, BLANK)


class Item(StageSettings):
    """One item of a form, and which statements answer it.

    Example:
        >>> Item(number="1", section="Title", asks="A title").any_of
        ()
    """

    number: str
    """Number in the published form."""

    section: str
    """Section of the published form."""

    asks: str
    """What is asked, in our own words."""

    applies: str = ""
    """TRIPOD+AI: D development, E evaluation."""

    weight: float = Field(default=0.0, ge=0)
    """METRICS: its published weight."""

    any_of: tuple[str, ...] = ()
    """Keys of statements; those that are there answer the item."""

    all_of: tuple[str, ...] = ()
    """Keys of statements that answer it only together."""

    quotes: tuple[str, ...] = ()
    """Keys of statements that stand beside an answer."""

    hints: tuple[str, ...] = ()
    """Keys of statements that help the author with a blank and do not answer it."""

    artefacts: tuple[str, ...] = ()
    """Files, patterns allowed, that answer the item where they exist."""

    says: str = ""
    """Answer that goes with `artefacts`."""

    add: str = ""
    """What the author must still add to an answer."""

    not_met_if: tuple[str, ...] = ()
    """METRICS: keys of statements that say that the item is not met."""

    not_applicable_if: dict[str, str] = Field(default_factory=dict)
    """Key of a statement -> why the item does not apply then."""


class Condition(StageSettings):
    """A condition of METRICS on which items hang.

    Example:
        >>> Condition(number="1", asks="Is there a segmentation?", items=("8",)).items
        ('8',)
    """

    number: str
    """Number in the published form."""

    asks: str
    """What is asked, in our own words."""

    yes_if: tuple[str, ...] = ()
    """Keys of statements, any of which says yes."""

    no_if: tuple[str, ...] = ()
    """Keys of statements, any of which says no."""

    items: tuple[str, ...] = ()
    """Items that do not apply where the answer is no."""


class Form(StageSettings):
    """A reporting form.

    Example:
        >>> read_form("clear").name
        'CLEAR'
    """

    name: str
    """Short name."""

    title: str
    """What it is."""

    source: str
    """Where it was published."""

    doi: str
    """DOI of that."""

    licence: str
    """Licence of that, and what is taken from it."""

    conditions: tuple[Condition, ...] = ()
    """Conditions, METRICS only."""

    items: tuple[Item, ...]
    """Items in published order."""


@dataclass(frozen=True)
class Answer:
    """How one item stands.

    Args:
        item: the item.
        status: one of `STATUSES`.
        text: the answer, the reason, or what is known so far.
        links: artefacts, relative to the folder; they exist.
    """

    item: Item
    status: str
    text: str = ""
    links: tuple[str, ...] = ()

    @property
    def to_add(self) -> str:
        """Return what the author must add to the answer; to an item that no file can answer it is always said."""
        item = self.item
        can_be_answered = bool(item.any_of or item.all_of or item.artefacts)
        return item.add if self.status == ANSWERED or not can_be_answered else ""


@dataclass(frozen=True)
class FilledForm:
    """A form with its answers.

    Args:
        form: the form.
        answers: one for every item.
        conditions: number of a METRICS condition -> `yes`, `no` or `blank`.
    """

    form: Form
    answers: tuple[Answer, ...]
    conditions: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Return status -> number of items."""
        found = Counter(answer.status for answer in self.answers)
        return {status: found[status] for status in STATUSES}

    @property
    def score_range(self) -> tuple[float, float] | None:
        """Return the METRICS score as the range that the blanks leave open, percent of the applicable weights; None for a form without weights.

        Blanks whose condition is open count as applicable for the lower end's denominator and as met for the upper end.

        Source: Kocak et al. 2024, doi:10.1186/s13244-023-01572-w: weights of the items met over weights of the items that apply.
        """
        weights = {status: sum(a.item.weight for a in self.answers if a.status == status) for status in STATUSES}
        applicable = weights[ANSWERED] + weights[NOT_MET] + weights[BLANK]
        if applicable <= 0:
            return None
        return 100 * weights[ANSWERED] / applicable, 100 * (weights[ANSWERED] + weights[BLANK]) / applicable


@cache
def read_form(name: str) -> Form:
    """Return a form.

    Args:
        name: one of `FORMS`.

    Raises:
        ConfigError: the form's file is not sound.

    Example:
        >>> [len(read_form(name).items) for name in FORMS]
        [58, 30, 52]
    """
    text = files("radiogen.report").joinpath(f"checklists/{name}.yaml").read_text(encoding="utf-8")
    return Form.parse(yaml.safe_load(text))


def fill_form(
    name: str, statements: Sequence[Statement], folder: Path, *, promised: Collection[str] = ()
) -> FilledForm:
    """Return a form filled in from statements; an item is answered only by what has an artefact that exists.

    Args:
        name: one of `FORMS`.
        statements: of `methods.methods_statements`.
        folder: in which artefacts are looked for.
        promised: artefacts, relative to the folder, that are written together with the form and count as existing.
    """
    form, filler = read_form(name), _Filler(statements, folder, frozenset(promised))
    conditions = {condition.number: filler.condition(condition) for condition in form.conditions}
    closed = {
        number: f"condition {condition.number} ({condition.asks.rstrip('?').lower()}) is answered with no"
        for condition in form.conditions
        if conditions[condition.number] == "no"
        for number in condition.items
    }
    answers = tuple(
        Answer(item, NOT_APPLICABLE, f"Not applicable: {closed[item.number]}.")
        if item.number in closed
        else filler.answer(item)
        for item in form.items
    )
    return FilledForm(form, answers, conditions)


class _Filler:
    """Statements whose artefacts exist, by key."""

    def __init__(self, statements: Sequence[Statement], folder: Path, promised: frozenset[str]) -> None:
        self.folder, self.promised = folder, promised
        self.known = by_key(statement for statement in statements if self._links([statement]))

    def condition(self, condition: Condition) -> str:
        if any(key in self.known for key in condition.yes_if):
            return "yes"
        return "no" if any(key in self.known for key in condition.no_if) else BLANK

    def answer(self, item: Item) -> Answer:
        found = self._of(item.any_of)
        if item.all_of and all(key in self.known for key in item.all_of):
            found += self._of(item.all_of)
        files_found = [path for pattern in item.artefacts for path in self._files(pattern)]
        if found or files_found:
            return self._answered(item, found, files_found)
        for key, reason in item.not_applicable_if.items():
            if key in self.known:
                return Answer(item, NOT_APPLICABLE, f"Not applicable: {reason}.", self._links(self.known[key]))
        unmet = self._of(item.not_met_if)
        if unmet:
            return Answer(item, NOT_MET, " ".join(statement.text for statement in unmet), self._links(unmet))
        hints = self._of(item.hints)
        text = f"For the author. Known so far: {' '.join(hint.text for hint in hints)}" if hints else ""
        return Answer(item, BLANK, text, self._links(hints))

    def _answered(self, item: Item, found: list[Statement], files_found: list[str]) -> Answer:
        quoted = [*found, *self._of(item.quotes)]
        says = [item.says] if files_found and item.says else []
        text = " ".join([*says, *(statement.text for statement in quoted)])
        return Answer(item, ANSWERED, text, tuple(dict.fromkeys([*files_found, *self._links(quoted)])))

    def _of(self, keys: Sequence[str]) -> list[Statement]:
        return [statement for key in keys for statement in self.known.get(key, [])]

    def _links(self, statements: Sequence[Statement]) -> tuple[str, ...]:
        names = dict.fromkeys(source.partition("#")[0] for statement in statements for source in statement.sources)
        return tuple(name for name in names if name in self.promised or (self.folder / name).is_file())

    def _files(self, pattern: str) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.glob(pattern) if path.is_file())
