"""One self-contained HTML page: no scripts, fonts or pictures from elsewhere, readable on a phone, a wide screen and paper."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

import matplotlib.figure
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from radiogen.report.style import png, svg
from radiogen.run.atomic import write_text
from radiogen.run.provenance import RESEARCH_USE, package_versions

SYNTHETIC_NOTICE = "SYNTHETIC DATA - made-up patients. Nothing on this page says anything about real ones."

STATUS_WORDS = {
    "beats-baselines": "Beats the baselines",
    "no-better-than-baselines": "No better than the baselines",
    "no-better-than-chance": "No better than chance",
    "undetermined": "Undetermined",
    "neutral": "Summary",
}
"""What a page's lead can say; the word stands beside the colour, never the colour alone."""

_STATUS_SIGNS = {
    "beats-baselines": "\u2713",
    "no-better-than-baselines": "\u2248",
    "no-better-than-chance": "\u2715",
    "undetermined": "?",
    "neutral": "i",
}

_PX_PER_IN = 112
"""Letters of 9 pt, the smallest in most drawings, come out at 14 px; on a phone a drawing keeps this size and scrolls sideways in its own box."""

_COLUMN_PX = 600
"""A drawing that is wider stands alone in its row."""


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption; one that holds images becomes a PNG, any other becomes SVG.

    Args:
        svg_or_png: a figure made without pyplot.
        caption: what it shows, one sentence or more.
        alt: what a reader who cannot see it must know; the caption by default.
    """

    svg_or_png: matplotlib.figure.Figure
    caption: str
    alt: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first column heads each row.

    Args:
        frame: cells as they are to be shown; its index is shown where it has a name. Unknown values become a dash.
        caption: what it shows.
    """

    frame: pd.DataFrame
    caption: str


@dataclass(frozen=True)
class Picture:
    """A small raster picture, shown in a grid with others.

    Args:
        content: bytes of a PNG or JPEG file.
        caption: a few words.
        link: file to open from it, relative to the page.
    """

    content: bytes
    caption: str
    link: str = ""


@dataclass(frozen=True)
class Box:
    """One verdict among several on a page.

    Args:
        title: what was asked.
        text: the answer, one sentence.
        status: a key of `STATUS_WORDS`.
        facts: short label -> value.
        links: words -> file, relative to the page.
    """

    title: str
    text: str
    status: str = "neutral"
    facts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Widget:
    """A part of a page that answers to the reader, such as the slice viewer; everything it needs is in the page.

    Args:
        markup: HTML, every text in it escaped already.
        style: CSS, once per page however many widgets have it.
        script: JavaScript, the same; it fetches nothing.
    """

    markup: str
    style: str = ""
    script: str = ""


@dataclass(frozen=True)
class Section:
    """One headed part of a page: text, then boxes, figures, tables, pictures.

    Args:
        title: heading.
        text: paragraphs.
        figures: drawings.
        tables: tables.
        pictures: small pictures, shown as a grid.
        boxes: verdicts.
        large_pictures: pictures are graphs to read, not thumbnails.
        folded: closed until the reader opens it.
        widgets: parts that answer to the reader, shown after the text.
        links: words -> file, relative to the page, shown last.
    """

    title: str
    text: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    boxes: Sequence[Box] = ()
    large_pictures: bool = False
    folded: bool = False
    widgets: Sequence[Widget] = ()
    links: Mapping[str, str] = field(default_factory=dict)


