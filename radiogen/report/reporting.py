"""Methods text, references and reporting forms of an output folder: as files beside the results, and as sections of a page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from radiogen.report.forms import ANSWERED, BLANK, FORMS, NOT_APPLICABLE, NOT_MET, Answer, FilledForm, fill_form
from radiogen.report.methods import methods_bibtex, methods_markdown, methods_statements, paragraphs, references
from radiogen.report.page import Section, Table
from radiogen.report.run_record import AUDIT, CLASSIFY, RunRecord, read_record, unfinished_record
from radiogen.report.statement import Statement
from radiogen.run.atomic import make_folder, write_csv, write_text

METHODS_FILE, REFERENCES_FILE, FORMS_FOLDER = "methods.md", "references.bib", "reporting"
_STEMS = {"clear": "clear", "metrics": "metrics-form", "tripod-ai": "tripod-ai"}
_STATUS_SENTENCES = (
    "Answered: a file of this folder answers the item, though the author may have to add to it. "
    "Blank: only the author can answer. Not applicable: the reason stands beside it."
)
_SYNTHETIC = "The patients are synthetic: these forms show how they are filled in, and describe no study."


def write_reporting(folder: str | Path, *, skipped: Iterable[str] = ()) -> list[Path]:
    """Write `methods.md`, `references.bib` and `reporting/{clear,metrics-form,tripod-ai}.{md,csv}` from what the folder holds, each atomically.

    The same folder gives the same bytes. A folder without any result that radiogen knows gets nothing.

    Args:
        folder: of `radiogen run`, `classify`, `audit` or `survival`.
        skipped: stages that this run left out, see `run_record.read_record`.

    Returns:
        The files.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    record = read_record(folder, skipped=skipped)
    statements = methods_statements(record)
    if not statements:
        return []
    written = [folder / METHODS_FILE, folder / REFERENCES_FILE]
    write_text(written[0], methods_markdown(statements))
    write_text(written[1], methods_bibtex(statements))
    make_folder(folder / FORMS_FOLDER)
    for name in FORMS:
        filled = fill_form(name, statements, folder)
        paths = [folder / FORMS_FOLDER / f"{_STEMS[name]}.{kind}" for kind in ("md", "csv")]
        write_text(paths[0], form_markdown(filled, synthetic=record.synthetic))
        write_csv(paths[1], form_table(filled), index=False)
        written += paths
    return written


def reporting_sections(record: RunRecord, *, promised: Collection[str] = ()) -> list[Section]:
    """Return the sections of a page: methods to paste, references, and the forms, closed until the reader opens them.

    Args:
        record: of the folder that the page stands in.
        promised: artefacts, relative to the folder, that are written together with the page.
    """
    statements = methods_statements(record)
    if not statements:
        return []
    links = {"As Markdown, with the source of every sentence": METHODS_FILE, "References as BibTeX": REFERENCES_FILE}
    found = [Section("Methods in plain words, to paste", paragraphs(statements), links=links)]
    works = references(statements)
    if works:
        found.append(Section("References of the methods", works, folded=True))
    return [*found, _forms_section(record, statements, promised)]


def sections_of_run(
    page: str | Path, results: Mapping[str, Any], provenance: Mapping[str, Any] | None
) -> list[Section]:
    """Return the same sections for the page of one classifier, audit or survival analysis, whose sidecar is written after the page.

    Args:
        page: the page; its folder is the run's.
        results: metrics, or the content of `survival.json`.
        provenance: `stage, settings, inputs`; without settings there is nothing to write from.
    """
    page, stage = Path(page), (provenance or {}).get("stage")
    if not provenance or "settings" not in provenance or (stage not in {CLASSIFY, AUDIT} and "groups" not in results):
        return []
    record = unfinished_record(page.parent, results, provenance)
    links = [run.link for run in (*record.models, *record.survival)]
    return reporting_sections(record, promised=[page.name, *links])


