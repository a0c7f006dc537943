"""The methods text of a paper, written only from what was really run: every sentence comes from a sidecar, a table or a file of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from radiogen.report.citations import RADIOGEN, bibtex, citation, numbered, reference
from radiogen.report.methods_data import data_statements
from radiogen.report.methods_evaluate import evaluate_statements
from radiogen.report.methods_model import model_statements
from radiogen.report.methods_survival import survival_statements
from radiogen.report.run_record import RunRecord
from radiogen.report.statement import PART_TITLES, Statement, listed
from radiogen.run.provenance import RESEARCH_USE

_SYNTHETIC = "All patients are synthetic (made up by the program); nothing here says anything about real ones."


def methods_statements(record: RunRecord) -> list[Statement]:
    """Return every statement that the folder supports, in reading order; a stage that was not run has none.

    Args:
        record: of a folder, see `run_record.read_record`.
    """
    found = [
        *data_statements(record),
        *model_statements(record),
        *evaluate_statements(record),
        *survival_statements(record),
        *_software(record),
    ]
    if record.synthetic:
        found.append(Statement("cohort.synthetic", _SYNTHETIC, _links(record)[:1]))
    order = list(PART_TITLES)
    return sorted(found, key=lambda statement: order.index(statement.part))


def paragraphs(statements: Sequence[Statement]) -> list[str]:
    """Return the text to paste, one paragraph per part, with numbers of references in square brackets.

    Args:
        statements: of `methods_statements`.

    Example:
        >>> paragraphs([Statement("model.nested", "It was nested.", (), ("varma2006",))])
        ['Models. It was nested [1].']
    """
    numbers = numbered(works_of(statements))
    found = []
    for part, title in PART_TITLES.items():
        sentences = [_with_marks(item, numbers) for item in statements if item.part == part and item.said]
        if sentences:
            found.append(f"{title}. {' '.join(sentences)}")
    return found


def works_of(statements: Sequence[Statement]) -> dict[str, dict[str, Any]]:
    """Return the works that the statements cite, key -> work, in the order of first mention.

    Args:
        statements: of `methods_statements`.
    """
    own = {key: dict(work) for statement in statements for key, work in statement.works.items()}
    keys = dict.fromkeys(key for statement in statements for key in statement.cites)
    return {key: own.get(key) or citation(key) for key in keys}


def references(statements: Sequence[Statement]) -> list[str]:
    """Return the numbered list of references.

    Args:
        statements: of `methods_statements`.
    """
    return [f"{number}. {reference(work)}" for number, work in enumerate(works_of(statements).values(), start=1)]


def methods_markdown(statements: Sequence[Statement]) -> str:
    """Return `methods.md`: the text with keys of references, and a table that says where every sentence comes from.

    Args:
        statements: of `methods_statements`.
    """
    lines = ["# Methods", "", f"*Written by radiogen from the sidecars of this folder. {RESEARCH_USE}*", ""]
    for part, title in PART_TITLES.items():
        sentences = [_with_keys(item) for item in statements if item.part == part and item.said]
        if sentences:
            lines += [f"## {title}", "", " ".join(sentences), ""]
    lines += ["## References", "", *references(statements), ""]
    lines += ["## Where each sentence comes from", "", "| Key | Sentence | Read from |", "|---|---|---|"]
    for item in (statement for statement in statements if statement.said):
        places = ", ".join(f"`{source}`" for source in item.sources)
        lines.append(f"| {item.key} | {item.text.replace('|', '/')} | {places} |")
    return "\n".join([*lines, ""])


def methods_bibtex(statements: Sequence[Statement]) -> str:
    """Return `references.bib`: the works that were really used, and nothing else.

    Args:
        statements: of `methods_statements`.
    """
    return bibtex(works_of(statements))


def _with_marks(statement: Statement, numbers: Mapping[str, int]) -> str:
    cited = sorted(numbers[key] for key in dict.fromkeys(statement.cites))
    return _before_full_stop(statement.text, f" [{', '.join(map(str, cited))}]" if cited else "")


def _with_keys(statement: Statement) -> str:
    keys = "; ".join(f"@{key}" for key in dict.fromkeys(statement.cites))
    return _before_full_stop(statement.text, f" [{keys}]" if keys else "")


def _before_full_stop(text: str, mark: str) -> str:
    return f"{text[:-1]}{mark}." if mark and text.endswith(".") else f"{text}{mark}"


def _software(record: RunRecord) -> list[Statement]:
    versions = dict(record.versions)
    own = versions.pop("radiogen", "")
    if not own:
        return []
    present = [f"{name} {version}" for name, version in versions.items() if version != "absent"]
    links = _links(record)
    found = [
        Statement(
            "software.versions",
            f"All steps were run with radiogen {own} in Python with {listed(present)}.",
            (f"{links[0]}#versions",),
            (RADIOGEN,),
        )
    ]
    seeds = {int(seed) for run in (*record.models, *record.survival) if (seed := _seed(run.settings)) is not None}
    if seeds:
        word = "seed" if len(seeds) == 1 else "seeds"
        text = f"Random numbers were drawn from the {word} {listed([str(seed) for seed in sorted(seeds)])}; the same seed gives the same results."
        found.append(
            Statement(
                "software.seed", text, tuple(f"{run.link}#settings" for run in (*record.models, *record.survival)[:1])
            )
        )
    return found


def _seed(settings: Mapping[str, Any]) -> int | None:
    for values in (settings.get("classify"), settings.get("splits"), settings):
        if isinstance(values, Mapping) and isinstance(values.get("seed"), int):
            return int(values["seed"])
    return None


def _links(record: RunRecord) -> tuple[str, ...]:
    stages = [*record.models, *record.survival, record.segment, *record.features.values(), record.preprocess]
    return tuple(stage.link for stage in stages if stage is not None)