def write_page(
    path: str | Path,
    title: str,
    sections: list[Section],
    *,
    lead: str = "",
    status: str = "neutral",
    provenance: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> None:
    """Write one self-contained HTML page, atomically; the same arguments give the same bytes.

    Args:
        path: the page.
        title: its heading.
        sections: in reading order.
        lead: the sentence that the reader must not miss.
        status: what colour, sign and word the lead carries, a key of `STATUS_WORDS`; anything else is shown as plain words.
        provenance: settings, input hashes and other facts for the page's foot; of absolute paths only the last part is shown.
        synthetic: the patients are made up, and the page says so at its top.

    Raises:
        OutputError: the page cannot be written.
    """
    write_text(path, render_page(title, sections, lead=lead, status=status, provenance=provenance, synthetic=synthetic))


def render_page(
    title: str,
    sections: list[Section],
    *,
    lead: str = "",
    status: str = "neutral",
    provenance: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> str:
    """Return the HTML text that `write_page` writes; see there."""
    drawn = _Drawn()
    widgets = [widget for section in sections for widget in section.widgets]
    return render_template(
        "page.html",
        title=title,
        sections=sections,
        lead=lead,
        status=status,
        synthetic=SYNTHETIC_NOTICE if synthetic else "",
        notice=RESEARCH_USE,
        provenance=_shown(dict(provenance or {})),
        versions=package_versions(),
        draw=drawn.figure,
        styles=list(dict.fromkeys(widget.style for widget in widgets if widget.style)),
        scripts=list(dict.fromkeys(widget.script for widget in widgets if widget.script)),
    )  # fmt: skip


def render_template(name: str, **values: Any) -> str:
    """Return one of radiogen's HTML templates with its values filled in, every text escaped.

    Args:
        name: file in `report/templates`.
        values: what the template names; a missing one is an error.
    """
    return _environment().get_template(name).render(**values)


def template_text(name: str) -> str:
    """Return a file of `report/templates` as it is.

    Args:
        name: file in `report/templates`.

    Example:
        >>> template_text("viewer.js").startswith("// The slice viewer")
        True
    """
    return resources.files("radiogen.report").joinpath("templates", name).read_text(encoding="utf-8")


class _Drawn:
    """Numbers the figures of one page, so that no two elements share an id."""

    def __init__(self) -> None:
        self.count = 0

    def figure(self, figure: Figure) -> Markup:
        self.count += 1
        drawing, alt = figure.svg_or_png, figure.alt or figure.caption
        width_px = round(drawing.get_figwidth() * _PX_PER_IN)
        style = f"--drawn:{width_px}px"
        if any(axes.images for axes in drawing.axes):
            markup = Markup('<img style="{}" src="{}" alt="{}">').format(style, data_uri(png(drawing)), alt)
        else:
            body = Markup(inline_svg(svg(drawing), prefix=f"figure{self.count}-"))
            markup = Markup('<svg role="img" aria-label="{}" style="{}"{}').format(alt, style, body)
        return Markup('<div class="scroll drawn" tabindex="0" role="region" aria-label="{}">{}</div>').format(
            f"Figure {self.count}", markup
        )


def _is_wide(figure: Figure) -> bool:
    return bool(figure.svg_or_png.get_figwidth() * _PX_PER_IN > _COLUMN_PX)


def inline_svg(text: str, *, prefix: str) -> str:
    """Return an SVG document as markup that may stand inside an HTML page, from behind `<svg`: prolog away, size left to the page, ids made unique.

    Args:
        text: an SVG document.
        prefix: put before every id and every reference to one.

    Example:
        >>> inline_svg('<?xml?><svg width="9pt" height="9pt" viewBox="0 0 9 9"><path id="a"/></svg>', prefix="f1-")
        ' viewBox="0 0 9 9"><path id="f1-a"/></svg>'
    """
    start = text.index("<svg")
    end_of_tag = text.index(">", start)
    tag = text[start + 4 : end_of_tag]
    tag = re.sub(r'\s(?:width|height|version|xmlns(?::\w+)?)="[^"]*"', "", tag)
    body = text[end_of_tag:].strip()
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(
        r"<style.*?</style>", "", body, flags=re.DOTALL
    )  # it would style the whole page; page.css has its two rules
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)  # matplotlib repeats every text as a comment
    body = re.sub(r'\bid="', f'id="{prefix}', body)
    body = body.replace('href="#', f'href="#{prefix}').replace("url(#", f"url(#{prefix}")
    return tag + body


def data_uri(content: bytes) -> str:
    """Return a PNG, JPEG or WebP as a `data:` address that needs no file beside the page."""
    kind = "jpeg" if content.startswith(b"\xff\xd8") else "webp" if content.startswith(b"RIFF") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("radiogen.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "anchor": _anchor, "address": _address, "data_uri": data_uri, "rows": _rows}
    environment.globals |= {
        "is_wide": _is_wide,
        "word_of": _word_of,
        "sign_of": _sign_of,
        "is_mapping": lambda value: isinstance(value, Mapping),
    }
    return environment


def _word_of(status: str) -> str:
    return STATUS_WORDS.get(status, status.replace("-", " ").capitalize())


def _sign_of(status: str) -> str:
    return _STATUS_SIGNS.get(status, _STATUS_SIGNS["neutral"])


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "part"


def _address(link: str) -> str:
    return quote(link, safe="/")


def _rows(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    table = frame.reset_index() if frame.index.name is not None else frame
    return [str(name) for name in table.columns], [
        [_cell(value) for value in row] for row in table.itertuples(index=False, name=None)
    ]


def link_cell(words: str, link: str) -> Markup:
    """Return a table's cell that leads to another page.

    Args:
        words: what is shown.
        link: file, relative to the page.

    Example:
        >>> link_cell("case <7>", "cases/7.html")
        Markup('<a href="cases/7.html">case &lt;7&gt;</a>')
    """
    return Markup('<a href="{}">{}</a>').format(_address(link), words)


def _cell(value: Any) -> str:
    if isinstance(value, Markup):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> Any:
    """Keep the last part of absolute paths only: a page travels, the machine it was made on does not."""
    if isinstance(value, Mapping):
        return {str(key): _shown(value[key]) for key in value}
    if isinstance(value, list | tuple):
        items = [_shown(item) for item in value]
        return (
            ", ".join(map(_cell, items))
            if not any(isinstance(item, Mapping) for item in items)
            else dict(enumerate(items, 1))
        )
    if isinstance(value, str | Path) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PureWindowsPath(value).name if "\\" in str(value) else PurePosixPath(value).name
    return value