def form_table(filled: FilledForm) -> pd.DataFrame:
    """Return a filled form as a table: `item, section, applies, weight, asks, status, answer, artefacts, to_add`.

    Args:
        filled: of `forms.fill_form`.
    """
    rows = [
        {
            "item": answer.item.number,
            "section": answer.item.section,
            "applies": answer.item.applies,
            "weight": answer.item.weight or None,
            "asks": answer.item.asks,
            "status": answer.status,
            "answer": answer.text,
            "artefacts": " ".join(f"../{link}" for link in answer.links),
            "to_add": answer.to_add,
        }
        for answer in filled.answers
    ]
    table = pd.DataFrame(rows)
    return table.drop(
        columns=[
            name for name in ("applies", "weight") if not table[name].astype(bool).any() or table[name].isna().all()
        ]
    )


def form_markdown(filled: FilledForm, *, synthetic: bool = False) -> str:
    """Return a filled form as Markdown with links to the artefacts, blanks last.

    Args:
        filled: of `forms.fill_form`.
        synthetic: the patients are made up.
    """
    form = filled.form
    lines = [f"# {form.name}: {form.title}", "", f"{form.source}. doi:{form.doi}. {form.licence}.", ""]
    lines += [f"**{_SYNTHETIC}**", ""] if synthetic else []
    lines += [_summary(filled), "", _STATUS_SENTENCES, ""]
    if form.conditions:
        lines += ["| Condition | Asks | Answer |", "|---|---|---|"]
        lines += [f"| {item.number} | {item.asks} | {filled.conditions[item.number]} |" for item in form.conditions] + [
            ""
        ]
    for status in (ANSWERED, NOT_MET, NOT_APPLICABLE, BLANK):
        answers = [answer for answer in filled.answers if answer.status == status]
        if answers:
            lines += [
                f"## {status.capitalize()} ({len(answers)})",
                "",
                "| Item | Asks | Answer | Artefacts |",
                "|---|---|---|---|",
            ]
            lines += [_markdown_row(answer) for answer in answers] + [""]
    return "\n".join(lines)


def _summary(filled: FilledForm) -> str:
    counts, total = filled.counts, len(filled.answers)
    words = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    text = f"{filled.form.name}: of {total} items {words}."
    score = filled.score_range
    if score is None:
        return text
    return (
        f"{text} Score: between {score[0]:.0f} % and {score[1]:.0f} % of the weights that apply, depending on the blanks; "
        "no single score can be given before the author has filled them in."
    )


def _markdown_row(answer: Answer) -> str:
    links = ", ".join(f"[{link}](<../{link}>)" for link in answer.links)
    add = f" **To add:** {answer.to_add}" if answer.to_add else ""
    text = f"{answer.text}{add}".replace("|", "/").strip()
    return f"| {answer.item.number} | {answer.item.asks} | {text} | {links} |"


def _forms_section(record: RunRecord, statements: Sequence[Statement], promised: Collection[str]) -> Section:
    tables, words = [], [_STATUS_SENTENCES]
    if record.synthetic:
        words.insert(0, _SYNTHETIC)
    for name in FORMS:
        filled = fill_form(name, statements, record.folder, promised=promised)
        words.append(_summary(filled))
        frame = pd.DataFrame([_page_row(answer) for answer in filled.answers])
        tables.append(
            Table(frame, f"{filled.form.name}. {filled.form.source}. doi:{filled.form.doi}. {filled.form.licence}.")
        )
    links = {f"{stem}.md": f"{FORMS_FOLDER}/{stem}.md" for stem in _STEMS.values()}
    return Section("Reporting forms, filled in as far as the files go", words, tables=tables, folded=True, links=links)


def _page_row(answer: Answer) -> dict[str, object]:
    item = answer.item
    links = Markup("<br>").join(
        Markup('<a href="{}">{}</a>').format(quote(link, safe="/"), link) for link in answer.links
    )
    add = f" To add: {answer.to_add}" if answer.to_add else ""
    return {
        "item": item.number,
        "asks": item.asks,
        "status": answer.status,
        "answer": Markup('<div class="answer">{}</div>').format(f"{answer.text}{add}".strip()),
        "where": links,
    }
